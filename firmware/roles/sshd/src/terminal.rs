//! Terminals for engineers: a pair of ends, the size of the window, and the modes that the client wants. The other end goes to
//! the shell process, and is never opened by its name.

use nix::fcntl::{OFlag, open};
use nix::sys::stat::Mode;
use nix::sys::termios::{
    ControlFlags, InputFlags, LocalFlags, OutputFlags, SetArg, SpecialCharacterIndices, Termios, tcgetattr,
    tcsetattr,
};
use russh::Pty;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use tokio::io::unix::AsyncFd;

/// The window, in characters and pixels.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Size {
    pub(crate) columns: u32,
    pub(crate) rows: u32,
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// A new terminal: our end, which never blocks, and the shell's.
pub(crate) fn make(size: Size, modes: &[(Pty, u32)]) -> io::Result<(OwnedFd, OwnedFd)> {
    let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC | OFlag::O_NONBLOCK;
    let ours = open("/dev/ptmx", flags, Mode::empty())?;
    sys::unlock(&ours)?;
    let theirs = sys::other_end(&ours)?;
    resize(&ours, size)?;
    let mut state = tcgetattr(&theirs)?;
    for (mode, value) in modes {
        set(&mut state, *mode, *value);
    }
    tcsetattr(&theirs, SetArg::TCSANOW, &state)?;
    Ok((ours, theirs))
}

/// Tells the terminal the size of its window, and whoever reads it that it has changed.
pub(crate) fn resize(ours: &impl AsFd, size: Size) -> io::Result<()> {
    let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    let (columns, rows) = cells(size);
    sys::set_size(
        ours,
        nix::pty::Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: short(size.width),
            ws_ypixel: short(size.height),
        },
    )
}

/// Our end, so that tasks can wait for it. Within a tokio runtime.
pub(crate) fn watch(ours: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    sys::watch(ours)
}

/// The byte that ends the input of whoever reads lines from the terminal.
pub(crate) fn end_of_input(ours: &impl AsFd) -> u8 {
    const CONTROL_D: u8 = 4;
    tcgetattr(ours).map_or(CONTROL_D, |state| state.control_chars[SpecialCharacterIndices::VEOF as usize])
}

/// Whether the terminal shows what is typed, as a person at it sees: lines, with their echo. A program that reads each key by itself
/// may show it or not; that it is shown cannot be told from here. Where the terminal is gone, nothing is taken for shown.
pub(crate) fn echoes(ours: &impl AsFd) -> bool {
    tcgetattr(ours).is_ok_and(|state| state.local_flags.contains(LocalFlags::ICANON | LocalFlags::ECHO))
}

/// Columns and rows, as far as a terminal can have them.
pub(crate) fn cells(size: Size) -> (u16, u16) {
    let short = |number: u32| u16::try_from(number).unwrap_or(u16::MAX);
    (short(size.columns), short(size.rows))
}

/// What the shell has written; 0 when it has closed its end.
pub(crate) async fn read(ours: &AsyncFd<OwnedFd>, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        let mut ready = ours.readable().await?;
        let read = ready.try_io(|ours| match nix::unistd::read(ours.get_ref(), buffer) {
            // The other end is closed, and everything is read.
            Err(nix::errno::Errno::EIO) => Ok(0),
            read => Ok(read?),
        });
        if let Ok(read) = read {
            return read;
        }
    }
}

/// Gives the shell something to read.
pub(crate) async fn write_all(ours: &AsyncFd<OwnedFd>, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        let mut ready = ours.writable().await?;
        if let Ok(written) = ready.try_io(|ours| Ok(nix::unistd::write(ours.get_ref(), bytes)?)) {
            bytes = &bytes[written?.min(bytes.len())..];
        }
    }
    Ok(())
}

/// One of the modes of RFC 4254, section 8. Speeds and what Linux does not have are passed over.
fn set(state: &mut Termios, mode: Pty, value: u32) {
    use SpecialCharacterIndices as Index;
    let on = value != 0;
    let index = match mode {
        Pty::VINTR => Some(Index::VINTR),
        Pty::VQUIT => Some(Index::VQUIT),
        Pty::VERASE => Some(Index::VERASE),
        Pty::VKILL => Some(Index::VKILL),
        Pty::VEOF => Some(Index::VEOF),
        Pty::VEOL => Some(Index::VEOL),
        Pty::VEOL2 => Some(Index::VEOL2),
        Pty::VSTART => Some(Index::VSTART),
        Pty::VSTOP => Some(Index::VSTOP),
        Pty::VSUSP => Some(Index::VSUSP),
        Pty::VREPRINT => Some(Index::VREPRINT),
        Pty::VWERASE => Some(Index::VWERASE),
        Pty::VLNEXT => Some(Index::VLNEXT),
        Pty::VDISCARD => Some(Index::VDISCARD),
        _ => None,
    };
    if let Some(index) = index {
        // 255: none, which is 0 here.
        state.control_chars[index as usize] =
            u8::try_from(value).ok().filter(|byte| *byte != 255).unwrap_or(0);
        return;
    }
    match mode {
        Pty::IGNPAR => state.input_flags.set(InputFlags::IGNPAR, on),
        Pty::PARMRK => state.input_flags.set(InputFlags::PARMRK, on),
        Pty::INPCK => state.input_flags.set(InputFlags::INPCK, on),
        Pty::ISTRIP => state.input_flags.set(InputFlags::ISTRIP, on),
        Pty::INLCR => state.input_flags.set(InputFlags::INLCR, on),
        Pty::IGNCR => state.input_flags.set(InputFlags::IGNCR, on),
        Pty::ICRNL => state.input_flags.set(InputFlags::ICRNL, on),
        Pty::IXON => state.input_flags.set(InputFlags::IXON, on),
        Pty::IXANY => state.input_flags.set(InputFlags::IXANY, on),
        Pty::IXOFF => state.input_flags.set(InputFlags::IXOFF, on),
        Pty::IMAXBEL => state.input_flags.set(InputFlags::IMAXBEL, on),
        Pty::IUTF8 => state.input_flags.set(InputFlags::IUTF8, on),
        Pty::ISIG => state.local_flags.set(LocalFlags::ISIG, on),
        Pty::ICANON => state.local_flags.set(LocalFlags::ICANON, on),
        Pty::ECHO => state.local_flags.set(LocalFlags::ECHO, on),
        Pty::ECHOE => state.local_flags.set(LocalFlags::ECHOE, on),
        Pty::ECHOK => state.local_flags.set(LocalFlags::ECHOK, on),
        Pty::ECHONL => state.local_flags.set(LocalFlags::ECHONL, on),
        Pty::NOFLSH => state.local_flags.set(LocalFlags::NOFLSH, on),
        Pty::TOSTOP => state.local_flags.set(LocalFlags::TOSTOP, on),
        Pty::IEXTEN => state.local_flags.set(LocalFlags::IEXTEN, on),
        Pty::ECHOCTL => state.local_flags.set(LocalFlags::ECHOCTL, on),
        Pty::ECHOKE => state.local_flags.set(LocalFlags::ECHOKE, on),
        Pty::PENDIN => state.local_flags.set(LocalFlags::PENDIN, on),
        Pty::OPOST => state.output_flags.set(OutputFlags::OPOST, on),
        Pty::ONLCR => state.output_flags.set(OutputFlags::ONLCR, on),
        Pty::OCRNL => state.output_flags.set(OutputFlags::OCRNL, on),
        Pty::ONOCR => state.output_flags.set(OutputFlags::ONOCR, on),
        Pty::ONLRET => state.output_flags.set(OutputFlags::ONLRET, on),
        Pty::PARENB => state.control_flags.set(ControlFlags::PARENB, on),
        Pty::PARODD => state.control_flags.set(ControlFlags::PARODD, on),
        _ => {}
    }
}

/// The requests of `ioctl` that nix does not wrap, and what tokio cannot promise by itself.
#[allow(unsafe_code)]
mod sys {
    use super::{AsFd, AsyncFd, OFlag, OwnedFd, io};
    use std::os::fd::{AsRawFd as _, FromRawFd as _};

    nix::ioctl_write_ptr_bad!(tiocsptlck, libc::TIOCSPTLCK, libc::c_int);
    nix::ioctl_write_int_bad!(tiocgptpeer, libc::TIOCGPTPEER);
    nix::ioctl_write_ptr_bad!(tiocswinsz, libc::TIOCSWINSZ, nix::pty::Winsize);

    pub(super) fn unlock(ours: &impl AsFd) -> io::Result<()> {
        // SAFETY: the descriptor is borrowed, and the number that is read outlives the call.
        unsafe { tiocsptlck(ours.as_fd().as_raw_fd(), &0) }?;
        Ok(())
    }

    pub(super) fn other_end(ours: &impl AsFd) -> io::Result<OwnedFd> {
        let flags = OFlag::O_RDWR | OFlag::O_NOCTTY | OFlag::O_CLOEXEC;
        // SAFETY: the descriptor is borrowed, and the argument is a plain number.
        let number = unsafe { tiocgptpeer(ours.as_fd().as_raw_fd(), flags.bits()) }?;
        // SAFETY: the kernel has just made this descriptor for this process, and nobody else knows its number.
        Ok(unsafe { OwnedFd::from_raw_fd(number) })
    }

    pub(super) fn watch(ours: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
        // SAFETY: an OwnedFd owns an open descriptor and gives the same one each time; the AsyncFd lends it out shared only,
        // so that it is neither closed nor replaced before the AsyncFd is dropped.
        unsafe { AsyncFd::register(ours) }.map_err(io::Error::from)
    }

    pub(super) fn set_size(ours: &impl AsFd, size: nix::pty::Winsize) -> io::Result<()> {
        // SAFETY: the descriptor is borrowed, and the size that is read outlives the call.
        unsafe { tiocswinsz(ours.as_fd().as_raw_fd(), &raw const size) }?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_has_the_modes_that_the_client_wants() {
        let size = Size { columns: 132, rows: 70_000, ..Size::default() };
        let modes = [(Pty::ECHO, 0), (Pty::VEOF, 5), (Pty::VSTART, 255), (Pty::TTY_OP_ISPEED, 9600)];
        let (ours, theirs) = make(size, &modes).unwrap();
        let state = tcgetattr(&theirs).unwrap();
        assert!(
            !state.local_flags.contains(LocalFlags::ECHO) && state.local_flags.contains(LocalFlags::ICANON)
        );
        assert_eq!(state.control_chars[SpecialCharacterIndices::VSTART as usize], 0);
        assert_eq!(end_of_input(&ours), 5);
    }

    #[test]
    fn a_terminal_echoes_while_it_shows_whole_lines_and_not_otherwise() {
        let (ours, theirs) = make(Size::default(), &[]).unwrap();
        assert!(echoes(&ours));
        for off in [LocalFlags::ECHO, LocalFlags::ICANON] {
            let mut state = tcgetattr(&theirs).unwrap();
            state.local_flags.remove(off);
            tcsetattr(&theirs, SetArg::TCSANOW, &state).unwrap();
            assert!(!echoes(&ours));
            state.local_flags.insert(off);
            tcsetattr(&theirs, SetArg::TCSANOW, &state).unwrap();
            assert!(echoes(&ours));
        }
    }

    #[test]
    fn the_end_of_the_other_end_is_the_end_of_what_is_read() {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (ours, theirs) = make(Size::default(), &[]).unwrap();
            let ours = watch(ours).unwrap();
            write_all(&ours, b"x").await.unwrap();
            let mut buffer = [0; 16];
            // The echo.
            assert_eq!(read(&ours, &mut buffer).await.unwrap(), 1);
            nix::unistd::write(&theirs, b"last").unwrap();
            drop(theirs);
            assert_eq!(read(&ours, &mut buffer).await.unwrap(), 4);
            assert_eq!(read(&ours, &mut buffer).await.unwrap(), 0);
        });
    }
}
