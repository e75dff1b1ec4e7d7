//! The control connection once there is SSH: greeting, enrolment, pings, and engineers' requests. It never dials itself.

use crate::bounds::Bucket;
use crate::carrier::Carrier;
use crate::engineers::{Engineers, Request};
use crate::hand::Admission;
use crate::pace::{Pace, stopped};
use crate::trouble::Trouble;
use drawbridge_bus::bridge::{SecretText, TunnelOrders};
use drawbridge_wire as wire;
use drawbridge_wire::{Decoder, Features, PROTOCOL, ToAppliance, ToServer};
use russh::client::Msg;
use russh::{Channel, ChannelMsg, ChannelReadHalf, ChannelWriteHalf};
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, MissedTickBehavior};
use zeroize::Zeroizing;

/// The answer to a greeting comes within this time.
const ANSWER_WITHIN: Duration = Duration::from_secs(15);
/// A message that the server does not take within this time is the last one.
const SEND_WITHIN: Duration = Duration::from_secs(10);
/// Messages from the server: so many at once, and then one in so much time. A busy one sends a few in a second.
const MESSAGES_AT_ONCE: u32 = 256;
const A_MESSAGE: Duration = Duration::from_millis(20);
/// A cable that comes back asks the server, who answers within this time, or the connection is made anew.
const ALIVE_WITHIN: Duration = Duration::from_secs(5);

/// How the control connection is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// By a Remote Support Server of ours: messages over a subsystem.
    Messages,
    // A stock OpenSSH server behind a TLS terminator would be another: it chooses no application protocol, and a remote
    // forward carries the sessions. Whoever adds it makes `Way::dial` take a stream without ALPN, and serves it in `keep`.
}

impl Kind {
    /// By what the server has chosen in the TLS handshake (RFC 7301).
    pub(crate) fn of(alpn: Option<&[u8]>) -> Result<Self, Trouble> {
        if alpn == Some(wire::CONTROL) { Ok(Self::Messages) } else { Err(Trouble::NotOurs) }
    }
}

/// What the server says to a greeting.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Greeting {
    /// The appliance is known.
    Welcome(Welcome),
    /// It is not known.
    Unenrolled,
}

/// A server that knows the appliance.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Welcome {
    /// By this name.
    pub(crate) system: String,
    /// What the server can do.
    pub(crate) can: Features,
}

impl Welcome {
    fn new(system: &wire::Line<64>, can: Features) -> Self {
        Self { system: system.as_str().to_owned(), can }
    }
}

/// The channel of messages.
pub(crate) struct Messages {
    read: ChannelReadHalf,
    write: ChannelWriteHalf<Msg>,
    decoder: Decoder<ToAppliance>,
    allowed: Bucket,
}

impl Messages {
    /// Messages over this channel.
    pub(crate) fn new(channel: Channel<Msg>) -> Self {
        let (read, write) = channel.split();
        let allowed = Bucket::new(MESSAGES_AT_ONCE, A_MESSAGE);
        Self { read, write, decoder: Decoder::default(), allowed }
    }

    /// Sends a message.
    pub(crate) async fn send(&self, message: &ToServer) -> Result<(), Trouble> {
        let bytes = wire::encode(message)?;
        match tokio::time::timeout(SEND_WITHIN, self.write.data_bytes(bytes)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(Trouble::Lost),
            Err(_) => Err(Trouble::Stuck),
        }
    }

    /// The next message. Cancel safe.
    async fn receive(&mut self) -> Result<ToAppliance, Trouble> {
        loop {
            if let Some(message) = self.decoder.next_message()? {
                return if self.allowed.take() { Ok(message) } else { Err(Trouble::Flood) };
            }
            match self.read.wait().await {
                Some(ChannelMsg::Data { data }) => self.decoder.push(&data),
                Some(ChannelMsg::WindowAdjusted { .. } | ChannelMsg::Success) => {}
                Some(ChannelMsg::Eof | ChannelMsg::Close) | None => return Err(Trouble::Lost),
                Some(ChannelMsg::ExtendedData { .. }) => {
                    return Err(Trouble::Protocol("it sends data beside the messages"));
                }
                Some(_) => return Err(Trouble::Protocol("it sends what only a program's channel has")),
            }
        }
    }

    /// What the server says to what it was just told, its pings answered meanwhile.
    async fn answer(&mut self) -> Result<ToAppliance, Trouble> {
        let answer = async {
            loop {
                match self.receive().await? {
                    ToAppliance::Ping(number) => self.send(&ToServer::Pong(number)).await?,
                    message => return Ok(message),
                }
            }
        };
        tokio::time::timeout(ANSWER_WITHIN, answer)
            .await
            .map_err(|_| Trouble::Late("the answer to the greeting"))?
    }

    /// Says who the appliance is.
    pub(crate) async fn greet(&mut self, orders: &TunnelOrders) -> Result<Greeting, Trouble> {
        let hello = ToServer::Hello {
            protocol: PROTOCOL,
            version: wire::Line::of(&orders.version),
            serial: wire::Line::of(&orders.serial),
            name: wire::Line::of(&orders.name),
            host_key: wire::Line::of(&orders.host_key),
        };
        self.send(&hello).await?;
        match self.answer().await? {
            ToAppliance::Welcome { system, can, .. } => Ok(Greeting::Welcome(Welcome::new(&system, can))),
            ToAppliance::Unenrolled => Ok(Greeting::Unenrolled),
            ToAppliance::Refused { why, remedy } => Err(Trouble::Refused { why, remedy }),
            ToAppliance::Bye { why } => Err(Trouble::Bye(why)),
            _ => Err(Trouble::Protocol("its first message is no answer to the greeting")),
        }
    }

    /// Shows the enrolment token: the appliance is known from now on.
    pub(crate) async fn enrol(&mut self, token: &SecretText) -> Result<Welcome, Trouble> {
        let token = Zeroizing::new(token.reveal().trim().to_owned());
        let token = wire::Line::new(token.as_str()).map_err(|_| Trouble::TokenText)?;
        self.send(&ToServer::Enrol { token }).await?;
        match self.answer().await? {
            ToAppliance::Welcome { system, can, .. } => Ok(Welcome::new(&system, can)),
            ToAppliance::Refused { why, remedy } => Err(Trouble::Token { why, remedy }),
            ToAppliance::Bye { why } => Err(Trouble::Bye(why)),
            _ => Err(Trouble::Protocol("its message is no answer to the enrolment")),
        }
    }

    /// Keeps the connection until it fails, or until it is to end (none).
    pub(crate) async fn serve(
        &mut self,
        can: Features,
        engineers: &mut Engineers,
        carrier: &mut Carrier,
        pace: &Pace,
        stop: &mut watch::Receiver<bool>,
    ) -> Option<Trouble> {
        // What the tasks of engineers and recordings have to say on this connection; with it, that goes as well.
        let (said, mut sayings) = mpsc::channel(2 * crate::engineers::AT_ONCE);
        engineers.begin(said, can);
        let mut pings = tokio::time::interval(pace.ping_every);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let (mut number, mut heard) = (0_u64, Instant::now());
        let mut until = heard + pace.silent_for;
        loop {
            // Twice a ping has gone without an answer: then a cable that comes back is worth a look.
            let quiet = heard.elapsed() > pace.ping_every + pace.ping_every / 2;
            let result = tokio::select! {
                () = stopped(stop) => {
                    let _ = self.send(&ToServer::Bye).await;
                    return None;
                }
                message = self.receive() => match message {
                    Ok(message) => {
                        heard = Instant::now();
                        until = heard + pace.silent_for;
                        self.obey(message, engineers).await
                    }
                    Err(trouble) => Err(trouble),
                },
                Some(saying) = sayings.recv() => self.send(&saying).await,
                _ = pings.tick() => {
                    number = number.wrapping_add(1);
                    self.send(&ToServer::Ping(number)).await
                }
                () = tokio::time::sleep_until(until) => Err(Trouble::Silent(heard.elapsed().as_secs())),
                () = carrier.came_up(), if quiet => {
                    until = until.min(Instant::now() + ALIVE_WITHIN);
                    pings.reset_immediately();
                    Ok(())
                }
            };
            if let Err(trouble) = result {
                return Some(trouble);
            }
        }
    }

    async fn obey(&mut self, message: ToAppliance, engineers: &mut Engineers) -> Result<(), Trouble> {
        match message {
            ToAppliance::Ping(number) => self.send(&ToServer::Pong(number)).await,
            ToAppliance::Pong(_) => Ok(()),
            ToAppliance::Bye { why } => Err(Trouble::Bye(why)),
            ToAppliance::Refused { why, remedy } => Err(Trouble::Refused { why, remedy }),
            ToAppliance::Dial { request, token, engineer, source } => {
                match engineers.take(Request { id: request, token, engineer, source }) {
                    Ok(()) => Ok(()),
                    Err(why) => {
                        let why = wire::Line::of(why);
                        self.send(&ToServer::Declined { request, why }).await
                    }
                }
            }
            ToAppliance::Upload { request, token } | ToAppliance::Archive { request, token } => {
                engineers.hand().answered(request, Admission::Ticket(token));
                Ok(())
            }
            ToAppliance::NoUpload { request, why, remedy }
            | ToAppliance::NoArchive { request, why, remedy } => {
                engineers.hand().answered(request, Admission::Refused { why, remedy });
                Ok(())
            }
            ToAppliance::Welcome { .. } | ToAppliance::Unenrolled => {
                Err(Trouble::Protocol("it greets a second time"))
            }
        }
    }
}
