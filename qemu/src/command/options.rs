//! The command line as options. It looks at no file.

use super::array::ArrayOptions;
use drawbridge_lab::NicModel;
use std::ffi::OsString;
use std::path::PathBuf;

/// What `lab --help` prints.
pub(crate) const USAGE: &str = "\
Usage: lab run --image DIR [OPTION...]
       lab bridge ORDER --state DIR
       lab array [OPTION...]

`run` boots the appliance in a virtual machine, with a Remote Support Server and a proxy beside it. `lab run --help` lists
the options. `bridge` lowers and raises the bridge of a running one; `lab bridge --help` lists its orders.
`array` runs a simulated storage array, or tells a running one what to do. `lab array --help` lists options and orders.
";

/// What `lab array --help` prints, before the orders.
pub(crate) const ARRAY_USAGE: &str = "\
  --listen ADDRESS:PORT  where it is to be reached (127.0.0.1:8443)
  --name NAME            a name of its certificate, and the first one's first part the system's (box1.lab); may be repeated
  --serial N             the system's serial number (1001)
  --certificate FILE     where its certificate is written, in PEM
  --keep FILE            where its key and certificate are kept, so that it is the same one the next time
  --orders FILE          the Unix socket at which it takes orders; it takes them from its input, too
  --tell ORDER           start nothing: tell the array that listens at --orders this
  --help                 this text

Orders, a line each:
";

/// What `lab run --help` prints.
pub(crate) const RUN_USAGE: &str = "\
  --image DIR     the built images: bzImage, initramfs.zst, cmdline, system.efi and disk.img
  --state DIR     where the machine's disk is kept, so that settings survive (image DIR/state)
  --port PORT     the port of 127.0.0.1 at which the console is to be reached (9000)
  --ssh-port PORT the port of 127.0.0.1 at which engineers' ssh reaches the Remote Support Server (2222)
  --uefi          start the disk by UEFI firmware, as a server does. Such an appliance answers no questions over the lab's
                  line, and has no Remote Support Server beside it: the console and the array are there
  --tour          show it all: open a session, let an engineer in, cut him off. Ends with status 0 when all of it was so
  --memory MIB    the machine's memory in MiB (256)
  --nic MODEL     its network cards: virtio-net-pci, e1000, e1000e or igb (virtio-net-pci)
  --once          end with status 0 once the console has answered and the machine was shut down
  --quiet         do not show the serial line
  --help          this text
";

/// What `lab bridge --help` prints.
pub(crate) const BRIDGE_USAGE: &str = "\
  open            lower the bridge: offers a secret, connects, and prints the ssh line that gets in
    --minutes N     how long (60)
    --name TEXT     what the session is called (\"a session of the lab\")
    --direct        do not go through the proxy; no way leads out, which shows what the owner is told then
  status          where the bridge stands, and who is in
  test            test the way, step by step, without lowering the bridge
    --direct        the same
  way             what the owner is told by the vendor, for the console's page Connection, with a fresh enrolment token
    --direct        the same
  engineer        the ssh line that gets in, once the bridge is lowered, and the program that answers ssh's question for the secret
  close           raise the bridge
  --state DIR     the state folder of the running appliance
";

/// What is asked of a running appliance's bridge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Order {
    Open { minutes: u32, name: String, direct: bool },
    Status,
    Test { direct: bool },
    Way { direct: bool },
    Engineer,
    Close,
}

/// What a person wants.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    Help,
    HelpForRun,
    Run(RunOptions),
    HelpForBridge,
    /// The order, its words (to be sent), and the state folder.
    Bridge(Vec<String>, PathBuf),
    HelpForArray,
    Array(ArrayOptions),
    /// The array's socket, and an order.
    TellArray(PathBuf, String),
}

/// When it ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// When the person or the appliance ends it.
    WhenTold,
    /// When the console has answered.
    OnceUp,
    /// When the tour is over.
    AfterTour,
}

/// How to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RunOptions {
    pub(crate) image: PathBuf,
    pub(crate) state: PathBuf,
    pub(crate) port: u16,
    pub(crate) ssh_port: u16,
    pub(crate) uefi: bool,
    pub(crate) end: End,
    pub(crate) memory: u32,
    pub(crate) nic: NicModel,
    pub(crate) quiet: bool,
}

/// What is wrong with a command line.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OptionError {
    #[error("there is no command {0:?}; there are `lab run`, `lab bridge` and `lab array`")]
    Command(OsString),
    #[error("there is no option {0:?}; `lab run --help` lists them")]
    Unknown(OsString),
    #[error("{0} needs a value")]
    NoValue(&'static str),
    #[error("{option} {value:?} is not {wanted}")]
    Value { option: &'static str, value: OsString, wanted: &'static str },
    #[error("--image DIR must say where the images are; `drawbridge-image all --out DIR` makes them")]
    NoImage,
    #[error(
        "--tour needs the lab's line to the appliance, which one that is started by --uefi does not have"
    )]
    TourByUefi,
    #[error("--once and --tour end each in its own way: choose one")]
    Both,
    #[error("there is no order {0:?}; `lab bridge --help` lists them")]
    Order(String),
    #[error("{0:?} is not text")]
    NotText(OsString),
    #[error("--state DIR must say which running appliance is meant")]
    NoState,
    #[error("--orders FILE must say which running array is meant")]
    NoOrders,
}

/// Reads the arguments that follow the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Wish, OptionError> {
    let mut arguments = arguments.into_iter();
    match arguments.next() {
        None => Ok(Wish::Help),
        Some(word) if word == "run" => parse_run(arguments),
        Some(word) if word == "bridge" => parse_bridge(arguments),
        Some(word) if word == "array" => parse_array(arguments),
        Some(word) if word == "help" || word == "--help" || word == "-h" => Ok(Wish::Help),
        Some(word) => Err(OptionError::Command(word)),
    }
}

fn parse_run(mut arguments: impl Iterator<Item = OsString>) -> Result<Wish, OptionError> {
    let (mut image, mut state) = (None, None);
    let (mut port, mut memory, mut nic) = (9000, 256, NicModel::VirtioNet);
    let mut ssh_port = 2222;
    let (mut uefi, mut tour, mut once, mut quiet) = (false, false, false, false);
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
            "--ssh-port" => {
                ssh_port = number("--ssh-port", value("--ssh-port")?, 0..=65535, "a port (0 to 65535)")?;
            }
            "--uefi" => uefi = true,
            "--tour" => tour = true,
            "--once" => once = true,
            "--quiet" => quiet = true,
            "--help" | "-h" => return Ok(Wish::HelpForRun),
            _ => return Err(OptionError::Unknown(word)),
        }
    }
    let image = image.ok_or(OptionError::NoImage)?;
    if tour && uefi {
        return Err(OptionError::TourByUefi);
    }
    if tour && once {
        return Err(OptionError::Both);
    }
    let state = state.unwrap_or_else(|| image.join("state"));
    let end = match (once, tour) {
        (true, _) => End::OnceUp,
        (false, true) => End::AfterTour,
        (false, false) => End::WhenTold,
    };
    Ok(Wish::Run(RunOptions { image, state, port, ssh_port, uefi, end, memory, nic, quiet }))
}

fn parse_array(mut arguments: impl Iterator<Item = OsString>) -> Result<Wish, OptionError> {
    let (mut listen, mut serial) = ((std::net::Ipv4Addr::LOCALHOST, 8443).into(), 1001);
    let (mut names, mut orders, mut certificate, mut keep, mut tell) = (Vec::new(), None, None, None, None);
    while let Some(word) = arguments.next() {
        let (name, joined) = split(&word);
        let mut value =
            |option| joined.clone().or_else(|| arguments.next()).ok_or(OptionError::NoValue(option));
        let text = |value: OsString| value.into_string().map_err(OptionError::NotText);
        match name.as_str() {
            "--listen" => {
                let given = value("--listen")?;
                let wanted = "an address and port, such as 127.0.0.1:8443";
                let wrong = |value| OptionError::Value { option: "--listen", value, wanted };
                listen = given.to_str().and_then(|text| text.parse().ok()).ok_or_else(|| wrong(given))?;
            }
            "--name" => names.push(text(value("--name")?)?),
            "--serial" => {
                serial = number("--serial", value("--serial")?, 1..=u32::MAX, "a number from 1")?;
            }
            "--certificate" => certificate = Some(PathBuf::from(value("--certificate")?)),
            "--keep" => keep = Some(PathBuf::from(value("--keep")?)),
            "--orders" => orders = Some(PathBuf::from(value("--orders")?)),
            "--tell" => tell = Some(text(value("--tell")?)?),
            "--help" | "-h" | "help" => return Ok(Wish::HelpForArray),
            _ => return Err(OptionError::Unknown(word)),
        }
    }
    if let Some(order) = tell {
        return Ok(Wish::TellArray(orders.ok_or(OptionError::NoOrders)?, order));
    }
    if names.is_empty() {
        names.push("box1.lab".to_owned());
    }
    Ok(Wish::Array(ArrayOptions { listen, names, serial, orders, certificate, keep }))
}

/// The words of an order may come in any place; what they mean is looked at here, and once more by who gets them.
fn parse_bridge(mut arguments: impl Iterator<Item = OsString>) -> Result<Wish, OptionError> {
    let (mut words, mut state) = (Vec::new(), None);
    while let Some(word) = arguments.next() {
        let (name, joined) = split(&word);
        match name.as_str() {
            "--state" => {
                state = Some(PathBuf::from(
                    joined.or_else(|| arguments.next()).ok_or(OptionError::NoValue("--state"))?,
                ));
            }
            "--help" | "-h" | "help" => return Ok(Wish::HelpForBridge),
            _ => words.push(word.into_string().map_err(OptionError::NotText)?),
        }
    }
    if words.is_empty() {
        return Ok(Wish::HelpForBridge);
    }
    order(&words)?;
    Ok(Wish::Bridge(words, state.ok_or(OptionError::NoState)?))
}

/// What the words of an order mean.
pub(crate) fn order(words: &[String]) -> Result<Order, OptionError> {
    let (mut minutes, mut name, mut direct) = (60, "a session of the lab".to_owned(), false);
    let (verb, options) = words.split_first().ok_or(OptionError::Order(String::new()))?;
    let mut options = options.iter();
    while let Some(word) = options.next() {
        let (option, joined) = match word.split_once('=') {
            Some((option, value)) => (option, Some(value.to_owned())),
            None => (word.as_str(), None),
        };
        let mut value =
            |option| joined.clone().or_else(|| options.next().cloned()).ok_or(OptionError::NoValue(option));
        match (verb.as_str(), option) {
            ("open", "--minutes") => {
                let wanted = "a number of minutes from 1 to 40320";
                minutes = number("--minutes", value("--minutes")?.into(), 1..=40320, wanted)?;
            }
            ("open", "--name") => name = value("--name")?,
            ("open" | "test" | "way", "--direct") => direct = true,
            _ => return Err(OptionError::Unknown(word.into())),
        }
    }
    match verb.as_str() {
        "open" => Ok(Order::Open { minutes, name, direct }),
        "status" => Ok(Order::Status),
        "test" => Ok(Order::Test { direct }),
        "way" => Ok(Order::Way { direct }),
        "engineer" => Ok(Order::Engineer),
        "close" => Ok(Order::Close),
        _ => Err(OptionError::Order(verb.clone())),
    }
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
        assert_eq!(
            (options.port, options.memory, options.uefi, options.end),
            (9000, 256, false, End::WhenTold)
        );
        assert_eq!(options.state, PathBuf::from("x/state"));
        let words = ["run", "--image=x", "--port=9001", "--state", "y", "--once", "--nic", "e1000e"];
        let Ok(Wish::Run(options)) = parsed(&words) else { panic!("no run") };
        assert_eq!((options.port, options.nic, options.end), (9001, NicModel::E1000e, End::OnceUp));
        assert_eq!(options.state, PathBuf::from("y"));
    }

    #[test]
    fn an_order_to_the_bridge_is_understood_as_it_is_sent() {
        let words = ["bridge", "--state=y", "open", "--minutes=5", "--name", "case 7", "--direct"];
        let Ok(Wish::Bridge(words, state)) = parsed(&words) else { panic!("no order") };
        assert_eq!(state, PathBuf::from("y"));
        assert_eq!(
            order(&words).unwrap(),
            Order::Open { minutes: 5, name: "case 7".to_owned(), direct: true }
        );
        assert_eq!(parsed(&["bridge"]).unwrap(), Wish::HelpForBridge);
    }

    #[test]
    fn an_array_is_started_or_told_something() {
        let Ok(Wish::Array(options)) = parsed(&["array", "--name=a.lab", "--name", "b.lab", "--serial=7"])
        else {
            panic!("no array")
        };
        assert_eq!((options.names.len(), options.serial, options.listen.port()), (2, 7, 8443));
        let told = Wish::TellArray("x".into(), "slow 5".to_owned());
        assert_eq!(parsed(&["array", "--orders", "x", "--tell", "slow 5"]).unwrap(), told);
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
            (&["run", "--image=x", "--tour", "--uefi"], "--tour needs"),
            (&["run", "--image=x", "--tour", "--once"], "choose one"),
            (&["bridge", "burn", "--state", "x"], "there is no order"),
            (&["bridge", "open"], "--state DIR must say"),
            (&["bridge", "open", "--minutes", "0", "--state=x"], "is not a number of minutes"),
            (&["bridge", "close", "--direct", "--state=x"], "there is no option"),
            (&["array", "--listen", "here"], "is not an address and port"),
            (&["array", "--tell", "down"], "--orders FILE must say"),
        ] {
            let error = parsed(words).unwrap_err().to_string();
            assert!(error.contains(said), "{words:?}: {error}");
        }
    }
}
