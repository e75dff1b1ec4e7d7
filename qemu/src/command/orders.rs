//! The small command's way to the running lab: a Unix socket that only the person himself can reach, an order a connection.
//! It never knows what an order means.

use super::options::{self, Order};
use drawbridge_lab::LabError;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

/// The file in the state folder that says where the socket is: a socket's own path may not be long.
const WHERE: &str = "bridge";
/// The most bytes of an order.
const ORDER_BYTES: u64 = 4096;
/// How long either side waits for the other's next word. A try to connect takes up to a minute.
const SILENCE: Duration = Duration::from_mins(4);
/// What begins the last line, which says whether it went well.
const END: char = '\u{4}';

/// Why an order did not get there.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OrderError {
    #[error(
        "no appliance with a bridge runs from {0}. Start one by qemu/run, and leave it running in another terminal"
    )]
    NoneRuns(PathBuf),
    #[error("the running lab ended before it had answered: {0}")]
    Broken(io::Error),
}

/// Sends an order to the lab that runs from this folder, and prints what it says.
pub(crate) fn send(words: &[String], state: &Path) -> Result<ExitCode, OrderError> {
    let none = || OrderError::NoneRuns(state.to_owned());
    let socket = fs::read_to_string(state.join(WHERE)).map_err(|_| none())?;
    let mut stream = UnixStream::connect(socket.trim()).map_err(|_| none())?;
    stream.set_read_timeout(Some(SILENCE)).map_err(OrderError::Broken)?;
    let line = serde_json::json!(words).to_string();
    stream.write_all(format!("{line}\n").as_bytes()).map_err(OrderError::Broken)?;
    for line in BufReader::new(stream).lines() {
        let line = line.map_err(OrderError::Broken)?;
        match line.strip_prefix(END) {
            Some("0") => return Ok(ExitCode::SUCCESS),
            Some(_) => return Ok(ExitCode::FAILURE),
            None => println!("{line}"),
        }
    }
    Err(OrderError::Broken(io::ErrorKind::UnexpectedEof.into()))
}

/// Forgets where the lab that ran from this folder was asked.
pub(crate) fn forget(state: &Path) {
    // What is left says nothing wrong: nobody listens there.
    let _ = fs::remove_file(state.join(WHERE));
}

/// Where orders come in.
pub(crate) struct Orders(UnixListener);

impl Orders {
    /// Listens in a folder that the person alone can open, and notes in the state folder where.
    pub(crate) fn listen(folder: &Path, state: &Path) -> Result<Self, LabError> {
        use std::os::unix::fs::PermissionsExt as _;
        let socket = folder.join("bridge");
        let listener = UnixListener::bind(&socket).map_err(LabError::file("listen at", &socket))?;
        fs::set_permissions(&socket, fs::Permissions::from_mode(0o600))
            .map_err(LabError::file("keep for oneself", &socket))?;
        let socket = std::path::absolute(&socket).map_err(LabError::file("find", &socket))?;
        let note = state.join(WHERE);
        fs::write(&note, format!("{}\n", socket.display())).map_err(LabError::file("write", &note))?;
        Ok(Self(listener))
    }

    /// Has `obey` do what comes in, one after the other, for as long as the program runs.
    pub(crate) fn serve(&self, mut obey: impl FnMut(&Order, &mut dyn FnMut(&str)) -> Result<bool, LabError>) {
        for stream in self.0.incoming() {
            // Who goes away while he is told something has to ask again: nobody else is hurt.
            let _ = stream.and_then(|stream| answer(&stream, &mut obey));
        }
    }
}

fn answer(
    stream: &UnixStream,
    obey: &mut impl FnMut(&Order, &mut dyn FnMut(&str)) -> Result<bool, LabError>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    stream.set_write_timeout(Some(Duration::from_secs(10)))?;
    let mut line = String::new();
    BufReader::new(stream.take(ORDER_BYTES)).read_line(&mut line)?;
    let mut to = stream;
    let mut say = |text: &str| {
        let _ = writeln!(to, "{text}");
    };
    let words = serde_json::from_str::<serde_json::Value>(&line).ok();
    let words = words.as_ref().and_then(serde_json::Value::as_array).map(|words| {
        words.iter().filter_map(serde_json::Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    });
    let is_well = match options::order(&words.unwrap_or_default()) {
        Ok(order) => obey(&order, &mut say).unwrap_or_else(|error| {
            say(&format!("{error}"));
            false
        }),
        Err(error) => {
            say(&error.to_string());
            false
        }
    };
    say(&format!("{END}{}", u8::from(!is_well)));
    Ok(())
}
