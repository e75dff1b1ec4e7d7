//! An engineer's SSH connection: his login, channels to systems, and a few commands. Nothing else is opened, and nothing is run.

mod answers;
mod carry;
mod counted;
mod session;

pub(crate) use carry::Pool;

use crate::access::{self, Admitted};
use crate::clock::now;
use crate::guard::Cut;
use crate::hub::{Entry, Hub, UnderWay};
use crate::places::Place;
use crate::ssh;
use crate::store::Record;
use carry::Company;
use drawbridge_wire::Line;
use russh::keys::ssh_key::Certificate;
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure};
use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{oneshot, watch};

/// Channels for commands that one connection may have open at once.
const MOST_CHANNELS: usize = 8;

/// Serves one until he goes.
pub(crate) async fn serve(
    hub: &Arc<Hub>,
    config: Arc<Config>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    source: SocketAddr,
    place: Arc<Place>,
) {
    let cut = Cut::new();
    let is_in = Arc::new(watch::Sender::new(false));
    let handler = Engineer {
        hub: Arc::clone(hub),
        source: source.ip(),
        cut: cut.clone(),
        is_in: Arc::clone(&is_in),
        place: Arc::clone(&place),
        admitted: None,
        entry: None,
        commands: HashMap::new(),
        company: Company::default(),
    };
    let session = ssh::serve(config, stream, handler, &cut);
    tokio::pin!(session);
    tokio::select! {
        () = &mut session => return,
        () = hub.stops() => cut.cut(),
        () = place.is_lost() => cut.cut(),
        () = tokio::time::sleep(ssh::LOGIN_WITHIN) => {
            if !*is_in.borrow() {
                cut.cut();
            }
        }
    }
    tokio::select! {
        () = &mut session => return,
        () = hub.stops() => cut.cut(),
    }
    session.await;
    drop(place);
}

struct Engineer {
    hub: Arc<Hub>,
    source: IpAddr,
    cut: Cut,
    is_in: Arc<watch::Sender<bool>>,
    place: Arc<Place>,
    admitted: Option<Admitted>,
    entry: Option<Entry>,
    /// Session channels that are open, with what takes the command as long as none has come.
    commands: HashMap<ChannelId, Option<oneshot::Sender<String>>>,
    company: Company,
}

impl Engineer {
    fn record(&self, who: &str, what: &str, result: &str) -> Record {
        Record {
            who: Line::<64>::of(who).as_str().to_owned(),
            source: self.source.to_string(),
            what: what.to_owned(),
            result: result.to_owned(),
            ..Record::default()
        }
    }

    async fn admit(&mut self, user: &str, admitted: Option<Admitted>, how: &str) -> Auth {
        let Some(admitted) = admitted else {
            let record = self.record(user, "login", &format!("refused: {how}"));
            self.hub.record_stranger(self.source, record).await;
            return Auth::reject();
        };
        if !self.place.know() {
            let result = "refused: too many are connected";
            self.hub.record(self.record(user, "login", result)).await;
            return Auth::reject();
        }
        let under_way =
            UnderWay { who: admitted.clone(), source: self.source, system: None, cut: self.cut.clone() };
        self.entry = self.hub.enter(under_way);
        self.hub.record(self.record(user, "login", how)).await;
        self.admitted = Some(admitted);
        self.is_in.send_replace(true);
        Auth::Accept
    }

    fn answer(&mut self, id: ChannelId, command: &str, session: &mut Session) -> Result<(), russh::Error> {
        // One command a channel (RFC 4254, section 6.5).
        let Some(asked) = self.commands.get_mut(&id).and_then(Option::take) else {
            return session.channel_failure(id);
        };
        session.channel_success(id)?;
        let _ = asked.send(Line::<256>::of(command).as_str().to_owned());
        Ok(())
    }
}

impl Handler for Engineer {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        // A key inside a certificate is offered like a bare one: with an authority, any may be right.
        let (user, key, source) = (user.to_owned(), offer.public_key.clone(), self.source);
        let may_be = self.hub.ask(move |store| {
            let engineers = store.engineers()?;
            Ok(engineers.iter().any(|entry| entry.is_authority)
                || access::by_key(&engineers, &user, &key, source, now()).is_some())
        });
        Ok(if may_be.await.unwrap_or(false) { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        let (name, key, source) = (user.to_owned(), key.public_key.clone(), self.source);
        let admitted = self
            .hub
            .ask(move |store| Ok(access::by_key(&store.engineers()?, &name, &key, source, now())))
            .await
            .ok()
            .flatten();
        Ok(self.admit(user, admitted, "by key").await)
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, russh::Error> {
        let (name, shown, source) = (user.to_owned(), certificate.clone(), self.source);
        let admitted = self
            .hub
            .ask(move |store| Ok(access::by_certificate(&store.engineers()?, &name, &shown, source, now())))
            .await
            .ok()
            .flatten();
        let id = Line::<100>::of(certificate.key_id());
        let how = format!("by certificate {} \"{id}\"", certificate.serial());
        Ok(self.admit(user, admitted, &how).await)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(who) = self.admitted.clone() else { return Ok(()) };
        if self.commands.len() < MOST_CHANNELS {
            let (ask, asked) = oneshot::channel();
            self.commands.insert(channel.id(), Some(ask));
            let (hub, cut) = (Arc::clone(&self.hub), self.cut.clone());
            // A channel that nobody reads would stop the whole connection, and keep it when it is cut.
            tokio::spawn(async move {
                tokio::select! {
                    () = answers::serve(&hub, &who, channel, asked) => {}
                    () = cut.happens() => {}
                }
            });
            reply.accept().await;
        } else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        _: u32,
        _: &str,
        _: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let Some(who) = self.admitted.clone() else { return Ok(()) };
        let request = session::Request {
            hub: Arc::clone(&self.hub),
            who,
            source: self.source,
            called: Line::<64>::of(host).as_str().to_owned(),
            connection: self.cut.clone(),
            company: self.company.clone(),
        };
        tokio::spawn(request.run(channel, reply));
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _: &mut Session) -> Result<(), russh::Error> {
        self.commands.remove(&id);
        Ok(())
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let command = String::from_utf8_lossy(command).into_owned();
        self.answer(id, &command, session)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        self.answer(id, "help", session)
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        _: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        _: &str,
        _: u32,
        _: u32,
        _: u32,
        _: u32,
        _: &[(russh::Pty, u32)],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        // There is no terminal; a client that asked for one gets the text all the same.
        session.channel_failure(id)
    }
}
