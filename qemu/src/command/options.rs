//! The command line as options. It looks at no file.

use drawbridge_lab::NicModel;
use std::ffi::OsString;
use std::path::PathBuf;

/// What `lab --help` prints.
pub(crate) const USAGE: &str = "\
Usage: lab run --image DIR [OPTION...]

Boots the appliance in a virtual machine. `lab run --help` lists the options.
";

/// What `lab run --help` prints.
pub(crate) const RUN_USAGE: &str = "\
  --image DIR     the built images: bzImage, initramfs.zst, cmdline, system.efi and disk.img
  --state DIR     where the machine's disk is kept, so that settings survive (image DIR/state)
  --port PORT     the port of 127.0.0.1 at which the console is to be reached (9000)
  --direct        start the kernel directly, without UEFI firmware (the firmware takes 5 s more)
  --memory MIB    the machine's memory in MiB (256)
  --nic MODEL     its network cards: virtio-net-pci, e1000, e1000e or igb (virtio-net-pci)
  --once          end with status 0 once the console has answered and the machine was shut down
  --quiet         do not show the serial line
  --help          this text
";

/// What a person wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Help,
    HelpForRun,
    Run(RunOptions),
}

/// How to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunOptions {
    pub(crate) image: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) port: u16,
    pub(crate) direct: bool,
    pub(crate) memory: u32,
    pub(crate) nic: NicModel,
    pub(crate) once: bool,
    pub(crate) quiet: bool,
}

/// What is wrong with a command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OptionError {
    #[error("there is no command {0:?}; there is `lab run`")]
    Command(OsString),
    #[error("there is no option {0:?}; `lab run --help` lists them")]
    Unknown(OsString),
    #[error("{0} needs a value")]
    NoValue(&'static str),
    #[error("{option} {value:?} is not {wanted}")]
    Value { option: &'static str, value: OsString, wanted: &'static str },
    #[error("--image DIR must say where the images are; `drawbridge-image all --out DIR` makes them")]
    NoImage,
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Wish, OptionError> {
    let mut arguments = arguments.into_iter();
    match arguments.next() {
        None => Ok(Wish::Help),
        Some(word) if word == "run" => parse_run(arguments),
        Some(word) if word == "help" || word == "--help" || word == "-h" => Ok(Wish::Help),
        Some(word) => Err(OptionError::Command(word)),
    }
}

fn parse_run(mut arguments: impl Iterator<Item = OsString>) -> Result<Wish, OptionError> {
    let (mut image, mut state) = (None, None);
    let (mut port, mut memory, mut nic) = (9000, 256, NicModel::VirtioNet);
    let (mut direct, mut once, mut quiet) = (false, false, false);
    while let Some(word) = arguments.next() {
        // Both `--port 9001` and `--port=9001`.
        let (name, joined) = split(&word);
        let mut value =
            |option| joined.clone().or_else(|| arguments.next()).ok_or(OptionError::NoValue(option));
        match name.as_str() {
            "--image" => image = Some(PathBuf::from(value("--image")?)),
            "--state" => state = Some(PathBuf::from(value("--state")?)),
            "--port" => port = number("--port", value("--port")?, 0..=65535, "a port (0 to 65535)")?,
            "--memory" => {
                let wanted = "a number of MiB from 32 to 65536";
                memory = number("--memory", value("--memory")?, 32..=65536, wanted)?;
            }
            "--nic" => nic = model(value("--nic")?)?,
            "--direct" => direct = true,
            "--once" => once = true,
            "--quiet" => quiet = true,
            "--help" | "-h" => return Ok(Wish::HelpForRun),
            _ => return Err(OptionError::Unknown(word)),
        }
    }
    let image = image.ok_or(OptionError::NoImage)?;
    let state = state.unwrap_or_else(|| image.join("state"));
    Ok(Wish::Run(RunOptions { image, state, port, direct, memory, nic, once, quiet }))
}

fn split(word: &OsString) -> (String, Option<OsString>) {
    match word.to_str().and_then(|text| text.split_once('=')) {
        Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.into())),
        _ => (word.to_string_lossy().into_owned(), None),
    }
}

fn number<T: TryFrom<u32>>(
    option: &'static str,
    value: OsString,
    range: std::ops::RangeInclusive<u32>,
    wanted: &'static str,
) -> Result<T, OptionError> {
    let parsed = value.to_str().and_then(|text| text.parse::<u32>().ok());
    let fitting = parsed.filter(|number| range.contains(number)).and_then(|number| T::try_from(number).ok());
    fitting.ok_or(OptionError::Value { option, value, wanted })
}

fn model(value: OsString) -> Result<NicModel, OptionError> {
    let found = NicModel::ALL.into_iter().find(|model| value == model.device());
    let wanted = "virtio-net-pci, e1000, e1000e or igb";
    found.ok_or(OptionError::Value { option: "--nic", value, wanted })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(words: &[&str]) -> Result<Wish, OptionError> {
        parse(words.iter().map(OsString::from))
    }

    #[test]
    fn options_have_their_defaults_and_are_taken_in_both_forms() {
        let Ok(Wish::Run(options)) = parsed(&["run", "--image", "x"]) else { panic!("no run") };
        assert_eq!((options.port, options.memory, options.direct, options.once), (9000, 256, false, false));
        assert_eq!(options.state, PathBuf::from("x/state"));
        let words = ["run", "--image=x", "--port=9001", "--state", "y", "--once", "--nic", "e1000e"];
        let Ok(Wish::Run(options)) = parsed(&words) else { panic!("no run") };
        assert_eq!((options.port, options.nic, options.once), (9001, NicModel::E1000e, true));
        assert_eq!(options.state, PathBuf::from("y"));
    }

    #[test]
    fn a_wrong_command_line_is_told_what_is_wrong() {
        for (words, said) in [
            (&["fly"][..], "there is no command"),
            (&["run"], "--image DIR must say"),
            (&["run", "--image"], "--image needs a value"),
            (&["run", "--image=x", "--port", "70000"], "is not a port"),
            (&["run", "--image=x", "--memory", "-1"], "is not a number of MiB"),
            (&["run", "--image=x", "--nic", "ne2000"], "is not virtio-net-pci"),
            (&["run", "--image=x", "--fast"], "there is no option"),
        ] {
            let error = parsed(words).unwrap_err().to_string();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}
