//! One question to one time server and its answer. It decides only whether the answer is one, never whether it is true.

use super::packet::{self, Bounds, Refusal};
use super::selection::{Sample, Useless};
use crate::system::random_number;
use socket2::{Domain, Protocol, Socket, Type};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};
use tokio::net::UdpSocket;

/// More than any reply with its extensions needs. What is beyond is cut off, and not looked at anyway.
const BUFFER_BYTES: usize = 512;
/// How many datagrams that are no answer are passed over while the answer is waited for.
const STRAYS_MOST: u32 = 64;

/// Why a question brought no sample.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("it cannot be asked: {0}")]
    Socket(#[from] io::Error),
    #[error("it does not answer within {0:?}")]
    Silent(Duration),
    #[error(
        "it does not answer within {patience:?}; {strays} datagrams were no answer, the last because {last}"
    )]
    OnlyStrays { patience: Duration, strays: u32, last: Stray },
    #[error("{0}")]
    Refused(#[from] Refusal),
    #[error("{0}")]
    Useless(#[from] Useless),
}

/// A datagram that is not the answer, while the answer may still come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Stray {
    #[error("it came from {0}")]
    From(SocketAddr),
    #[error("{0}")]
    Number(Refusal),
}

/// A clock that nobody sets: it shows the real time as it was at its start, and goes on from there by the monotonic clock.
/// Offsets are measured against it, so that setting the real-time clock, even in the middle of an exchange, changes none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SteadyClock {
    start: Instant,
    real: i128,
}

impl SteadyClock {
    pub(crate) fn start() -> SteadyClock {
        SteadyClock { start: Instant::now(), real: real_time() }
    }

    pub(crate) fn at(self, moment: Instant) -> i128 {
        self.real
            + i128::try_from(moment.saturating_duration_since(self.start).as_nanos()).unwrap_or(i128::MAX)
    }

    /// The steady clock's offset as one of the real-time clock as it is now.
    pub(crate) fn to_real(self, offset: i128) -> i128 {
        offset + self.at(Instant::now()) - real_time()
    }
}

/// The real-time clock, in nanoseconds since 1970.
fn real_time() -> i128 {
    let before =
        |error: std::time::SystemTimeError| -i128::try_from(error.duration().as_nanos()).unwrap_or(0);
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .map_or_else(before, |after| i128::try_from(after.as_nanos()).unwrap_or(i128::MAX))
}

/// Asks `server`, through `port` if there is one, and waits for `patience`.
pub(crate) async fn ask(
    server: SocketAddr,
    port: Option<&str>,
    bounds: Bounds,
    clock: SteadyClock,
    patience: Duration,
) -> Result<Sample, Failure> {
    let socket = socket(server, port)?;
    let number = random_number()?;
    let deadline = tokio::time::Instant::now() + patience;
    let sent = Instant::now();
    socket.send_to(&packet::request(number), server).await?;
    let mut buffer = [0; BUFFER_BYTES];
    let mut strays = 0;
    let mut last = None;
    while strays < STRAYS_MOST {
        let received = tokio::time::timeout_at(deadline, socket.recv_from(&mut buffer)).await;
        let elapsed = sent.elapsed();
        let Ok(received) = received else { break };
        let (length, from) = received?;
        if (from.ip(), from.port()) == (server.ip(), server.port()) {
            match packet::judge(&buffer[..length], number, bounds) {
                // Who forges answers without having seen the question does not keep the right one from being heard.
                Err(refusal @ Refusal::OtherQuestion) => last = Some(Stray::Number(refusal)),
                Err(refusal) => return Err(refusal.into()),
                Ok(reply) => return Ok(Sample::of(&reply, clock.at(sent), elapsed)?),
            }
        } else {
            last = Some(Stray::From(from));
        }
        strays += 1;
    }
    Err(match last {
        Some(last) => Failure::OnlyStrays { patience, strays, last },
        None => Failure::Silent(patience),
    })
}

/// A socket of its own for each question, so that its number and its port are both new. It is not connected: an answer
/// from elsewhere is to be told of.
fn socket(server: SocketAddr, port: Option<&str>) -> io::Result<UdpSocket> {
    let (domain, any) = match server.ip() {
        IpAddr::V4(_) => (Domain::IPV4, IpAddr::from(Ipv4Addr::UNSPECIFIED)),
        IpAddr::V6(_) => (Domain::IPV6, IpAddr::from(Ipv6Addr::UNSPECIFIED)),
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(Protocol::UDP))?;
    socket.set_nonblocking(true)?;
    if let Some(port) = port {
        socket.bind_device(Some(port.as_bytes()))?;
    }
    socket.bind(&SocketAddr::new(any, 0).into())?;
    UdpSocket::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_jump_of_the_real_clock_moves_no_measurement_and_is_made_good_in_the_end() {
        let hour = 3_600_000_000_000;
        let steady = SteadyClock::start();
        // As if somebody had set the real clock an hour ahead since.
        let jumped = SteadyClock { real: steady.real - hour, ..steady };
        let (moment, later) = (Instant::now(), Instant::now() + Duration::from_secs(1));
        assert_eq!(jumped.at(later) - jumped.at(moment), steady.at(later) - steady.at(moment));
        // What was an offset of an hour by the steady clock is none by the real one.
        assert!(jumped.to_real(hour).abs() < 1_000_000_000);
        assert!((steady.to_real(hour) - hour).abs() < 1_000_000_000);
    }
}
