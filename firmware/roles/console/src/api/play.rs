//! The calls by which a finished recording is played in the browser: what a terminal showed as rows of text, a search in it, what
//! happened beside it, and the whole as an asciicast. The terminal is drawn here; it changes nothing, and never shows what was typed.
//!
//! One player at a time works, on a thread of its own; a few wait where they are for their page to ask on, so that going on does not
//! mean to begin anew.

mod player;
mod remote;
mod story;

use super::download;
use super::problem::{Problem, unexpected};
use super::query::Query;
use super::told::By;
use super::{Api, Asks, Done, live, recordings};
use drawbridge_audit::event::{Name, What};
use drawbridge_bus::record::{RecordingId, RecordingLine, ScreenColour, ScreenLook, ScreenRun};
use drawbridge_recording::{
    Attributes, Colour, EVENTS, FrameReader, Run, cast::export, terminal_file, terminal_of,
};
use hyper::StatusCode;
use player::{Picture, Player};
use remote::{Remote, Wire};
use serde_json::{Value, json};
use std::collections::VecDeque;
use std::io::{BufReader, BufWriter};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

/// The most players that wait, and cells of all their screens together: as much memory as there is for them.
const WAITING: usize = 3;
const CELLS: usize = 60_000;
/// How long one waits for the others.
const TURN: Duration = Duration::from_secs(20);
/// So many who have fetched a recording are remembered, so that the audit is told once.
const FETCHED: usize = 64;
/// The longest text that is searched for, in bytes.
const TEXT_BYTES: usize = 128;

/// For whom a player works: his session, the recording, the terminal, and the text that he searches for.
type Place = ([u8; 32], RecordingId, u32, Option<String>);

struct Kept {
    place: Place,
    /// Who asks for what comes next names it.
    token: u64,
    player: Player<Remote>,
}

/// The players that wait.
pub(crate) struct Players {
    kept: Mutex<VecDeque<Kept>>,
    last: Mutex<u64>,
    fetched: Mutex<VecDeque<([u8; 32], RecordingId)>>,
    turn: Semaphore,
    casts: Arc<Semaphore>,
}

impl Default for Players {
    fn default() -> Self {
        Self {
            kept: Mutex::default(),
            last: Mutex::default(),
            fetched: Mutex::default(),
            turn: Semaphore::new(1),
            casts: Arc::new(Semaphore::new(1)),
        }
    }
}

fn lock<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Players {
    /// The player of this place, if it waits there.
    fn take(&self, place: &Place) -> Option<Kept> {
        let mut kept = lock(&self.kept);
        let at = kept.iter().position(|one| one.place == *place)?;
        kept.remove(at)
    }

    /// Lets it wait, in the place of those that have waited for longest. Gives the number by which it is asked on.
    fn keep(&self, place: Place, player: Player<Remote>) -> u64 {
        let token = {
            let mut last = lock(&self.last);
            *last += 1;
            *last
        };
        let mut kept = lock(&self.kept);
        kept.retain(|one| one.place != place);
        kept.push_back(Kept { place, token, player });
        while kept.len() > 1
            && (kept.len() > WAITING || kept.iter().map(|one| one.player.cells()).sum::<usize>() > CELLS)
        {
            kept.pop_front();
        }
        token
    }

    /// Whether this is the first time that somebody fetches it in his session.
    fn is_first(&self, session: [u8; 32], id: &RecordingId) -> bool {
        let mut fetched = lock(&self.fetched);
        if fetched.iter().any(|(one, of)| *one == session && of == id) {
            return false;
        }
        if fetched.len() >= FETCHED {
            fetched.pop_front();
        }
        fetched.push_back((session, id.clone()));
        true
    }
}

/// Begin it anew: its player is not there any more.
fn anew() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "anew",
        "This is not played any more",
        "Others have played recordings meanwhile, and this one was put away.",
        "Ask for it anew, from the time on that was reached.",
    )
}

fn busy() -> Problem {
    Problem::new(
        StatusCode::SERVICE_UNAVAILABLE,
        "busy",
        "Another recording is being read",
        "The appliance reads recordings for others now.",
        "Try again in a few seconds.",
    )
    .after(2)
}

/// A recording that is over.
async fn finished(api: &Api, id: &str) -> Result<RecordingLine, Problem> {
    let line = recordings::find(api, id).await?;
    if line.running {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "running",
            "The recording is still under way",
            "This recording is still under way.",
            "See it on the page Live; it can be played when it is over.",
        ));
    }
    Ok(line)
}

/// One that can be played here.
async fn readable(api: &Api, id: &str) -> Result<RecordingLine, Problem> {
    let line = finished(api, id).await?;
    if line.recipient.is_some() {
        return Err(Problem::new(
            StatusCode::CONFLICT,
            "encrypted",
            "The recording is encrypted",
            "Only who has the private key can see this recording, and the appliance does not have it.",
            "Download it, and open it with the program verify and the private key.",
        ));
    }
    Ok(line)
}

fn fetched(api: &Api, by: &By<'_>, session: [u8; 32], id: &RecordingId) {
    if api.players.is_first(session, id) {
        api.tell(by.did(What::RecordingFetched { recording: Name::of(id.as_str()), from_server: false }));
    }
}

/// Reads on a thread of its own, one at a time.
async fn on_thread<T: Send + 'static>(
    api: &Api,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Problem> {
    let _turn = timeout(TURN, api.players.turn.acquire()).await.map_err(|_| busy())?;
    // A panic has said where it was on standard error.
    spawn_blocking(work).await.map_err(|_| unexpected(&drawbridge_bus::Reply::Done))
}

fn remote(api: &Api, line: &RecordingLine, file: &str) -> Result<Remote, Problem> {
    let length = line.files.iter().find(|(name, _)| name == file).map(|(_, length)| *length);
    let length = length.ok_or_else(Problem::not_found)?;
    let asker = Arc::clone(&api.asker);
    Ok(Remote::new(Wire { asker, handle: Handle::current() }, line.id.clone(), file.to_owned(), length))
}

fn damaged() -> Problem {
    Problem::new(
        StatusCode::CONFLICT,
        "damaged",
        "The recording cannot be played",
        "The recording's list of events cannot be read.",
        "Download it, and see with the program verify what is wrong with it.",
    )
}

/// What happened in a recording, and its terminals.
pub(crate) async fn events(api: &Api, by: &By<'_>, asks: &Asks<'_>) -> Result<Value, Problem> {
    let line = finished(api, asks.star).await?;
    fetched(api, by, asks.caller.token.hash(), &line.id);
    let from = remote(api, &line, EVENTS)?;
    let story = on_thread(api, move || story::read(from)).await?.ok_or_else(damaged)?;
    let has = |one: &&Value| {
        line.files.iter().any(|(name, length)| {
            terminal_of(name).is_some_and(|number| one["channel"] == u64::from(number)) && *length > 0
        })
    };
    Ok(json!({
        "id": line.id.as_str(),
        "facts": line.facts.as_ref().map(recordings::facts_json),
        "began": line.began,
        "milliseconds": line.milliseconds,
        "end": line.end,
        "recipient": line.recipient,
        "terminals": story.terminals.iter().filter(has).collect::<Vec<_>>(),
        "events": story.events,
        "cut": story.is_cut,
    }))
}

async fn begin(
    api: &Api,
    by: &By<'_>,
    (session, id, channel): ([u8; 32], &str, u32),
) -> Result<Player<Remote>, Problem> {
    let line = readable(api, id).await?;
    fetched(api, by, session, &line.id);
    let (from, events) = (remote(api, &line, &terminal_file(channel))?, remote(api, &line, EVENTS)?);
    let began = on_thread(api, move || story::read(events).map(|story| story.began)).await?;
    Ok(Player::new(from, began.ok_or_else(damaged)?))
}

/// What a terminal showed, as a query asks for it: `channel=N&at=MILLISECONDS` from then on, or `channel=N&next=TOKEN` what comes next.
pub(crate) async fn frames(api: &Api, by: &By<'_>, asks: &Asks<'_>) -> Result<Value, Problem> {
    let query = Query::parse(asks.query, &["channel", "at", "next"])?;
    let id = RecordingId::parse(asks.star).ok_or_else(Problem::not_found)?;
    let channel = channel(&query)?;
    let session = asks.caller.token.hash();
    let place = (session, id, channel, None);
    let waits = api.players.take(&place);
    let (mut player, at) = match (query.number::<u64>("next")?, query.number::<u64>("at")?) {
        (Some(next), _) => {
            let kept = waits.filter(|one| one.token == next).ok_or_else(anew)?;
            (kept.player, None)
        }
        (None, at) => {
            let at = at.unwrap_or(0);
            // One that has not come so far goes on from where it is.
            let player = match waits.filter(|one| one.player.now() <= at && !one.player.is_over()) {
                Some(kept) => kept.player,
                None => begin(api, by, (session, asks.star, channel)).await?,
            };
            (player, Some(at))
        }
    };
    let (player, is_there, pictures) = on_thread(api, move || {
        let is_there = at.is_none_or(|at| player.seek(at));
        let pictures = if is_there { player.pictures(at.is_some()) } else { Vec::new() };
        (player, is_there, pictures)
    })
    .await?;
    let (now, is_over, fault) = (player.now(), player.is_over(), player.fault().to_owned());
    let token = api.players.keep(place, player);
    Ok(json!({
        "next": (!is_over && is_there).then_some(token),
        "seeking": !is_there,
        "reached": now,
        "fault": fault,
        "frames": pictures.iter().map(picture_json).collect::<Vec<_>>(),
    }))
}

fn channel(query: &Query) -> Result<u32, Problem> {
    query
        .number("channel")?
        .ok_or_else(|| Problem::field("channel", "there is none", "a terminal's number, as 1"))
}

fn picture_json(picture: &Picture) -> Value {
    json!({
        "at": picture.at,
        "columns": picture.size.0,
        "rows": picture.size.1,
        "cursor": picture.cursor.map(|(column, row)| json!({ "column": column, "row": row })),
        "changed": picture.rows.iter().map(|(row, runs)| json!({
            "row": row,
            "runs": runs.iter().map(|run| live::run_json(&shown(run))).collect::<Vec<_>>(),
        })).collect::<Vec<_>>(),
    })
}

fn shown(run: &Run) -> ScreenRun {
    let colour = |colour| match colour {
        None => ScreenColour::Default,
        Some(Colour::Index(index)) => ScreenColour::Indexed(index),
        Some(Colour::Rgb(red, green, blue)) => ScreenColour::Rgb(red, green, blue),
    };
    let Attributes { foreground, background, bold, dim, italic, underline, inverse } = run.attributes;
    let look = ScreenLook {
        foreground: colour(foreground),
        background: colour(background),
        bold,
        dim,
        italic,
        underline,
        inverse,
    };
    ScreenRun { text: run.text.clone(), columns: run.width, look }
}

/// Where a text comes to stand on a terminal: `channel=N&text=TEXT`, and with `&next=TOKEN` where it does so further on.
pub(crate) async fn search(api: &Api, by: &By<'_>, asks: &Asks<'_>) -> Result<Value, Problem> {
    let query = Query::parse(asks.query, &["channel", "text", "next"])?;
    let id = RecordingId::parse(asks.star).ok_or_else(Problem::not_found)?;
    let (channel, text) = (channel(&query)?, query.text("text").unwrap_or_default().to_lowercase());
    if text.trim().is_empty() || text.len() > TEXT_BYTES {
        return Err(Problem::field("text", "this cannot be searched for", "1 to 128 bytes of text"));
    }
    let session = asks.caller.token.hash();
    let place = (session, id, channel, Some(text.clone()));
    let waits = api.players.take(&place);
    let mut player = match query.number::<u64>("next")? {
        Some(next) => waits.filter(|one| one.token == next).ok_or_else(anew)?.player,
        None => begin(api, by, (session, asks.star, channel)).await?,
    };
    let (player, hits) = on_thread(api, move || {
        let hits = player.search(&text);
        (player, hits)
    })
    .await?;
    let (now, is_over, fault) = (player.now(), player.is_over(), player.fault().to_owned());
    let next = if is_over { None } else { Some(api.players.keep(place, player)) };
    let hits: Vec<_> = hits.iter().map(|hit| json!({ "at": hit.at, "line": hit.line })).collect();
    Ok(json!({ "next": next, "reached": now, "fault": fault, "hits": hits }))
}

/// A terminal as an asciicast: `channel=N`.
pub(crate) async fn cast(api: &Arc<Api>, by: &By<'_>, asks: &Asks<'_>) -> Done {
    let query = Query::parse(asks.query, &["channel"])?;
    let channel = channel(&query)?;
    let line = readable(api, asks.star).await?;
    let from = remote(api, &line, &terminal_file(channel))?;
    // It has a thread for as long as it lasts: there is one.
    let one = Arc::clone(&api.players.casts).try_acquire_owned().map_err(|_| busy())?;
    let place = download::place(api)?;
    fetched(api, by, asks.caller.token.hash(), &line.id);
    let name = format!("drawbridge-{}-{channel}.cast", line.id);
    let (sink, response) = download::file(api, &name, "application/x-asciicast", None);
    let handle = Handle::current();
    spawn_blocking(move || {
        let _places = (one, place);
        let mut frames = FrameReader::new(BufReader::new(from));
        let to = BufWriter::with_capacity(64 * 1024, sink.writer(handle.clone()));
        match export(&mut frames, to) {
            Ok(()) => handle.block_on(sink.end()),
            Err(fault) => log::warn!("the download of {name} is broken off: {fault}"),
        }
    });
    Ok(response)
}

/// What is shown of these bytes, as a terminal's file and as a list of events: each text by itself.
#[cfg(any(test, fuzzing))]
pub(crate) fn trial(bytes: &[u8], at: u64, text: &str) -> Vec<String> {
    let mut shown: Vec<String> = Vec::new();
    let mut player = Player::new(bytes, Duration::ZERO);
    while !player.seek(at) {}
    let mut anew = true;
    while !player.is_over() {
        let pictures = player.pictures(std::mem::take(&mut anew));
        let runs = pictures.into_iter().flat_map(|picture| picture.rows).flat_map(|(_, runs)| runs);
        shown.extend(runs.map(|run| run.text));
    }
    let mut player = Player::new(bytes, Duration::ZERO);
    while !player.is_over() {
        shown.extend(player.search(text).into_iter().map(|hit| hit.line));
    }
    if let Some(story) = story::read(bytes) {
        shown.extend(story.events.iter().filter_map(|one| one["text"].as_str().map(str::to_owned)));
    }
    shown
}
