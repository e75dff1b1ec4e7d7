//! A network: its thread, its switch, its ports. It never decides what a host answers.

use super::NetError;
use super::cable::{Cable, CableCounters, Direction, Faults, Filter, Frame};
use super::end::{DeviceEnd, End, NicEnd, TapEnd};
use super::pcap::Capture;
use super::record::{Recording, Sink};
use super::stack::Stack;
use super::switch::{PortId, Switch, Way};
use super::vlan::Vlan;
use crate::Lab;
use mio::net::UnixListener;
use mio::{Events, Interest, Poll, Registry, Token, Waker};
use std::collections::VecDeque;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How often frames go to and fro before callers get at the state again: two busy hosts would keep them out for long.
const ROUNDS: usize = 64;

const WAKER: Token = Token(usize::MAX);

/// A condition that callers wait for, raised by the network's thread. smoltcp's sockets raise it as a waker.
#[derive(Debug, Default)]
pub(super) struct Signal(Condvar);

impl Signal {
    pub(super) fn raise(&self) {
        self.0.notify_all();
    }
}

impl std::task::Wake for Signal {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
}

/// What the thread and its callers share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) name: String,
    pub(super) folder: PathBuf,
    /// When the test began.
    pub(super) started: Instant,
    core: Mutex<Core>,
    waker: Waker,
    registry: Registry,
    connected: Signal,
}

/// The network's state.
#[derive(Debug)]
pub(super) struct Core {
    ports: Vec<Port>,
    pub(super) hosts: Vec<Stack>,
    switch: Switch,
    /// Frames that arrived at an end of a cable and were not handled yet.
    arrived: VecDeque<(PortId, Direction, Frame)>,
    stopped: bool,
}

#[derive(Debug)]
struct Port {
    name: String,
    cable: Cable,
    end: End,
    /// What is plugged in speaks untagged; on its cable its frames bear this tag.
    vlan: Option<Vlan>,
    capture: Option<Capture>,
    /// Gets a copy of all that what is plugged in sends.
    recording: Option<Sink>,
}

/// A network of one switch. With just two ends (two ports for machines, say) it is a wire between them, which also carries
/// what no switch forwards: two machines form an 802.3ad bond over two such networks, and see each other's LLDP. A third
/// end, be it a tap, makes it a switch that keeps such frames from all. Clones are the same network; with the last of them (and of its hosts and ports) it ends.
#[derive(Debug, Clone)]
pub struct Network {
    pub(super) shared: Arc<Shared>,
    _thread: Arc<Thread>,
}

/// Ends the thread when the network is dropped.
#[derive(Debug)]
struct Thread {
    shared: Arc<Shared>,
    handle: Option<std::thread::JoinHandle<()>>,
}

impl Network {
    /// A network without anything on it. Its sockets and captures are in the lab's folder.
    pub fn new(lab: &Lab, name: &str) -> Result<Self, NetError> {
        let failed = |action| move |error| NetError::System(action, name.to_owned(), error);
        let poll = Poll::new().map_err(failed("make the event loop"))?;
        let registry = poll.registry().try_clone().map_err(failed("share the event loop"))?;
        let waker = Waker::new(poll.registry(), WAKER).map_err(failed("make the waker"))?;
        let core = Core {
            ports: Vec::new(),
            hosts: Vec::new(),
            switch: Switch::default(),
            arrived: VecDeque::new(),
            stopped: false,
        };
        let shared = Arc::new(Shared {
            name: name.to_owned(),
            folder: lab.folder().to_path_buf(),
            started: lab.started(),
            core: Mutex::new(core),
            waker,
            registry,
            connected: Signal::default(),
        });
        let theirs = Arc::clone(&shared);
        let handle = std::thread::Builder::new()
            .name(format!("net-{name}"))
            .spawn(move || run(poll, &theirs))
            .map_err(failed("start the thread"))?;
        let thread = Thread { shared: Arc::clone(&shared), handle: Some(handle) };
        Ok(Self { shared, _thread: Arc::new(thread) })
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.shared.name
    }

    /// A port for a machine's network card. What passes is captured in `<network>-<name>.pcap`, as the machine sees it.
    pub fn nic_port(&self, name: &str) -> Result<NicPort, NetError> {
        let failed = |action| move |error| NetError::System(action, self.shared.name.clone(), error);
        let mut core = self.shared.lock();
        let id = PortId(core.ports.len());
        // The name does not go into the path: it may be long, and paths of sockets are short.
        let socket = self.shared.folder.join(format!("{}{}.sock", socket_prefix(&self.shared.name), id.0));
        let _ = std::fs::remove_file(&socket);
        let mut listener = UnixListener::bind(&socket).map_err(failed("make a port"))?;
        self.shared
            .registry
            .register(&mut listener, Token(id.0 * 2), Interest::READABLE)
            .map_err(failed("watch a port"))?;
        let capture = self.shared.folder.join(format!("{}-{name}.pcap", self.shared.name));
        let capture = Capture::create(&capture).map_err(failed("capture on a port"))?;
        let end = End::Nic(Box::new(NicEnd::new(listener, Token(id.0 * 2 + 1))));
        core.add_port(name, end, None, Some(capture));
        Ok(NicPort { network: self.clone(), id, name: name.to_owned(), socket })
    }

    pub(super) fn add_host(&self, name: &str, stack: Stack, vlan: Option<Vlan>) -> (PortId, usize) {
        let mut core = self.shared.lock();
        let index = core.hosts.len();
        core.hosts.push(stack);
        (core.add_port(name, End::Host(index), vlan, None), index)
    }

    /// A device of a namespace, by a packet socket on the other end of its pair.
    pub(super) fn add_device(
        &self,
        name: &str,
        socket: OwnedFd,
        vlan: Option<Vlan>,
    ) -> Result<PortId, NetError> {
        let failed = |action| move |error| NetError::System(action, self.shared.name.clone(), error);
        let mut core = self.shared.lock();
        let token = Token(core.ports.len() * 2 + 1);
        let end = DeviceEnd::new(socket, &self.shared.registry, token).map_err(failed("watch a device"))?;
        let capture = self.shared.folder.join(format!("{}-{name}.pcap", self.shared.name));
        let capture = Capture::create(&capture).map_err(failed("capture on a port"))?;
        let id = core.add_port(name, End::Device(end), vlan, Some(capture));
        drop(core);
        self.shared.wake();
        Ok(id)
    }

    pub(super) fn add_tap(&self, name: &str) -> (PortId, Arc<Signal>) {
        let signal = Arc::new(Signal::default());
        let end = TapEnd { signal: Arc::clone(&signal), ..TapEnd::default() };
        (self.shared.lock().add_port(name, End::Tap(end), None, None), signal)
    }
}

/// Socket names stay short and tell networks of one lab apart.
fn socket_prefix(network: &str) -> String {
    let hash = network.bytes().fold(0_u32, |hash, byte| hash.wrapping_mul(31).wrapping_add(byte.into()));
    format!("n{hash:08x}p")
}

impl Drop for Thread {
    fn drop(&mut self) {
        self.shared.lock().stopped = true;
        self.shared.wake();
        if let Some(handle) = self.handle.take() {
            let _ = handle.join();
        }
    }
}

/// A port of a network with a Unix socket, for a machine's network card.
#[derive(Debug, Clone)]
pub struct NicPort {
    network: Network,
    id: PortId,
    name: String,
    socket: PathBuf,
}

impl NicPort {
    /// The socket that QEMU connects to (`-netdev stream,server=off`).
    pub fn socket_path(&self) -> &Path {
        &self.socket
    }

    /// The cable between the port and the card.
    pub fn cable(&self) -> CableHandle {
        CableHandle { network: self.network.clone(), port: self.id }
    }

    /// Waits until a machine has its card in this port.
    pub fn wait_connected(&self, within: Duration) -> Result<(), NetError> {
        let shared = &self.network.shared;
        let connected = |core: &mut Core| {
            let port = core.ports.get(self.id.0)?;
            matches!(&port.end, End::Nic(nic) if nic.is_connected()).then_some(())
        };
        shared.wait(&shared.connected, within, connected).ok_or_else(|| NetError::NotConnected {
            network: shared.name.clone(),
            port: self.name.clone(),
            within,
        })
    }
}

/// A handle on a cable: what goes wrong on it.
#[derive(Debug, Clone)]
pub struct CableHandle {
    network: Network,
    port: PortId,
}

impl CableHandle {
    pub(super) fn new(network: Network, port: PortId) -> Self {
        Self { network, port }
    }

    fn with<R: Default>(&self, act: impl FnOnce(&mut Cable) -> R) -> R {
        let mut core = self.network.shared.lock();
        let result = core.ports.get_mut(self.port.0).map(|port| act(&mut port.cable));
        drop(core);
        self.network.shared.wake();
        result.unwrap_or_default()
    }

    /// From now on these things go wrong.
    pub fn set_faults(&self, faults: Faults) {
        self.with(|cable| cable.set_faults(faults));
    }

    /// From now on only frames pass for which this is true. It runs in the network's thread and must not call the network.
    pub fn set_filter(&self, filter: impl FnMut(Direction, &[u8]) -> bool + Send + 'static) {
        self.with(|cable| cable.set_filter(Some(Box::new(filter) as Filter)));
    }

    /// All frames pass again.
    pub fn clear_filter(&self) {
        self.with(|cable| cable.set_filter(None));
    }

    /// Pulls the cable out: nothing passes. The machine does not see its carrier go; [`crate::Machine::set_link`] does that.
    pub fn pull(&self) {
        self.with(Cable::pull);
        self.network.shared.lock().switch.forget(self.port);
    }

    /// Plugs it back in.
    pub fn plug(&self) {
        self.with(Cable::plug);
    }

    /// Records from now on all that what is plugged in sends, whether it arrives or not. A later recording ends this one.
    pub fn record(&self) -> Recording {
        let (recording, sink) = Recording::new(self.network.shared.started);
        if let Some(port) = self.network.shared.lock().ports.get_mut(self.port.0) {
            port.recording = Some(sink);
        }
        recording
    }

    /// What it has carried.
    pub fn counters(&self) -> CableCounters {
        self.with(|cable| cable.counters())
    }
}

impl Shared {
    /// The state. The thread does not panic; were it to, callers would still see their bounds.
    pub(super) fn lock(&self) -> MutexGuard<'_, Core> {
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the thread look at the state again.
    pub(super) fn wake(&self) {
        // It fails only without memory in the kernel; callers are bounded all the same.
        let _ = self.waker.wake();
    }

    /// Waits until `take` finds something, looking again whenever the signal is raised.
    pub(super) fn wait<T>(
        &self,
        signal: &Signal,
        within: Duration,
        mut take: impl FnMut(&mut Core) -> Option<T>,
    ) -> Option<T> {
        let deadline = crate::time::deadline(within);
        let mut core = self.lock();
        loop {
            if let Some(found) = take(&mut core) {
                return Some(found);
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            (core, _) = signal.0.wait_timeout(core, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Core {
    fn add_port(&mut self, name: &str, end: End, vlan: Option<Vlan>, capture: Option<Capture>) -> PortId {
        let id = PortId(self.ports.len());
        // Each cable has a seed of its own, the same in every run.
        let cable = Cable::new(u64::try_from(id.0).unwrap_or_default());
        self.ports.push(Port { name: name.to_owned(), cable, end, vlan, capture, recording: None });
        id
    }

    pub(super) fn tap(&mut self, id: PortId) -> Option<&mut TapEnd> {
        match self.ports.get_mut(id.0).map(|port| &mut port.end) {
            Some(End::Tap(tap)) => Some(tap),
            _ => None,
        }
    }

    /// Takes what is plugged in out for good.
    pub(super) fn remove_end(&mut self, id: PortId) {
        if let Some(port) = self.ports.get_mut(id.0) {
            port.end = End::Nothing;
        }
        self.switch.forget(id);
    }

    /// Moves frames until nothing moves any more at this time.
    fn turn(&mut self, now: Instant, registry: &Registry) {
        for _ in 0..ROUNDS {
            self.take_due(now);
            self.take_from_ends(now, registry);
            if self.arrived.is_empty() {
                return;
            }
            while let Some((port, direction, frame)) = self.arrived.pop_front() {
                match direction {
                    Direction::FromEnd => self.switch_frame(now, port, &frame),
                    Direction::ToEnd => self.deliver(port, frame),
                }
            }
        }
    }

    fn take_due(&mut self, now: Instant) {
        for (index, port) in self.ports.iter_mut().enumerate() {
            while let Some((direction, frame)) = port.cable.due(now) {
                self.arrived.push_back((PortId(index), direction, frame));
            }
        }
    }

    fn take_from_ends(&mut self, now: Instant, registry: &Registry) {
        for (index, port) in self.ports.iter_mut().enumerate() {
            let Port { cable, end, vlan, capture, recording, .. } = port;
            let arrived = &mut self.arrived;
            let mut send = |frame: Frame| {
                let frame = match vlan {
                    Some(vlan) => vlan.tag(&frame),
                    None => frame,
                };
                if let Some(capture) = capture {
                    // A capture that cannot be written must not fail the test: the folder may be full.
                    let _ = capture.write(&frame);
                }
                if let Some(sink) = recording {
                    sink.take(now, &frame);
                }
                cable.carry(now, Direction::FromEnd, frame, |direction, frame| {
                    arrived.push_back((PortId(index), direction, frame));
                });
            };
            match end {
                End::Nic(nic) => nic.read(registry, send),
                End::Tap(tap) => tap.to_send.drain(..).for_each(send),
                End::Device(device) => device.read(send),
                End::Host(host) => {
                    if let Some(stack) = self.hosts.get_mut(*host) {
                        stack.poll(now);
                        while let Some(frame) = stack.take_sent() {
                            send(frame);
                        }
                    }
                }
                End::Nothing => {}
            }
        }
    }

    fn switch_frame(&mut self, now: Instant, from: PortId, frame: &Frame) {
        match self.switch.forward(from, frame) {
            Way::To(port) => self.send_out(now, port, frame),
            Way::Flood => self.flood(now, from, frame),
            Way::AlongTheWire => {
                if self.ports.iter().filter(|port| !matches!(port.end, End::Nothing)).count() == 2 {
                    self.flood(now, from, frame);
                }
            }
            Way::Nowhere => {}
        }
    }

    fn flood(&mut self, now: Instant, from: PortId, frame: &Frame) {
        let others = (0..self.ports.len()).map(PortId).filter(|port| *port != from);
        others.for_each(|port| self.send_out(now, port, frame));
    }

    fn send_out(&mut self, now: Instant, id: PortId, frame: &Frame) {
        let Some(port) = self.ports.get_mut(id.0) else { return };
        let arrived = &mut self.arrived;
        port.cable.carry(now, Direction::ToEnd, Arc::clone(frame), |direction, frame| {
            arrived.push_back((id, direction, frame));
        });
    }

    fn deliver(&mut self, id: PortId, frame: Frame) {
        let Some(port) = self.ports.get_mut(id.0) else { return };
        if let Some(capture) = &mut port.capture {
            let _ = capture.write(&frame);
        }
        let frame = match port.vlan {
            Some(vlan) => vlan.untag(&frame),
            None => Some(frame),
        };
        let Some(frame) = frame else { return };
        match &mut port.end {
            End::Nic(nic) => {
                nic.deliver(&frame);
            }
            End::Tap(tap) => tap.deliver(frame),
            End::Device(device) => device.deliver(&frame),
            End::Host(host) => {
                if let Some(stack) = self.hosts.get_mut(*host) {
                    stack.receive(frame);
                }
            }
            End::Nothing => {}
        }
    }

    /// When the network must be looked at again without anything coming; none: never.
    fn next_look(&self, now: Instant) -> Option<Instant> {
        let cables = self.ports.iter().filter_map(|port| port.cable.next_due());
        let hosts = self.hosts.iter().filter_map(Stack::next_poll);
        let unread = self.ports.iter().any(|port| match &port.end {
            End::Nic(nic) => nic.is_readable(),
            End::Device(device) => device.is_readable(),
            End::Host(_) | End::Tap(_) | End::Nothing => false,
        });
        cables.chain(hosts).chain(unread.then_some(now)).min()
    }

    /// Something can be read, or somebody connects.
    fn take_event(&mut self, token: usize, shared: &Shared) {
        match self.ports.get_mut(token / 2).map(|port| &mut port.end) {
            Some(End::Nic(nic)) if token.is_multiple_of(2) => {
                nic.accept(&shared.registry);
                shared.connected.raise();
            }
            Some(End::Nic(nic)) => nic.mark_readable(),
            Some(End::Device(device)) => device.mark_readable(),
            Some(End::Host(_) | End::Tap(_) | End::Nothing) | None => {}
        }
    }

    fn flush(&mut self, registry: &Registry) {
        for port in &mut self.ports {
            if let End::Nic(nic) = &mut port.end {
                nic.flush(registry);
            }
            if let Some(capture) = &mut port.capture {
                let _ = capture.flush();
            }
        }
    }
}

fn run(mut poll: Poll, shared: &Shared) {
    let mut events = Events::with_capacity(64);
    let mut timeout = None;
    loop {
        if let Err(error) = poll.poll(&mut events, timeout)
            && error.kind() != std::io::ErrorKind::Interrupted
        {
            eprintln!("the network {} stops: {error}", shared.name);
            return;
        }
        let mut core = shared.lock();
        if core.stopped {
            core.flush(&shared.registry);
            return;
        }
        for event in events.iter().filter(|event| event.token() != WAKER) {
            core.take_event(event.token().0, shared);
        }
        core.turn(Instant::now(), &shared.registry);
        core.flush(&shared.registry);
        let now = Instant::now();
        timeout = core.next_look(now).map(|at| at.saturating_duration_since(now));
    }
}

impl std::fmt::Display for Network {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let core = self.shared.lock();
        let ports: Vec<&str> = core.ports.iter().map(|port| port.name.as_str()).collect();
        write!(formatter, "{}: {}", self.shared.name, ports.join(", "))
    }
}
