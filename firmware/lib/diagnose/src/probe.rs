//! A probe's bounds, start and end. It never outlives who listens.

use crate::failure::Failure;
use crate::port::On;
use crate::step::{Step, Verdict};
use crate::{mtu, ping, route, tcp, tls};
use drawbridge_resolver::{Answer, Resolver};
use rustls::RootCertStore;
use serde::{Deserialize, Serialize};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

/// No probe takes longer.
const LONGEST: Duration = Duration::from_mins(1);
/// More steps than any probe tells: a listener that is slow never holds a probe up.
const STEPS: usize = 256;

/// What is to be found out. A destination is a name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Probe {
    /// Echo requests.
    Ping {
        /// Name or address.
        to: String,
        /// 1 to 100.
        count: u16,
        /// Between one request and the next: 200 to 5000.
        interval_milliseconds: u16,
        /// Bytes after the ICMP header: 8 to 8972.
        size: u16,
    },
    /// The places on the way.
    Route {
        /// Name or address.
        to: String,
        /// At most so many: 1 to 30.
        hops: u8,
        /// For each place: 1 to 3.
        tries: u8,
    },
    /// The addresses of a name.
    Name {
        /// Which.
        name: String,
    },
    /// Whether a TCP port accepts.
    Tcp {
        /// Name or address.
        to: String,
        /// TCP port.
        port: u16,
    },
    /// What a TLS server shows.
    Tls {
        /// Name or address.
        to: String,
        /// TCP port.
        port: u16,
        /// The server name to send in place of the destination's.
        server_name: Option<String>,
    },
    /// The largest packet that gets there and back whole.
    Mtu {
        /// Name or address.
        to: String,
    },
}

/// What probes are made with.
#[derive(Clone, Debug, Default)]
pub struct Tools {
    /// For names.
    pub resolver: Resolver,
    /// What certificates are verified by, if they are.
    pub roots: Option<Arc<RootCertStore>>,
}

/// A probe that runs. Dropping it ends the probe.
#[derive(Debug)]
pub struct Running {
    steps: mpsc::Receiver<Step>,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Running {
    /// The next step; none after [`Step::Done`].
    pub async fn next(&mut self) -> Option<Step> {
        self.steps.recv().await
    }
}

/// Where steps go. There is always room.
#[derive(Clone)]
pub(crate) struct Tell(mpsc::Sender<Step>);

impl Tell {
    pub(crate) fn step(&self, step: Step) {
        // Full it is never by the bounds below; closed means that nobody listens, and the task is ended soon.
        let _: Result<(), _> = self.0.try_send(step);
    }
}

impl Probe {
    /// Starts the probe on a port (the kernel's name of it), or where the routes say. Within a tokio runtime.
    pub fn start(self, on: Option<String>, tools: &Tools) -> Running {
        let (sender, steps) = mpsc::channel(STEPS);
        let (tell, tools) = (Tell(sender), tools.clone());
        let task = tokio::spawn(async move {
            let ran = tokio::time::timeout(LONGEST, self.run(&On(on), &tools, &tell)).await;
            let verdict = match ran {
                Ok(Ok(verdict)) => verdict,
                Ok(Err(failure)) => Verdict::Failed(failure),
                Err(_) => Verdict::OutOfTime,
            };
            tell.step(Step::Done(verdict));
        });
        Running { steps, task }
    }

    async fn run(self, on: &On, tools: &Tools, tell: &Tell) -> Result<Verdict, Failure> {
        match self {
            Self::Ping { to, count, interval_milliseconds, size } => {
                within("the count", count, 1, 100)?;
                within("the interval in milliseconds", interval_milliseconds, 200, 5000)?;
                within("the size", size, 8, 8972)?;
                let to = one(&to, on, tools, tell).await?;
                let interval = Duration::from_millis(interval_milliseconds.into());
                ping::run(on, to, count, interval, size, tell).await
            }
            Self::Route { to, hops, tries } => {
                within("the number of hops", hops, 1, 30)?;
                within("the number of tries", tries, 1, 3)?;
                let to = one(&to, on, tools, tell).await?;
                route::run(on, to, hops, tries, tell).await
            }
            Self::Name { name } => {
                let addresses = find(&name, on, tools, tell).await?;
                Ok(Verdict::Name { addresses: u8::try_from(addresses.len()).unwrap_or(u8::MAX) })
            }
            Self::Tcp { to, port } => {
                within("the TCP port", port, 1, u16::MAX)?;
                let addresses = find(&to, on, tools, tell).await?;
                Ok(Verdict::Tcp { accepted: tcp::run(on, &addresses, port, tell).await })
            }
            Self::Tls { to, port, server_name } => {
                within("the TCP port", port, 1, u16::MAX)?;
                let addresses = find(&to, on, tools, tell).await?;
                let name = server_name.unwrap_or(to);
                tls::run(on, &addresses, port, &name, tools.roots.as_ref(), tell).await
            }
            Self::Mtu { to } => {
                let to = one(&to, on, tools, tell).await?;
                mtu::run(on, to, tell).await
            }
        }
    }
}

fn within(what: &str, value: impl Into<u32>, from: u16, to: u16) -> Result<(), Failure> {
    let (value, from, to) = (value.into(), from.into(), to.into());
    if (from..=to).contains(&value) {
        Ok(())
    } else {
        Err(Failure::Bounds { what: what.to_owned(), from, to })
    }
}

/// The addresses of a destination.
async fn find(name: &str, on: &On, tools: &Tools, tell: &Tell) -> Result<Vec<IpAddr>, Failure> {
    let answer = tools.resolver.lookup(name, on.0.as_deref()).await;
    let Answer { addresses, canonical, ttl, from, kept } =
        answer.map_err(|error| Failure::Name(error.to_string()))?;
    if from.is_some() {
        tell.step(Step::Addresses {
            name: name.trim_end_matches('.').to_ascii_lowercase(),
            canonical,
            addresses: addresses.clone(),
            from,
            ttl_seconds: u32::try_from(ttl.as_secs()).unwrap_or(u32::MAX),
            kept,
        });
    }
    Ok(addresses)
}

/// The first address of a destination: the one that everything else would use.
async fn one(name: &str, on: &On, tools: &Tools, tell: &Tell) -> Result<IpAddr, Failure> {
    let addresses = find(name, on, tools, tell).await?;
    addresses.first().copied().ok_or(Failure::Unreachable)
}
