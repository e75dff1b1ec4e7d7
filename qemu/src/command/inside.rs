//! The storage array beside the appliance, on the network of the port that is for it. It is the same one in each run with the same
//! state, since the appliance knows it by its certificate.

use drawbridge_lab::array::HostedArray;
use drawbridge_lab::net::{Namespace, NamespaceConfig, Network};
use drawbridge_lab::{LabError, Machine};
use ring::rand::SecureRandom as _;
use std::fmt::Write as _;
use std::fs;
use std::io::Write as _;
use std::net::Ipv4Addr;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

/// Where it is, on the array's network.
pub(crate) const ARRAY: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 10);
/// The port of its management layer.
const PORT: u16 = 443;
/// The administrator's name there.
pub(crate) const ADMINISTRATOR: &str = "anna";
/// What the appliance says when it wants to be told which array it belongs to.
const ASKS: &str = "The console asks for this set-up code: ";

/// The array, while it runs.
pub(crate) struct Inside {
    array: HostedArray,
    password: String,
    _namespace: Namespace,
}

impl Inside {
    /// Starts it. Its key and its administrator's password are kept in `folder`.
    pub(crate) fn start(network: &Network, folder: &Path) -> Result<Self, LabError> {
        fs::create_dir_all(folder).map_err(LabError::file("make", folder))?;
        // Absolute: the program runs elsewhere.
        let folder = folder.canonicalize().map_err(LabError::file("find", folder))?;
        let password = password(&folder.join("password"))?;
        let namespace = network.namespace("array", &NamespaceConfig::new().ipv4(ARRAY, 24))?;
        let program =
            std::env::current_exe().map_err(|error| LabError::System("find the lab's own program", error))?;
        let listen = (ARRAY, PORT).into();
        let keep = folder.join("identity.pem");
        let array = HostedArray::start(&namespace, &program, listen, &["box1.lab"], Some(&keep))?;
        array.tell(&format!("user {ADMINISTRATOR} {password} ADMIN"))?;
        array.tell(&format!("user otto {password} READ_ONLY"))?;
        Ok(Self { array, password, _namespace: namespace })
    }

    /// The socket by which it is told what to do.
    pub(crate) fn orders(&self) -> &Path {
        self.array.orders()
    }

    /// The administrator's password.
    pub(crate) fn password(&self) -> &str {
        &self.password
    }

    /// SHA-256 of its certificate, as people compare it.
    pub(crate) fn fingerprint(&self) -> String {
        let pairs: Vec<String> = self.array.fingerprint().iter().map(|byte| format!("{byte:02X}")).collect();
        pairs.join(":")
    }

    /// The set-up code that the appliance shows on its serial line, if it shows one.
    pub(crate) fn setup_code(machine: &Machine) -> Option<String> {
        let text = machine.serial().text();
        let at = text.rfind(ASKS)?;
        let code: String = text[at + ASKS.len()..].chars().take_while(|char| !char.is_whitespace()).collect();
        Some(code)
    }

    /// Writes what a program needs to drive the console (`facts.json`): addresses and credentials of this run, for the person alone.
    pub(crate) fn write_facts(
        &self,
        folder: &Path,
        console: &str,
        machine: &Machine,
    ) -> Result<(), LabError> {
        let facts = serde_json::json!({
            "console": console,
            "array": ARRAY.to_string(),
            "array_fingerprint": self.fingerprint(),
            "array_orders": self.orders(),
            "user": ADMINISTRATOR,
            "viewer": "otto",
            "password": self.password,
            "setup_code": Self::setup_code(machine),
        });
        let file = folder.join("facts.json");
        private(&file, facts.to_string().as_bytes()).map_err(LabError::file("write", &file))?;
        let file = folder.join("array.orders");
        let orders = self.orders().display().to_string();
        private(&file, orders.as_bytes()).map_err(LabError::file("write", &file))
    }
}

/// A file that nobody else may read, in the place of an earlier one.
fn private(file: &Path, content: &[u8]) -> std::io::Result<()> {
    let _ = fs::remove_file(file);
    fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(file)?.write_all(content)
}

fn password(file: &Path) -> Result<String, LabError> {
    if let Ok(kept) = fs::read_to_string(file) {
        return Ok(kept.trim().to_owned());
    }
    let mut bytes = [0; 8];
    ring::rand::SystemRandom::new()
        .fill(&mut bytes)
        .map_err(|_| LabError::Unexpected("this machine has no random bytes".to_owned()))?;
    let mut password = String::new();
    for byte in bytes {
        // Writing to a string cannot fail.
        let _ = write!(password, "{byte:02x}");
    }
    private(file, password.as_bytes()).map_err(LabError::file("write", file))?;
    Ok(password)
}
