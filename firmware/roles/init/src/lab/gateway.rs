//! The lab's way to ask on the bus: questions by lines of JSON on the second serial line, asked as the console. It can ask what
//! the console may ask, and nothing else.
//!
//! A question is `{"to":"network","request":REQUEST}`, an answer `{"reply":REPLY}` or `{"error":"…"}`; both as the types of
//! the bus are in JSON.
//!
//! `{"kill":"Recorder","after":250}` is no question but an order to init: KILL for that role, so many milliseconds from now. It is
//! answered by `Done` as soon as it is on its way.

use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::{Reply, Request, Role};
use serde::{Deserialize, Serialize};
use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::process::ExitCode;

/// The argument that asks for it.
pub(super) const ARGUMENT: &str = "bus-gateway";

/// The line.
pub(super) const DEVICE: &str = "/dev/ttyS1";

#[derive(Deserialize)]
struct Question {
    to: Role,
    request: Request,
}

/// A role is to be killed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Kill {
    /// Which; for the shell's, all its processes.
    pub(super) kill: Role,
    /// Milliseconds from when init hears of it.
    pub(super) after: u64,
}

impl Kill {
    /// The order in a line of the gateway's log, where init hears it; none but the gateway can write there.
    pub(super) fn heard(line: &str) -> Option<Self> {
        serde_json::from_str(line.strip_prefix(ORDER)?).ok()
    }
}

/// What an order begins with.
const ORDER: &str = "lab: order: ";

#[derive(Serialize)]
enum Answer {
    #[serde(rename = "reply")]
    Reply(Reply),
    #[serde(rename = "error")]
    Error(String),
}

/// The serial line as a line of bytes: nothing is echoed or changed on the way.
pub(super) fn open() -> io::Result<File> {
    use nix::sys::termios::{SetArg, cfmakeraw, tcgetattr, tcsetattr};
    let line = File::options().read(true).write(true).open(DEVICE)?;
    let mut settings = tcgetattr(&line)?;
    cfmakeraw(&mut settings);
    tcsetattr(&line, SetArg::TCSANOW, &settings)?;
    Ok(line)
}

/// Answers questions until the line ends.
pub(super) fn run(line: File) -> ExitCode {
    match answer_all(line) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("lab: the gateway on {DEVICE} has ended: {error}");
            ExitCode::FAILURE
        }
    }
}

fn answer_all(line: File) -> io::Result<()> {
    let mut writer = line.try_clone()?;
    for question in BufReader::new(line).lines() {
        let answer = match ask(&question?) {
            Ok(reply) => Answer::Reply(reply),
            Err(error) => Answer::Error(error.to_string()),
        };
        let mut text = serde_json::to_string(&answer).map_err(io::Error::other)?;
        text.push('\n');
        writer.write_all(text.as_bytes())?;
    }
    Ok(())
}

fn ask(question: &str) -> io::Result<Reply> {
    if let Ok(kill) = serde_json::from_str::<Kill>(question) {
        writeln!(io::stderr(), "{ORDER}{}", serde_json::to_string(&kill).map_err(io::Error::other)?)?;
        return Ok(Reply::Done);
    }
    let question: Question = serde_json::from_str(question).map_err(io::Error::other)?;
    ask_role(question.to, question.request)
}

/// Asks a role on the bus, as whoever this process is.
pub(super) fn ask_role(to: Role, request: Request) -> io::Result<Reply> {
    let mut stream = UnixStream::connect(drawbridge_bus::socket_path(to))?;
    stream.write_all(&encode(&Frame::Request { id: 1, request }).map_err(io::Error::other)?)?;
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    loop {
        match decoder.next_frame().map_err(io::Error::other)? {
            Some(Frame::Reply { reply, .. }) => return Ok(reply),
            Some(_) => return Err(io::ErrorKind::InvalidData.into()),
            None => {
                let length = stream.read(&mut buffer)?;
                if length == 0 {
                    return Err(io::ErrorKind::UnexpectedEof.into());
                }
                decoder.push(&buffer[..length]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_order_is_heard_as_one() {
        let kill = Kill { kill: Role::Recorder, after: 250 };
        assert_eq!(Kill::heard(r#"lab: order: {"kill":"Recorder","after":250}"#), Some(kill));
        assert_eq!(Kill::heard(r#"{"kill":"Recorder","after":250}"#), None);
        assert_eq!(Kill::heard(r#"lab: order: {"kill":"Nobody","after":250}"#), None);
        assert!(serde_json::from_str::<Kill>(r#"{"to":"Network","request":"Ports"}"#).is_err());
    }
}
