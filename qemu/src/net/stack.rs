//! A host's protocol stack (smoltcp) over queues of frames. It never waits: the network's thread polls it.

use super::cable::Frame;
use super::dhcp::DhcpService;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant as StackTime;
use smoltcp::wire::EthernetAddress;
use std::collections::VecDeque;
use std::fmt;
use std::time::{Duration, Instant};

/// Frames a host has not looked at. It looks at once, so this only guards against a flood within one turn.
const RECEIVED_LIMIT: usize = 20_000;

/// How long a closed connection may take to say goodbye.
const CLOSING_WITHIN: Duration = Duration::from_secs(30);

/// Of each direction of a connection.
const TCP_BUFFER: usize = 128 << 10;

/// The first of the ports from which a host connects (RFC 6335 section 6).
const FIRST_EPHEMERAL: u16 = 49_152;

/// How much faster a stack's clock runs than the real one. smoltcp waits a second at least before it sends a lost segment
/// again, doubles that each time up to a minute, and asks for a lost neighbour once a second: for networks in one process
/// that is an eternity.
const HASTE: u32 = 20;

/// A host's stack.
pub(super) struct Stack {
    pub(super) interface: Interface,
    pub(super) sockets: SocketSet<'static>,
    pub(super) dhcp: Option<DhcpService>,
    device: Queues,
    epoch: Instant,
    /// Connections whose owner is gone: removed when the goodbyes are said, or at the time beside them.
    closing: Vec<(SocketHandle, Instant)>,
    /// A caller changed something.
    touched: bool,
    next_poll: Option<Instant>,
    next_port: u16,
}

impl Stack {
    pub(super) fn new(mac: EthernetAddress, seed: u64) -> Self {
        let mut device = Queues::default();
        let mut config = Config::new(mac.into());
        config.random_seed = seed;
        Self {
            interface: Interface::new(config, &mut device, StackTime::ZERO),
            sockets: SocketSet::new(Vec::new()),
            dhcp: None,
            device,
            epoch: Instant::now(),
            closing: Vec::new(),
            touched: true,
            next_poll: None,
            next_port: FIRST_EPHEMERAL,
        }
    }

    pub(super) fn mac(&self) -> EthernetAddress {
        let smoltcp::wire::HardwareAddress::Ethernet(mac) = self.interface.hardware_addr();
        mac
    }

    /// A frame came.
    pub(super) fn receive(&mut self, frame: Frame) {
        if let Some(dhcp) = &mut self.dhcp
            && DhcpService::takes(&frame)
        {
            if let Some(answer) = dhcp.answer(&frame, Instant::now()) {
                self.device.sent.push_back(answer.into());
            }
            return;
        }
        if self.device.received.len() < RECEIVED_LIMIT {
            self.device.received.push_back(frame);
        }
    }

    /// A caller changed a socket: it is to be polled.
    pub(super) fn touch(&mut self) {
        self.touched = true;
    }

    pub(super) fn take_sent(&mut self) -> Option<Frame> {
        self.device.sent.pop_front()
    }

    pub(super) fn next_poll(&self) -> Option<Instant> {
        let at_once = self.touched || !self.device.received.is_empty();
        if at_once { Some(self.epoch) } else { self.next_poll }
    }

    /// Lets the stack do what is due.
    pub(super) fn poll(&mut self, now: Instant) {
        let due = self.next_poll.is_some_and(|at| at <= now);
        if !self.touched && !due && self.device.received.is_empty() {
            return;
        }
        self.touched = false;
        let time = self.time(now);
        self.interface.poll(time, &mut self.device, &mut self.sockets);
        self.remove_closed(now);
        let next = self.interface.poll_delay(time, &self.sockets);
        let next = next.map(|delay| now + Duration::from_micros(delay.total_micros()) / HASTE);
        let closing = self.closing.iter().map(|(_, until)| *until).min();
        self.next_poll = next.into_iter().chain(closing).min();
    }

    fn time(&self, now: Instant) -> StackTime {
        let micros = now.saturating_duration_since(self.epoch).as_micros() * u128::from(HASTE);
        StackTime::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// A socket for a connection.
    pub(super) fn new_tcp_socket() -> tcp::Socket<'static> {
        let buffer = || tcp::SocketBuffer::new(vec![0; TCP_BUFFER]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        // Latency is measured through these connections: Nagle's algorithm would be what is measured.
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(Some(smoltcp::time::Duration::from_millis(10 * u64::from(HASTE))));
        socket
    }

    /// The owner of a connection is gone.
    pub(super) fn close_later(&mut self, handle: SocketHandle) {
        let socket = self.sockets.get_mut::<tcp::Socket>(handle);
        if socket.recv_queue() > 0 {
            // What came was never read: the peer shall know (RFC 1122 section 4.2.2.13).
            socket.abort();
        } else {
            socket.close();
        }
        self.closing.push((handle, Instant::now() + CLOSING_WITHIN));
        self.touched = true;
    }

    fn remove_closed(&mut self, now: Instant) {
        let sockets = &mut self.sockets;
        self.closing.retain(|(handle, until)| {
            let state = sockets.get::<tcp::Socket>(*handle).state();
            let over = matches!(state, tcp::State::Closed | tcp::State::TimeWait) || *until <= now;
            if over {
                sockets.remove(*handle);
            }
            !over
        });
    }

    /// The next port to connect from.
    pub(super) fn ephemeral_port(&mut self) -> u16 {
        let port = self.next_port;
        self.next_port = self.next_port.checked_add(1).unwrap_or(FIRST_EPHEMERAL);
        port
    }
}

impl fmt::Debug for Stack {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Stack").field("mac", &self.mac()).finish_non_exhaustive()
    }
}

/// The stack's network device: two queues.
#[derive(Debug, Default)]
struct Queues {
    received: VecDeque<Frame>,
    sent: VecDeque<Frame>,
}

impl Device for Queues {
    type RxToken<'a> = Received;
    type TxToken<'a> = Sending<'a>;

    fn receive(&mut self, _: StackTime) -> Option<(Received, Sending<'_>)> {
        let frame = self.received.pop_front()?;
        Some((Received(frame), Sending(&mut self.sent)))
    }

    fn transmit(&mut self, _: StackTime) -> Option<Sending<'_>> {
        Some(Sending(&mut self.sent))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

struct Received(Frame);

impl RxToken for Received {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, act: F) -> R {
        act(&self.0)
    }
}

struct Sending<'a>(&'a mut VecDeque<Frame>);

impl TxToken for Sending<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, act: F) -> R {
        let mut frame = vec![0; length];
        let result = act(&mut frame);
        self.0.push_back(frame.into());
        result
    }
}
