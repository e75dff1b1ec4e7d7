//! One connection on which recordings come back: its ticket, its one question, and the answer as far as it is within its bounds. Whatever
//! else comes is an error with a sentence, and the connection's end.

use crate::hand::{Admission, Away, Hand};
use crate::way::{Service, Way};
use drawbridge_bus::fetch::{FETCHED_BYTES, KEPT_MOST, KeptRecording, Unfetched};
use drawbridge_bus::record::RecordingId;
use drawbridge_wire::archive::{
    Answer, ArchiveError, Ask, BUNDLE_BYTES, Kept, LISTED_MOST, PART_BYTES, receive, send,
};
use drawbridge_wire::{Features, ToServer, ticket};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

/// The next part has come within this time: the console waits a little longer, and a fetch counts as left after 30 s.
const PART_WITHIN: Duration = Duration::from_secs(20);

// What fits the one fits the other.
const _: () = assert!(PART_BYTES == FETCHED_BYTES && LISTED_MOST == KEPT_MOST);

/// A failure, as a sentence without its end, and what to do.
pub(super) fn failed(why: impl Into<String>, remedy: &str) -> Unfetched {
    Unfetched::Failed { why: why.into(), remedy: remedy.to_owned() }
}

fn lost(error: impl std::fmt::Display) -> Unfetched {
    failed(format!("the server's answer broke off: {error}"), "Try again.")
}

fn wrong(what: &str) -> Unfetched {
    failed(
        format!("the server {what}"),
        "Do not use what came of it. Try again; if it stays so, report it to the server's operator.",
    )
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// The connection.
pub(super) struct Peer(Box<dyn Stream>);

impl Peer {
    /// Asks for a ticket, dials, shows it, and asks. Give it a time limit.
    pub(super) async fn open(hand: &Hand, way: &Way, ask: &Ask) -> Result<Self, Unfetched> {
        let again = "Try again in a moment; the page Connection says how the connection stands.";
        let unconnected = || failed("there is no connection to the server at the moment", again);
        let control = hand.server(Features::ARCHIVE).map_err(|away| match away {
            Away::Unable => Unfetched::Unable,
            Away::Unconnected => unconnected(),
        })?;
        let admission = hand.ask(&control, |request| ToServer::Archive { request }).await;
        let token = match admission.ok_or_else(unconnected)? {
            Admission::Ticket(token) => token,
            Admission::Refused { why, remedy } => return Err(failed(why.as_str(), remedy.as_str())),
        };
        let tunnel = way.dial(Service::Archive, &()).await;
        let mut stream = tunnel.map_err(|trouble| failed(trouble.to_string(), &trouble.remedy()))?.stream;
        ticket::present(&mut stream, &token).await.map_err(|error| failed(error.to_string(), again))?;
        send(&mut stream, ask).await.map_err(lost)?;
        // What TLS has not sent yet would wait for more.
        stream.flush().await.map_err(lost)?;
        Ok(Self(Box::new(stream)))
    }

    async fn next(&mut self) -> Result<Answer, Unfetched> {
        match receive(&mut self.0).await {
            Ok(Answer::Refused { why, remedy }) => Err(failed(why.as_str(), remedy.as_str())),
            Ok(Answer::Unknown) => Err(Unfetched::Unknown),
            Ok(answer) => Ok(answer),
            Err(ArchiveError::Io(error)) => Err(lost(error)),
            Err(error) => Err(wrong(&format!("sends {error}"))),
        }
    }

    /// The list, and whether there are more. Give it a time limit.
    pub(super) async fn list(&mut self) -> Result<(Vec<KeptRecording>, bool), Unfetched> {
        let mut recordings = Vec::new();
        loop {
            match self.next().await? {
                Answer::Kept(kept) if recordings.len() < KEPT_MOST => recordings.extend(line(*kept)),
                Answer::Kept(_) => return Err(wrong("lists more recordings at once than it may")),
                Answer::Listed { more } => return Ok((recordings, more)),
                _ => return Err(wrong("answers something else than was asked")),
            }
        }
    }

    /// How long the bundle is. Give it a time limit.
    pub(super) async fn begin(&mut self) -> Result<u64, Unfetched> {
        match self.next().await? {
            Answer::Bundle(length) if (1..=BUNDLE_BYTES).contains(&length) => Ok(length),
            Answer::Bundle(_) => Err(wrong("has a recording of a length that none has")),
            _ => Err(wrong("answers something else than was asked")),
        }
    }

    /// What comes next of it, when so many bytes are still to come.
    pub(super) async fn part(&mut self, left: u64) -> Result<Vec<u8>, Unfetched> {
        let next = timeout(PART_WITHIN, self.next()).await.unwrap_or_else(|_| {
            Err(lost(format_args!("nothing more has come for {} s", PART_WITHIN.as_secs())))
        });
        match next? {
            Answer::Part(part) => {
                let part = part.into_bytes();
                if part.len() as u64 > left {
                    return Err(wrong("sends more of the recording than it has said"));
                }
                Ok(part)
            }
            _ => Err(wrong("sends something else than the recording")),
        }
    }
}

/// As the console is told; none where the name is none of a recording here.
fn line(kept: Kept) -> Option<KeptRecording> {
    Some(KeptRecording {
        id: RecordingId::parse(kept.name.as_str())?,
        began: kept.began / 1000,
        seconds: kept.milliseconds / 1000,
        bytes: kept.bytes,
        engineer: kept.engineer.as_str().to_owned(),
        session: kept.session.as_str().to_owned(),
        end: kept.ended.map(|end| end.as_str().to_owned()).unwrap_or_default(),
        whole: kept.whole,
        verified: kept.verified,
    })
}
