//! A connection on which an appliance asks for its recordings back: its ticket, one question, and the answer. It gives nothing of any
//! other system than the one that has logged in, holds one part of a recording at most, and changes none.

use super::archive::Called;
use super::bundle::Tar;
use super::door;
use crate::hub::{Fetching, Hub};
use crate::places::Place;
use crate::store::{Record, Recording};
use crate::trouble::{Trouble, complain};
use drawbridge_wire::Line;
use drawbridge_wire::archive::{
    Answer, ArchiveError, Ask, BUNDLE_BYTES, Kept, LISTED_MOST, MOVES_WITHIN, PART_BYTES, Part, receive, send,
};
use drawbridge_wire::upload::RecordingName;
use std::io::{self, Read as _};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::task::spawn_blocking;
use tokio::time::timeout;

const MOVES: Duration = Duration::from_secs(MOVES_WITHIN);
/// Whoever does not take the end of the connection does without.
const PARTING: Duration = Duration::from_secs(2);

/// Serves one until it ends.
pub(crate) async fn give(
    hub: &Arc<Hub>,
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send,
    source: IpAddr,
    place: Arc<Place>,
) {
    let Some(token) = door::shown(&mut stream, &place).await else { return };
    let fetching = token.as_ref().and_then(|token| hub.redeem_fetch(token));
    let Some(fetching) = fetching.filter(|_| place.know()) else {
        return door::turned_away(hub, stream, source, "nobody asks for recordings with this ticket").await;
    };
    let _work = hub.work();
    let (cut, stops) = (fetching.cut.happens(), hub.stops());
    let mut giver = Giver { hub, fetching: &fetching, source, stream: &mut stream };
    tokio::select! {
        // Whatever has ended it, the other side has gone, or has had its last word.
        _ = giver.run() => {}
        () = cut => {}
        () = stops => {}
    }
    let _ = timeout(PARTING, stream.shutdown()).await;
}

/// Why there is nothing, or nothing more.
enum No {
    /// Nobody takes it.
    Gone,
    /// There is no such recording of this system.
    Unknown,
    /// In words.
    Refused(&'static str, &'static str),
}

impl From<ArchiveError> for No {
    fn from(_: ArchiveError) -> Self {
        Self::Gone
    }
}

struct Giver<'a, S> {
    hub: &'a Hub,
    fetching: &'a Fetching,
    source: IpAddr,
    stream: &'a mut S,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Giver<'_, S> {
    async fn run(&mut self) -> Result<(), No> {
        door::welcome(self.stream).await.ok_or(No::Gone)?;
        let ask = timeout(MOVES, receive(self.stream)).await.map_err(|_| No::Gone)??;
        let given = match ask {
            Ask::List(before) => self.list(before).await,
            Ask::Fetch(name) => self.bundle(&name).await,
        };
        let answer = match given {
            Err(No::Unknown) => Answer::Unknown,
            Err(No::Refused(why, remedy)) => Answer::Refused { why: Line::of(why), remedy: Line::of(remedy) },
            given => return given,
        };
        self.say(&answer).await
    }

    async fn say(&mut self, answer: &Answer) -> Result<(), No> {
        let sent = timeout(MOVES, async {
            send(self.stream, answer).await?;
            self.stream.flush().await.map_err(ArchiveError::from)
        });
        Ok(sent.await.map_err(|_| No::Gone)??)
    }

    /// The system's serial number as it was enrolled, with what is asked of the store for it.
    async fn ask<T: Send + 'static>(
        &self,
        question: impl FnOnce(&crate::store::Store, &str) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, No> {
        let (serial, login_key) = (self.fetching.serial.clone(), self.fetching.login_key.clone());
        let found = self.hub.ask(move |store| {
            // By the serial number alone: what an operator calls a system is another one's business.
            let system = store.system(&serial)?.filter(|system| system.login_key == login_key);
            system.map(|system| question(store, &system.serial)).transpose()
        });
        match found.await {
            Ok(Some(found)) => Ok(found),
            Ok(None) => Err(No::Refused("the server does not know this system any more", "Enrol it again.")),
            Err(error) => {
                complain(&format!("the index of recordings could not be used: {error}"));
                Err(No::Refused("the server's store does not answer", "Try again in a minute."))
            }
        }
    }

    async fn list(&mut self, before: Option<RecordingName>) -> Result<(), No> {
        let (mut lines, keys) = self
            .ask(move |store, system| {
                let before = before.as_ref().map(RecordingName::as_str);
                Ok((store.recordings_before(system, before, LISTED_MOST + 1)?, store.evidence_keys(system)?))
            })
            .await?;
        let more = lines.len() > LISTED_MOST;
        lines.truncate(LISTED_MOST);
        for line in lines {
            let verified = keys.iter().any(|key| key.accepted.is_some() && key.key == line.key);
            if let Some(kept) = kept(&line, verified) {
                timeout(MOVES, send(self.stream, &Answer::Kept(Box::new(kept))))
                    .await
                    .map_err(|_| No::Gone)??;
            }
        }
        self.say(&Answer::Listed { more }).await
    }

    async fn bundle(&mut self, name: &RecordingName) -> Result<(), No> {
        let asked = name.clone();
        let found =
            self.ask(move |store, system| Ok(store.recordings_called(asked.as_str(), Some(system))?.pop()));
        let line = found.await?.ok_or(No::Unknown)?;
        let called = Called::new(&line.system, name.clone()).ok_or(No::Unknown)?;
        let (folder, chain, text) = (self.hub.archive.folder_of(&called), line.chain, name.to_string());
        let opened = blocking(move || Tar::open(&folder, &text, chain)).await;
        let mut tar = match opened {
            Ok(tar) if tar.length() <= BUNDLE_BYTES => tar,
            Ok(_) => {
                return Err(No::Refused(
                    "the recording is too long to be given back",
                    "Ask the operator for it.",
                ));
            }
            Err(error) => return Err(self.unread(name, &error)),
        };
        // Before the first byte: what was given is in the log, whatever becomes of it.
        self.note(name.as_str()).await;
        self.say(&Answer::Bundle(tar.length())).await?;
        loop {
            let read = blocking(move || {
                let mut part = Vec::with_capacity(PART_BYTES);
                tar.by_ref().take(PART_BYTES as u64).read_to_end(&mut part)?;
                Ok((tar, part))
            });
            let part = match read.await {
                Ok((rest, part)) => {
                    tar = rest;
                    part
                }
                Err(error) => return Err(self.unread(name, &error)),
            };
            let Some(part) = Part::new(part) else { return Ok(()) };
            self.say(&Answer::Part(part)).await?;
        }
    }

    fn unread(&self, name: &RecordingName, error: &io::Error) -> No {
        complain(&format!("the recording {name} of {} cannot be read: {error}", self.fetching.serial));
        No::Refused(
            "what the server has of the recording cannot be read",
            "The server's operator looks at it: rss sessions verify.",
        )
    }

    async fn note(&self, result: &str) {
        let serial = &self.fetching.serial;
        let record = Record {
            who: serial.clone(),
            source: self.source.to_string(),
            what: "fetch recording".to_owned(),
            system: serial.clone(),
            result: result.to_owned(),
            ..Record::default()
        };
        self.hub.record(record).await;
    }
}

/// Does what waits for the disk, away from the tasks that carry bytes.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    spawn_blocking(work).await.unwrap_or_else(|_| Err(io::Error::other("the work has failed")))
}

/// How the appliance is told of it; none where the index names one as none is named.
fn kept(line: &Recording, verified: bool) -> Option<Kept> {
    let millis = |time: i64| u64::try_from(time).unwrap_or(0);
    Some(Kept {
        name: RecordingName::parse(&line.name)?,
        began: millis(line.began),
        milliseconds: millis(line.marked.saturating_sub(line.began)),
        bytes: line.chain.saturating_add(line.bytes),
        engineer: Line::of(&line.engineer),
        session: Line::of(&line.session),
        ended: line.ended.as_deref().map(Line::of),
        whole: line.whole,
        verified,
    })
}
