//! What is plugged into a port. An end only queues: it never forwards.

use super::cable::Frame;
use super::wire::{self, Decoder};
use mio::net::{UnixListener, UnixStream};
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Read as _, Write as _};
use std::os::fd::{AsRawFd as _, OwnedFd};
use std::sync::Arc;

/// What is plugged into a port.
#[derive(Debug)]
pub(super) enum End {
    Nic(Box<NicEnd>),
    /// The index of the host's stack.
    Host(usize),
    Tap(TapEnd),
    Device(DeviceEnd),
    /// It was taken out for good.
    Nothing,
}

/// Frames a tap's owner has not taken: the oldest are lost beyond this.
const TAP_LIMIT: usize = 200_000;

/// A raw connection: frames in both directions.
#[derive(Debug, Default)]
pub(super) struct TapEnd {
    pub(super) received: VecDeque<Frame>,
    pub(super) to_send: VecDeque<Frame>,
    pub(super) signal: Arc<super::network::Signal>,
}

impl TapEnd {
    pub(super) fn deliver(&mut self, frame: Frame) {
        if self.received.len() >= TAP_LIMIT {
            self.received.pop_front();
        }
        self.received.push_back(frame);
        self.signal.raise();
    }
}

/// Bytes that a machine has not taken: what comes beyond this is lost, as on a card whose ring is full.
const OUT_LIMIT: usize = 4 << 20;

/// Bytes taken from one machine before others get their turn.
const READ_BUDGET: usize = 256 << 10;

/// A machine's network card, or the place for one.
#[derive(Debug)]
pub(super) struct NicEnd {
    listener: UnixListener,
    stream: Option<UnixStream>,
    decoder: Decoder,
    /// What was read last.
    piece: Vec<u8>,
    out: Vec<u8>,
    written: usize,
    readable: bool,
    pub(super) connections: u64,
    stream_token: Token,
}

impl NicEnd {
    pub(super) fn new(listener: UnixListener, stream_token: Token) -> Self {
        Self {
            listener,
            stream: None,
            decoder: Decoder::default(),
            piece: vec![0; 64 << 10],
            out: Vec::new(),
            written: 0,
            readable: false,
            connections: 0,
            stream_token,
        }
    }

    /// Takes what connects. A new machine takes the place of the one before.
    pub(super) fn accept(&mut self, registry: &Registry) {
        while let Ok((mut stream, _)) = self.listener.accept() {
            self.hang_up(registry);
            let both = Interest::READABLE | Interest::WRITABLE;
            if registry.register(&mut stream, self.stream_token, both).is_ok() {
                self.stream = Some(stream);
                self.readable = true;
                self.connections += 1;
            }
        }
    }

    pub(super) fn mark_readable(&mut self) {
        self.readable = true;
    }

    /// Whether there may be more to read at once.
    pub(super) fn is_readable(&self) -> bool {
        self.readable && self.stream.is_some()
    }

    pub(super) fn is_connected(&self) -> bool {
        self.stream.is_some()
    }

    /// Reads what is there, up to the budget.
    pub(super) fn read(&mut self, registry: &Registry, mut take: impl FnMut(Frame)) {
        let mut budget = READ_BUDGET;
        while self.readable && budget > 0 {
            let Some(stream) = &mut self.stream else { return };
            match stream.read(&mut self.piece) {
                Ok(0) => return self.hang_up(registry),
                Ok(count) => {
                    budget = budget.saturating_sub(count);
                    self.decoder.push(self.piece.get(..count).unwrap_or_default());
                    loop {
                        match self.decoder.next_frame() {
                            Ok(Some(frame)) => take(frame.into()),
                            Ok(None) => break,
                            Err(_) => return self.hang_up(registry),
                        }
                    }
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.readable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return self.hang_up(registry),
            }
        }
    }

    /// Queues a frame; false when it is lost.
    pub(super) fn deliver(&mut self, frame: &[u8]) -> bool {
        self.stream.is_some()
            && self.out.len() - self.written < OUT_LIMIT
            && wire::encode(frame, &mut self.out)
    }

    /// Writes out what is queued, as far as the machine takes it.
    pub(super) fn flush(&mut self, registry: &Registry) {
        while let Some(rest) = self.out.get(self.written..).filter(|rest| !rest.is_empty()) {
            let Some(stream) = &mut self.stream else { break };
            match stream.write(rest) {
                Ok(count) => self.written += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => {
                    // What is written is cut off now and then, so that a slow reader does not make the buffer grow.
                    if self.written > OUT_LIMIT / 4 {
                        self.out.drain(..self.written);
                        self.written = 0;
                    }
                    return;
                }
                Err(_) => return self.hang_up(registry),
            }
        }
        self.out.clear();
        self.written = 0;
    }

    fn hang_up(&mut self, registry: &Registry) {
        if let Some(mut stream) = self.stream.take() {
            let _ = registry.deregister(&mut stream);
        }
        self.decoder = Decoder::default();
        self.out.clear();
        self.written = 0;
        self.readable = false;
    }
}

/// A network device of a namespace, whose frames a packet socket takes and gives. With the socket it leaves the event loop.
#[derive(Debug)]
pub(super) struct DeviceEnd {
    /// read(2) and write(2) take and give one frame each (packet(7)).
    socket: File,
    piece: Vec<u8>,
    readable: bool,
}

impl DeviceEnd {
    /// For a socket that does not block.
    pub(super) fn new(socket: OwnedFd, registry: &Registry, token: Token) -> std::io::Result<Self> {
        registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
        Ok(Self { socket: socket.into(), piece: vec![0; wire::FRAME_LIMIT], readable: true })
    }

    pub(super) fn mark_readable(&mut self) {
        self.readable = true;
    }

    pub(super) fn is_readable(&self) -> bool {
        self.readable
    }

    /// Takes what is there, up to the budget.
    pub(super) fn read(&mut self, mut take: impl FnMut(Frame)) {
        let mut budget = READ_BUDGET;
        while self.readable && budget > 0 {
            match self.socket.read(&mut self.piece) {
                Ok(count) => {
                    budget = budget.saturating_sub(count.max(1));
                    take(self.piece.get(..count).unwrap_or_default().into());
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                // Told once each time when the device goes down; it may come back.
                Err(error) if error.kind() == ErrorKind::NetworkDown => {}
                Err(_) => self.readable = false,
            }
        }
    }

    /// Gives a frame. What is longer than the device takes, or does not fit into its queue, is lost as on a card.
    pub(super) fn deliver(&mut self, frame: &[u8]) {
        let _ = self.socket.write(frame);
    }
}
