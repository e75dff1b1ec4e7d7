//! Whether a TCP port accepts, and why not. It sends nothing.

use crate::failure::Failure;
use crate::port::On;
use crate::probe::Tell;
use crate::step::{After, Step, TcpFailure};
use socket2::{Protocol, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

/// Three SYN packets: at 0, 1 and 3 s (RFC 6298, section 2).
const WAIT: Duration = Duration::from_secs(5);
/// How long a new connection is watched.
const WATCH: Duration = Duration::from_millis(500);
/// More addresses of a name are not tried.
pub(crate) const ADDRESSES: usize = 8;

/// Tries each address until one accepts.
pub(crate) async fn run(on: &On, addresses: &[IpAddr], port: u16, tell: &Tell) -> bool {
    for &address in addresses.iter().take(ADDRESSES) {
        let to = on.to(address, port);
        let began = Instant::now();
        match connect(on, to).await {
            Ok(stream) => {
                let took = began.elapsed().into();
                let after = watch(&stream).await;
                tell.step(Step::Connected { to, took, after });
                return true;
            }
            Err(why) => tell.step(Step::NotConnected { to, why, took: began.elapsed().into() }),
        }
    }
    false
}

pub(crate) async fn connect(on: &On, to: SocketAddr) -> Result<TcpStream, TcpFailure> {
    // Not bound to an address: connecting does that, and a sandbox may forbid binding where it allows connecting.
    let socket = on
        .socket(to.ip(), Type::STREAM, Some(Protocol::TCP))
        .map(|socket| TcpSocket::from_std_stream(socket.into()));
    let socket = socket.map_err(|error| TcpFailure::Failure(error.into()))?;
    match timeout(WAIT, socket.connect(to)).await {
        Err(_) => Err(TcpFailure::Silent),
        Ok(connected) => connected.map_err(|error| why(&error)),
    }
}

fn why(error: &io::Error) -> TcpFailure {
    match error.raw_os_error() {
        Some(libc::ECONNREFUSED) => TcpFailure::Refused,
        Some(libc::ETIMEDOUT) => TcpFailure::Silent,
        Some(libc::ECONNRESET | libc::ECONNABORTED) => TcpFailure::Reset,
        // What the kernel makes of ICMP "administratively prohibited" (IPv6), and of its own filter.
        Some(libc::EACCES | libc::EPERM) => TcpFailure::Forbidden,
        // The last is what a route says that leads nowhere on purpose.
        Some(
            libc::EHOSTUNREACH | libc::ENETUNREACH | libc::ENETDOWN | libc::EADDRNOTAVAIL | libc::EINVAL,
        ) => TcpFailure::Unreachable,
        _ => TcpFailure::Failure(Failure::Kernel(error.kind().to_string())),
    }
}

async fn watch(stream: &TcpStream) -> After {
    match timeout(WATCH, stream.peek(&mut [0])).await {
        Err(_) => After::Waits,
        Ok(Ok(0)) => After::Closes,
        Ok(Ok(_)) => After::Speaks,
        Ok(Err(_)) => After::Resets,
    }
}
