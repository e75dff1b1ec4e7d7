//! The engineer's terminal: its size, its raw mode, questions on it, and what he types while something else happens. It keeps
//! nothing of what was typed.

use crate::output::{Fault, printable};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::termios::{SetArg, Termios, cfmakeraw, tcgetattr, tcsetattr};
use std::io::{self, IsTerminal as _, Stdin, Write as _};
use std::os::fd::AsFd as _;
use tokio::io::unix::AsyncFd;
use zeroize::Zeroizing;

/// How long a question waits for each key, in milliseconds.
const KEY_WITHIN: u16 = 60_000;
/// The longest answer, in bytes.
const ANSWER_BYTES: usize = 1024;
/// What is read of the input at one time.
const CHUNK: usize = 32 * 1024;

/// A terminal that hands every key through as it is, until this is dropped.
pub(crate) struct Raw(Termios);

impl Raw {
    /// Sets it.
    pub(crate) fn set() -> Result<Self, Fault> {
        let failed = |error: Errno| Fault::new(format!("the terminal cannot be set: {error}"));
        let before = tcgetattr(io::stdin()).map_err(failed)?;
        let mut raw = before.clone();
        cfmakeraw(&mut raw);
        tcsetattr(io::stdin(), SetArg::TCSADRAIN, &raw).map_err(failed)?;
        Ok(Self(before))
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs nothing put back.
        let _ = tcsetattr(io::stdin(), SetArg::TCSADRAIN, &self.0);
    }
}

/// Whether an answer is shown while it is typed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ask {
    Shown,
    Hidden,
}

/// Asks on the terminal, and waits for the answer.
pub(crate) fn ask(question: &str, how: Ask) -> Result<Zeroizing<String>, Fault> {
    if !io::stdin().is_terminal() {
        return Err(Fault::new("there is no terminal to ask on: ask for one, as with ssh -t"));
    }
    let say = |text: &str| {
        let mut output = io::stdout();
        output.write_all(text.as_bytes()).and_then(|()| output.flush()).map_err(|_| Fault::Gone)
    };
    // Before the question: whoever sees it may answer at once, and no answer is echoed.
    let _raw = Raw::set()?;
    say(&printable(question))?;
    // No larger buffer takes its place: a copy of a secret would stay behind.
    let mut answer = Zeroizing::new(Vec::with_capacity(ANSWER_BYTES));
    loop {
        if !ready(PollTimeout::from(KEY_WITHIN)) {
            say("\r\n")?;
            return Err(Fault::new("nothing was answered in time"));
        }
        let mut key = [0];
        match nix::unistd::read(io::stdin(), &mut key) {
            Ok(1..) => {}
            Err(Errno::EINTR) => continue,
            _ => return Err(Fault::Gone),
        }
        match key[0] {
            b'\r' | b'\n' => break,
            // Ctrl-C, Ctrl-D.
            3 | 4 => {
                say("\r\n")?;
                return Err(Fault::Said(130, "interrupted".to_owned()));
            }
            // Ctrl-U.
            21 => answer.clear(),
            8 | 127 => {
                while answer.pop().is_some_and(|byte| byte & 0xc0 == 0x80) {}
                if how == Ask::Shown {
                    say("\u{8} \u{8}")?;
                }
            }
            byte if answer.len() < ANSWER_BYTES => {
                answer.push(byte);
                if how == Ask::Shown && (b' '..127).contains(&byte) {
                    say(char::from(byte).encode_utf8(&mut [0; 4]))?;
                }
            }
            _ => {}
        }
    }
    say("\r\n")?;
    let text = std::str::from_utf8(&answer).map_err(|_| Fault::new("the answer is no UTF-8"))?;
    Ok(Zeroizing::new(text.to_owned()))
}

/// Whether standard input has something to read, or its end.
fn ready(within: PollTimeout) -> bool {
    let input = io::stdin();
    let mut polled = [PollFd::new(input.as_fd(), PollFlags::POLLIN)];
    matches!(poll(&mut polled, within), Ok(1..))
}

/// Standard input while something else goes on. It is never made non-blocking: output to the same terminal would become so, too.
pub(crate) struct Input {
    /// None: a file, which is always ready.
    watched: Option<AsyncFd<Stdin>>,
}

impl Input {
    pub(crate) fn new() -> Self {
        Self { watched: sys::watched_input() }
    }

    /// What comes next; empty at the end.
    pub(crate) async fn read(&mut self) -> Vec<u8> {
        loop {
            let mut guard = match &self.watched {
                None => None,
                Some(watched) => match watched.readable().await {
                    Ok(guard) => Some(guard),
                    Err(_) => return Vec::new(),
                },
            };
            if let Some(guard) = guard.as_mut().filter(|_| !ready(PollTimeout::ZERO)) {
                guard.clear_ready();
                continue;
            }
            let mut bytes = vec![0; CHUNK];
            match nix::unistd::read(io::stdin(), &mut bytes) {
                Ok(length) => {
                    bytes.truncate(length);
                    return bytes;
                }
                Err(Errno::EINTR) => {}
                Err(_) => return Vec::new(),
            }
        }
    }
}

/// Columns and rows of the terminal that output goes to, where it is one.
pub(crate) fn window() -> Option<(u16, u16)> {
    sys::window().ok().map(|size| (size.ws_col, size.ws_row))
}

/// Makes the terminal at standard input the controlling one of this process, which leads a session.
pub(crate) fn own() -> Result<(), Errno> {
    sys::own_terminal()
}

/// What nix does not wrap.
#[allow(unsafe_code)]
mod sys {
    use nix::errno::Errno;
    use std::io::Stdin;
    use tokio::io::Interest;
    use tokio::io::unix::AsyncFd;

    nix::ioctl_read_bad!(tiocgwinsz, libc::TIOCGWINSZ, libc::winsize);
    nix::ioctl_write_int_bad!(tiocsctty, libc::TIOCSCTTY);

    /// The size of the terminal at standard output.
    pub(super) fn window() -> Result<libc::winsize, Errno> {
        let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the kernel writes a winsize to where the pointer leads, which is one.
        unsafe { tiocgwinsz(libc::STDOUT_FILENO, &raw mut size) }?;
        Ok(size)
    }

    /// Makes the terminal at standard input the controlling one of this process, which leads a session.
    pub(super) fn own_terminal() -> Result<(), Errno> {
        // SAFETY: the argument is a plain number; descriptors keep their owners.
        unsafe { tiocsctty(libc::STDIN_FILENO, 0) }?;
        Ok(())
    }

    /// Standard input, watched by the runtime; none where it cannot be, as a file.
    pub(super) fn watched_input() -> Option<AsyncFd<Stdin>> {
        // SAFETY: this process never closes or replaces its standard input, so the descriptor stays open and the same.
        unsafe { AsyncFd::register_with_interest(std::io::stdin(), Interest::READABLE) }.ok()
    }
}
