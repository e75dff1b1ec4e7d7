//! `ssh` from the appliance to a place of the session. It connects to no other, and logs in with nothing but what the engineer types.

use super::{Shell, misused, reach};
use crate::deeds::Unkept;
use crate::guided::is_guided;
use crate::output::{Done, Fault, flush, line, printable, put};
use crate::terminal::{Ask, Input, Raw, ask};
use drawbridge_bus::record::Deed;
use drawbridge_bus::support::Target;
use russh::client::{self, AuthResult, Handle, KeyboardInteractiveAuthResponse as Interactive};
use russh::keys::{HashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{ChannelMsg, Disconnect, MethodKind, Preferred, SshId, cipher};
use std::borrow::Cow;
use std::fs;
use std::io::{IsTerminal as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::signal::unix::{SignalKind, signal};
use tokio::time::timeout;

/// A connection is there within this time, …
const CONNECT_WITHIN: Duration = Duration::from_secs(15);
/// … and its keys are agreed upon in this, with the time that the engineer looks at a fingerprint.
const KEYS_WITHIN: Duration = Duration::from_mins(3);
/// Each answer of the login gets so long.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How often a password is asked for.
const TRIES: usize = 3;
/// The most questions of one keyboard-interactive login (RFC 4256 has no bound).
const QUESTIONS_MOST: usize = 16;
/// The largest file of known keys that is read, in bytes.
const KNOWN_BYTES: u64 = 256 * 1024;

static CIPHERS: &[cipher::Name] =
    &[cipher::AES_256_GCM, cipher::AES_128_GCM, cipher::CHACHA20_POLY1305, cipher::AES_256_CTR];

/// What was typed after `ssh`.
#[derive(Debug, PartialEq, Eq)]
struct Wanted<'a> {
    user: Option<&'a str>,
    host: &'a str,
    port: Option<u16>,
    command: Option<String>,
}

fn wanted(arguments: &[String]) -> Option<Result<Wanted<'_>, Fault>> {
    let (port, rest) = match arguments {
        [option, port, rest @ ..] if option == "-p" => (Some(port), rest),
        rest => (None, rest),
    };
    let (place, command) = rest.split_first()?;
    let (user, host) =
        place.rsplit_once('@').map_or((None, place.as_str()), |(user, host)| (Some(user), host));
    if host.is_empty() || host.starts_with('-') || user.is_some_and(str::is_empty) {
        return None;
    }
    // The other end's shell takes it apart again, as with any ssh.
    let command = (!command.is_empty()).then(|| command.join(" "));
    let port = match port.map(|port| reach::port(port)).transpose() {
        Ok(port) => port,
        Err(fault) => return Some(Err(fault)),
    };
    Some(Ok(Wanted { user, host, port, command }))
}

pub(super) async fn run(shell: &Shell, arguments: &[String]) -> Done {
    let wanted = wanted(arguments).ok_or_else(|| misused("ssh"))??;
    if is_guided(shell) && wanted.command.is_none() {
        return Err(Fault::new(
            "at the level guided a shell elsewhere is not opened: give one command, as in ssh HOST COMMAND",
        ));
    }
    let target = reach::target(shell, wanted.host, wanted.port)?;
    let reached = shell.deeds.keep(Deed::Reached(target.clone()));
    reached.map_err(|Unkept(sentence)| Fault::new(sentence))?;
    let mut last = None;
    for address in reach::addresses(shell, &target.host).await? {
        match timeout(CONNECT_WITHIN, TcpStream::connect((address, target.port))).await {
            Ok(Ok(stream)) => {
                let user = wanted.user.unwrap_or(&shell.scope.engineer);
                return over(shell, stream, &target, user, wanted.command.as_deref()).await;
            }
            Ok(Err(error)) => last = Some(error.to_string()),
            Err(_) => last = Some("it does not answer".to_owned()),
        }
    }
    let why = last.unwrap_or_else(|| "it has no address".to_owned());
    Err(Fault::new(format!("{} port {} cannot be reached: {why}", target.host, target.port)))
}

/// Looks at the key of the place, and opens nothing that the place wants opened.
struct Watcher {
    place: String,
    known: PathBuf,
    refused: Arc<std::sync::Mutex<Option<String>>>,
}

impl client::Handler for Watcher {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let looked = self.look(key);
        let right = looked.is_ok();
        if let Ok(mut refused) = self.refused.lock() {
            *refused = looked.err();
        }
        Ok(right)
    }
}

impl Watcher {
    fn look(&self, key: &PublicKey) -> Result<(), String> {
        let fingerprint = key.fingerprint(HashAlg::Sha256);
        let written = key.to_openssh().map_err(|_| "its key cannot be read".to_owned())?;
        let mut parts = written.split_whitespace();
        let (Some(kind), Some(bytes)) = (parts.next(), parts.next()) else {
            return Err("its key cannot be read".to_owned());
        };
        let told = fs::metadata(&self.known).is_ok_and(|known| known.len() > KNOWN_BYTES);
        let text = if told { String::new() } else { fs::read_to_string(&self.known).unwrap_or_default() };
        let known = text.lines().rev().find_map(|line| line.strip_prefix(&format!("{} ", self.place)));
        if let Some(known) = known {
            if known == format!("{kind} {bytes}") {
                return Ok(());
            }
            return Err(format!(
                "its host key is {fingerprint} now and was another before, in this session: somebody may listen in; ask \
                 whoever administers it"
            ));
        }
        let question = format!(
            "The host key of {} is new to this session: {kind} {fingerprint}. Is it right? (yes/no) ",
            self.place
        );
        match ask(&question, Ask::Shown) {
            Ok(answer) if answer.trim() == "yes" => {}
            Ok(_) => return Err("its host key was not taken for right".to_owned()),
            Err(fault) => {
                let why =
                    if let Fault::Said(_, why) = fault { why } else { "nobody is there to ask".to_owned() };
                return Err(format!("its host key {fingerprint} is new to this session, and {why}"));
            }
        }
        let kept = fs::OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(libc::O_NOFOLLOW)
            .open(&self.known)
            .and_then(|mut file| file.write_all(format!("{} {kind} {bytes}\n", self.place).as_bytes()));
        if let Err(error) = kept {
            log::warn!("a host key is not kept, and will be asked for again: {error}");
        }
        Ok(())
    }
}

async fn over(shell: &Shell, stream: TcpStream, target: &Target, user: &str, command: Option<&str>) -> Done {
    let config = client::Config {
        client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Drawbridge")),
        preferred: Preferred { cipher: Cow::Borrowed(CIPHERS), ..Preferred::default() },
        keepalive_interval: Some(Duration::from_secs(15)),
        keepalive_max: 4,
        nodelay: true,
        ..client::Config::default()
    };
    let refused = Arc::new(std::sync::Mutex::new(None));
    let watcher = Watcher {
        place: format!("{}:{}", target.host, target.port),
        known: shell.place.files.with_file_name("known-hosts"),
        refused: Arc::clone(&refused),
    };
    let connected = timeout(KEYS_WITHIN, client::connect_stream(Arc::new(config), stream, watcher)).await;
    let place = format!("{} port {}", target.host, target.port);
    let mut session = match connected {
        Ok(Ok(session)) => session,
        Ok(Err(error)) => {
            let why = refused.lock().ok().and_then(|mut why| why.take()).unwrap_or_else(|| error.to_string());
            return Err(Fault::new(format!("{place}: {why}")));
        }
        Err(_) => return Err(Fault::new(format!("{place}: the handshake takes too long"))),
    };
    log_in(&mut session, user, &target.host.to_string()).await?;
    let done = converse(&session, command, shell.reads_lines).await;
    // It is over whether the other end hears it or not.
    let _ = session.disconnect(Disconnect::ByApplication, "", "en").await;
    done
}

fn lost(error: &russh::Error) -> Fault {
    Fault::new(format!("the connection was lost: {error}"))
}

async fn answered<T>(answer: impl Future<Output = Result<T, russh::Error>>) -> Result<T, Fault> {
    match timeout(ANSWER_WITHIN, answer).await {
        Ok(answer) => answer.map_err(|error| lost(&error)),
        Err(_) => Err(Fault::new("the other end does not answer")),
    }
}

async fn log_in(session: &mut Handle<Watcher>, user: &str, host: &str) -> Done {
    let AuthResult::Failure { mut remaining_methods, .. } = answered(session.authenticate_none(user)).await?
    else {
        return Ok(());
    };
    for _ in 0..TRIES {
        let failed = if remaining_methods.contains(&MethodKind::KeyboardInteractive) {
            match interactive(session, user).await? {
                None => return Ok(()),
                Some(remaining) => remaining,
            }
        } else if remaining_methods.contains(&MethodKind::Password) {
            let password = ask(&format!("{user}@{host}'s password: "), Ask::Hidden)?;
            match answered(session.authenticate_password(user, password.as_str())).await? {
                AuthResult::Success => return Ok(()),
                AuthResult::Failure { remaining_methods, .. } => remaining_methods,
            }
        } else {
            return Err(Fault::new(
                "the other end takes neither a password nor answers to questions: nothing else is offered here",
            ));
        };
        remaining_methods = failed;
        line("That was not right.")?;
    }
    Err(Fault::new(format!("{user} could not log in")))
}

/// RFC 4256. None: he is in.
async fn interactive(session: &mut Handle<Watcher>, user: &str) -> Result<Option<russh::MethodSet>, Fault> {
    let mut reply = answered(session.authenticate_keyboard_interactive_start(user, None)).await?;
    let mut asked = 0;
    loop {
        match reply {
            Interactive::Success => return Ok(None),
            Interactive::Failure { remaining_methods, .. } => return Ok(Some(remaining_methods)),
            Interactive::InfoRequest { instructions, prompts, .. } => {
                asked += prompts.len() + 1;
                if asked > QUESTIONS_MOST {
                    return Err(Fault::new("the other end asks without end"));
                }
                if !instructions.trim().is_empty() {
                    line(&instructions)?;
                }
                let mut answers = Vec::new();
                for prompt in prompts {
                    let how = if prompt.echo { Ask::Shown } else { Ask::Hidden };
                    answers.push(ask(&printable(&prompt.prompt), how)?.to_string());
                }
                reply = answered(session.authenticate_keyboard_interactive_respond(answers)).await?;
            }
        }
    }
}

async fn converse(session: &Handle<Watcher>, command: Option<&str>, no_input: bool) -> Done {
    let mut channel = answered(session.channel_open_session()).await?;
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    let size = || {
        crate::terminal::window().map_or((80, 24), |(columns, rows)| (u32::from(columns), u32::from(rows)))
    };
    if terminal {
        let kind = std::env::var("TERM").unwrap_or_else(|_| "dumb".to_owned());
        let (columns, rows) = size();
        answered(channel.request_pty(false, &kind, columns, rows, 0, 0, &[])).await?;
    }
    // Before the other end starts anything: it echoes, or does not, from its first byte on.
    let _raw = if terminal { Some(Raw::set()?) } else { None };
    match command {
        Some(command) => answered(channel.exec(true, command)).await?,
        None => answered(channel.request_shell(true)).await?,
    }
    let mut resized =
        signal(SignalKind::window_change()).map_err(|error| Fault::new(format!("no signals: {error}")))?;
    let mut input = if no_input { None } else { Some(Input::new()) };
    if no_input {
        channel.eof().await.map_err(|error| lost(&error))?;
    }
    let mut status = None;
    loop {
        tokio::select! {
            message = channel.wait() => match message {
                None => break,
                Some(ChannelMsg::Data { data }) => {
                    put(&data)?;
                    flush()?;
                }
                Some(ChannelMsg::ExtendedData { data, .. }) => {
                    // Who has closed his errors does not want to read them.
                    let _ = std::io::stderr().write_all(&data);
                }
                Some(ChannelMsg::ExitStatus { exit_status }) => status = Some(u8::try_from(exit_status).unwrap_or(u8::MAX)),
                Some(ChannelMsg::ExitSignal { .. }) => status = Some(255),
                Some(ChannelMsg::Failure) => return Err(Fault::new("the other end starts no such command")),
                Some(_) => {}
            },
            bytes = async { match &mut input { Some(input) => input.read().await, None => std::future::pending().await } } => {
                if bytes.is_empty() {
                    input = None;
                    channel.eof().await.map_err(|error| lost(&error))?;
                } else {
                    channel.data_bytes(bytes).await.map_err(|error| lost(&error))?;
                }
            }
            _ = resized.recv(), if terminal => {
                let (columns, rows) = size();
                channel.window_change(columns, rows, 0, 0).await.map_err(|error| lost(&error))?;
            }
        }
    }
    match status {
        Some(0) => Ok(()),
        Some(status) => Err(Fault::Status(status)),
        None => Err(Fault::Said(255, "the connection has ended before the command has".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_typed_as_for_any_ssh() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        let arguments = words("-p 2222 root@node uname -a");
        let wanted = wanted(&arguments).unwrap().unwrap();
        assert_eq!((wanted.user, wanted.host, wanted.port), (Some("root"), "node", Some(2222)));
        assert_eq!(wanted.command.as_deref(), Some("uname -a"));
        for wrong in ["-x node", "@node", "root@"] {
            assert!(super::wanted(&words(wrong)).is_none(), "{wrong}");
        }
        assert!(super::wanted(&words("-p x node")).unwrap().is_err());
    }
}
