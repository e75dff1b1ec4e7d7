//! Keeps the control connection: makes it, and makes it again when it is lost. It never gives up by itself.

use crate::carrier::Carrier;
use crate::control::{Greeting, Kind, Messages, Welcome};
use crate::engineers::Engineers;
use crate::news::News;
use crate::pace::{Pace, stopped};
use crate::role::Tunnel;
use crate::ssh::{Ssh, fingerprint, known_key, login_key};
use crate::trouble::Trouble;
use crate::upload;
use crate::way::{Service, Way};
use drawbridge_bus::bridge::{Link, SecretText, TunnelJob, TunnelNews, TunnelOrders};
use drawbridge_wire::Features;
use ring::rand::{SecureRandom as _, SystemRandom};
use russh::keys::PublicKey;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;

/// A connection that has lived so long was a good one: the waits begin anew.
const STEADY: Duration = Duration::from_secs(10);
/// An attempt that is younger than this is not begun anew because a port came up.
const YOUNG: Duration = Duration::from_secs(1);
/// The same trouble is logged again after so long.
const LOG_AGAIN: Duration = Duration::from_mins(10);

/// Runs until it is to stop.
pub(crate) async fn run(tunnel: Tunnel, news: News, mut stop: watch::Receiver<bool>) {
    let Tunnel { place, asker, way, orders, hand } = tunnel;
    let TunnelJob::Bridge { relay } = &orders.job else { return };
    // Ends with the role; nothing here waits for it.
    tokio::spawn(upload::run(hand.clone(), Arc::clone(&way), asker.clone(), place.pace));
    let mut engineers = Engineers::new(Arc::clone(&way), relay.clone(), place.sshd, hand);
    let mut keeper = Keeper::new(&orders, &way, &news, place.pace);
    let mut carrier = Carrier::new(asker);
    let mut waits = Waits::new(&place.pace);
    let mut told: Option<(Trouble, Instant)> = None;
    news.link(Link::Connecting).await;
    loop {
        let began = Instant::now();
        let attempt = tokio::select! {
            () = stopped(&mut stop) => return,
            attempt = keeper.connect() => attempt,
            // What it waits for was sent before there was a cable.
            () = late_up(&mut carrier, began) => continue,
        };
        let trouble = match attempt {
            Ok(mut connection) => {
                let Welcome { system, can } = connection.welcome.clone();
                log::info!("connected to {} as {system}", way.route().target);
                let takes_recordings = can.has(Features::RECORDINGS);
                if !takes_recordings {
                    log::info!("this server takes no recordings: they stay here");
                }
                news.link(Link::Connected { system, takes_recordings }).await;
                told = None;
                let since = Instant::now();
                let end = connection
                    .messages
                    .serve(can, &mut engineers, &mut carrier, &place.pace, &mut stop)
                    .await;
                if since.elapsed() >= STEADY {
                    waits.begin_anew();
                }
                let Some(trouble) = end else {
                    connection.ssh.close().await;
                    return;
                };
                connection.ssh.explain(trouble)
            }
            Err(trouble) => trouble,
        };
        let is_new = told.as_ref().is_none_or(|(before, at)| *before != trouble || at.elapsed() > LOG_AGAIN);
        if is_new {
            log::warn!("no control connection: {trouble}. {}", trouble.remedy());
            news.link(Link::Waiting { why: sentence(&trouble), remedy: trouble.remedy() }).await;
            told = Some((trouble.clone(), Instant::now()));
        }
        let wait = if trouble.is_lasting() { waits.refused(place.pace.wait_refused) } else { waits.next() };
        tokio::select! {
            () = stopped(&mut stop) => return,
            () = tokio::time::sleep(wait) => {}
            () = carrier.came_up(), if !trouble.is_lasting() => {}
        }
    }
}

/// Waits for a port that comes up when the attempt is no longer young.
async fn late_up(carrier: &mut Carrier, began: Instant) {
    tokio::time::sleep_until(began + YOUNG).await;
    carrier.came_up().await;
}

/// A sentence for people: with a large first letter and a full stop.
pub(crate) fn sentence(what: &impl ToString) -> String {
    let text = what.to_string();
    let mut chars = text.chars();
    let first = chars.next().map_or_else(String::new, |first| first.to_uppercase().collect());
    format!("{first}{}.", chars.as_str().trim_end_matches('.'))
}

/// Makes control connections, and knows what earlier ones have shown.
struct Keeper<'a> {
    orders: &'a TunnelOrders,
    way: &'a Way,
    news: &'a News,
    pace: Pace,
    /// The server's host key, once it is known.
    known: Result<Option<PublicKey>, Trouble>,
    /// The enrolment token, until it was used.
    token: Option<&'a SecretText>,
}

/// A control connection.
struct Connection {
    ssh: Ssh,
    messages: Messages,
    welcome: Welcome,
}

impl<'a> Keeper<'a> {
    fn new(orders: &'a TunnelOrders, way: &'a Way, news: &'a News, pace: Pace) -> Self {
        let known = orders.server_key.as_deref().map(known_key).transpose();
        Self { orders, way, news, pace, known, token: orders.path.enrolment.as_ref() }
    }

    /// From nothing to a server that knows the appliance.
    async fn connect(&mut self) -> Result<Connection, Trouble> {
        let known = self.known.clone()?;
        let tunnel = self.way.dial(Service::Control, &()).await?;
        let Kind::Messages = Kind::of(tunnel.report.alpn.as_deref())?;
        let mut ssh = Ssh::shake_hands(tunnel.stream, known, self.pace.silent_for).await?;
        ssh.log_in(&self.orders.serial, login_key(&self.orders.login_key)).await?;
        let mut messages = Messages::new(ssh.open().await?);
        let welcome = self.greet(&mut messages).await.map_err(|trouble| ssh.explain(trouble))?;
        self.learn(&ssh).await;
        Ok(Connection { ssh, messages, welcome })
    }

    async fn greet(&mut self, messages: &mut Messages) -> Result<Welcome, Trouble> {
        match messages.greet(self.orders).await? {
            Greeting::Welcome(welcome) => Ok(welcome),
            Greeting::Unenrolled => self.enrol(messages).await,
        }
    }

    async fn enrol(&mut self, messages: &mut Messages) -> Result<Welcome, Trouble> {
        let token = self.token.ok_or(Trouble::Unenrolled)?;
        let enrolled = messages.enrol(token).await;
        // Used, or refused for good; one whose answer was lost may still be good.
        if matches!(enrolled, Ok(_) | Err(Trouble::Token { .. } | Trouble::TokenText)) {
            self.token = None;
        }
        let welcome = enrolled?;
        log::info!("the server has enrolled this appliance as {}", welcome.system);
        self.news.tell(TunnelNews::Enrolled).await;
        Ok(welcome)
    }

    /// The first host key of a server that TLS has verified, and that knows the appliance, is the one from now on.
    async fn learn(&mut self, ssh: &Ssh) {
        if let (Ok(None), Some(key)) = (&self.known, ssh.server_key())
            && let Ok(line) = PublicKey::from(key.key_data().clone()).to_openssh()
        {
            log::info!("the server's SSH host key is {}, from now on", fingerprint(&key));
            self.news.tell(TunnelNews::ServerKey(line)).await;
            self.known = Ok(Some(key));
        }
    }
}

/// How long to wait before the next attempt: anything up to a bound that grows, so that appliances which have lost their
/// server at one time do not come back at one time ("full jitter").
pub(crate) struct Waits {
    first: Duration,
    most: Duration,
    bound: Duration,
    random: SystemRandom,
}

impl Waits {
    fn new(pace: &Pace) -> Self {
        Self::up_to_most(pace, pace.wait_most)
    }

    /// With another longest wait.
    pub(crate) fn up_to_most(pace: &Pace, most: Duration) -> Self {
        let first = pace.wait_first.min(most);
        Self { first, most, bound: first, random: SystemRandom::new() }
    }

    pub(crate) fn begin_anew(&mut self) {
        self.bound = self.first;
    }

    pub(crate) fn next(&mut self) -> Duration {
        let wait = self.up_to(self.bound);
        self.bound = (self.bound * 2).min(self.most);
        wait
    }

    /// A long wait, of which the last third is left to chance.
    pub(crate) fn refused(&self, wait: Duration) -> Duration {
        wait.saturating_sub(self.up_to(wait / 3))
    }

    fn up_to(&self, most: Duration) -> Duration {
        let mut bytes = [0; 4];
        // Without random numbers, everybody waits the longest.
        let part = self.random.fill(&mut bytes).map_or(u32::MAX, |()| u32::from_be_bytes(bytes));
        most.mul_f64(f64::from(part) / f64::from(u32::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_up_to_the_bound_and_are_left_to_chance() {
        let mut waits = Waits::new(&Pace::default());
        let all: Vec<Duration> = (0..200).map(|_| waits.next()).collect();
        assert!(all[0] <= Pace::default().wait_first);
        assert!(all.iter().all(|wait| *wait <= Duration::from_secs(5)));
        let late = &all[10..];
        assert!(late.iter().any(|wait| *wait < Duration::from_secs(2)), "{late:?}");
        assert!(late.iter().any(|wait| *wait > Duration::from_secs(3)), "{late:?}");
        waits.begin_anew();
        assert!(waits.next() <= Pace::default().wait_first);
        let long = waits.refused(Duration::from_mins(1));
        assert!((Duration::from_secs(40)..=Duration::from_mins(1)).contains(&long));
    }

    #[test]
    fn troubles_are_sentences() {
        assert_eq!(sentence(&Trouble::Lost), "The connection to the server was lost.");
    }
}
