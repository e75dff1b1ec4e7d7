//! A Remote Support Server that does what the test says: TLS by rustls, SSH by russh, and nothing decided.

use super::{random, soon};
use drawbridge_wire as wire;
use drawbridge_wire::{
    Decoder, Features, Line, RequestId, SUBSYSTEM, ToAppliance, ToServer, Token, encode, ticket,
};
use ring::digest::{SHA256, digest};
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{PrivateKey, PublicKey};
use russh::server::{
    Auth, ChannelOpenHandle, Config, Handler, Msg, PublicKeyOffer, Session, VerifiedPublicKey, run_stream,
};
use russh::{Channel, ChannelId, ChannelMsg};
use rustls::pki_types::PrivateKeyDer;
use std::net::IpAddr;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncWriteExt as _;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

/// What an appliance has dialled.
pub(crate) type Tls = TlsStream<TcpStream>;

/// The server: what appliances dial comes out, by what they have dialled for.
pub(crate) struct Server {
    pub(crate) port: u16,
    pub(crate) pin: [u8; 32],
    shown: Arc<Mutex<TlsAcceptor>>,
    host_key: PrivateKey,
    controls: mpsc::UnboundedReceiver<Tls>,
    sessions: mpsc::UnboundedReceiver<Tls>,
    recordings: mpsc::UnboundedReceiver<Tls>,
    archives: mpsc::UnboundedReceiver<Tls>,
    refusals: mpsc::UnboundedReceiver<String>,
}

impl Server {
    /// Starts one with a certificate and a host key of its own.
    pub(crate) async fn start() -> Self {
        let (first, pin) = acceptor();
        let shown = Arc::new(Mutex::new(first));
        let show = Arc::clone(&shown);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (control, controls) = mpsc::unbounded_channel();
        let (session, sessions) = mpsc::unbounded_channel();
        let (recording, recordings) = mpsc::unbounded_channel();
        let (archive, archives) = mpsc::unbounded_channel();
        let (refusal, refusals) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let acceptor = show.lock().unwrap().clone();
                let (control, session, refusal) = (control.clone(), session.clone(), refusal.clone());
                let (recording, archive) = (recording.clone(), archive.clone());
                tokio::spawn(async move {
                    stream.set_nodelay(true).unwrap();
                    match acceptor.accept(stream).await {
                        Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(wire::CONTROL) => {
                            let _ = control.send(stream);
                        }
                        Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(wire::RECORDING) => {
                            let _ = recording.send(stream);
                        }
                        Ok(stream) if stream.get_ref().1.alpn_protocol() == Some(wire::ARCHIVE) => {
                            let _ = archive.send(stream);
                        }
                        Ok(stream) => {
                            let _ = session.send(stream);
                        }
                        Err(error) => {
                            let _ = refusal.send(error.to_string());
                        }
                    }
                });
            }
        });
        let host_key = PrivateKey::from(Ed25519Keypair::from_seed(&random()));
        Self { port, pin, shown, host_key, controls, sessions, recordings, archives, refusals }
    }

    /// The host key as OpenSSH writes it.
    pub(crate) fn host_key_line(&self) -> String {
        self.host_key.public_key().to_openssh().unwrap()
    }

    /// Shows another certificate from now on, and knows no TLS session of before.
    pub(crate) fn change_certificate(&mut self) {
        *self.shown.lock().unwrap() = acceptor().0;
    }

    /// Shows another host key from now on.
    pub(crate) fn change_host_key(&mut self) {
        self.host_key = PrivateKey::from(Ed25519Keypair::from_seed(&random()));
    }

    /// The next control connection, before SSH.
    pub(crate) async fn control_stream(&mut self) -> Tls {
        soon("a control connection", self.controls.recv()).await.unwrap()
    }

    /// The next control connection, with the control service open. None when the appliance goes before.
    pub(crate) async fn control(&mut self) -> Option<Control> {
        let stream = self.control_stream().await;
        soon("the SSH login", Control::over(stream, &self.host_key)).await
    }

    /// The next control connection, its greeting answered.
    pub(crate) async fn welcome(&mut self) -> Control {
        let mut control = self.control().await.expect("the appliance logs in");
        let hello = control.next().await.unwrap();
        assert!(matches!(hello, ToServer::Hello { .. }), "{hello:?}");
        control.welcome(Features::NONE).await;
        control
    }

    /// The next engineer's connection, before its ticket.
    pub(crate) async fn session_stream(&mut self) -> Tls {
        soon("an engineer's connection", self.sessions.recv()).await.unwrap()
    }

    /// The next engineer's connection with its ticket's token, which is taken.
    pub(crate) async fn session(&mut self) -> (Token, Tls) {
        let mut stream = self.session_stream().await;
        let token = soon("a ticket", ticket::read(&mut stream)).await.unwrap().expect("it is a ticket");
        stream.write_all(&[ticket::WELCOME]).await.unwrap();
        stream.flush().await.unwrap();
        (token, stream)
    }

    /// The next connection for recordings with its ticket's token, which is taken.
    pub(crate) async fn recording(&mut self) -> (Token, Tls) {
        welcomed(soon("a connection for recordings", self.recordings.recv()).await.unwrap()).await
    }

    /// The next connection on which recordings are asked for, likewise.
    pub(crate) async fn archive(&mut self) -> (Token, Tls) {
        welcomed(soon("a question for recordings", self.archives.recv()).await.unwrap()).await
    }

    /// How many engineers' connections have come that nobody has taken.
    pub(crate) fn sessions_waiting(&self) -> usize {
        self.sessions.len()
    }

    /// How many control connections have come that nobody has taken.
    pub(crate) fn controls_waiting(&self) -> usize {
        self.controls.len()
    }

    /// How the next TLS handshake has failed that has.
    pub(crate) async fn refused(&mut self) -> String {
        soon("a refused handshake", self.refusals.recv()).await.unwrap()
    }
}

async fn welcomed(mut stream: Tls) -> (Token, Tls) {
    let token = soon("a ticket", ticket::read(&mut stream)).await.unwrap().expect("it is a ticket");
    stream.write_all(&[ticket::WELCOME]).await.unwrap();
    stream.flush().await.unwrap();
    (token, stream)
}

/// TLS with a new certificate, and the pin of that.
fn acceptor() -> (TlsAcceptor, [u8; 32]) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let parameters = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = parameters.self_signed(&pair).unwrap().der().clone();
    let pin = digest(&SHA256, &certificate).as_ref().try_into().unwrap();
    let key = PrivateKeyDer::Pkcs8(pair.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate], key)
        .unwrap();
    config.alpn_protocols =
        [wire::CONTROL, wire::SESSION, wire::RECORDING, wire::ARCHIVE].map(<[u8]>::to_vec).to_vec();
    (TlsAcceptor::from(Arc::new(config)), pin)
}

/// A control connection.
pub(crate) struct Control {
    pub(crate) user: String,
    pub(crate) key: PublicKey,
    channel: Channel<Msg>,
    decoder: Decoder<ToServer>,
    socket: socket2::Socket,
}

impl Control {
    async fn over(stream: Tls, host_key: &PrivateKey) -> Option<Self> {
        let socket = socket2::SockRef::from(stream.get_ref().0).try_clone().unwrap();
        let config = Config { keys: vec![host_key.clone()], ..Config::default() };
        let (opened, open) = oneshot::channel();
        let login = Login { who: None, channel: None, opened: Some(opened) };
        let session = run_stream(Arc::new(config), stream, login).await.ok()?;
        tokio::spawn(session);
        let (user, key, channel) = open.await.ok()?;
        Some(Self { user, key, channel, decoder: Decoder::default(), socket })
    }

    /// Says it.
    pub(crate) async fn say(&self, message: &ToAppliance) {
        self.send(encode(message).unwrap()).await;
    }

    /// Sends these bytes where messages are awaited.
    pub(crate) async fn send(&self, bytes: Vec<u8>) {
        soon("sending", self.channel.data_bytes(bytes)).await.unwrap();
    }

    /// Asks for an engineer's connection.
    pub(crate) async fn ask(&self, request: u64, token: &Token) {
        let source = IpAddr::from([192, 0, 2, 7]);
        let (request, engineer) = (RequestId(request), Line::of("anna"));
        self.say(&ToAppliance::Dial { request, token: token.clone(), engineer, source }).await;
    }

    /// What the appliance says next but pings, which are answered. None when it goes.
    pub(crate) async fn next(&mut self) -> Option<ToServer> {
        soon("a word of the appliance", async {
            loop {
                while let Some(message) = self.decoder.next_message().unwrap() {
                    match message {
                        ToServer::Ping(number) => {
                            let pong = encode(&ToAppliance::Pong(number)).unwrap();
                            // It may be gone by now.
                            let _ = self.channel.data_bytes(pong).await;
                        }
                        message => return Some(message),
                    }
                }
                match self.channel.wait().await? {
                    ChannelMsg::Data { data } => self.decoder.push(&data),
                    ChannelMsg::Eof | ChannelMsg::Close => return None,
                    _ => {}
                }
            }
        })
        .await
    }

    /// The appliance is known, to a server that can do this.
    pub(crate) async fn welcome(&self, can: Features) {
        let (version, system) = (Line::of("9.9"), Line::of("sa-0042"));
        self.say(&ToAppliance::Welcome { version, system, can }).await;
    }

    /// The line is cut.
    pub(crate) fn cut(self) {
        self.socket.shutdown(std::net::Shutdown::Both).unwrap();
    }
}

type Open = (String, PublicKey, Channel<Msg>);

/// Lets everybody in, to one channel with the control service.
struct Login {
    who: Option<(String, PublicKey)>,
    channel: Option<Channel<Msg>>,
    opened: Option<oneshot::Sender<Open>>,
}

impl Handler for Login {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, _: PublicKeyOffer<'_>) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, russh::Error> {
        self.who = Some((user.to_owned(), key.public_key.clone()));
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        self.channel = Some(channel);
        reply.accept().await;
        Ok(())
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        assert_eq!(name, SUBSYSTEM);
        session.channel_success(id)?;
        if let (Some(opened), Some((user, key)), Some(channel)) =
            (self.opened.take(), self.who.take(), self.channel.take())
        {
            let _ = opened.send((user, key, channel));
        }
        Ok(())
    }
}
