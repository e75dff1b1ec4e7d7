use super::*;

fn shown(size: (u32, u32), output: &str) -> Vec<String> {
    let mut screen = Screen::new(Size::clamped(size.0, size.1));
    screen.output(output.as_bytes());
    let whole = screen.snapshot();
    // Byte by byte it is the same.
    let mut slow = Screen::new(Size::clamped(size.0, size.1));
    for byte in output.as_bytes() {
        slow.output(&[*byte]);
    }
    assert_eq!(slow.snapshot(), whole);
    whole.text()
}

#[test]
fn text_colours_and_cursor_are_as_a_terminal_has_them() {
    let mut screen = Screen::new(Size::clamped(3, 20));
    screen.output(b"\x1b[1;31mred\x1b[0m plain\r\n\x1b[48;2;1;2;3m\x1b[4mbox\x1b[0m\x1b[3;5H");
    let snapshot = screen.snapshot();
    let red = Attributes { foreground: Some(Colour::Index(1)), bold: true, ..Attributes::default() };
    let bold =
        Attributes { background: Some(Colour::Rgb(1, 2, 3)), underline: true, ..Attributes::default() };
    assert_eq!(
        snapshot.lines,
        [
            vec![
                Run { column: 0, width: 3, text: "red".to_owned(), attributes: red },
                Run { column: 3, width: 6, text: " plain".to_owned(), attributes: Attributes::default() },
            ],
            vec![Run { column: 0, width: 3, text: "box".to_owned(), attributes: bold }],
            vec![],
        ]
    );
    assert_eq!(snapshot.cursor, Some(Cursor { row: 2, column: 4 }));
    let json = serde_json::to_value(&snapshot).unwrap();
    assert_eq!(
        json["lines"][0][0],
        serde_json::json!({"column": 0, "width": 3, "text": "red", "foreground": {"index": 1}, "bold": true})
    );
    screen.output(b"\x1b[?25l");
    assert_eq!(screen.snapshot().cursor, None);
}

#[test]
fn wide_and_combining_characters_keep_their_places() {
    let mut screen = Screen::new(Size::clamped(1, 10));
    screen.output("a漢e\u{301}z".as_bytes());
    let snapshot = screen.snapshot();
    let runs: Vec<_> =
        snapshot.lines[0].iter().map(|run| (run.column, run.width, run.text.as_str())).collect();
    assert_eq!(runs, [(0, 1, "a"), (1, 2, "漢"), (3, 2, "e\u{301}z")]);
    assert_eq!(snapshot.text(), ["a漢e\u{301}z"]);
}

#[test]
fn line_drawing_is_drawn_however_it_is_chosen_and_ends_with_its_set() {
    assert_eq!(shown((1, 10), "\x1b(0lqk\x1b(Blqk"), ["┌─┐lqk"]);
    assert_eq!(shown((1, 10), "\x1b)0a\x0ex\x0fx"), ["a│x"]);
    assert_eq!(shown((1, 10), "\x1b(0q\x1bcq"), ["q"]);
    // Not within a title, nor in a sequence.
    assert_eq!(shown((1, 10), "\x1b(0\x1b]0;lqk\x07q\x1b[1mq\x1b]2;q\x1b\\q"), ["───"]);
    assert_eq!(shown((1, 10), "\x1b(0\u{e9}q"), ["é─"]);
}

#[test]
fn a_character_is_repeated_within_the_row_only() {
    assert_eq!(shown((2, 5), "x\x1b[3b"), ["xxxx", ""]);
    assert_eq!(shown((2, 5), "x\x1b[b"), ["xx", ""]);
    assert_eq!(shown((3, 5), "x\x1b[65535b"), ["xxxxx", "x", ""]);
    assert_eq!(shown((3, 5), "x\x1b[99999999999999999999b"), ["xxxxx", "x", ""]);
    let long = format!("a\x1b[{}mb", "1;".repeat(40));
    assert_eq!(shown((1, 5), &long), ["ab"]);
}

#[test]
fn no_control_or_hidden_character_leaves_it_whatever_is_written() {
    let mut screen = Screen::new(Size::clamped(5, 40));
    let mut state = 1_u64;
    for round in 0..20_000 {
        let mut bytes = Vec::new();
        for _ in 0..24 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let [byte, choice, ..] = state.to_le_bytes();
            match choice % 6 {
                0 => bytes.extend_from_slice(b"\x1b["),
                1 => bytes.extend_from_slice("\u{202e}\u{9b}\u{200b}e\u{301}漢".as_bytes()),
                2 => bytes.extend_from_slice(b"\x1b]0;"),
                3 => bytes.extend_from_slice(b";9"),
                _ => bytes.push(byte),
            }
        }
        screen.output(&bytes);
        if round % 500 == 0 {
            let [rows, columns, ..] = state.to_be_bytes();
            screen.resize(Size::clamped((rows % 9).into(), (columns % 50).into()));
            let snapshot = screen.snapshot();
            for run in snapshot.lines.iter().flatten() {
                assert!(!run.text.chars().any(drawbridge_chain::is_hidden), "{run:?}");
                assert!(run.column + run.width <= snapshot.columns, "{run:?}");
            }
            assert!(snapshot.cursor.is_none_or(|at| at.row < snapshot.rows && at.column < snapshot.columns));
            screen = Screen::new(Size::clamped(5, 40));
        }
    }
    assert_eq!(screen.lost(), 0);
}

#[test]
fn only_a_frame_that_is_a_size_changes_the_size() {
    let mut screen = Screen::new(Size::clamped(24, 80));
    let frame = |data: &[u8]| Frame { time: std::time::Duration::ZERO, data: data.to_vec() };
    screen.frame(&frame(b"x\x1b[8;1;1t"));
    assert_eq!((screen.snapshot().rows, screen.snapshot().columns), (24, 80));
    screen.frame(&frame(b"\x1b[8;50;132t"));
    assert_eq!((screen.snapshot().rows, screen.snapshot().columns), (50, 132));
}

#[test]
fn the_largest_and_the_smallest_screen_work() {
    for size in [Size::clamped(1, 1), Size::clamped(u32::MAX, u32::MAX)] {
        let mut screen = Screen::new(size);
        screen.output(
            "漢e\u{301}\x1b[999;999H漢\x1b[?1049h漢\x1b[65535S\x1b[65535L\x1b[65535@\x1b[65535Pz".as_bytes(),
        );
        screen.resize(Size::clamped(1, 1));
        screen.resize(Size::clamped(500, 1000));
        assert_eq!(screen.snapshot().lines.len(), 500);
        assert_eq!(screen.lost(), 0);
    }
}
