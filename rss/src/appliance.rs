//! An appliance's control connection, as far as SSH goes: its login key is taken as shown, and one channel with the control
//! service is all it gets. Whether it is known is decided in `control`.

mod control;
mod upload;

use crate::guard::Cut;
use crate::hub::Hub;
use crate::places::Place;
use crate::ssh;
use control::Control;
use drawbridge_wire::SUBSYSTEM;
use russh::keys::{Algorithm, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId};
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::oneshot;

/// Serves one until it goes.
pub(crate) async fn serve(
    hub: &Arc<Hub>,
    config: Arc<Config>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    source: SocketAddr,
    place: Arc<Place>,
) {
    let cut = Cut::new();
    let (served, mut is_served) = oneshot::channel();
    let handler = Appliance {
        hub: Arc::clone(hub),
        source,
        cut: cut.clone(),
        place: Arc::clone(&place),
        login: None,
        begin: None,
        has_channel: false,
        served: Some(served),
    };
    let session = ssh::serve(config, stream, handler, &cut);
    tokio::pin!(session);
    // The control service takes the connection's end over once it runs.
    tokio::select! {
        () = &mut session => return,
        () = place.is_lost() => cut.cut(),
        () = tokio::time::sleep(ssh::LOGIN_WITHIN) => {
            if is_served.try_recv().is_err() {
                cut.cut();
            }
        }
    }
    tokio::select! {
        () = &mut session => return,
        () = place.is_lost() => cut.cut(),
    }
    session.await;
    drop(place);
}

/// Written down as it is in the database: algorithm and key, without comment.
fn written(key: &PublicKey) -> Option<String> {
    PublicKey::new(key.key_data().clone(), "").to_openssh().ok().map(|text| text.trim().to_owned())
}

struct Appliance {
    hub: Arc<Hub>,
    source: SocketAddr,
    cut: Cut,
    place: Arc<Place>,
    /// Serial number and login key, both as shown.
    login: Option<(String, String)>,
    /// Its one channel, until that has the control service.
    begin: Option<(ChannelId, oneshot::Sender<()>)>,
    has_channel: bool,
    served: Option<oneshot::Sender<()>>,
}

impl Handler for Appliance {
    type Error = russh::Error;

    async fn auth_publickey_offered(
        &mut self,
        _: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(if *offer.algorithm == Algorithm::Ed25519 { Auth::Accept } else { Auth::reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        let Some(text) = written(key.public_key) else { return Ok(Auth::reject()) };
        self.login = Some((user.to_owned(), text));
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        // One channel, once.
        let Some((serial, login_key)) = self.login.clone() else { return Ok(()) };
        if self.has_channel {
            return Ok(());
        }
        self.has_channel = true;
        let (begin, awaited) = oneshot::channel();
        self.begin = Some((channel.id(), begin));
        let control = Control {
            hub: Arc::clone(&self.hub),
            source: self.source.ip(),
            serial,
            login_key,
            cut: self.cut.clone(),
            place: Arc::clone(&self.place),
            connected: None,
        };
        // A channel that nobody reads would stop the connection, and keep it when it is cut.
        tokio::spawn(control.run(channel, awaited));
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        match self.begin.take() {
            Some((open, begin)) if open == id && name == SUBSYSTEM => {
                session.channel_success(id)?;
                if let Some(served) = self.served.take() {
                    let _ = served.send(());
                }
                let _ = begin.send(());
                Ok(())
            }
            // Whatever else is asked for: dropped, `begin` ends the connection.
            _ => session.channel_failure(id),
        }
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        _: &[u8],
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        session.channel_failure(id)
    }
}
