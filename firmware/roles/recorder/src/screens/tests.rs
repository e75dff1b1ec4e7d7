use super::*;
use drawbridge_recording::encode;
use std::io::Write as _;

struct Terminal {
    folder: tempfile::TempDir,
    file: File,
    followed: Followed,
}

impl Terminal {
    fn new(columns: u16, rows: u16) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("terminal-1.ttyrec");
        let file = File::create(&path).unwrap();
        let mut terminal = Self { folder, file, followed: Followed::new(Film { path, content: None }) };
        terminal.shows(format!("\x1b[8;{rows};{columns}t").as_bytes());
        terminal
    }

    fn shows(&mut self, bytes: &[u8]) {
        let mut frames = Vec::new();
        encode(Duration::from_secs(1), bytes, &mut frames);
        self.file.write_all(&frames).unwrap();
        while self.followed.step() {}
    }
}

fn text(row: &ScreenRow) -> String {
    row.runs.iter().map(|run| run.text.as_str()).collect()
}

#[test]
fn who_comes_late_sees_all_and_who_has_seen_it_what_is_different() {
    let mut terminal = Terminal::new(20, 3);
    terminal.shows(b"one\r\n\x1b[1mtwo\x1b[m\r\nthree");
    let first = terminal.followed.told(0);
    assert_eq!((first.size, first.cursor, first.behind), ((20, 3), Some((5, 2)), 0));
    assert_eq!(first.rows.iter().map(text).collect::<Vec<_>>(), ["one", "two", "three"]);
    assert!(first.rows[1].runs[0].look.bold && !first.more && !first.over);
    let same = terminal.followed.told(first.revision);
    assert_eq!((same.rows, same.revision), (Vec::new(), first.revision));
    terminal.shows(b"\x1b[1;1HONE\x1b[?25l");
    let second = terminal.followed.told(first.revision);
    assert_eq!((second.rows.len(), text(&second.rows[0]).as_str(), second.cursor), (1, "ONE", None));
    // Two who look on are none of each other's business.
    assert_eq!(terminal.followed.told(0).rows.len(), 3);
    // What was never told by this one.
    assert_eq!(terminal.followed.told(u64::MAX).rows.len(), 3);
}

#[test]
fn a_frame_that_is_not_written_whole_yet_is_read_when_it_is() {
    let mut terminal = Terminal::new(20, 2);
    let mut frames = Vec::new();
    encode(Duration::from_secs(1), b"hello", &mut frames);
    for byte in &frames {
        terminal.file.write_all(&[*byte]).unwrap();
        terminal.followed.step();
    }
    let shown = terminal.followed.told(0);
    assert_eq!((text(&shown.rows[0]).as_str(), shown.behind), ("hello", 0));
}

#[test]
fn a_screen_of_nothing_but_colours_comes_in_answers_that_each_fit() {
    let mut terminal = Terminal::new(65_535, 65_535);
    let mut art = Vec::new();
    for row in 1..=200 {
        art.extend_from_slice(format!("\x1b[{row};1H").as_bytes());
        for column in 0..500 {
            art.extend_from_slice(format!("\x1b[38;2;{};{};7mx", column % 256, row).as_bytes());
        }
    }
    for part in art.chunks(30_000) {
        terminal.shows(part);
    }
    let (mut after, mut rows, mut answers) = (0, BTreeSet::new(), 0);
    loop {
        let shown = terminal.followed.told(after);
        assert_eq!(shown.size, (500, 200));
        assert!(shown.rows.iter().map(ScreenRow::weight).sum::<usize>() <= SCREEN_BYTES);
        assert!(shown.rows.iter().all(|row| rows.insert(row.row)));
        (after, answers) = (shown.revision, answers + 1);
        if !shown.more {
            break;
        }
    }
    assert_eq!(rows.len(), 200);
    assert!(answers > 1);
}

#[test]
fn no_escape_sequence_and_no_control_character_is_in_what_is_shown() {
    let mut terminal = Terminal::new(40, 5);
    terminal.shows(b"\x1b]0;title\x07a\x07b\x1b[31mc\xc2\x9b31md\xff\r\n\x1bPx\x1b\\e\xe2\x80\xaef\x00\x7f");
    for row in terminal.followed.told(0).rows {
        for run in row.runs {
            assert!(!run.text.chars().any(drawbridge_chain::is_hidden), "{:?}", run.text);
        }
    }
}

#[test]
fn large_screens_that_nobody_looks_at_are_given_up_and_read_anew_when_somebody_does() {
    let mut terminals: Vec<Terminal> = (0..6).map(|_| Terminal::new(500, 200)).collect();
    for terminal in &mut terminals {
        terminal.shows(b"here");
    }
    terminals[0].followed.asked = Some(Instant::now());
    let mut followed: BTreeMap<Place, Followed> = BTreeMap::new();
    let mut kept = Vec::new();
    for (number, terminal) in (1..).zip(terminals) {
        followed.insert((RecordingId::parse("a").unwrap(), number), terminal.followed);
        kept.push((terminal.folder, terminal.file));
    }
    bound(&mut followed);
    assert!(followed.values().map(Followed::cells).sum::<usize>() <= CELLS_MOST);
    let mut followed = followed.into_values();
    assert!(!followed.next().unwrap().is_forgotten);
    let mut given_up = followed.find(|one| one.is_forgotten).unwrap();
    assert!(!given_up.step() && given_up.screen.is_none());
    given_up.asked = Some(Instant::now());
    while given_up.step() {}
    assert_eq!(text(&given_up.told(0).rows[0]), "here");
}
