//! The rounds of the time client: which server of which source is asked, and what is told. It never sets a clock.

use super::exchange::{Failure, SteadyClock, ask};
use super::packet::{Bounds, Kiss, Refusal};
use super::schedule::{Outcome, Pace, Schedule};
use super::selection::{Doubt, Sample, select};
use crate::system::random_number;
use futures_util::future::join_all;
use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};

/// The most sources that are asked. The rest are left alone.
pub const SOURCES_MOST: usize = 8;
/// The port of time servers (RFC 5905, section 7.2).
const NTP_PORT: u16 = 123;
/// How many addresses of one name are tried in a round.
const ADDRESSES_MOST: usize = 3;
/// How long a name is waited for.
const NAME_PATIENCE: Duration = Duration::from_secs(10);
/// How long a server that does not want to be asked is left alone. A day: it may be a mistake that is mended meanwhile.
const DENIED_FOR: Duration = Duration::from_hours(24);
/// How long a server that was asked too often is left alone: twice the longest wait.
const RATED_FOR: Duration = Duration::from_secs(2048);

/// A time server by name or by address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Host {
    /// A name, to be resolved in each round.
    Name(String),
    /// An address.
    Address(IpAddr),
}

/// One source of time. It has one vote, however many addresses its name has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The server.
    pub host: Host,
    /// The name of the Ethernet port through which alone it is asked; none leaves it to the routes.
    pub port: Option<String>,
    /// The UDP port that it is asked at, 123 but in tests.
    pub udp_port: u16,
}

impl Source {
    /// A source at the port of time servers.
    pub fn new(host: Host, port: Option<String>) -> Source {
        Source { host, port, udp_port: NTP_PORT }
    }
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.host {
            Host::Name(name) => f.write_str(name)?,
            Host::Address(address) => write!(f, "{address}")?,
        }
        match &self.port {
            Some(port) => write!(f, " on {port}"),
            None => Ok(()),
        }
    }
}

/// How names become addresses.
pub trait Resolve {
    /// The addresses of `name`, asked for through `port` if one is given. An error is a sentence.
    fn resolve(
        &self,
        name: &str,
        port: Option<&str>,
    ) -> impl Future<Output = Result<Vec<IpAddr>, String>> + Send;
}

/// By how much the real-time clock is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Correction {
    /// What is to be added to the real-time clock, in nanoseconds, as it was when this was sent.
    pub offset_nanoseconds: i64,
    /// How far the clock may still be off after that, if the servers that agree are honest.
    pub error: Duration,
    /// The sources that agree, with the address that answered.
    pub servers: Vec<String>,
}

/// What a round brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// The time is known.
    Correction(Correction),
    /// The clock is to be kept as it is, and why.
    Kept(String),
}

/// Asks the sources for the time for as long as there is somebody who gives them and somebody who listens. No time before
/// that of `bounds` is believed.
pub async fn run<R: Resolve>(
    mut sources: watch::Receiver<Vec<Source>>,
    bounds: Bounds,
    pace: Pace,
    resolver: R,
    news: mpsc::Sender<News>,
) {
    loop {
        let current = sources.borrow_and_update().clone();
        let mut client = Client::new(&current, bounds, pace, &resolver);
        if current.len() > SOURCES_MOST {
            log::warn!("of {} time servers the first {SOURCES_MOST} are asked", current.len());
        }
        tokio::select! {
            () = client.rounds(&news) => return,
            () = changed(&mut sources, &current) => {}
            // Nobody listens any more.
            () = news.closed() => return,
        }
        if sources.has_changed().is_err() {
            return;
        }
    }
}

/// Returns when the sources are others, or when nobody gives them any more.
async fn changed(sources: &mut watch::Receiver<Vec<Source>>, current: &[Source]) {
    while sources.changed().await.is_ok() {
        if *sources.borrow_and_update() != *current {
            return;
        }
    }
}

struct Client<'a, R> {
    sources: &'a [Source],
    bounds: Bounds,
    pace: Pace,
    resolver: &'a R,
    clock: SteadyClock,
    schedule: Schedule,
    /// The servers that do not want to be asked, and until when they are not.
    resting: HashMap<SocketAddr, Instant>,
    /// What was last logged of each source, so that it is not logged again in each round.
    said: Vec<String>,
}

/// What a source brought in a round.
type Answer = Result<(SocketAddr, Sample), Complaint>;

/// Why a source brought nothing, and who does not want to be asked any more.
#[derive(Debug, Default)]
struct Complaint {
    sentence: String,
    rest: Vec<(SocketAddr, Kiss)>,
}

impl<'a, R: Resolve> Client<'a, R> {
    fn new(sources: &'a [Source], bounds: Bounds, pace: Pace, resolver: &'a R) -> Client<'a, R> {
        let sources = &sources[..sources.len().min(SOURCES_MOST)];
        Client {
            sources,
            bounds,
            pace,
            resolver,
            clock: SteadyClock::start(),
            schedule: Schedule::new(pace),
            resting: HashMap::new(),
            said: vec![String::new(); sources.len()],
        }
    }

    /// Round after round, until nobody listens. Without sources there is nothing to do but to wait for some.
    async fn rounds(&mut self, news: &mpsc::Sender<News>) {
        if self.sources.is_empty() {
            return std::future::pending().await;
        }
        loop {
            let (outcome, told) = self.round().await;
            if news.send(told).await.is_err() {
                return;
            }
            sleep(self.schedule.wait(outcome, random_number().unwrap_or(0))).await;
        }
    }

    async fn round(&mut self) -> (Outcome, News) {
        let now = Instant::now();
        self.resting.retain(|_, until| *until > now);
        let burst = self.schedule.burst();
        let answers = join_all(self.sources.iter().map(|source| self.ask(source, burst))).await;
        let (mut samples, mut servers) = (Vec::new(), Vec::new());
        let mut voters = BTreeSet::new();
        for (place, answer) in answers.into_iter().enumerate() {
            let source = &self.sources[place];
            let sentence = match answer {
                // A server that two names lead to has one vote all the same.
                Ok((server, _)) if !voters.insert(server.ip()) => format!("{server} has its vote already"),
                Ok((server, sample)) => {
                    samples.push(sample);
                    servers.push(format!("{source} ({})", server.ip()));
                    String::new()
                }
                Err(complaint) => {
                    for (server, kiss) in complaint.rest {
                        let rest = if kiss == Kiss::Deny { DENIED_FOR } else { RATED_FOR };
                        self.resting.insert(server, now + rest);
                    }
                    complaint.sentence
                }
            };
            if sentence != self.said[place] {
                if !sentence.is_empty() {
                    log::warn!("time server {source}: {sentence}");
                }
                self.said[place] = sentence;
            }
        }
        self.decide(&samples, &servers)
    }

    fn decide(&self, samples: &[Sample], servers: &[String]) -> (Outcome, News) {
        match select(samples) {
            Ok(choice) => {
                let offset = self.clock.to_real(choice.offset);
                let outcome =
                    u64::try_from(offset.unsigned_abs()).map_or(Duration::MAX, Duration::from_nanos);
                let correction = Correction {
                    // Some 292 years either way, and the servers' times are within 20.
                    offset_nanoseconds: i64::try_from(offset).unwrap_or(if offset < 0 {
                        i64::MIN
                    } else {
                        i64::MAX
                    }),
                    error: choice.error,
                    servers: choice.agree.iter().map(|place| servers[*place].clone()).collect(),
                };
                (Outcome::Agreed(outcome), News::Correction(correction))
            }
            Err(doubt @ Doubt::Nobody) => (Outcome::Silence, News::Kept(doubt.to_string())),
            Err(doubt) => (Outcome::Doubt, News::Kept(format!("{doubt} ({})", servers.join(", ")))),
        }
    }

    /// The best sample of the first of the source's servers that gives one.
    async fn ask(&self, source: &Source, burst: u32) -> Answer {
        let addresses = match &source.host {
            Host::Address(address) => vec![*address],
            Host::Name(name) => {
                let asked = self.resolver.resolve(name, source.port.as_deref());
                match timeout(NAME_PATIENCE, asked).await {
                    Ok(Ok(addresses)) if !addresses.is_empty() => addresses,
                    Ok(Ok(_)) => return Err(Complaint::of("its name has no address")),
                    Ok(Err(sentence)) => return Err(Complaint::of(sentence)),
                    Err(_) => {
                        return Err(Complaint::of(format!(
                            "its name was not resolved within {NAME_PATIENCE:?}"
                        )));
                    }
                }
            }
        };
        let mut complaint = Complaint::default();
        for address in addresses.into_iter().take(ADDRESSES_MOST) {
            let server = SocketAddr::new(address, source.udp_port);
            if self.resting.contains_key(&server) {
                if complaint.sentence.is_empty() {
                    "it does not want to be asked, and is left alone for a while"
                        .clone_into(&mut complaint.sentence);
                }
                continue;
            }
            match self.burst(server, source.port.as_deref(), burst).await {
                Ok(sample) => return Ok((server, sample)),
                Err(failure) => {
                    if let Failure::Refused(Refusal::Kiss(kiss @ (Kiss::Deny | Kiss::Rate))) = failure {
                        complaint.rest.push((server, kiss));
                    }
                    complaint.sentence = failure.to_string();
                }
            }
        }
        Err(complaint)
    }

    /// Of several questions the answer that was on its way for the shortest time. The first that fails is the last.
    async fn burst(&self, server: SocketAddr, port: Option<&str>, times: u32) -> Result<Sample, Failure> {
        let mut best: Option<Sample> = None;
        for question in 0..times {
            if question > 0 {
                sleep(self.pace.gap).await;
            }
            match (ask(server, port, self.bounds, self.clock, self.pace.patience).await, &best) {
                (Ok(sample), Some(before)) if sample.distance() >= before.distance() => {}
                (Ok(sample), _) => best = Some(sample),
                // A server that wants to be left alone is; what it said before stands.
                (Err(failure), None) => return Err(failure),
                (Err(_), Some(_)) => break,
            }
        }
        best.ok_or(Failure::Silent(self.pace.patience))
    }
}

impl Complaint {
    fn of(sentence: impl Into<String>) -> Complaint {
        Complaint { sentence: sentence.into(), rest: Vec::new() }
    }
}
