//! Programs that are not ours read what is recorded and see the same: `ttyplay` and `ttytime` the files, `pyte` the screens of
//! real programs.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod common;

use common::{Device, day, facts, second, text};
use drawbridge_recording::{Clock, FolderStore, FrameReader, Recorder, Screen, Size};
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// What a program may take.
const WITHIN: Duration = Duration::from_secs(30);

/// A program that does not outlive its test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = (self.0.kill(), self.0.wait());
    }
}

/// Records frames in a new bundle and gives the terminal's file.
fn record(folder: &Path, frames: &[(Duration, Vec<u8>)], size: Size) -> PathBuf {
    let path = folder.join("bundle");
    let device = Device::new(1);
    let clock = Clock::new(day(), Duration::ZERO);
    let store = FolderStore::create(&path).unwrap();
    let mut recorder = Recorder::create(store, facts(), device.key(), None, clock, Duration::ZERO).unwrap();
    let terminal = recorder.terminal(Duration::ZERO, text("xterm"), size).unwrap();
    for (at, data) in frames {
        recorder.output(terminal, *at, data).unwrap();
    }
    recorder.finish(second(1000), text("end")).unwrap();
    path.join("terminal-1.ttyrec")
}

/// A recording of a program on a terminal, as `script` makes it: what it wrote, in the pieces in which it came.
fn on_a_terminal(command: &str, keys: &[(&str, &str)], size: Size, folder: &Path) -> Vec<u8> {
    let output = folder.join("out");
    let shell = format!("stty rows {} cols {}; {command}", size.rows(), size.columns());
    let child = Command::new("script")
        .args(["--quiet", "--flush", "--log-out"])
        .arg(&output)
        .args(["--command", &shell])
        .env_clear()
        .envs([
            ("TERM", "xterm"),
            ("LANG", "C.UTF-8"),
            ("LC_ALL", "C.UTF-8"),
            ("PATH", "/usr/bin:/bin"),
            ("SHELL", "/bin/sh"),
        ])
        .env("HOME", folder)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut child = Running(child);
    let mut stdin = child.0.stdin.take().unwrap();
    let began = Instant::now();
    for (shown, typed) in keys {
        // Typed when the program has drawn what it is typed at.
        loop {
            let mut screen = Screen::new(size);
            screen.output(&std::fs::read(&output).unwrap_or_default());
            let seen = screen.snapshot().text().join("\n");
            if seen.contains(shown) {
                break;
            }
            assert!(began.elapsed() < WITHIN, "{command} never showed {shown:?} but\n{seen}");
            std::thread::park_timeout(Duration::from_millis(20));
        }
        stdin.write_all(typed.as_bytes()).unwrap();
    }
    while child.0.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < WITHIN, "{command} does not end");
        std::thread::park_timeout(Duration::from_millis(20));
    }
    // `script` writes a line of its own before and after.
    let bytes = std::fs::read(&output).unwrap();
    let head = bytes.iter().position(|byte| *byte == b'\n').unwrap() + 1;
    let end = bytes.windows(16).rposition(|part| part == b"\nScript done on ").unwrap();
    bytes[head..end].to_vec()
}

/// The screen that pyte draws, its cursor at the end.
fn pyte(output: &[u8], size: Size) -> (Vec<String>, (u16, u16)) {
    const PROGRAM: &str = "
import json, re, sys, pyte
rows, columns = int(sys.argv[1]), int(sys.argv[2])
screen = pyte.Screen(columns, rows)
stream = pyte.ByteStream(screen)
# pyte dies of xterm's settings for the keyboard, which end like colours.
stream.feed(re.sub(rb'\\x1b\\[[>?][0-9;]*m', b'', sys.stdin.buffer.read()))
print(json.dumps([[line.rstrip() for line in screen.display], [screen.cursor.y, min(screen.cursor.x, columns - 1)]]))
";
    let mut child = Command::new("/usr/bin/python3")
        .args(["-c", PROGRAM, &size.rows().to_string(), &size.columns().to_string()])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(output).unwrap();
    let mut json = String::new();
    child.stdout.take().unwrap().read_to_string(&mut json).unwrap();
    assert!(child.wait().unwrap().success());
    serde_json::from_str(&json).unwrap()
}

/// Both draw the same at each of several instants, the last one among them.
fn both_draw_the_same(name: &str, output: &[u8], size: Size) {
    assert!(output.len() > 100, "{name} drew nothing: {:?}", String::from_utf8_lossy(output));
    // pyte knows no alternate screen: the two would show different things after a program that used one has left it.
    let last = output.windows(8).position(|part| part == b"\x1b[?1049l").unwrap_or(output.len());
    for part in 1..=4 {
        // Not inside of a sequence or a character, where the two may have come differently far.
        let upto = (last * part / 4..last).find(|at| output[*at] == b'\x1b').unwrap_or(last);
        let mut screen = Screen::new(size);
        for piece in output[..upto].chunks(61) {
            screen.output(piece);
        }
        let snapshot = screen.snapshot();
        let (lines, cursor) = pyte(&output[..upto], size);
        assert_eq!(snapshot.text(), lines, "{name}, the first {upto} bytes");
        if let Some(at) = snapshot.cursor {
            assert_eq!((at.row, at.column), cursor, "{name}, the first {upto} bytes");
        }
        assert_eq!(screen.lost(), 0);
    }
}

#[test]
fn ttyplay_plays_and_ttytime_times_what_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let frames = vec![
        (second(1), b"hello \x1b[1mworld\x1b[0m\r\n".to_vec()),
        (second(2), vec![b'x'; 100_000]),
        (second(90), "\u{e9}nd\r\n".as_bytes().to_vec()),
    ];
    let file = record(folder.path(), &frames, Size::clamped(24, 80));
    let played = Command::new("ttyplay").arg("-n").arg(&file).stdin(Stdio::null()).output().unwrap();
    assert!(played.status.success(), "{}", String::from_utf8_lossy(&played.stderr));
    let expected: Vec<u8> = [b"\x1b[8;24;80t".as_slice(), &frames[0].1, &frames[1].1, &frames[2].1].concat();
    let shown = played.stdout.windows(expected.len()).any(|part| part == expected);
    assert!(shown, "{} bytes came out of ttyplay", played.stdout.len());
    let timed = Command::new("ttytime").arg(&file).output().unwrap();
    let said = String::from_utf8(timed.stdout).unwrap();
    assert!(said.trim_start().starts_with("90\t"), "{said}");
}

#[test]
fn what_ttyrec_records_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("theirs.ttyrec");
    // Its standard input is a terminal, which stays open.
    let command = format!("ttyrec -e 'printf \"one\\ntwo\"' {}", file.display());
    on_a_terminal(&command, &[], Size::clamped(24, 80), folder.path());
    let bytes = std::fs::read(&file).unwrap();
    let mut frames = FrameReader::new(bytes.as_slice());
    let mut screen = Screen::new(Size::clamped(24, 80));
    while let Some(frame) = frames.next_frame().unwrap() {
        screen.frame(frame);
    }
    assert_eq!(frames.bytes(), bytes.len() as u64);
    assert_eq!(screen.snapshot().text()[..2], ["one", "two"]);
}

#[test]
fn vi_is_drawn_as_pyte_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (1..200)
        .map(|line| {
            ["line ", &line.to_string(), " of a file with ", &"words ".repeat(line % 17), " in it\n"].concat()
        })
        .collect();
    std::fs::write(folder.path().join("file"), text).unwrap();
    for (rows, columns) in [(24, 80), (10, 40), (50, 132)] {
        let size = Size::clamped(rows, columns);
        let keys = [
            ("line 1 ", "50G"),
            ("line 50", "ddOa new line\x1b"),
            ("a new line", ":set number\r"),
            ("     50 ", ":q!\r"),
        ];
        let output = on_a_terminal("vim.tiny -u NONE -n file", &keys, size, folder.path());
        both_draw_the_same("vi", &output, size);
    }
}

#[test]
fn less_is_drawn_as_pyte_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (1..300)
        .map(|line: usize| {
            let number = line.to_string();
            [&number, ": ", &"caf\u{e9} ".repeat(line % 30), " end-", &number, "\n"].concat()
        })
        .collect();
    std::fs::write(folder.path().join("file"), text).unwrap();
    let size = Size::clamped(24, 80);
    // Each is typed at something that stays until it is typed: the last lines of the first page, and of the second.
    let keys = [("12: ", " "), ("26: ", "/end-25\r"), ("25: ", "G"), ("299: ", "b"), ("276: ", "q")];
    let output = on_a_terminal("less file", &keys, size, folder.path());
    both_draw_the_same("less", &output, size);
}

#[test]
fn top_is_drawn_as_pyte_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let size = Size::clamped(30, 100);
    let output = on_a_terminal("top -d 0.2 -n 4", &[], size, folder.path());
    both_draw_the_same("top", &output, size);
}

#[test]
fn a_shell_s_session_is_drawn_as_pyte_draws_it() {
    let folder = tempfile::tempdir().unwrap();
    let size = Size::clamped(24, 80);
    let keys = [
        ("$ ", "ls -l --color=always /usr\r"),
        ("share", "printf '%s\\t|\\n' a bb ccc; seq 40\r"),
        ("\n40", "exit\r"),
    ];
    let output = on_a_terminal("PS1='$ ' sh", &keys, size, folder.path());
    both_draw_the_same("sh", &output, size);
}
