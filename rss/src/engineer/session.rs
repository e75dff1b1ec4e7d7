//! One engineer's way to one system: asks the appliance to dial, and carries the bytes both ways. It never looks into them.

use super::carry::{Company, End, carry};
use super::counted::Counted;
use crate::access::{self, Admitted};
use crate::guard::Cut;
use crate::hub::{Carrier, Connected, Dialled, Entry, Hub, UnderWay};
use crate::store::Record;
use drawbridge_wire::TICKET_LIVES;
use russh::server::{ChannelOpenHandle, Msg};
use russh::{Channel, ChannelOpenFailure};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::AsyncWriteExt as _;
use tokio::time::timeout;

/// The reason codes of RFC 4254, section 5.1.
const PROHIBITED: u32 = 1;
const CONNECT_FAILED: u32 = 2;
const SHORTAGE: u32 = 4;

/// Both ends are told that it is over within so long.
const PARTING: Duration = Duration::from_secs(1);

/// What an engineer asks for.
pub(super) struct Request {
    pub(super) hub: Arc<Hub>,
    pub(super) who: Admitted,
    pub(super) source: IpAddr,
    /// As he calls the system.
    pub(super) called: String,
    /// Ends with his connection.
    pub(super) connection: Cut,
    /// The sessions in it.
    pub(super) company: Company,
}

struct Refusal(u32, String);

impl Request {
    pub(super) async fn run(self, channel: Channel<Msg>, reply: ChannelOpenHandle) {
        let _work = self.hub.work();
        let cut = Cut::new();
        let way = tokio::select! {
            way = self.find_way(&cut) => way,
            () = self.connection.happens() => {
                self.hub.record(self.record(&self.called, "given up, he has gone")).await;
                return;
            }
            () = self.hub.stops() => Err(Refusal(CONNECT_FAILED, "the server is going down".to_owned())),
        };
        let (serial, _entry, carrier) = match way {
            Ok(way) => way,
            Err(Refusal(code, reason)) => {
                self.hub.record(self.record(&self.called, &format!("refused: {reason}"))).await;
                reply.reject(ChannelOpenFailure::Other { code, reason }).await;
                return;
            }
        };
        self.hub.record(self.record(&serial, "opened")).await;
        reply.accept().await;
        let member = self.company.join();
        let began = Instant::now();
        let Carrier { mut stream, place: _place } = *carrier;
        let (mut read, write) = channel.split();
        let mut far = Counted::new(&mut stream);
        let how = tokio::select! {
            // One end brings the others with it: the first of these is why.
            biased;
            () = self.hub.stops() => "ended, the server is going down",
            () = cut.happens() => "cut, he may no longer",
            end = carry(&mut read, &write, &mut far, &self.hub.pool, &member) => match end {
                End::Ended => "ended",
                End::Broke => "ended, the connection broke",
                End::StoodStill => "closed, the system took nothing while its buffer was full",
            },
            () = self.connection.happens() => "ended with his connection",
        };
        // From here on, whatever still comes for the channel is dropped at once.
        drop(read);
        let (there, back) = (far.written, far.read);
        let _ = timeout(PARTING, async { tokio::join!(write.close(), stream.shutdown()) }).await;
        let how = format!(
            "{how}, after {} s, {there} bytes to the system and {back} back",
            began.elapsed().as_secs()
        );
        self.hub.record(self.record(&serial, &how)).await;
    }

    fn record(&self, system: &str, result: &str) -> Record {
        Record {
            who: self.who.name.clone(),
            source: self.source.to_string(),
            what: "session".to_owned(),
            system: system.to_owned(),
            result: result.to_owned(),
            ..Record::default()
        }
    }

    async fn find_way(&self, cut: &Cut) -> Result<(String, Entry, Box<Carrier>), Refusal> {
        let (called, who) = (self.called.clone(), self.who.clone());
        let (system, may_reach) = self
            .hub
            .ask(move |store| {
                let Some(system) = store.called(&called)? else { return Ok(None) };
                let engineers = store.engineers()?;
                let may_reach = access::may_reach(&engineers, &who, &system.name, &system.serial);
                let may_see = access::may_see(&engineers, &who, &system.name, &system.serial);
                Ok(may_see.then_some((system, may_reach)))
            })
            .await
            .map_err(|_| Refusal(CONNECT_FAILED, "the server's store does not answer".to_owned()))?
            // The same words for both: who may not reach a system learns nothing of it.
            .ok_or_else(|| Refusal(PROHIBITED, "no such system, or not allowed".to_owned()))?;
        if !may_reach {
            return Err(Refusal(PROHIBITED, "an observer sees systems, and reaches none".to_owned()));
        }
        let under_way = UnderWay {
            who: self.who.clone(),
            source: self.source,
            system: Some((system.name.clone(), system.serial.clone())),
            cut: cut.clone(),
        };
        let entry = self.hub.enter(under_way).ok_or_else(|| {
            Refusal(SHORTAGE, "too many sessions are open under this name already".to_owned())
        })?;
        let connected = self
            .hub
            .connected(&system.serial)
            .ok_or_else(|| Refusal(CONNECT_FAILED, format!("{} is not connected", system.name)))?;
        let carrier = self.dial(&connected, &system.name).await?;
        Ok((system.serial, entry, carrier))
    }

    async fn dial(&self, connected: &Connected, name: &str) -> Result<Box<Carrier>, Refusal> {
        let late = || Refusal(CONNECT_FAILED, format!("{name} did not answer in time"));
        let mut asked = self.hub.dial(connected, &self.who.name, self.source).ok_or_else(late)?;
        match timeout(Duration::from_secs(TICKET_LIVES), &mut asked.told).await {
            Ok(Ok(Dialled::Here(carrier))) => Ok(carrier),
            Ok(Ok(Dialled::Declined(why))) => Err(Refusal(CONNECT_FAILED, format!("declined: {why}"))),
            Ok(Err(_)) => Err(Refusal(CONNECT_FAILED, format!("{name} has gone"))),
            Err(_) => Err(late()),
        }
    }
}
