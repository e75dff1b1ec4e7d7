//! The control service: knows an appliance or does not, enrols it, and passes orders on. It takes an appliance's word for its
//! own requests only.

use super::written;
use crate::access::{is_name, is_within};
use crate::guard::Cut;
use crate::hub::{Connected, Hub};
use crate::places::Place;
use crate::store::{Enrolment, Record, System};
use crate::trouble::complain;
use drawbridge_wire::{
    Decoder, Features, Line, PING_EVERY, PROTOCOL, SILENT_FOR, ToAppliance, ToServer, encode,
};
use russh::keys::PublicKey;
use russh::server::Msg;
use russh::{Channel, ChannelMsg};
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, interval_at, timeout, timeout_at};

/// It takes what is sent to it within so long.
const SENT_WITHIN: Duration = Duration::from_secs(10);
/// From the login to the hello, and from the answer to the enrolment.
const SAID_WITHIN: Duration = Duration::from_secs(30);
/// What it may say from one ping to the next.
const MOST_MESSAGES: u32 = 1000;
/// After the last word it may close the connection by itself.
const PARTING: Duration = Duration::from_secs(1);

/// Why it ends: nothing more to be said, or the last word.
enum End {
    Gone(&'static str),
    Word(ToAppliance, &'static str),
}

type Step<T> = Result<T, End>;

/// One connection's control service.
pub(super) struct Control {
    pub(super) hub: Arc<Hub>,
    pub(super) source: IpAddr,
    pub(super) serial: String,
    pub(super) login_key: String,
    pub(super) cut: Cut,
    pub(super) place: Arc<Place>,
    /// Once it is let in.
    pub(super) connected: Option<Connected>,
}

struct Talk {
    channel: Channel<Msg>,
    decoder: Decoder<ToServer>,
    read: VecDeque<ToServer>,
}

impl Talk {
    async fn send(&self, message: &ToAppliance) -> Step<()> {
        let bytes = encode(message).map_err(|_| End::Gone("a message that is too long"))?;
        match timeout(SENT_WITHIN, self.channel.data_bytes(bytes)).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(End::Gone("it takes nothing any more")),
        }
    }

    /// The next message. Nothing is lost when this is dropped.
    async fn next(&mut self) -> Step<ToServer> {
        loop {
            if let Some(message) = self.read.pop_front() {
                return Ok(message);
            }
            match self.channel.wait().await {
                Some(ChannelMsg::Data { data }) => {
                    self.decoder.push(&data);
                    while let Some(message) = self
                        .decoder
                        .next_message()
                        .map_err(|_| End::Gone("it does not speak the protocol"))?
                    {
                        self.read.push_back(message);
                    }
                }
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => return Err(End::Gone("it has gone")),
                Some(_) => {}
            }
        }
    }

    async fn next_before(&mut self, end: Instant) -> Step<ToServer> {
        timeout_at(end, self.next()).await.map_err(|_| End::Gone("it says nothing"))?
    }
}

/// Waits until the channel has the control service; false when something else comes before.
async fn begin(channel: &mut Channel<Msg>, mut begun: oneshot::Receiver<()>) -> bool {
    loop {
        tokio::select! {
            biased;
            begun = &mut begun => return begun.is_ok(),
            message = channel.wait() => match message {
                Some(ChannelMsg::RequestSubsystem { .. } | ChannelMsg::SetEnv { .. } | ChannelMsg::WindowAdjusted { .. }) => {}
                _ => return false,
            },
        }
    }
}

fn refused(why: &str, remedy: &str, result: &'static str) -> End {
    End::Word(ToAppliance::Refused { why: Line::of(why), remedy: Line::of(remedy) }, result)
}

fn busy<E>(_: E) -> End {
    End::Word(
        ToAppliance::Bye { why: Line::of("the server's store does not answer") },
        "the store does not answer",
    )
}

impl Control {
    /// Serves until the end, and ends the connection.
    pub(super) async fn run(mut self, mut channel: Channel<Msg>, begun: oneshot::Receiver<()>) {
        let _work = self.hub.work();
        let cut = self.cut.happens();
        let stops = self.hub.stops();
        let is_begun = tokio::select! {
            is_begun = begin(&mut channel, begun) => is_begun,
            () = cut => false,
            () = stops => false,
        };
        if !is_begun {
            self.cut.cut();
            return;
        }
        let mut talk = Talk { channel, decoder: Decoder::default(), read: VecDeque::new() };
        let cut = self.cut.happens();
        let stops = self.hub.stops();
        let end = tokio::select! {
            result = self.serve(&mut talk) => result.err().unwrap_or(End::Gone("it has gone")),
            () = cut => End::Gone("cut"),
            () = stops => End::Word(ToAppliance::Bye { why: Line::of("the server is going down") }, "the server ends"),
        };
        let result = match end {
            End::Gone(result) => result,
            End::Word(word, result) => {
                let is_refused = matches!(word, ToAppliance::Refused { .. });
                if talk.send(&word).await.is_ok() {
                    let _ = timeout(PARTING, async { while talk.next().await.is_ok() {} }).await;
                }
                if is_refused {
                    let record = self.record("refused", result);
                    self.hub.record_stranger(self.source, record).await;
                }
                result
            }
        };
        self.cut.cut();
        // Only of one that was let in is it worth a line that it goes.
        if let Some(connected) = &self.connected {
            self.hub.disconnect(connected);
            let serial = connected.serial.clone();
            if let Err(error) = self.hub.ask(move |store| store.seen(&serial)).await {
                complain(&format!("when {} was there last is not noted: {error}", connected.serial));
            }
            self.hub.record(self.record("disconnected", result)).await;
        }
    }

    pub(super) fn record(&self, what: &str, result: &str) -> Record {
        Record {
            who: Line::<64>::of(&self.serial).as_str().to_owned(),
            source: self.source.to_string(),
            what: what.to_owned(),
            system: Line::<64>::of(&self.serial).as_str().to_owned(),
            result: result.to_owned(),
            ..Record::default()
        }
    }

    async fn serve(&mut self, talk: &mut Talk) -> Step<()> {
        let hello = self.hello(talk).await?;
        let serial = hello.serial.clone();
        let kept = self.hub.ask(move |store| store.system(&serial)).await.map_err(busy)?;
        let system = match kept {
            Some(kept) => self.compare(kept, &hello)?,
            None => self.enrol(talk, hello).await?,
        };
        if !self.place.know() {
            let why = Line::of("too many are connected to the server");
            return Err(End::Word(ToAppliance::Bye { why }, "too many are connected"));
        }
        let serial = system.serial.clone();
        self.hub.ask(move |store| store.seen(&serial)).await.map_err(busy)?;
        self.hub.record(self.record("connected", "known by its key")).await;
        let (connected, orders) = self.hub.connect(&system.serial, &self.login_key, self.source, &self.cut);
        let number = connected.number;
        self.connected = Some(connected);
        // Orders wait until it knows that it is in.
        let version = Line::of(env!("CARGO_PKG_VERSION"));
        let (system, can) = (Line::of(&system.name), Features::RECORDINGS.and(Features::ARCHIVE));
        talk.send(&ToAppliance::Welcome { version, system, can }).await?;
        self.talk(talk, number, orders).await
    }

    /// Its first message, as a system that asks.
    async fn hello(&self, talk: &mut Talk) -> Step<System> {
        let end = Instant::now() + SAID_WITHIN;
        let ToServer::Hello { protocol, version: _, serial, name, host_key } = talk.next_before(end).await?
        else {
            return Err(End::Gone("its first message is no hello"));
        };
        if protocol != PROTOCOL {
            let why = format!(
                "the appliance speaks version {protocol} of the protocol, the server version {PROTOCOL}"
            );
            return Err(refused(&why, "Update the older of the two.", "another version of the protocol"));
        }
        if serial.as_str() != self.serial || !is_name(serial.as_str()) {
            let remedy = "Letters, digits, dot, dash and underscore make a serial number that is taken.";
            return Err(refused(
                "the serial number is not one the server can take",
                remedy,
                "its serial number",
            ));
        }
        let Some(host_key) = PublicKey::from_openssh(host_key.as_str()).ok().as_ref().and_then(written)
        else {
            return Err(refused("its host key cannot be read", "Report this to the vendor.", "its host key"));
        };
        Ok(System {
            serial: self.serial.clone(),
            name: name_of(name.as_str(), &self.serial),
            login_key: self.login_key.clone(),
            host_key,
            address: None,
            enrolled: 0,
            seen: None,
        })
    }

    /// One that is kept must be as it was.
    fn compare(&self, kept: System, hello: &System) -> Step<System> {
        let remedy = "If its keys were made anew, the server's operator removes the system and makes an enrolment token.";
        if kept.login_key != hello.login_key {
            return Err(refused(
                "the server knows this serial number by another login key",
                remedy,
                "another login key",
            ));
        }
        if kept.host_key != hello.host_key {
            return Err(refused(
                "the server knows this system by another host key",
                remedy,
                "another host key",
            ));
        }
        if kept.address.as_deref().is_some_and(|network| !is_within(self.source, [network])) {
            let why = format!("the system may not come from {}", self.source);
            return Err(refused(
                &why,
                "The server's operator changes where it may come from.",
                "another address",
            ));
        }
        Ok(kept)
    }

    /// One that is not kept may show a token, once.
    async fn enrol(&self, talk: &mut Talk, asking: System) -> Step<System> {
        talk.send(&ToAppliance::Unenrolled).await?;
        let end = Instant::now() + SAID_WITHIN;
        let token = loop {
            match talk.next_before(end).await? {
                ToServer::Enrol { token } => break zeroize::Zeroizing::new(token.as_str().to_owned()),
                ToServer::Ping(number) => talk.send(&ToAppliance::Pong(number)).await?,
                ToServer::Bye => return Err(End::Gone("it does not want to be enrolled now")),
                _ => return Err(End::Gone("it says something else than its token")),
            }
        };
        let source = self.source;
        let enrolment = self
            .hub
            .ask(move |store| store.enrol(&token, &asking, |network| is_within(source, [network])))
            .await
            .map_err(busy)?;
        match enrolment {
            Enrolment::Done(system) => {
                self.hub.record(self.record("enrolled", &format!("as {}", system.name))).await;
                Ok(system)
            }
            Enrolment::Refused => {
                let why = "the enrolment token is not good: wrong, used, too old, or not for this system";
                Err(refused(why, "Ask the server's operator for a new token.", "its enrolment token"))
            }
            Enrolment::NameTaken(name) => {
                let why = format!("another system is called {name} already");
                let remedy = "Give the system another name, or ask for a token that names it.";
                Err(refused(&why, remedy, "its name belongs to another system"))
            }
        }
    }

    async fn talk(
        &self,
        talk: &mut Talk,
        connection: u64,
        mut orders: mpsc::Receiver<ToAppliance>,
    ) -> Step<()> {
        let every = Duration::from_secs(PING_EVERY);
        let mut pings = interval_at(Instant::now() + every, every);
        let (mut number, mut count, mut heard) = (0, 0_u32, Instant::now());
        let (mut uploads, mut fetches) = (0_u32, 0_u32);
        loop {
            tokio::select! {
                order = orders.recv() => match order {
                    Some(order @ ToAppliance::Refused { .. }) => return Err(End::Word(order, "it was removed")),
                    Some(order @ ToAppliance::Bye { .. }) => return Err(End::Word(order, "it has connected once more")),
                    Some(order) => talk.send(&order).await?,
                    None => return Err(End::Gone("it is not wanted any more")),
                },
                _ = pings.tick() => {
                    if heard.elapsed() >= Duration::from_secs(SILENT_FOR) {
                        return Err(End::Gone("it has fallen silent"));
                    }
                    (number, count, uploads, fetches) = (number + 1, 0, 0, 0);
                    talk.send(&ToAppliance::Ping(number)).await?;
                },
                message = talk.next() => {
                    heard = Instant::now();
                    count += 1;
                    if count > MOST_MESSAGES {
                        return Err(End::Gone("it sends without end"));
                    }
                    match message? {
                        ToServer::Ping(number) => talk.send(&ToAppliance::Pong(number)).await?,
                        ToServer::Pong(_) | ToServer::Ended { .. } => {}
                        ToServer::Declined { request, why } => {
                            self.hub.decline(connection, request, why.as_str());
                        }
                        ToServer::Upload { request, key } => {
                            uploads += 1;
                            let answer = self.upload(connection, request, key.as_str(), uploads).await;
                            talk.send(&answer).await?;
                        }
                        ToServer::Archive { request } => {
                            fetches += 1;
                            talk.send(&self.archive(connection, request, fetches)).await?;
                        }
                        ToServer::Bye => return Err(End::Gone("its owner has raised the bridge")),
                        ToServer::Hello { .. } | ToServer::Enrol { .. } => {
                            return Err(End::Gone("it begins once more"));
                        }
                    }
                },
            }
        }
    }
}

/// A system's own name, made such that it can be one; without any, its serial number.
fn name_of(name: &str, serial: &str) -> String {
    let name: String = name
        .chars()
        .map(|sign| if sign.is_ascii_alphanumeric() || matches!(sign, '.' | '_') { sign } else { '-' })
        .collect();
    let name = name.trim_matches(['-', '.', '_']);
    if is_name(name) { name.to_owned() } else { serial.to_owned() }
}
