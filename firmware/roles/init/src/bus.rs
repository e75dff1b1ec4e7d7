//! Init's end of the bus: connections, and frames in and out without ever waiting. It never answers by itself.

use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::server::{CONNECTIONS, caller};
use drawbridge_bus::{Event, Reply, Request, Role, receive_with, socket_path};
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry, Token};
use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Write as _};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt as _;

/// A reader that leaves more than this unread is cut off: two of the largest answers.
const UNREAD_BYTES: usize = 512 * 1024;

/// One turn of the loop reads no more than this from one connection.
const TURN_BYTES: usize = 64 * 1024;

/// A request as it came in.
#[derive(Debug)]
pub(crate) struct Asked {
    /// The connection to answer on.
    pub(crate) connection: usize,
    /// The asker's number for it.
    pub(crate) id: u32,
    /// Who, by the kernel's word.
    pub(crate) caller: Role,
    /// What.
    pub(crate) request: Request,
    /// What came with it (at most [`drawbridge_bus::DESCRIPTORS_MOST`]).
    pub(crate) descriptors: Vec<OwnedFd>,
}

struct Connection {
    stream: UnixStream,
    caller: Role,
    decoder: Decoder,
    /// What has come with the bytes of a request that is not whole yet.
    descriptors: Vec<OwnedFd>,
    unsent: Vec<u8>,
    /// It said [`Request::Ready`]: it gets events.
    listens: bool,
}

/// The listening socket and its connections.
pub(crate) struct Bus {
    listener: UnixListener,
    connections: BTreeMap<usize, Connection>,
    next: usize,
    first_token: usize,
}

/// Binds the socket of a role. Anybody may connect; what he may ask is the table's matter.
pub(crate) fn bind(role: Role) -> io::Result<std::os::unix::net::UnixListener> {
    let path = socket_path(role);
    let listener = std::os::unix::net::UnixListener::bind(&path)?;
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o666))?;
    listener.set_nonblocking(true)?;
    Ok(listener)
}

impl Bus {
    /// Serves on init's own socket. Tokens from `first_token` up are used for connections.
    pub(crate) fn new(registry: &Registry, listening: Token, first_token: usize) -> io::Result<Self> {
        let mut listener = UnixListener::from_std(bind(Role::Init)?);
        registry.register(&mut listener, listening, Interest::READABLE)?;
        Ok(Self { listener, connections: BTreeMap::new(), next: 0, first_token })
    }

    /// Takes new connections.
    pub(crate) fn accept(&mut self, registry: &Registry) {
        // Ends by WouldBlock at the latest; the number bounds a turn.
        for _ in 0..CONNECTIONS {
            let Ok((mut stream, _)) = self.listener.accept() else { return };
            let Some(caller) = caller(&stream) else {
                log::warn!("refused a bus connection of a process that is no role");
                continue;
            };
            if self.connections.values().filter(|connection| connection.caller == caller).count()
                >= CONNECTIONS / 4
            {
                log::warn!("refused a bus connection of {caller}: it has too many");
                continue;
            }
            let token = Token(self.first_token + self.next);
            let interest = Interest::READABLE | Interest::WRITABLE;
            if registry.register(&mut stream, token, interest).is_ok() {
                let connection = Connection {
                    stream,
                    caller,
                    decoder: Decoder::default(),
                    descriptors: Vec::new(),
                    unsent: Vec::new(),
                    listens: false,
                };
                self.connections.insert(self.next, connection);
                self.next += 1;
            }
        }
    }

    /// Reads and writes what can be; gives the requests that have come in whole.
    pub(crate) fn turn(&mut self, token: Token, registry: &Registry) -> Vec<Asked> {
        let Some(key) = token.0.checked_sub(self.first_token) else { return Vec::new() };
        let Some(connection) = self.connections.get_mut(&key) else { return Vec::new() };
        let mut asked = Vec::new();
        let alive = connection.turn(token, registry, |caller, id, request, descriptors| {
            asked.push(Asked { connection: key, id, caller, request, descriptors });
        });
        if !alive {
            self.connections.remove(&key);
        }
        asked
    }

    /// Answers.
    pub(crate) fn reply(&mut self, asked: &Asked, reply: Reply) {
        self.send(asked.connection, &Frame::Reply { id: asked.id, reply });
    }

    /// This connection gets events from now on.
    pub(crate) fn listens(&mut self, asked: &Asked) {
        if let Some(connection) = self.connections.get_mut(&asked.connection) {
            connection.listens = true;
        }
    }

    /// Tells a role something, on every connection of its that listens.
    pub(crate) fn tell(&mut self, role: Role, event: &Event) {
        let listening = |connection: &&usize| {
            self.connections.get(connection).is_some_and(|one| one.listens && one.caller == role)
        };
        let keys: Vec<usize> = self.connections.keys().filter(listening).copied().collect();
        for key in keys {
            self.send(key, &Frame::Event(event.clone()));
        }
    }

    fn send(&mut self, key: usize, frame: &Frame) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        let sent = encode(frame).map_err(|error| error.to_string()).and_then(|bytes| {
            connection.unsent.extend_from_slice(&bytes);
            connection.flush().map_err(|error| error.to_string())
        });
        if let Err(error) = sent {
            log::warn!("the bus connection of {} is closed: {error}", connection.caller);
            self.connections.remove(&key);
        } else if connection.unsent.len() > UNREAD_BYTES {
            log::warn!("the bus connection of {} is closed: it does not read", connection.caller);
            self.connections.remove(&key);
        }
    }
}

impl Connection {
    /// False when the connection has ended.
    fn turn(
        &mut self,
        token: Token,
        registry: &Registry,
        mut take: impl FnMut(Role, u32, Request, Vec<OwnedFd>),
    ) -> bool {
        if self.flush().is_err() {
            return false;
        }
        let mut buffer = [0; 4096];
        let mut read = 0;
        let open = loop {
            match receive_with(&self.stream, &mut buffer, &mut self.descriptors) {
                Ok(0) => break false,
                Ok(length) => {
                    self.decoder.push(&buffer[..length]);
                    read += length;
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => break true,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break false,
            }
            if read >= TURN_BYTES {
                // There may be more, for which no new event would come: ask for one.
                let interest = Interest::READABLE | Interest::WRITABLE;
                break registry.reregister(&mut self.stream, token, interest).is_ok();
            }
        };
        loop {
            match self.decoder.next_frame() {
                Ok(Some(Frame::Request { id, request })) => {
                    take(self.caller, id, request, std::mem::take(&mut self.descriptors));
                }
                Ok(None) => return open,
                Ok(Some(_)) => return false,
                Err(error) => {
                    log::warn!("{} sent {error}; its connection is closed", self.caller);
                    return false;
                }
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        while !self.unsent.is_empty() {
            match self.stream.write(&self.unsent) {
                Ok(length) => drop(self.unsent.drain(..length)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}
