//! A raw connection to a network: frames out, frames in. It answers nothing by itself, not even ARP.

use super::cable::Frame;
use super::network::{CableHandle, Network, Signal};
use super::switch::PortId;
use std::sync::Arc;
use std::time::Duration;

/// A raw connection. Dropped, it is unplugged.
#[derive(Debug)]
pub struct Tap {
    network: Network,
    port: PortId,
    signal: Arc<Signal>,
}

impl Network {
    /// A raw connection to the network.
    pub fn tap(&self, name: &str) -> Tap {
        let (port, signal) = self.add_tap(name);
        Tap { network: self.clone(), port, signal }
    }
}

impl Tap {
    /// Sends a frame as it is.
    pub fn send(&self, frame: &[u8]) {
        self.send_all([frame.into()]);
    }

    /// Sends frames, one after the other.
    pub(super) fn send_all(&self, frames: impl IntoIterator<Item = Frame>) {
        if let Some(tap) = self.network.shared.lock().tap(self.port) {
            tap.to_send.extend(frames);
        }
        self.network.shared.wake();
    }

    /// The next frame that came (broadcasts, what is for an address that sent from here, what the switch floods).
    pub fn receive(&self, within: Duration) -> Option<Frame> {
        self.network.shared.wait(&self.signal, within, |core| core.tap(self.port)?.received.pop_front())
    }

    /// All frames that came and were not taken.
    pub fn drain(&self) -> Vec<Frame> {
        self.network
            .shared
            .lock()
            .tap(self.port)
            .map(|tap| tap.received.drain(..).collect())
            .unwrap_or_default()
    }

    /// The cable that connects it.
    pub fn cable(&self) -> CableHandle {
        CableHandle::new(self.network.clone(), self.port)
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.network.shared.lock().remove_end(self.port);
    }
}
