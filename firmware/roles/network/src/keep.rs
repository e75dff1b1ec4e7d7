//! What the role keeps below `/data/network`, and what it knows of the machine. It never applies a setting.

use crate::cards;
use crate::ports::{Kind, Table};
use crate::system;
use drawbridge_settings::board::Board;
use drawbridge_settings::network::{HostName, NetworkSettings};
use drawbridge_settings::store::{Loaded, Store};
use std::path::{Path, PathBuf};

/// The name of a host of which nothing is known that tells it from others.
const NAMELESS: &str = "support-appliance";

/// Settings, secret and board.
#[derive(Debug)]
pub(crate) struct Keep {
    store: Store,
    board: &'static Board,
    secret: u128,
    remark: Option<String>,
}

impl Keep {
    /// Looks at the machine, and reads or makes the secret.
    pub(crate) fn open(folder: &Path) -> Self {
        let (vendor, product) = cards::machine();
        let board = Board::find(&vendor, &product);
        log::info!("the ports have the defaults of the board {}", board.name());
        Self { store: Store::at(folder), board, secret: secret(&folder.join("secret")), remark: None }
    }

    /// The settings: those that are kept, or what can be had in their place.
    pub(crate) fn load(&mut self) -> NetworkSettings {
        let loaded: Loaded<NetworkSettings> = self.store.load();
        self.remark = loaded.is_troubled().then(|| loaded.sentence());
        if let Some(remark) = &self.remark {
            log::warn!("{remark}");
        }
        loaded.value
    }

    /// Keeps settings; tells whether they are kept.
    pub(crate) fn save(&mut self, settings: &NetworkSettings) -> bool {
        match self.store.save(settings) {
            Ok(()) => {
                self.remark = None;
                true
            }
            Err(error) => {
                log::error!("the settings of the network cannot be kept: {error}");
                false
            }
        }
    }

    /// What is to be known of the settings, each a sentence.
    pub(crate) fn remarks(&self) -> Vec<String> {
        self.remark.iter().cloned().collect()
    }

    /// The machine's board.
    pub(crate) fn board(&self) -> &'static Board {
        self.board
    }

    /// What stable IPv6 addresses are made of (RFC 7217): the same as long as the disk is.
    pub(crate) fn secret(&self) -> u128 {
        self.secret
    }
}

/// The name of the host: the one that is set, else one made of the first port's hardware address.
pub(crate) fn host_name(settings: &NetworkSettings, table: &Table) -> String {
    if let Some(name) = &settings.host_name {
        return name.to_string();
    }
    let ports = table.entries().filter(|entry| entry.link.kind == Kind::Port);
    // The smallest, not the first that was found: that one may be another at the next start.
    match ports.map(|entry| entry.link.permanent_mac).min() {
        Some([.., a, b, c]) => format!("sa-{a:02x}{b:02x}{c:02x}"),
        None => NAMELESS.to_owned(),
    }
}

/// The host name as a type; a made one always is one.
pub(crate) fn typed(name: &str) -> Option<HostName> {
    name.parse().ok()
}

fn secret(path: &PathBuf) -> u128 {
    let kept = std::fs::read(path).ok().and_then(|bytes| <[u8; 16]>::try_from(bytes).ok());
    if let Some(bytes) = kept {
        return u128::from_be_bytes(bytes);
    }
    let half = || system::random_number().map(u128::from);
    let secret = match (half(), half()) {
        (Ok(high), Ok(low)) => high << 64 | low,
        (Err(error), _) | (_, Err(error)) => {
            log::warn!("no secret for IPv6 addresses: {error}");
            return 1;
        }
    };
    // Not written whole: a torn one has another length and is made anew, and the addresses change once more.
    if let Err(error) = std::fs::write(path, secret.to_be_bytes()) {
        log::warn!("the secret for IPv6 addresses cannot be kept, so they change at the next start: {error}");
    }
    secret
}
