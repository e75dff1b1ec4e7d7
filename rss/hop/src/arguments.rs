//! The command line, as types that were checked; it never opens anything.

use lexopt::{Arg, Parser, ValueExt as _};
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::time::Duration;

pub(crate) const HELP: &str = "\
Usage: hop --listen ADDRESS:PORT --to HOST:PORT [--allow CIDR]... [--connections N] [--idle SECONDS]

Takes connections on ADDRESS:PORT and relays each to HOST:PORT, and nowhere else. What goes through is not looked into.

  --listen ADDRESS:PORT  an address of this host; 0.0.0.0 or [::] for all of them
  --to HOST:PORT         the next hop, or the target
  --allow CIDR           who may connect, such as 192.0.2.0/24 or 2001:db8::1; may be given several times.
                         Without it, everybody may
  --connections N        at most so many at a time, 1 to 10000 (64); further ones wait
  --idle SECONDS         a connection in which nothing moves is ended after so long, 10 to 86400 (900)
  --help                 this text

It ends at TERM: nobody new is taken in, and open connections have 10 seconds to finish.
";

/// Why the command line cannot be followed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ArgumentError {
    #[error("{0}; hop --help says how")]
    Line(#[from] lexopt::Error),
    #[error("--{0} is missing; hop --help says how")]
    Missing(&'static str),
    #[error("--to wants HOST:PORT with a port from 1 to 65535, not {0:?}")]
    To(String),
    #[error("--allow wants an address or a network such as 192.0.2.0/24, not {0:?}")]
    Allow(String),
    #[error("--{0} wants a number from {1} to {2}")]
    Number(&'static str, u32, u32),
}

/// What the command line asks for.
#[derive(Debug)]
pub(crate) enum Wanted {
    Help,
    Run(Arguments),
}

/// How to relay.
#[derive(Debug)]
pub(crate) struct Arguments {
    pub(crate) listen: SocketAddr,
    pub(crate) to: String,
    allow: Vec<Network>,
    pub(crate) most: usize,
    pub(crate) idle: Duration,
}

impl Arguments {
    pub(crate) fn read(mut parser: Parser) -> Result<Wanted, ArgumentError> {
        let (mut listen, mut to, mut allow) = (None, None, Vec::new());
        let (mut most, mut idle) = (64, 900);
        while let Some(argument) = parser.next()? {
            match argument {
                Arg::Long("help") | Arg::Short('h') => return Ok(Wanted::Help),
                Arg::Long("listen") => listen = Some(parser.value()?.parse()?),
                Arg::Long("to") => to = Some(target(parser.value()?.string()?)?),
                Arg::Long("allow") => allow.push(parser.value()?.string()?.parse()?),
                Arg::Long("connections") => most = number(&mut parser, "connections", 1, 10_000)?,
                Arg::Long("idle") => idle = number(&mut parser, "idle", 10, 86_400)?,
                other => return Err(other.unexpected().into()),
            }
        }
        Ok(Wanted::Run(Self {
            listen: listen.ok_or(ArgumentError::Missing("listen"))?,
            to: to.ok_or(ArgumentError::Missing("to"))?,
            allow,
            most: most as usize,
            idle: Duration::from_secs(idle.into()),
        }))
    }

    /// Whether this address may connect.
    pub(crate) fn allows(&self, address: IpAddr) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|network| network.holds(address.to_canonical()))
    }
}

fn number(parser: &mut Parser, name: &'static str, least: u32, most: u32) -> Result<u32, ArgumentError> {
    let value: Option<u32> = parser.value()?.string()?.parse().ok();
    value.filter(|value| (least..=most).contains(value)).ok_or(ArgumentError::Number(name, least, most))
}

fn target(text: String) -> Result<String, ArgumentError> {
    let good = text.rsplit_once(':').is_some_and(|(host, port)| {
        let bare = host.starts_with('[') || !host.contains(':');
        !host.is_empty() && bare && port.parse::<u16>().is_ok_and(|port| port != 0)
    });
    if good { Ok(text) } else { Err(ArgumentError::To(text)) }
}

/// A network of addresses.
#[derive(Clone, Copy, Debug)]
struct Network {
    base: IpAddr,
    bits: u32,
}

impl FromStr for Network {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, ArgumentError> {
        let wrong = || ArgumentError::Allow(text.to_owned());
        let (base, bits) = text.split_once('/').map_or((text, None), |(base, bits)| (base, Some(bits)));
        let base: IpAddr = base.parse().map_err(|_| wrong())?;
        let most = if base.is_ipv4() { 32 } else { 128 };
        let bits = bits.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        if bits > most { Err(wrong()) } else { Ok(Self { base, bits }) }
    }
}

impl Network {
    fn holds(self, address: IpAddr) -> bool {
        match (self.base, address) {
            (IpAddr::V4(base), IpAddr::V4(address)) => {
                let differ = base.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= self.bits
            }
            (IpAddr::V6(base), IpAddr::V6(address)) => {
                let differ = base.to_bits() ^ address.to_bits();
                differ.leading_zeros() >= self.bits
            }
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> Result<Wanted, ArgumentError> {
        Arguments::read(Parser::from_args(line.split_whitespace()))
    }

    #[test]
    fn networks_hold_what_lies_in_them() {
        let holds = |network: &str, address: &str| {
            network.parse::<Network>().unwrap().holds(address.parse().unwrap())
        };
        assert!(holds("192.0.2.0/24", "192.0.2.255") && !holds("192.0.2.0/24", "192.0.3.0"));
        assert!(holds("192.0.2.1", "192.0.2.1") && !holds("192.0.2.1", "192.0.2.2"));
        assert!(holds("0.0.0.0/0", "203.0.113.9") && !holds("0.0.0.0/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:ffff::1") && !holds("2001:db8::/32", "2001:db9::"));
        for wrong in ["", "x", "192.0.2.0/33", "::/129", "192.0.2.0/", "192.0.2.0/-1"] {
            assert!(wrong.parse::<Network>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_line_that_cannot_be_followed_is_refused_with_a_sentence() {
        for line in [
            "",
            "--listen 127.0.0.1:1",
            "--listen localhost:1 --to a:1",
            "--listen 127.0.0.1:1 --to a",
            "--listen 127.0.0.1:1 --to a:0",
            "--listen 127.0.0.1:1 --to ::1:1",
            "--listen 127.0.0.1:1 --to a:1 --allow b",
            "--listen 127.0.0.1:1 --to a:1 --connections 0",
            "--listen 127.0.0.1:1 --to a:1 more",
        ] {
            assert!(!read(line).unwrap_err().to_string().is_empty(), "{line}");
        }
        let Ok(Wanted::Run(arguments)) =
            read("--listen [::]:8443 --to rss.example.com:443 --allow 192.0.2.0/24")
        else {
            panic!("it is right")
        };
        assert!(arguments.allows("::ffff:192.0.2.9".parse().unwrap()));
        assert!(!arguments.allows("198.51.100.1".parse().unwrap()));
    }
}
