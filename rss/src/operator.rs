//! The operator's commands: read from the command line, and done on the store, beside a server that runs. They never talk to
//! that server.

mod arguments;
mod keys;
mod sessions;
mod signing;

pub use arguments::read;
pub use keys::Evidence;
pub use sessions::{Form, Pace, Sessions, Which};
pub use signing::{Answer, NewGrant, NewKey};

use crate::Trouble;
use crate::access::{is_name, parse_network};
use crate::clock::{now, shown};
use crate::config::Config;
use crate::evidence::Archive;
use crate::store::{Engineer, NewToken, Record, Store, System};
use russh::keys::{Algorithm, PublicKey};
use std::io::{self, Write as _};
use std::path::PathBuf;

/// A token is good for no longer, in minutes: a week.
pub const MOST_MINUTES: u32 = 7 * 24 * 60;
/// A public key file is no longer, in bytes.
const LONGEST_KEY: usize = 16 * 1024;

/// What is wanted, with the settings file where one is needed.
#[derive(Debug)]
pub enum Command {
    /// The text that says what there is.
    Help,
    /// To serve.
    Serve(PathBuf),
    /// A token for an appliance.
    Enrol(PathBuf, NewToken),
    /// Something about systems.
    Systems(PathBuf, Systems),
    /// Something about engineers.
    Engineers(PathBuf, Engineers),
    /// Something about the keys by which recordings are known.
    Evidence(PathBuf, Evidence),
    /// Something about recordings.
    Sessions(PathBuf, Sessions),
    /// The audit log.
    Audit(PathBuf),
    /// A new signing key.
    Key(PathBuf, NewKey),
    /// The answer to a challenge.
    Respond(PathBuf, Answer),
    /// A grant.
    Grant(PathBuf, NewGrant),
}

/// About systems.
#[derive(Debug)]
pub enum Systems {
    /// All.
    List,
    /// Forget one.
    Remove(String),
    /// Another name for one.
    Rename(String, String),
    /// Lines for `known_hosts`.
    KnownHosts,
}

/// About engineers.
#[derive(Debug)]
pub enum Engineers {
    /// All.
    List,
    /// A new one; the key is a file's path.
    Add(Engineer, PathBuf),
    /// Forget one.
    Remove(String),
    /// Keep one out.
    Disable(String),
}

/// Does it.
pub fn run(command: Command) -> Result<(), Trouble> {
    let open = |file: PathBuf| -> Result<Store, Trouble> { Store::open(&Config::read(&file)?.data) };
    match command {
        Command::Help => Ok(()),
        Command::Serve(file) => {
            let config = Config::read(&file)?;
            tokio::runtime::Builder::new_multi_thread()
                .enable_all()
                .build()
                .map_err(|error| Trouble::new(format!("no threads can be started: {error}")))?
                .block_on(crate::serve::serve(config))
        }
        Command::Enrol(file, new) => enrol(&open(file)?, &new),
        Command::Systems(file, what) => systems(&open(file)?, &what),
        Command::Engineers(file, what) => engineers(&open(file)?, what),
        Command::Evidence(file, what) => keys::run(&open(file)?, &what),
        Command::Sessions(file, what) => {
            let data = Config::read(&file)?.data;
            sessions::run(&Store::open(&data)?, &Archive::new(&data), what)
        }
        Command::Key(file, new) => signing::key(&open(file)?, &new),
        Command::Respond(file, answer) => signing::respond(&open(file)?, answer),
        Command::Grant(file, new) => signing::grant(&open(file)?, &new),
        Command::Audit(file) => open(file)?.audit(|record| {
            let Record { time, who, source, what, system, result } = record;
            let time = shown(time);
            say(serde_json::json!({
                "time": time, "who": who, "from": source, "what": what, "system": system, "result": result
            }))
        }),
    }
}

fn say(line: impl std::fmt::Display) -> Result<(), Trouble> {
    writeln!(io::stdout(), "{line}").map_err(|error| Trouble::new(format!("stdout takes nothing: {error}")))
}

fn note(store: &Store, what: &str, system: &str, result: &str) -> Result<(), Trouble> {
    store.record(&Record {
        who: "operator".to_owned(),
        what: what.to_owned(),
        system: system.to_owned(),
        result: result.to_owned(),
        ..Record::default()
    })
}

fn must_be_name(text: &str) -> Result<(), Trouble> {
    if is_name(text) {
        return Ok(());
    }
    Err(Trouble::new(format!(
        "{text:?} is no name: take 1 to 64 letters, digits, dots, dashes and underscores, a letter or digit first"
    )))
}

fn must_be_network(text: &str) -> Result<(), Trouble> {
    match parse_network(text) {
        Some(_) => Ok(()),
        None => {
            Err(Trouble::new(format!("{text:?} is no network: write it like 192.0.2.0/24 or 2001:db8::/48")))
        }
    }
}

fn enrol(store: &Store, new: &NewToken) -> Result<(), Trouble> {
    for name in [&new.serial, &new.name].into_iter().flatten() {
        must_be_name(name)?;
    }
    new.address.as_deref().map_or(Ok(()), must_be_network)?;
    if let Some(system) = new.serial.as_deref().map(|serial| store.system(serial)).transpose()?.flatten() {
        let System { serial, name, .. } = system;
        return Err(Trouble::new(format!(
            "{serial} is enrolled already, as {name}: first rss systems remove {serial}, if its keys were made anew"
        )));
    }
    let token = store.make_token(new)?;
    let result = format!("a token for {} minutes", new.minutes);
    note(store, "enrol", new.serial.as_deref().or(new.name.as_deref()).unwrap_or_default(), &result)?;
    say(token.as_str())
}

fn systems(store: &Store, what: &Systems) -> Result<(), Trouble> {
    let unknown = |serial: &str| {
        Trouble::new(format!("no system has the serial number {serial}: rss systems lists them"))
    };
    match what {
        Systems::List => store.systems()?.iter().try_for_each(|system| {
            let seen = system.seen.map_or("never".to_owned(), shown);
            let address = system.address.as_deref().unwrap_or("any");
            say(format_args!(
                "{} {} enrolled={} seen={seen} address={address}",
                system.name,
                system.serial,
                shown(system.enrolled)
            ))
        }),
        Systems::KnownHosts => {
            store.systems()?.iter().try_for_each(|system| say(system.known_host().trim_end()))
        }
        Systems::Remove(serial) => {
            if !store.remove_system(serial)? {
                return Err(unknown(serial));
            }
            note(store, "remove system", serial, "done")
        }
        Systems::Rename(serial, name) => {
            must_be_name(name)?;
            if !store.rename_system(serial, name)? {
                return Err(unknown(serial));
            }
            note(store, "rename system", serial, &format!("to {name}"))
        }
    }
}

fn engineers(store: &Store, what: Engineers) -> Result<(), Trouble> {
    let unknown = |name: &str| Trouble::new(format!("nobody has the name {name}: rss engineers lists them"));
    match what {
        Engineers::List => store.engineers()?.iter().try_for_each(|one| {
            say(format_args!(
                "{} {} role={} systems={} from={} ends={}{}",
                one.name,
                if one.is_authority { "authority" } else { "engineer" },
                one.role,
                one.systems.join(","),
                if one.sources.is_empty() { "any".to_owned() } else { one.sources.join(",") },
                one.ends.map_or("never".to_owned(), shown),
                if one.disabled { " disabled" } else { "" },
            ))
        }),
        Engineers::Add(mut engineer, key) => {
            must_be_name(&engineer.name)?;
            engineer.sources.iter().try_for_each(|network| must_be_network(network))?;
            engineer.key = public_key(&key)?;
            if engineer.ends.is_some_and(|ends| ends <= now()) {
                return Err(Trouble::new("this would have ended already: say --days with 1 or more"));
            }
            store.put_engineer(&engineer)?;
            note(
                store,
                "add engineer",
                "",
                &format!("{} as {} for {}", engineer.name, engineer.role, engineer.systems.join(",")),
            )
        }
        Engineers::Remove(name) => {
            if !store.remove_engineer(&name)? {
                return Err(unknown(&name));
            }
            note(store, "remove engineer", "", &name)
        }
        Engineers::Disable(name) => {
            if !store.disable_engineer(&name)? {
                return Err(unknown(&name));
            }
            note(store, "disable engineer", "", &name)
        }
    }
}

/// Reads a public key file as `ssh-keygen` writes it. A private key given by mistake is not read on.
fn public_key(path: &std::path::Path) -> Result<String, Trouble> {
    let fault = |why: String| Trouble::new(format!("{}: {why}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| fault(error.to_string()))?;
    if text.len() > LONGEST_KEY {
        return Err(fault("too long for a public key".to_owned()));
    }
    let key = PublicKey::from_openssh(text.trim()).map_err(|_| {
        fault("no public key as ssh-keygen writes it: give the file that ends in .pub".to_owned())
    })?;
    if !matches!(
        key.algorithm(),
        Algorithm::Ed25519 | Algorithm::SkEd25519 | Algorithm::Ecdsa { .. } | Algorithm::SkEcdsaSha2NistP256
    ) {
        return Err(fault(format!(
            "{} keys are not taken: make one with ssh-keygen -t ed25519",
            key.algorithm()
        )));
    }
    PublicKey::new(key.key_data().clone(), "").to_openssh().map_err(|error| fault(error.to_string()))
}
