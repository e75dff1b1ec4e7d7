//! The places on the way: UDP datagrams to ports where nobody serves, with a time to live that rises (RFC 1393, section 1).

use crate::failure::Failure;
use crate::ping::kind_of;
use crate::port::On;
use crate::probe::Tell;
use crate::queue::{Heard, Queue};
use crate::step::{HopAnswer, HopKind, Step, Verdict};
use socket2::{Protocol, Type};
use std::net::IpAddr;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};

/// An answer that takes longer is silence.
const WAIT: Duration = Duration::from_secs(1);
/// After so many silent places in a row nobody answers any more.
const SILENT: u8 = 6;
/// The first port of the range that every such tool uses, and that firewalls know.
const FIRST_PORT: u16 = 33_434;
/// What others send: an IP packet of 60 bytes.
const PAYLOAD: [u8; 32] = [b'@'; 32];

pub(crate) async fn run(on: &On, to: IpAddr, hops: u8, tries: u8, tell: &Tell) -> Result<Verdict, Failure> {
    let (mut last, mut silent) = (0, 0);
    for hop in 1..=hops {
        let mut answers = Vec::new();
        for attempt in 0..tries {
            let port = FIRST_PORT + u16::from(hop - 1) * 3 + u16::from(attempt);
            answers.push(ask(on, to, hop, port).await?);
        }
        let ends =
            answers.iter().flatten().find(|answer| answer.kind != HopKind::Router).map(|answer| answer.kind);
        if answers.iter().any(Option::is_some) {
            (last, silent) = (hop, 0);
        } else {
            silent += 1;
        }
        tell.step(Step::Hop { hop, answers });
        if let Some(kind) = ends {
            return Ok(Verdict::Route { reached: kind == HopKind::Destination, hops: hop });
        }
        if silent == SILENT {
            break;
        }
    }
    Ok(Verdict::Route { reached: false, hops: last })
}

/// One datagram, from a socket of its own: what comes late for another is not taken for this one's.
async fn ask(on: &On, to: IpAddr, hop: u8, port: u16) -> Result<Option<HopAnswer>, Failure> {
    let socket = on.socket(to, Type::DGRAM, Some(Protocol::UDP))?;
    socket.connect(&on.to(to, port).into())?;
    if to.is_ipv4() {
        socket.set_ttl_v4(hop.into())?;
    } else {
        socket.set_unicast_hops_v6(hop.into())?;
    }
    let queue = Queue::new(socket, to.is_ipv4())?;
    let began = Instant::now();
    queue.send(&PAYLOAD)?;
    loop {
        let Ok(heard) = timeout_at(began + WAIT, queue.hear()).await else { return Ok(None) };
        let took = began.elapsed().into();
        return Ok(match heard? {
            // Somebody serves that port after all.
            Heard::Data { .. } => Some(HopAnswer { from: to, took, kind: HopKind::Destination }),
            Heard::Error(error) if error.local => continue,
            Heard::Error(error) => {
                let kind = kind_of(&error, to.is_ipv4());
                // A firewall may say "no such port" in the destination's place.
                error.from.map(|from| HopAnswer { from, took, kind })
            }
        });
    }
}
