//! The screens of running terminals, by following what is written to their files: nobody who records waits for it, however slow or many
//! they are who look on. It writes nothing.
//!
//! While somebody looks, and in longer steps while nobody does, its thread reads what is new, a bounded piece of each terminal in turn, so
//! that whoever comes sees the screen at once. Each change of a row has a number of its own; whoever says up to which number he has seen
//! them gets what is different since then, as much as fits.

use crate::live::{Film, Live, shown_size};
use drawbridge_bus::record::{
    LiveScreen, RecordingId, SCREEN_BYTES, ScreenColour, ScreenLook, ScreenRow, ScreenRun,
};
use drawbridge_recording::{
    Attributes, Colour, Frame, FrameReader, HEADER_BYTES, Opening, READ_BYTES, Run, Screen, Size,
};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::oneshot;
use zeroize::Zeroizing;

/// The most questions that wait: each connection of the bus waits for one answer.
const WAITING: usize = 64;
/// How much of a terminal's file is read at one turn.
const STEP_BYTES: usize = 1024 * 1024;
/// How often files are looked at while somebody looks on, and while nobody does.
const OFTEN: Duration = Duration::from_millis(200);
const SELDOM: Duration = Duration::from_secs(2);
/// He who has not asked for so long looks on no more.
const LOOKS_FOR: Duration = Duration::from_secs(10);
/// The most cells of all screens together, at 64 bytes each: as much memory as there is for them.
const CELLS_MOST: usize = 384 * 1024;

/// Which terminal.
type Place = (RecordingId, u32);

/// The way to the screens.
#[derive(Clone)]
pub(crate) struct Screens {
    asks: SyncSender<Ask>,
}

struct Ask {
    place: Place,
    film: Film,
    after: u64,
    answer: oneshot::Sender<LiveScreen>,
}

impl Screens {
    /// Starts the thread, which follows what `live` says.
    pub(crate) fn start(live: impl Fn() -> Vec<Arc<Live>> + Send + 'static) -> io::Result<Self> {
        let (asks, asked) = sync_channel(WAITING);
        std::thread::Builder::new().name("screens".to_owned()).spawn(move || run(&live, &asked))?;
        Ok(Self { asks })
    }

    /// A terminal as it looks, or what is different since `after`; none when too many ask.
    pub(crate) async fn look(
        &self,
        id: RecordingId,
        channel: u32,
        film: Film,
        after: u64,
    ) -> Option<LiveScreen> {
        let (answer, screen) = oneshot::channel();
        self.asks.try_send(Ask { place: (id, channel), film, after, answer }).ok()?;
        screen.await.ok()
    }
}

fn run(live: &dyn Fn() -> Vec<Arc<Live>>, asked: &Receiver<Ask>) {
    let mut followed: BTreeMap<Place, Followed> = BTreeMap::new();
    let mut asked_at: Option<Instant> = None;
    let mut look_at = Instant::now();
    loop {
        match asked.recv_timeout(look_at.saturating_duration_since(Instant::now())) {
            Ok(ask) => {
                asked_at = Some(Instant::now());
                let one = followed.entry(ask.place).or_insert_with(|| Followed::new(ask.film));
                one.asked = asked_at;
                one.step();
                // Whoever asked may have gone.
                let _: Result<(), _> = ask.answer.send(one.told(ask.after));
                bound(&mut followed);
            }
            Err(RecvTimeoutError::Timeout) => {
                let is_behind = follow(live, &mut followed);
                let looks = asked_at.is_some_and(|at| at.elapsed() < LOOKS_FOR);
                let pause = if is_behind {
                    Duration::from_millis(10)
                } else if looks {
                    OFTEN
                } else {
                    SELDOM
                };
                look_at = Instant::now() + pause;
            }
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Reads on in each file. True when that was not all.
fn follow(live: &dyn Fn() -> Vec<Arc<Live>>, followed: &mut BTreeMap<Place, Followed>) -> bool {
    let mut there = BTreeSet::new();
    for one in live() {
        for (channel, film) in one.terminals() {
            let place = (one.id.clone(), channel);
            followed.entry(place.clone()).or_insert_with(|| Followed::new(film));
            there.insert(place);
        }
    }
    // A terminal that has gone stays while somebody looks at its last screen.
    followed.retain(|place, one| {
        there.contains(place) || one.asked.is_some_and(|asked| asked.elapsed() < LOOKS_FOR)
    });
    bound(followed);
    let mut is_behind = false;
    for (place, one) in followed.iter_mut() {
        one.over = !there.contains(place);
        is_behind |= one.step();
    }
    is_behind
}

/// Forgets screens that nobody has looked at for longest, until the rest fits. They are read anew when somebody does.
fn bound(followed: &mut BTreeMap<Place, Followed>) {
    while followed.len() > 1 && followed.values().map(Followed::cells).sum::<usize>() > CELLS_MOST {
        let largest = followed
            .iter()
            .filter(|(_, one)| one.cells() > 0)
            .min_by_key(|(_, one)| (one.asked, std::cmp::Reverse(one.cells())))
            .map(|(place, _)| place.clone());
        match largest.and_then(|place| followed.get_mut(&place)) {
            Some(one) => one.forget(),
            None => return,
        }
    }
}

/// A terminal's file and the screen up to where it was read.
struct Followed {
    film: Film,
    file: Option<File>,
    at: u64,
    /// Of an encrypted file, the number of the next record.
    record: u64,
    length: u64,
    screen: Option<Screen>,
    size: (u16, u16),
    /// The rows as they were told last, each with the number of its last change.
    rows: Vec<(u64, Vec<Run>)>,
    revision: u64,
    is_new: bool,
    /// It was given up for want of room: it is read again when somebody asks.
    is_forgotten: bool,
    over: bool,
    asked: Option<Instant>,
}

impl Followed {
    fn new(film: Film) -> Self {
        // Later than what any earlier one of this terminal began with, so that whoever has seen that one gets all of this.
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let revision = u64::try_from(since.as_micros()).unwrap_or(0);
        Self {
            film,
            file: None,
            at: 0,
            record: 0,
            length: 0,
            screen: None,
            size: (0, 0),
            rows: Vec::new(),
            revision,
            is_new: false,
            is_forgotten: false,
            over: false,
            asked: None,
        }
    }

    fn cells(&self) -> usize {
        let (columns, rows) = self.size;
        usize::from(self.screen.is_some()) * usize::from(columns) * usize::from(rows)
    }

    fn forget(&mut self) {
        *self =
            Self { is_forgotten: true, asked: self.asked, over: self.over, ..Self::new(self.film.clone()) };
    }

    /// Reads on. True when that was not all.
    fn step(&mut self) -> bool {
        if self.is_forgotten && self.asked.is_none_or(|asked| asked.elapsed() >= LOOKS_FOR) {
            return false;
        }
        match self.read() {
            Ok(is_behind) => is_behind,
            Err(error) => {
                log::warn!("{} cannot be followed: {error}", self.film.path.display());
                false
            }
        }
    }

    fn read(&mut self) -> io::Result<bool> {
        let file = match &self.file {
            Some(file) => file,
            None => self.file.insert(File::open(&self.film.path)?),
        };
        self.length = file.metadata()?.len();
        if self.length <= self.at {
            return Ok(false);
        }
        // A frame or record may be longer than a step, but it is no longer than this.
        let most = usize::try_from(self.length - self.at).unwrap_or(usize::MAX);
        let mut bytes = vec![0; most.min(STEP_BYTES + HEADER_BYTES + READ_BYTES)];
        let read = file.read_at(&mut bytes, self.at)?;
        bytes.truncate(read);
        // What is not whole yet is read again.
        let taken = match &self.film.content {
            None => self.take(&bytes),
            Some((key, name)) => {
                let mut opening =
                    Opening::at(bytes.as_slice(), self.record, key, name).map_err(io::Error::other)?;
                let mut plain = Zeroizing::new(Vec::new());
                while let Ok(Some(frames)) = opening.next_record() {
                    plain.extend_from_slice(frames);
                }
                let taken = opening.bytes();
                self.record = opening.number();
                self.take(&plain);
                taken
            }
        };
        self.at += taken;
        Ok(taken > 0 && self.at < self.length)
    }

    /// Gives all whole frames to the screen, and says how many bytes they take.
    fn take(&mut self, bytes: &[u8]) -> u64 {
        let mut frames = FrameReader::new(bytes);
        while let Ok(Some(frame)) = frames.next_frame() {
            take(&mut self.screen, &mut self.size, frame);
            self.is_new = true;
        }
        frames.bytes()
    }

    /// What is different since then.
    fn told(&mut self, after: u64) -> LiveScreen {
        self.is_forgotten = false;
        let snapshot = self.screen.as_ref().map(Screen::snapshot);
        let cursor =
            snapshot.as_ref().and_then(|shown| shown.cursor).map(|cursor| (cursor.column, cursor.row));
        if let Some(shown) = snapshot
            && std::mem::take(&mut self.is_new)
        {
            self.rows.truncate(shown.lines.len());
            for (row, runs) in shown.lines.into_iter().enumerate() {
                match self.rows.get_mut(row) {
                    Some((_, was)) if *was == runs => {}
                    Some(place) => {
                        self.revision += 1;
                        *place = (self.revision, runs);
                    }
                    None => {
                        self.revision += 1;
                        self.rows.push((self.revision, runs));
                    }
                }
            }
        }
        // A number that was never given is another screen's.
        let after = if after > self.revision { 0 } else { after };
        let mut changed: Vec<_> =
            self.rows.iter().enumerate().filter(|(_, (number, _))| *number > after).collect();
        changed.sort_unstable_by_key(|(_, (number, _))| *number);
        let (mut rows, mut bytes, mut revision, mut more) = (Vec::new(), 0, after.max(1), false);
        for (row, (number, runs)) in changed {
            let row = ScreenRow {
                row: u16::try_from(row).unwrap_or(u16::MAX),
                runs: runs.iter().map(run_of).collect(),
            };
            bytes += row.weight();
            if bytes > SCREEN_BYTES && !rows.is_empty() {
                more = true;
                break;
            }
            revision = *number;
            rows.push(row);
        }
        LiveScreen {
            revision,
            more,
            behind: self.length.saturating_sub(self.at),
            size: self.size,
            cursor,
            over: self.over,
            rows,
        }
    }
}

/// Gives a frame to the screen, which is no larger than what is shown.
fn take(screen: &mut Option<Screen>, size: &mut (u16, u16), frame: &Frame) {
    let announced = Size::announced(&frame.data).map(|size| shown_size((size.columns(), size.rows())));
    match (screen.as_mut(), announced) {
        (Some(screen), Some((columns, rows))) => {
            *size = (columns, rows);
            screen.resize(Size::clamped(rows.into(), columns.into()));
        }
        (Some(screen), None) => screen.output(&frame.data),
        (None, announced) => {
            let (columns, rows) = announced.unwrap_or((80, 24));
            *size = (columns, rows);
            let mut begun = Screen::new(Size::clamped(rows.into(), columns.into()));
            if announced.is_none() {
                begun.output(&frame.data);
            }
            *screen = Some(begun);
        }
    }
}

fn run_of(run: &Run) -> ScreenRun {
    ScreenRun { text: run.text.clone(), columns: run.width, look: look(run.attributes) }
}

fn look(attributes: Attributes) -> ScreenLook {
    let colour = |colour| match colour {
        None => ScreenColour::Default,
        Some(Colour::Index(index)) => ScreenColour::Indexed(index),
        Some(Colour::Rgb(red, green, blue)) => ScreenColour::Rgb(red, green, blue),
    };
    ScreenLook {
        foreground: colour(attributes.foreground),
        background: colour(attributes.background),
        bold: attributes.bold,
        dim: attributes.dim,
        italic: attributes.italic,
        underline: attributes.underline,
        inverse: attributes.inverse,
    }
}

#[cfg(test)]
mod tests;
