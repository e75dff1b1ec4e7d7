use super::*;

const LATER: Duration = Duration::from_millis(1100);

fn typing() -> (Typing, Instant) {
    (Typing::default(), Instant::now())
}

fn shown(text: &str) -> Typed {
    Typed::Shown(text.to_owned())
}

const ENTER: Typed = Typed::Key("Enter");

#[test]
fn what_a_terminal_echoes_is_kept_as_it_was_typed() {
    let (mut typing, now) = typing();
    typing.typed(true, "grüße\r".as_bytes(), now);
    assert_eq!(typing.take(), [shown("grüße"), ENTER]);
    // A character that comes in two pieces.
    typing.typed(true, &[0xc3], now);
    assert_eq!(typing.take(), []);
    typing.typed(true, &[0xa4], now);
    assert_eq!(typing.take(), [shown("ä")]);
}

#[test]
fn a_password_is_kept_as_its_length_only() {
    let (mut typing, now) = typing();
    typing.typed(false, b"hunter2\r", now);
    typing.shown(b"\r\n");
    assert_eq!(typing.take(), [Typed::Hidden(7), ENTER]);
    // The same key by key, and with a wrong one taken back.
    for key in b"hu\x7funter2" {
        typing.typed(false, &[*key], now);
        typing.tick(now);
    }
    typing.typed(false, b"\r", now);
    typing.shown(b"\r\nLast login: hunter2\r\n");
    assert_eq!(typing.take(), [Typed::Hidden(2), Typed::Key("Backspace"), Typed::Hidden(6), ENTER]);
    assert!(!typing.is_holding());
}

#[test]
fn a_password_in_stars_is_kept_as_its_length_only() {
    let (mut typing, now) = typing();
    for key in b"hunter2" {
        typing.typed(false, &[*key], now);
        typing.shown(b"*");
    }
    typing.typed(false, b"\r", now);
    typing.shown(b"\r\n");
    assert_eq!(typing.take(), [Typed::Hidden(7), ENTER]);
}

#[test]
fn the_line_of_an_editor_that_echoes_by_itself_is_kept() {
    let (mut typing, now) = typing();
    for key in b"ls -l" {
        typing.typed(false, &[*key], now);
        typing.shown(&[*key]);
    }
    typing.typed(false, b"\r", now);
    typing.shown(b"\r\ntotal 0\r\n");
    assert_eq!(typing.take(), [shown("ls -l"), ENTER]);
}

#[test]
fn the_line_of_an_editor_that_draws_it_anew_is_kept() {
    let (mut typing, now) = typing();
    let mut line = String::new();
    for key in "status".chars() {
        typing.typed(false, key.to_string().as_bytes(), now);
        line.push(key);
        typing.shown(format!("\r\x1b[0Kbox-7> {line}\r\x1b[{}C", 7 + line.len()).as_bytes());
    }
    typing.typed(false, b"\r", now);
    typing.shown(b"\r\n");
    assert_eq!(typing.take(), [shown("status"), ENTER]);
}

#[test]
fn an_echo_that_comes_late_and_in_pieces_is_found() {
    let (mut typing, now) = typing();
    typing.typed(false, b"uname -a\r", now);
    for piece in [&b"un"[..], b"am", b"e \r\x1b", b"[9C-a", b"\r\n"] {
        typing.shown(piece);
    }
    assert_eq!(typing.take(), [shown("uname -a"), ENTER]);
}

#[test]
fn lines_that_were_typed_ahead_are_kept_when_their_turn_comes() {
    let (mut typing, now) = typing();
    typing.typed(false, b"ls\rpwd\r", now);
    typing.shown(b"ls\r\nfile\r\nbox-7> pwd\r\n");
    assert_eq!(typing.take(), [shown("ls"), ENTER, shown("pwd"), ENTER]);
    // A password that was typed ahead is none of it.
    typing.typed(false, b"sudo id\rhunter2\r", now);
    typing.shown(b"sudo id\r\n[sudo] password for anna: \r\nuid=0(root)\r\n");
    typing.tick(now + LATER);
    assert_eq!(typing.take(), [shown("sudo id"), ENTER, Typed::Hidden(7), ENTER]);
}

#[test]
fn a_flood_of_output_shows_no_password_by_chance() {
    // Every letter stands at the beginning and at the end of some piece of output, again and again.
    let lines = |letter: u8| [&[letter, b'\n', letter][..], b"x\r\nx", &[letter], b"\r\n"].concat();
    let flood: Vec<u8> = (b'a'..=b'z').chain(b'0'..=b'9').flat_map(lines).collect();
    let (mut typing, now) = typing();
    for key in b"hunter2" {
        typing.typed(false, &[*key], now);
        typing.shown(&flood);
    }
    typing.typed(false, b"\r", now);
    typing.shown(&flood);
    let typed = typing.take();
    assert!(!typed.iter().any(|typed| matches!(typed, Typed::Shown(_))), "{typed:?}");
    let hidden: u64 =
        typed.iter().map(|typed| if let Typed::Hidden(count) = typed { *count } else { 0 }).sum();
    assert_eq!(hidden, 7);
}

#[test]
fn after_something_hidden_the_rest_of_the_line_is_hidden_too() {
    let (mut typing, now) = typing();
    typing.typed(false, b"hunt", now);
    typing.tick(now + LATER);
    typing.typed(false, b"er2", now + LATER);
    typing.shown(b"er2");
    typing.typed(false, b"\r", now + LATER);
    typing.shown(b"\r\n");
    assert_eq!(typing.take(), [Typed::Hidden(7), ENTER]);
    typing.typed(false, b"ls", now);
    typing.shown(b"ls");
    typing.typed(false, b"\r", now);
    typing.shown(b"\r\n");
    assert_eq!(typing.take(), [shown("ls"), ENTER]);
}

#[test]
fn nothing_is_held_longer_than_about_a_second() {
    let (mut typing, now) = typing();
    for (text, expected) in [
        (&b"abc"[..], Typed::Hidden(3)),
        (b"abcdefgh", shown("abcdefgh")),
        (b"abcdefghi\x1b[A", shown("abcdefghi")),
    ] {
        typing.typed(false, text, now);
        let echo = text.split(|byte| *byte == 0x1b).next().unwrap();
        typing.shown(echo);
        typing.tick(now + LATER);
        assert!(!typing.is_holding());
        assert_eq!(typing.take().first(), Some(&expected));
        typing.typed(true, b"\r", now);
        typing.take();
    }
}

#[test]
fn what_is_held_has_a_bound_and_what_is_beyond_it_is_hidden() {
    let (mut typing, now) = typing();
    typing.typed(false, &[b'x'; 3 * HELD_BYTES], now);
    typing.typed(false, &b"x\t".repeat(3 * HELD_PIECES), now);
    assert!(typing.held_bytes <= HELD_BYTES && typing.held.len() <= HELD_PIECES + 1);
    typing.close();
    let mut hidden = 0;
    for typed in typing.take() {
        match typed {
            Typed::Shown(text) => panic!("{text}"),
            Typed::Hidden(count) => hidden += count,
            Typed::Key(name) => assert_eq!(name, "Tab"),
        }
    }
    assert_eq!(hidden, 3 * u64::try_from(HELD_BYTES + HELD_PIECES).unwrap());
}

#[test]
fn keys_are_named_and_what_an_unknown_sequence_had_in_it_is_not_told() {
    let (mut typing, now) = typing();
    typing.typed(false, b"\x03\x04\t\x7f\x1b[A\x1bOB\x1b[1;5C\x1b[3~\x1b[15~\x1b[200~\x1b[201~", now);
    typing.typed(false, b"\x1b", now);
    typing.typed(false, b"[5", now);
    typing.typed(false, b"~", now);
    typing.typed(false, b"\x1b[17;23secret\x1bx\x1b[99999999999999999999999999999999999999999999~", now);
    typing.close();
    let keys: Vec<_> = typing
        .take()
        .into_iter()
        .map(|typed| match typed {
            Typed::Key(name) => name.to_owned(),
            Typed::Hidden(count) => format!("{count} hidden"),
            Typed::Shown(text) => panic!("{text}"),
        })
        .filter(|name| name != "Escape")
        .collect();
    let expected = [
        "Ctrl-C",
        "Ctrl-D",
        "Tab",
        "Backspace",
        "Up",
        "Down",
        "Right",
        "Delete",
        "F5",
        "Paste begins",
        "Paste ends",
        "Page up",
        "Sequence",
        "5 hidden",
        "Alt and a key",
    ];
    assert_eq!(keys.get(..expected.len()).unwrap(), expected);
}

#[test]
fn output_is_split_the_same_however_it_arrives() {
    let bytes = b"ab\x1b[31mc\x1b]0;title\x07d\x1b]0;other\x1b\\e\r\nf\x1b(Bg\x1bPdata\x1b\\h\x1b[1\n2mi";
    let expected = "a b c d e / f g h / i";
    let read = |pieces: &mut dyn Iterator<Item = &[u8]>| {
        let mut splitter = Splitter::default();
        let mut out = Vec::new();
        for piece in pieces {
            splitter.split(piece, |part| match part {
                Part::Text(text) => out.extend(text.iter().map(|byte| char::from(*byte).to_string())),
                Part::LineFeed => out.push("/".to_owned()),
            });
        }
        out.join(" ")
    };
    assert_eq!(read(&mut std::iter::once(&bytes[..])), expected);
    assert_eq!(read(&mut bytes.chunks(1)), expected);
    assert_eq!(read(&mut bytes.chunks(3)), expected);
    let mut skipped = Splitter::default();
    skipped.skip(&bytes[..bytes.len() / 2]);
    let mut split = Splitter::default();
    split.split(&bytes[..bytes.len() / 2], |_| {});
    assert_eq!(skipped, split);
}
