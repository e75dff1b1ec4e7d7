//! A recording taken away: as a tar file of the form that the appliance's console gives, which `verify` takes, or a terminal of it for
//! players. Of one that still comes in, what is proved so far.

use super::Kept;
use crate::Trouble;
use crate::evidence::Tar;
use drawbridge_recording::{Bundle, Files as _, FolderFiles, cast};
use std::fs::OpenOptions;
use std::io::{self, BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// As what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// A tar file of all of it.
    Tar,
    /// A terminal, as an asciicast; none: the first.
    Cast(Option<u32>),
    /// A terminal's own file, for `ttyplay`; none: the first.
    Ttyrec(Option<u32>),
}

pub(super) fn export(kept: &Kept, form: Form, to: Option<PathBuf>) -> Result<(), Trouble> {
    let end = match form {
        Form::Tar => "tar",
        Form::Cast(_) => "cast",
        Form::Ttyrec(_) => "ttyrec",
    };
    let to = to.unwrap_or_else(|| PathBuf::from(format!("drawbridge-{}.{end}", kept.line.name)));
    let fault = |error: io::Error| Trouble::new(format!("{} cannot be written: {error}", to.display()));
    if to == Path::new("-") {
        return write(kept, form, io::stdout().lock());
    }
    // Never over another file: it may be the only copy of something.
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&to).map_err(fault)?;
    let done = write(kept, form, &file).and_then(|()| file.sync_all().map_err(fault));
    if done.is_err() {
        // Half of one would be taken for one that was cut.
        let _ = std::fs::remove_file(&to);
    }
    done
}

fn write(kept: &Kept, form: Form, to: impl Write) -> Result<(), Trouble> {
    let mut to = BufWriter::new(to);
    let fault = |error: io::Error| Trouble::new(format!("the recording cannot be exported: {error}"));
    match form {
        Form::Tar => tar(kept, &mut to).map_err(fault)?,
        Form::Cast(terminal) => {
            let bundle = open(kept)?;
            let mut frames =
                bundle.frames(chosen(&bundle, terminal)?).map_err(|fault| Trouble::new(fault.to_string()))?;
            match cast::export(&mut frames, &mut to) {
                // One that still comes in ends in the middle of a frame.
                Ok(()) | Err(cast::CastFault::Frame(drawbridge_recording::FrameFault::Cut(_))) => {}
                Err(fault) => return Err(Trouble::new(fault.to_string())),
            }
        }
        Form::Ttyrec(terminal) => {
            let bundle = open(kept)?;
            let name = drawbridge_recording::terminal_file(chosen(&bundle, terminal)?);
            let file = FolderFiles::new(&kept.folder).open(&name).map_err(fault)?;
            let mut file = file.ok_or_else(|| Trouble::new(format!("there is no {name}")))?;
            io::copy(&mut file, &mut to).map_err(fault)?;
        }
    }
    to.flush().map_err(fault)
}

pub(super) fn open(kept: &Kept) -> Result<Bundle<FolderFiles>, Trouble> {
    Bundle::open(FolderFiles::new(&kept.folder)).map_err(|fault| Trouble::new(fault.to_string()))
}

/// A terminal of it: the one that was asked for, or the first.
pub(super) fn chosen(bundle: &Bundle<FolderFiles>, terminal: Option<u32>) -> Result<u32, Trouble> {
    let all = bundle.terminals();
    if let Some(recipient) = bundle.recipient() {
        return Err(Trouble::new(format!(
            "it is encrypted to the customer's key {recipient}: export it as tar, and he opens it with verify --open"
        )));
    }
    match terminal {
        Some(wanted) if all.contains(&wanted) => Ok(wanted),
        Some(wanted) => {
            Err(Trouble::new(format!("it has no terminal {wanted}: rss sessions show tells which it has")))
        }
        None => all.first().copied().ok_or_else(|| {
            Trouble::new("it has no terminal: nothing was shown; rss sessions show tells what happened")
        }),
    }
}

fn tar(kept: &Kept, to: &mut impl Write) -> io::Result<()> {
    io::copy(&mut Tar::open(&kept.folder, &kept.line.name, kept.line.chain)?, to).map(drop)
}
