//! A terminal of a recording, drawn as it looked. What was recorded never reaches the operator's own terminal: a model of one reads it,
//! and what is drawn is that model's rows, which hold printable text only, with attributes that are written here.

use super::Kept;
use super::export::{chosen, open};
use crate::Trouble;
use drawbridge_recording::{Attributes, Colour, Run, Screen, Size, Snapshot};
use std::fmt::Write as _;
use std::io::{self, IsTerminal as _, Write};
use std::time::Duration;

/// What comes within so long is drawn at once.
const AT_ONCE: Duration = Duration::from_millis(20);

/// How it is played.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Pace {
    /// Which terminal; none: the first.
    pub terminal: Option<u32>,
    /// So many times as fast as it was.
    pub speed: f64,
    /// No pause is longer than this.
    pub max_idle: Duration,
}

/// Plays it, until its end or an interrupt; then what was seen last stays. Where stdout is no terminal, only that is written.
pub(super) fn play(kept: &Kept, pace: Pace) -> Result<(), Trouble> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Trouble::new(format!("nothing can be played: {error}")))?;
    let fault = |error: io::Error| Trouble::new(format!("stdout takes nothing: {error}"));
    let mut stdout = io::stdout();
    let is_shown = stdout.is_terminal();
    let mut canvas = Canvas::default();
    if is_shown {
        // The other screen, and no row that is longer than the terminal's goes on in the next.
        stdout.write_all(b"\x1b[?1049h\x1b[?7l\x1b[2J").map_err(fault)?;
    }
    let played = runtime.block_on(async {
        let interrupted = tokio::signal::ctrl_c();
        tokio::select! {
            played = run(kept, pace, is_shown.then_some(&mut canvas)) => played,
            _ = interrupted => Ok(None),
        }
    });
    if is_shown {
        stdout.write_all(b"\x1b[0m\x1b[?25h\x1b[?7h\x1b[?1049l").map_err(fault)?;
    }
    let last = match played? {
        Some(last) => last,
        None => canvas.last.unwrap_or_default(),
    };
    let end = last.iter().rposition(|row| !row.is_empty()).map_or(0, |row| row + 1);
    for row in last.iter().take(end) {
        writeln!(stdout, "{row}").map_err(fault)?;
    }
    stdout.flush().map_err(fault)
}

/// To the end: the rows that were seen last.
async fn run(
    kept: &Kept,
    pace: Pace,
    mut canvas: Option<&mut Canvas>,
) -> Result<Option<Vec<String>>, Trouble> {
    let bundle = open(kept)?;
    let terminal = chosen(&bundle, pace.terminal)?;
    let mut frames = bundle.frames(terminal).map_err(|fault| Trouble::new(fault.to_string()))?;
    let mut screen = Screen::new(Size::clamped(24, 80));
    let (mut before, mut owed) = (None, Duration::ZERO);
    // One that still comes in ends in the middle of a frame.
    while let Ok(Some(frame)) = frames.next_frame() {
        if let Some(canvas) = &mut canvas {
            let pause = before.map_or(Duration::ZERO, |before| frame.time.saturating_sub(before));
            owed += pause.min(pace.max_idle).div_f64(pace.speed);
            before = Some(frame.time);
            if owed >= AT_ONCE {
                draw(canvas, &screen)?;
                tokio::time::sleep(std::mem::take(&mut owed)).await;
            }
        }
        screen.frame(frame);
    }
    if let Some(canvas) = canvas {
        draw(canvas, &screen)?;
    }
    Ok(Some(screen.snapshot().text()))
}

fn draw(canvas: &mut Canvas, screen: &Screen) -> Result<(), Trouble> {
    let drawn = canvas.draw(&screen.snapshot());
    let mut stdout = io::stdout();
    stdout
        .write_all(drawn.as_bytes())
        .and_then(|()| stdout.flush())
        .map_err(|error| Trouble::new(format!("stdout takes nothing: {error}")))
}

/// What stands on the operator's terminal.
#[derive(Default)]
struct Canvas {
    size: (u16, u16),
    rows: Vec<Vec<Run>>,
    last: Option<Vec<String>>,
}

impl Canvas {
    /// What is to be written so that it shows this: the rows that are different.
    fn draw(&mut self, snapshot: &Snapshot) -> String {
        let mut to = String::new();
        if self.size != (snapshot.rows, snapshot.columns) {
            self.size = (snapshot.rows, snapshot.columns);
            self.rows.clear();
            // Asks for a window of that size, and begins with an empty one.
            let _ = write!(to, "\x1b[8;{};{}t\x1b[0m\x1b[2J", snapshot.rows, snapshot.columns);
        }
        self.rows.resize(snapshot.lines.len(), Vec::new());
        for (number, (was, is)) in self.rows.iter_mut().zip(&snapshot.lines).enumerate() {
            if was == is {
                continue;
            }
            was.clone_from(is);
            let _ = write!(to, "\x1b[{};1H\x1b[0m\x1b[2K", number + 1);
            for run in is {
                let _ = write!(to, "\x1b[{}G{}{}", run.column + 1, style(run.attributes), run.text);
            }
        }
        match snapshot.cursor {
            Some(cursor) => {
                let _ = write!(to, "\x1b[{};{}H\x1b[?25h", cursor.row + 1, cursor.column + 1);
            }
            None => to.push_str("\x1b[?25l"),
        }
        self.last = Some(snapshot.text());
        to
    }
}

/// How text looks (ECMA-48, section 8.3.117).
fn style(attributes: Attributes) -> String {
    let Attributes { foreground, background, bold, dim, italic, underline, inverse } = attributes;
    let mut style = "\x1b[0".to_owned();
    for (is_so, number) in [(bold, 1), (dim, 2), (italic, 3), (underline, 4), (inverse, 7)] {
        if is_so {
            let _ = write!(style, ";{number}");
        }
    }
    for (colour, number) in [(foreground, 38), (background, 48)] {
        let _ = match colour {
            Some(Colour::Index(index)) => write!(style, ";{number};5;{index}"),
            Some(Colour::Rgb(red, green, blue)) => write!(style, ";{number};2;{red};{green};{blue}"),
            None => Ok(()),
        };
    }
    style.push('m');
    style
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_of_what_was_recorded_but_printable_text_reaches_the_operators_terminal() {
        let mut screen = Screen::new(Size::clamped(5, 40));
        // A title, a question that a terminal answers, a clipboard, a link, another screen, and what turns the writing.
        let hostile = "\x1b]0;rm -rf\x07\x1b[6n\x1b]52;c;AAAA\x07\x1b]8;;http://x\x07a\x1b]8;;\x07\x1b[?1049h\x1bP$q\x1b\\\u{202e}b\x1bc\x1b[31mred";
        screen.output(hostile.as_bytes());
        let mut canvas = Canvas::default();
        let drawn = canvas.draw(&screen.snapshot());
        let mut rest = drawn.as_str();
        let mut text = String::new();
        while let Some((before, after)) = rest.split_once('\x1b') {
            text.push_str(before);
            let body = after.strip_prefix('[').expect("nothing but a control sequence of ours");
            let end = body.find(|sign: char| sign.is_ascii_alphabetic()).unwrap();
            assert!("HGKJmthl".contains(&body[end..=end]), "{drawn:?}");
            assert!(
                body[..end].bytes().all(|byte| byte.is_ascii_digit() || b";?".contains(&byte)),
                "{drawn:?}"
            );
            rest = &body[end + 1..];
        }
        text.push_str(rest);
        assert!(!text.contains(char::is_control) && text.contains("red"), "{text:?}");
        for gone in ["rm -rf", "AAAA", "http", "\u{202e}"] {
            assert!(!drawn.contains(gone), "{gone} in {drawn:?}");
        }
    }

    #[test]
    fn only_what_is_different_is_drawn() {
        let mut screen = Screen::new(Size::clamped(3, 20));
        screen.output(b"one\r\ntwo");
        let mut canvas = Canvas::default();
        assert!(canvas.draw(&screen.snapshot()).contains("one"));
        screen.output(b" \x1b[1;38;5;9mmore");
        let drawn = canvas.draw(&screen.snapshot());
        assert!(!drawn.contains("one") && drawn.contains("\x1b[0;1;38;5;9mmore"), "{drawn:?}");
        assert_eq!(canvas.draw(&screen.snapshot()), "\x1b[2;9H\x1b[?25h");
        screen.resize(Size::clamped(4, 20));
        assert!(canvas.draw(&screen.snapshot()).starts_with("\x1b[8;4;20t"));
    }
}
