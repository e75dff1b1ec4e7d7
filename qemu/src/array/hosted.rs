//! A simulated array as a program of its own, such as in a namespace of the lab's networks, and the Unix socket by which it is
//! told what to do. It decides nothing.

use super::{Array, Order};
use crate::net::{Namespace, Program};
use crate::{LabError, within};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// The most bytes of an order, and of what is said to it.
const LINE: (u64, u64) = (4096, 16 << 20);
/// How long either side waits for the other's next word.
const SILENCE: Duration = Duration::from_secs(30);
/// How long it may take to start.
const SOON: Duration = Duration::from_secs(20);

/// Where orders come in.
#[derive(Debug)]
pub struct OrderSocket(UnixListener);

impl OrderSocket {
    /// Listens at this path, which the person alone can open afterwards.
    pub fn listen(path: &Path) -> Result<Self, LabError> {
        // One that an earlier run left.
        let _ = fs::remove_file(path);
        let listener = UnixListener::bind(path).map_err(LabError::file("listen at", path))?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o600))
            .map_err(LabError::file("keep for oneself", path))?;
        Ok(Self(listener))
    }

    /// Has the array do what comes in, one after the other, for as long as the program runs.
    pub fn serve(&self, array: &Array) {
        for stream in self.0.incoming() {
            // Who goes away while he is told something has to ask again: nobody else is hurt.
            let _ = stream.and_then(|stream| answer(&stream, array));
        }
    }
}

fn answer(stream: &UnixStream, array: &Array) -> io::Result<()> {
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let mut line = String::new();
    BufReader::new(stream.take(LINE.0)).read_line(&mut line)?;
    let said = Order::parse(&line).map_err(|error| error.to_string());
    let said = said.and_then(|order| array.obey(order).map_err(|error| error.to_string()));
    let mut to = stream;
    match said {
        Ok(text) => writeln!(to, "ok\n{text}"),
        Err(text) => writeln!(to, "no\n{text}"),
    }
}

/// Tells the array that listens at this path something; what it says.
pub fn tell(path: &Path, order: &str) -> Result<String, LabError> {
    let talk = || {
        let mut stream = UnixStream::connect(path)?;
        stream.set_read_timeout(Some(SILENCE))?;
        stream.set_write_timeout(Some(SILENCE))?;
        stream.write_all(format!("{order}\n").as_bytes())?;
        let mut said = String::new();
        stream.take(LINE.1).read_to_string(&mut said)?;
        Ok(said)
    };
    let said = talk().map_err(LabError::file("speak with the array at", path))?;
    match said.split_once('\n') {
        Some(("ok", text)) => Ok(text.trim_end().to_owned()),
        Some(("no", text)) => Err(LabError::Unexpected(format!("the array refuses: {}", text.trim_end()))),
        _ => Err(LabError::Unexpected("the array ended before it had answered".to_owned())),
    }
}

/// An array that runs as a program in a namespace. Dropped, it is gone.
#[derive(Debug)]
pub struct HostedArray {
    orders: PathBuf,
    certificate: CertificateDer<'static>,
    _program: Program,
}

impl HostedArray {
    /// Starts the lab's own command (`program`) as an array at this address of the namespace, and waits until it listens.
    /// `names` are those of its certificate, the first its own; `keep` is where key and certificate are kept for another run.
    pub fn start(
        namespace: &Namespace,
        program: &Path,
        listen: SocketAddr,
        names: &[&str],
        keep: Option<&Path>,
    ) -> Result<Self, LabError> {
        let (orders, pem) = (namespace.file("array.orders"), namespace.file("array.pem"));
        let mut command = Command::new(program);
        command.args(["array", "--listen", &listen.to_string()]);
        command.arg("--orders").arg(&orders).arg("--certificate").arg(&pem);
        command.args(names.iter().flat_map(|name| ["--name", name]));
        if let Some(keep) = keep {
            command.arg("--keep").arg(keep);
        }
        let program = namespace.run_command(command)?;
        program.wait_for("ready ", within(SOON))?;
        let text = fs::read(&pem).map_err(LabError::file("read", &pem))?;
        let certificate = CertificateDer::from_pem_slice(&text)
            .map_err(|error| LabError::Unexpected(format!("{}: {error}", pem.display())))?;
        Ok(Self { orders, certificate, _program: program })
    }

    /// Its certificate.
    pub fn certificate_der(&self) -> &[u8] {
        &self.certificate
    }

    /// SHA-256 of its certificate.
    pub fn fingerprint(&self) -> [u8; 32] {
        super::sha256(&self.certificate)
    }

    /// The socket by which it is told what to do.
    pub fn orders(&self) -> &Path {
        &self.orders
    }

    /// Tells it something, such as `down` ([`super::ORDERS`]); what it says.
    pub fn tell(&self, order: &str) -> Result<String, LabError> {
        tell(&self.orders, order)
    }
}
