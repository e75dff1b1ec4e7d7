//! A terminal with the role on it, and somebody who types and reads.

use super::{Bench, SOON};
use nix::pty::{Winsize, openpty};
use nix::sys::termios::{LocalFlags, tcgetattr};
use std::fs::File;
use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Instant;

/// A terminal with the role on it.
pub(crate) struct Terminal {
    pub(crate) child: Child,
    master: File,
    shown: Receiver<Vec<u8>>,
    pub(crate) text: String,
    /// All that was shown, passed or not.
    pub(crate) all: String,
}

impl Terminal {
    pub(crate) fn start(bench: &Bench, arguments: &[&str]) -> Self {
        let size = Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 };
        let ends = openpty(Some(&size), None).unwrap();
        let slave = || Stdio::from(ends.slave.try_clone().unwrap());
        // The role leads a session of its own, as init starts it.
        let child = Command::new("setsid")
            .arg(bench.program(arguments))
            .env("TERM", "xterm")
            .stdin(slave())
            .stdout(slave())
            .stderr(slave())
            .spawn()
            .unwrap();
        let master: OwnedFd = ends.master;
        let mut reader = File::from(master.try_clone().unwrap());
        let (sender, shown) = channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = reader.read(&mut buffer) {
                if sender.send(buffer[..length].to_vec()).is_err() {
                    return;
                }
            }
        });
        Self { child, master: File::from(master), shown, text: String::new(), all: String::new() }
    }

    pub(crate) fn types(&mut self, keys: &str) {
        self.master.write_all(keys.as_bytes()).unwrap();
    }

    fn take(&mut self, bytes: &[u8]) {
        let text = String::from_utf8_lossy(bytes);
        self.text.push_str(&text);
        self.all.push_str(&text);
    }

    /// Waits until this is shown; what was shown up to it is passed.
    pub(crate) fn shows(&mut self, what: &str) {
        let until = Instant::now() + SOON;
        loop {
            if let Some(at) = self.text.find(what) {
                self.text.drain(..at + what.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.shown.recv_timeout(left) {
                Ok(bytes) => self.take(&bytes),
                Err(error) => panic!("{what:?} is not shown, but {:?}: {error}", self.text),
            }
        }
    }

    /// Whether what is typed now is echoed by the terminal itself.
    pub(crate) fn echoes(&self) -> bool {
        tcgetattr(&self.master).unwrap().local_flags.contains(LocalFlags::ECHO)
    }

    /// Changes the size of the window.
    #[allow(unsafe_code)]
    pub(crate) fn resize(&mut self, columns: u16, rows: u16) {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        // SAFETY: the descriptor is open and the pointer leads to a Winsize.
        unsafe { size::tiocswinsz(self.master.as_raw_fd(), &raw const size) }.unwrap();
    }

    pub(crate) fn ends(&mut self) -> i32 {
        let until = Instant::now() + SOON;
        loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                return status.code().unwrap_or(-1);
            }
            assert!(Instant::now() < until, "it does not end: {:?}", self.text);
            // Nothing tells of a child's end but itself: what it shows until then is taken meanwhile.
            if let Ok(bytes) = self.shown.recv_timeout(std::time::Duration::from_millis(20)) {
                self.take(&bytes);
            }
        }
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[allow(missing_docs)]
mod size {
    use nix::pty::Winsize;
    nix::ioctl_write_ptr_bad!(tiocswinsz, libc::TIOCSWINSZ, Winsize);
}
