//! A terminal of a recording, played: what it showed at a time, and how that changed, as rows of text. What comes out is bounded, and no
//! escape sequence ever does.

use drawbridge_recording::{Frame, FrameReader, Run, Screen, Size, Snapshot};
use std::collections::BTreeSet;
use std::io::Read;
use std::time::Duration;

/// The most columns and rows that are shown; what a larger terminal had beyond them is not.
pub(super) const SHOWN_MOST: (u16, u16) = (400, 120);
/// So much of a recording is read for one answer.
const STEP_BYTES: u64 = 1024 * 1024;
/// What changes within this time is one picture.
const TOGETHER: u64 = 50;
/// The most pictures in one answer, and bytes of their rows.
const PICTURES: usize = 100;
const PICTURE_BYTES: usize = 96 * 1024;
/// The most places that a search finds at one time, and the longest line that is shown of one, in characters.
const HITS: usize = 40;
const LINE_CHARS: usize = 160;
/// How long text stands at least until a search looks at it again.
const LOOK_EVERY: u64 = 200;

/// What a terminal showed, or what of it had changed.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Picture {
    /// Milliseconds since the recording began.
    pub(super) at: u64,
    /// Columns and rows.
    pub(super) size: (u16, u16),
    /// Column and row of the cursor, where it is shown.
    pub(super) cursor: Option<(u16, u16)>,
    pub(super) rows: Vec<(u16, Vec<Run>)>,
}

/// Where a text stands.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Hit {
    pub(super) at: u64,
    pub(super) line: String,
}

/// One that plays.
pub(super) struct Player<R> {
    frames: FrameReader<R>,
    began: Duration,
    /// A frame that was read, and is still to come.
    next: Option<Frame>,
    screen: Option<Screen>,
    size: (u16, u16),
    now: u64,
    shown: Vec<Vec<Run>>,
    cursor: Option<(u16, u16)>,
    found: BTreeSet<String>,
    looked: u64,
    is_over: bool,
    fault: String,
}

impl<R: Read> Player<R> {
    /// Of a terminal's file; the recording began then, since 1970.
    pub(super) fn new(from: R, began: Duration) -> Self {
        Self {
            frames: FrameReader::new(from),
            began,
            next: None,
            screen: None,
            size: (80, 24),
            now: 0,
            shown: Vec::new(),
            cursor: None,
            found: BTreeSet::new(),
            looked: 0,
            is_over: false,
            fault: String::new(),
        }
    }

    /// The time up to which it has played.
    pub(super) fn now(&self) -> u64 {
        self.now
    }

    /// Nothing more comes.
    pub(super) fn is_over(&self) -> bool {
        self.is_over
    }

    /// Why the rest cannot be shown, as a sentence; empty when it can.
    pub(super) fn fault(&self) -> &str {
        &self.fault
    }

    /// How much memory it takes, in cells.
    pub(super) fn cells(&self) -> usize {
        usize::from(self.size.0) * usize::from(self.size.1)
    }

    /// The time of the frame that comes next.
    fn peek(&mut self) -> Option<u64> {
        if self.next.is_none() && !self.is_over {
            match self.frames.next_frame() {
                Ok(Some(frame)) => self.next = Some(frame.clone()),
                Ok(None) => self.is_over = true,
                Err(fault) => {
                    self.is_over = true;
                    self.fault = format!("The rest cannot be shown: {fault}.");
                }
            }
        }
        let after = self.next.as_ref()?.time.saturating_sub(self.began);
        Some(u64::try_from(after.as_millis()).unwrap_or(u64::MAX).max(self.now))
    }

    /// Gives a part of the next frame's output to the screen: all of it, or as much as fits the screen twice at most. True: that was all.
    fn play(&mut self, time: u64, is_whole: bool) -> bool {
        let Some(frame) = &mut self.next else { return true };
        self.now = self.now.max(time);
        if let Some(size) = Size::announced(&frame.data) {
            let size =
                Size::clamped(size.rows().min(SHOWN_MOST.1).into(), size.columns().min(SHOWN_MOST.0).into());
            self.size = (size.columns(), size.rows());
            match &mut self.screen {
                Some(screen) => screen.resize(size),
                None => self.screen = Some(Screen::new(size)),
            }
            self.next = None;
            return true;
        }
        let (columns, rows) = self.size;
        let screen =
            self.screen.get_or_insert_with(|| Screen::new(Size::clamped(rows.into(), columns.into())));
        let length = if is_whole { frame.data.len() } else { fits(&frame.data, columns, rows) };
        let rest = frame.data.split_off(length);
        screen.output(&frame.data);
        frame.data = rest;
        let was_all = frame.data.is_empty();
        if was_all {
            self.next = None;
        }
        was_all
    }

    /// Plays up to a time without showing anything. False: that was too much for one answer; it is to be called again.
    pub(super) fn seek(&mut self, to: u64) -> bool {
        let start = self.frames.bytes();
        while let Some(time) = self.peek().filter(|time| *time <= to) {
            if self.frames.bytes() - start > STEP_BYTES {
                return false;
            }
            self.play(time, true);
        }
        self.now = self.now.max(to);
        true
    }

    /// What comes next, as much as fits an answer: at first all that is shown now, where it is `anew`.
    pub(super) fn pictures(&mut self, anew: bool) -> Vec<Picture> {
        let start = self.frames.bytes();
        let (mut pictures, mut bytes) = (Vec::new(), 0);
        if anew {
            self.shown.clear();
            pictures.extend(self.picture(self.now, true));
        }
        while pictures.len() < PICTURES && bytes < PICTURE_BYTES {
            let Some(first) = self.peek() else { break };
            if self.frames.bytes() - start > STEP_BYTES {
                break;
            }
            while let Some(time) = self.peek().filter(|time| *time < first.saturating_add(TOGETHER)) {
                self.play(time, true);
                if self.frames.bytes() - start > STEP_BYTES {
                    break;
                }
            }
            if let Some(picture) = self.picture(first, false) {
                let runs = picture.rows.iter().flat_map(|(_, runs)| runs);
                bytes += runs.map(|run| 24 + run.text.len()).sum::<usize>();
                pictures.push(picture);
            }
        }
        pictures
    }

    /// What is different on the screen since it was shown last; none when nothing is, unless it is to be shown `anyway`.
    fn picture(&mut self, at: u64, anyway: bool) -> Option<Picture> {
        let blank = || {
            let (columns, rows) = self.size;
            Snapshot { rows, columns, cursor: None, lines: vec![Vec::new(); usize::from(rows)] }
        };
        let Snapshot { cursor, lines, .. } = self.screen.as_ref().map_or_else(blank, Screen::snapshot);
        let cursor = cursor.map(|cursor| (cursor.column, cursor.row));
        let is_sized = self.shown.len() != lines.len();
        if is_sized {
            self.shown = vec![Vec::new(); lines.len()];
        }
        let mut rows = Vec::new();
        for (number, (runs, was)) in lines.into_iter().zip(&mut self.shown).enumerate() {
            if is_sized || anyway || runs != *was {
                was.clone_from(&runs);
                rows.push((u16::try_from(number).unwrap_or(u16::MAX), runs));
            }
        }
        let is_same = rows.is_empty() && cursor == self.cursor && !is_sized;
        self.cursor = cursor;
        (anyway || !is_same).then_some(Picture { at, size: self.size, cursor, rows })
    }

    /// Where this text (in small letters) comes to stand on the screen, from here on, as far as one answer goes.
    pub(super) fn search(&mut self, text: &str) -> Vec<Hit> {
        let start = self.frames.bytes();
        let mut hits = Vec::new();
        while hits.len() < HITS && self.frames.bytes() - start <= STEP_BYTES {
            let Some(time) = self.peek() else {
                self.look(text, &mut hits);
                break;
            };
            // What has stood for a while is looked at before it changes.
            if time.saturating_sub(self.looked) >= LOOK_EVERY {
                self.look(text, &mut hits);
                self.looked = time;
            }
            if !self.play(time, false) {
                self.look(text, &mut hits);
            }
        }
        hits
    }

    /// Adds the lines with the text in them that were not there when it was looked last.
    fn look(&mut self, text: &str, hits: &mut Vec<Hit>) {
        let Some(screen) = &self.screen else { return };
        let lines = screen.snapshot().text();
        let has: BTreeSet<String> =
            lines.into_iter().filter(|line| line.to_lowercase().contains(text)).collect();
        for line in has.difference(&self.found) {
            hits.push(Hit { at: self.now, line: line.trim().chars().take(LINE_CHARS).collect() });
        }
        self.found = has;
    }
}

/// So much of an output scrolls no line over the screen's upper end that was not on it whole before.
fn fits(data: &[u8], columns: u16, rows: u16) -> usize {
    let most = usize::from(columns) * usize::from(rows) / 2;
    let lines = usize::from(rows).div_ceil(2);
    let mut ends = data.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
    ends.nth(lines.saturating_sub(1)).unwrap_or(data.len()).min(most.max(1)).min(data.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_recording::encode;

    const BEGAN: u64 = 1_767_225_600_000;

    fn recording(frames: &[(u64, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (millis, data) in frames {
            encode(Duration::from_millis(BEGAN + millis), data, &mut bytes);
        }
        bytes
    }

    fn player(bytes: &[u8]) -> Player<&[u8]> {
        Player::new(bytes, Duration::from_millis(BEGAN))
    }

    fn text(picture: &Picture, row: u16) -> String {
        let row = picture.rows.iter().find(|(number, _)| *number == row);
        row.map(|(_, runs)| runs.iter().map(|run| run.text.as_str()).collect()).unwrap_or_default()
    }

    #[test]
    fn it_shows_all_at_first_and_then_what_changes_and_when() {
        let bytes = recording(&[
            (0, b"\x1b[8;4;20t"),
            (100, b"sa> "),
            (1000, b"l"),
            (1020, b"s\r\n"),
            (5000, b"\x1b]0;evil\x07\x1b[1mfile"),
            (9000, b"\x1b[8;2;10t"),
        ]);
        let mut player = player(&bytes);
        assert!(player.seek(500));
        let pictures = player.pictures(true);
        let at: Vec<_> = pictures.iter().map(|picture| picture.at).collect();
        assert_eq!(at, [500, 1000, 5000, 9000]);
        assert_eq!((text(&pictures[0], 0).as_str(), pictures[0].rows.len()), ("sa>", 4));
        assert_eq!((text(&pictures[1], 0).as_str(), pictures[1].rows.len()), ("sa> ls", 1));
        assert_eq!((text(&pictures[2], 1).as_str(), pictures[2].cursor), ("file", Some((4, 1))));
        assert_eq!((pictures[3].size, pictures[3].rows.len()), ((10, 2), 2));
        assert!(player.is_over() && player.fault().is_empty());
        assert_eq!(player.pictures(false), []);
    }

    #[test]
    fn a_recording_that_is_cut_or_changed_is_shown_up_to_there_and_says_so() {
        let mut bytes = recording(&[(0, b"one"), (100, b"two")]);
        bytes.truncate(bytes.len() - 1);
        let mut player = player(&bytes);
        let pictures = player.pictures(true);
        assert_eq!(text(pictures.last().unwrap(), 0), "one");
        assert!(player.is_over() && player.fault().contains("frame 2 is cut"), "{}", player.fault());
    }

    #[test]
    fn an_answer_is_bounded_however_much_was_written() {
        let line = "x".repeat(32 * 1024);
        let frames: Vec<(u64, &[u8])> = (0..200).map(|number| (number * 100, line.as_bytes())).collect();
        let bytes = recording(&frames);
        let mut one = player(&bytes);
        let mut turns = 0;
        while !one.seek(u64::MAX) {
            turns += 1;
        }
        assert!((5..8).contains(&turns), "{turns}");
        let mut one = player(&bytes);
        assert!(one.pictures(true).len() <= 35);
        let huge = recording(&[(0, b"\x1b[8;9999;9999t")]);
        let mut one = player(&huge);
        one.pictures(true);
        assert_eq!(one.cells(), 400 * 120);
    }

    #[test]
    fn a_text_is_found_where_it_comes_to_stand_and_once_though_it_scrolls() {
        let mut long = Vec::new();
        for number in 0..1000 {
            long.extend_from_slice(format!("line {number}\r\n").as_bytes());
        }
        let bytes = recording(&[
            (0, b"\x1b[8;24;80t"),
            (1000, b"pass"),
            (1300, b"\x1b[31mWord\r\n"),
            (5000, &long),
            (8000, b"\x1b[2Jpassword\r\n"),
        ]);
        let mut one = player(&bytes);
        let hits = one.search("password");
        let found: Vec<_> = hits.iter().map(|hit| (hit.at, hit.line.as_str())).collect();
        assert_eq!(found, [(1300, "passWord"), (8000, "password")]);
        let mut one = player(&bytes);
        let mut hits = Vec::new();
        while !one.is_over() {
            hits.extend(one.search("line 5"));
        }
        assert_eq!(hits.len(), 111, "each of line 5, 50 to 59 and 500 to 599, and once");
    }
}
