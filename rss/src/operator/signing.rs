//! The vendor's signing key and what it signs: responses to challenges, and grants. What is signed is in the audit log before
//! anybody sees it; the key itself is in nothing but its file.

use super::{note, say};
use crate::Trouble;
use crate::clock::{now, shown};
use crate::store::Store;
use drawbridge_identity::challenge::Challenge;
use drawbridge_identity::grant::{EngineerKey, Grant, RawScope, Scope, Target};
use drawbridge_identity::response::{Claims, Minutes};
use drawbridge_identity::signer::Signer;
use drawbridge_identity::{Line, Serial};
use std::fs::{File, OpenOptions};
use std::io::{BufRead as _, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// No file that is read here is longer, in bytes.
const LONGEST_FILE: u64 = 16 * 1024;
/// No line that is typed is longer, in bytes: a challenge is the longest, with room for what was pasted beside it.
const LONGEST_LINE: u64 = 4096;
/// How often a question is asked before it is given up.
const ATTEMPTS: usize = 5;

/// A new signing key.
#[derive(Debug)]
pub struct NewKey {
    /// The file, which must not be there.
    pub file: PathBuf,
    /// What appliances call it; else the file's name.
    pub name: Option<String>,
}

/// A response. What is missing is asked for.
#[derive(Debug)]
pub struct Answer {
    /// The signing key's file.
    pub key: PathBuf,
    /// The challenge's text.
    pub challenge: Option<String>,
    /// Who answers.
    pub who: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// How long the login may last.
    pub minutes: Option<u32>,
}

/// A grant.
#[derive(Debug)]
pub struct NewGrant {
    /// The signing key's file.
    pub key: PathBuf,
    /// The file of the engineer's public key.
    pub engineer: PathBuf,
    /// The vendor's case.
    pub case: String,
    /// The system.
    pub serial: String,
    /// What may be reached, as `host:port`.
    pub targets: Vec<String>,
    /// The appliance's command line.
    pub shell: bool,
    /// Files.
    pub files: bool,
    /// Forwards to the targets.
    pub forwards: bool,
    /// How long the session may last.
    pub minutes: u32,
    /// In how many hours its time begins.
    pub after_hours: u32,
    /// How long from then on the grant may wait for its use.
    pub days: u32,
}

/// Makes a signing key, and prints the line that appliances know it by.
pub(super) fn key(store: &Store, new: &NewKey) -> Result<(), Trouble> {
    let name = new.name.clone().unwrap_or_else(|| stem(&new.file));
    let name = Line::new(name).map_err(|fault| Trouble::new(format!("the key's name: {fault}")))?;
    let text = Signer::generate().map_err(|fault| Trouble::new(fault.to_string()))?;
    let signer = Signer::read(&text, name).map_err(|fault| Trouble::new(fault.to_string()))?;
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new.file).map_err(|error| {
            let why = if error.kind() == std::io::ErrorKind::AlreadyExists {
                "there is something by that name, which is never written over: take another one".to_owned()
            } else {
                error.to_string()
            };
            Trouble::new(format!("{}: {why}", new.file.display()))
        })?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(|error| {
        Trouble::new(format!(
            "{} cannot be written, and what is there is no key: {error}",
            new.file.display()
        ))
    })?;
    note(store, "make signing key", "", &signer.public().to_string())?;
    say(signer.public())
}

/// Answers a challenge.
pub(super) fn respond(store: &Store, answer: Answer) -> Result<(), Trouble> {
    let signer = signer(&answer.key)?;
    let challenge = given_or_asked(answer.challenge, "Challenge", Challenge::parse)?;
    tell(&format!("System:  {}\nPurpose: {}", challenge.serial(), challenge.purpose()));
    let claims = Claims {
        who: given_or_asked(answer.who, "Who answers (your name)", |text| Line::new(text))?,
        reason: given_or_asked(answer.reason, "Why (the case)", |text| Line::new(text))?,
        minutes: given_or_asked(
            answer.minutes.map(|minutes| minutes.to_string()),
            "For how many minutes, 1 to 480",
            minutes,
        )?,
        issued: u64::try_from(now()).unwrap_or_default(),
    };
    let (serial, purpose) = (challenge.serial(), challenge.purpose());
    let result = format!(
        "{purpose} for {} minutes, by {}, because: {}; key {}",
        claims.minutes.get(),
        claims.who,
        claims.reason,
        signer.public()
    );
    note(store, "respond", serial.as_str(), &result)?;
    say(signer.respond(&challenge, &claims).trim_end())
}

/// Makes a grant.
pub(super) fn grant(store: &Store, new: &NewGrant) -> Result<(), Trouble> {
    let signer = signer(&new.key)?;
    let wrong = |what: &str, fault: &dyn std::fmt::Display| Trouble::new(format!("{what}: {fault}"));
    let engineer = read(&new.engineer)?;
    let targets: Result<Vec<_>, _> = new.targets.iter().map(|target| Target::parse(target)).collect();
    let targets = targets.map_err(|fault| wrong("--target", &fault))?;
    let scope = RawScope { targets, shell: new.shell, files: new.files, forwards: new.forwards };
    let begins = now() + i64::from(new.after_hours) * 3600;
    let ends = begins + i64::from(new.days) * 24 * 3600;
    let grant = Grant {
        id: Grant::new_id().map_err(|fault| Trouble::new(fault.to_string()))?,
        case: Line::new(&*new.case).map_err(|fault| wrong("--case", &fault))?,
        engineer: EngineerKey::parse(&engineer)
            .map_err(|fault| wrong(&new.engineer.display().to_string(), &fault))?,
        serial: Serial::new(&*new.serial).map_err(|fault| wrong("--serial", &fault))?,
        scope: Scope::try_from(scope).map_err(|fault| wrong("the scope", &fault))?,
        minutes: minutes(&new.minutes.to_string()).map_err(|fault| wrong("--minutes", &fault))?,
        // The appliance's clock may be some minutes behind ours: what is good at once is good for it, too.
        not_before: if new.after_hours == 0 { 0 } else { u64::try_from(begins).unwrap_or_default() },
        not_after: u64::try_from(ends).unwrap_or_default(),
    };
    let targets: Vec<String> = grant.scope.targets.iter().map(ToString::to_string).collect();
    let opens = [("shell", new.shell), ("files", new.files), ("forwards", new.forwards)];
    let opens: Vec<&str> = opens.into_iter().filter_map(|(what, is_open)| is_open.then_some(what)).collect();
    let result = format!(
        "case {}, {} minutes until {}, opens {} to [{}], for {}; key {}",
        grant.case,
        new.minutes,
        shown(ends),
        opens.join(" "),
        targets.join(" "),
        grant.engineer.as_str(),
        signer.public()
    );
    note(store, "grant", grant.serial.as_str(), &result)?;
    say(signer.grant(&grant).trim_end())
}

fn minutes<const MOST: u16>(text: &str) -> Result<Minutes<MOST>, String> {
    let number: u16 =
        text.parse().map_err(|_| format!("{text:?} is no number of minutes: say 1 to {MOST}"))?;
    Minutes::new(number).map_err(|fault| fault.to_string())
}

fn stem(file: &Path) -> String {
    file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Reads a signing key, if nobody else can.
fn signer(path: &Path) -> Result<Signer, Trouble> {
    let fault = |why: String| Trouble::new(format!("{}: {why}", path.display()));
    let mode = std::fs::metadata(path).map_err(|error| fault(error.to_string()))?.mode();
    if mode & 0o077 != 0 {
        return Err(fault(format!("others may read or write it (mode {:04o}): chmod 600 it", mode & 0o7777)));
    }
    let name = Line::new(stem(path)).map_err(|error| fault(format!("its name: {error}")))?;
    Signer::read(&read(path)?, name).map_err(|error| fault(error.to_string()))
}

fn read(path: &Path) -> Result<Zeroizing<String>, Trouble> {
    let fault = |why: String| Trouble::new(format!("{}: {why}", path.display()));
    let file = File::open(path).map_err(|error| fault(error.to_string()))?;
    // With room for all of it, nothing is left behind in memory when the text grows.
    let mut text =
        Zeroizing::new(String::with_capacity(usize::try_from(LONGEST_FILE).unwrap_or_default() + 1));
    file.take(LONGEST_FILE + 1).read_to_string(&mut text).map_err(|error| fault(error.to_string()))?;
    if text.len() as u64 > LONGEST_FILE {
        Err(fault("it is too long for a key".to_owned()))
    } else {
        Ok(text)
    }
}

/// What was given, or what somebody answers to the question. A wrong answer is told, and asked for again.
fn given_or_asked<T, E: std::fmt::Display>(
    given: Option<String>,
    question: &str,
    parse: impl Fn(&str) -> Result<T, E>,
) -> Result<T, Trouble> {
    if let Some(given) = given {
        return parse(given.trim()).map_err(|fault| Trouble::new(format!("{question}: {fault}")));
    }
    for _ in 0..ATTEMPTS {
        // Stdout is for what is signed. Where stderr is closed, nobody is asked, and the answer may come all the same.
        let _ = write!(std::io::stderr(), "{question}: ");
        let mut line = String::new();
        let read = std::io::stdin().lock().take(LONGEST_LINE).read_line(&mut line);
        if read.map_err(|error| Trouble::new(format!("stdin gives nothing: {error}")))? == 0 {
            return Err(Trouble::new(format!("{question}: there was no answer")));
        }
        match parse(line.trim()) {
            Ok(answer) => return Ok(answer),
            Err(fault) => tell(&format!("{question}: {fault}")),
        }
    }
    Err(Trouble::new(format!("{question}: there was no answer that could be used in {ATTEMPTS} tries")))
}

/// Says something to the person, beside what goes to stdout.
fn tell(text: &str) {
    let _ = writeln!(std::io::stderr(), "{text}");
}
