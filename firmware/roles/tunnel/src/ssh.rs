//! SSH with the server: the handshake, its host key, the login, and the channel of the control service. It never opens anything
//! else, and takes nothing that the server opens.

use crate::guard::{Cut, Guard};
use crate::trouble::Trouble;
use drawbridge_bus::bridge::SecretBytes;
use drawbridge_wire::{Line, SUBSYSTEM};
use russh::client::{self, AuthResult, DisconnectReason, Msg};
use russh::keys::ssh_key::private::Ed25519Keypair;
use russh::keys::{Algorithm, HashAlg, PrivateKey, PrivateKeyWithHashAlg, PublicKey, PublicKeyOrCertificate};
use russh::{Channel, ChannelMsg, Disconnect, Names, Preferred, SshId, cipher, compression, kex, mac};
use std::borrow::Cow;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// Each of handshake, login and channel gets so long.
const STEP_WITHIN: Duration = Duration::from_secs(15);

/// Bytes that the server may send before they are read.
const WINDOW: u32 = 64 * 1024;
const PACKET: u32 = 16 * 1024;
/// Packets that wait for their reader, who never waits for anything but them and the server.
const PACKETS_WAITING: usize = 16;

static KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_CLIENT,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_CLIENT,
];
static CIPHERS: &[cipher::Name] = &[cipher::AES_256_GCM, cipher::AES_128_GCM, cipher::CHACHA20_POLY1305];
// For none of these ciphers, but the protocol wants one named.
static MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM];
static KEYS: &[Algorithm] = &[Algorithm::Ed25519];
static COMPRESSION: &[compression::Name] = &[compression::NONE];

fn config(silent_for: Duration) -> client::Config {
    client::Config {
        client_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Drawbridge")),
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        channel_buffer_size: PACKETS_WAITING,
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Borrowed(KEYS),
            host_key_certificates: Cow::Borrowed(&[]),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(COMPRESSION),
        },
        // The control connection knows sooner that nothing comes; this is for a server that does not take what is sent.
        inactivity_timeout: Some(silent_for),
        ..client::Config::default()
    }
}

/// The appliance's login key.
pub(crate) fn login_key(seed: &SecretBytes) -> PrivateKeyWithHashAlg {
    let pair = Ed25519Keypair::from_seed(seed.reveal());
    PrivateKeyWithHashAlg::new(Arc::new(PrivateKey::from(pair)), None)
}

/// Reads a host key as OpenSSH writes it.
pub(crate) fn known_key(text: &str) -> Result<PublicKey, Trouble> {
    PublicKey::from_openssh(text.trim()).map_err(|_| Trouble::KnownKey)
}

/// What the server has shown.
#[derive(Default)]
struct Shown {
    key: Option<PublicKey>,
    strict: bool,
    end: Option<Trouble>,
}

type Shared = Arc<Mutex<Shown>>;

fn lock(shown: &Shared) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Looks at what the server shows. All that a server may open on a client is refused, with the connection.
struct Watcher {
    known: Option<PublicKey>,
    shown: Shared,
}

impl client::Handler for Watcher {
    type Error = russh::Error;

    async fn check_server_key(&mut self, shown: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        let PublicKeyOrCertificate::PublicKey { key, .. } = shown else { return Ok(false) };
        let right = self.known.as_ref().is_none_or(|known| known.key_data() == key.key_data());
        lock(&self.shown).key = Some(key.clone());
        Ok(right)
    }

    async fn kex_done(
        &mut self,
        _: Option<&[u8]>,
        names: &Names,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        lock(&self.shown).strict = names.strict_kex();
        if names.strict_kex() { Ok(()) } else { Err(russh::Error::Kex) }
    }

    async fn disconnected(&mut self, reason: DisconnectReason<russh::Error>) -> Result<(), russh::Error> {
        let mut shown = lock(&self.shown);
        match reason {
            DisconnectReason::ReceivedDisconnect(info) => {
                let said = Line::<200>::of(&info.message);
                let why = format!("the server ends the connection with the words \"{said}\"");
                shown.end.get_or_insert(Trouble::Ssh(why));
                Ok(())
            }
            DisconnectReason::Error(error) => {
                shown.end.get_or_insert_with(|| trouble(&error));
                Err(error)
            }
        }
    }

    async fn should_accept_unknown_server_channel(&mut self, _: russh::ChannelId, _: &str) -> bool {
        lock(&self.shown).end.get_or_insert(OPENS);
        false
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.opened()
    }

    async fn server_channel_open_forwarded_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.opened()
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        _: Channel<Msg>,
        _: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.opened()
    }

    async fn server_channel_open_session(
        &mut self,
        _: Channel<Msg>,
        _: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.opened()
    }

    async fn server_channel_open_direct_tcpip(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: &str,
        _: u32,
        _: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.opened()
    }

    async fn server_channel_open_direct_streamlocal(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.opened()
    }

    async fn server_channel_open_x11(
        &mut self,
        _: Channel<Msg>,
        _: &str,
        _: u32,
        _: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        self.opened()
    }
}

const OPENS: Trouble = Trouble::Protocol("it opens channels of its own");

impl Watcher {
    fn opened(&self) -> Result<(), russh::Error> {
        lock(&self.shown).end.get_or_insert(OPENS);
        Err(russh::Error::RequestDenied)
    }
}

/// An SSH connection. Dropped, it is ended at once, whatever it is at.
pub(crate) struct Ssh {
    handle: client::Handle<Watcher>,
    shown: Shared,
    _cut: Cut,
}

impl Ssh {
    /// Shakes hands with the server at the other end of `stream`, whose host key must be the one that is known, if one is.
    pub(crate) async fn shake_hands(
        stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
        known: Option<PublicKey>,
        silent_for: Duration,
    ) -> Result<Self, Trouble> {
        let (stream, cut) = Guard::new(stream);
        let shown = Shared::default();
        let watcher = Watcher { known: known.clone(), shown: Arc::clone(&shown) };
        let connecting = client::connect_stream(Arc::new(config(silent_for)), stream, watcher);
        match within("the SSH handshake", connecting).await? {
            Ok(handle) => Ok(Self { handle, shown, _cut: cut }),
            Err(error) => Err(match (error, lock(&shown).key.take(), known) {
                (russh::Error::UnknownKey, Some(key), Some(known)) => {
                    Trouble::ServerKey { known: fingerprint(&known), shown: fingerprint(&key) }
                }
                // Only a server without strict key exchange is refused so late.
                (russh::Error::Kex, Some(_), _) => Trouble::NotStrict,
                (error, ..) => trouble(&error),
            }),
        }
    }

    /// The server's host key.
    pub(crate) fn server_key(&self) -> Option<PublicKey> {
        lock(&self.shown).key.clone()
    }

    /// Logs in.
    pub(crate) async fn log_in(&mut self, serial: &str, key: PrivateKeyWithHashAlg) -> Result<(), Trouble> {
        let asked = self.handle.authenticate_publickey(serial, key);
        match within("the login", asked).await? {
            Ok(AuthResult::Success) => Ok(()),
            Ok(AuthResult::Failure { remaining_methods, .. }) => {
                // Without a way left to try, this is also what a connection that has just ended looks like.
                let lost = self.handle.is_closed() && remaining_methods.is_empty();
                Err(if lost { self.end().unwrap_or(Trouble::Login) } else { Trouble::Login })
            }
            Err(error) => Err(self.end().unwrap_or_else(|| trouble(&error))),
        }
    }

    /// Opens the channel of the control service.
    pub(crate) async fn open(&self) -> Result<Channel<Msg>, Trouble> {
        let opening = async {
            let mut channel = self.handle.channel_open_session().await?;
            channel.request_subsystem(true, SUBSYSTEM).await?;
            loop {
                match channel.wait().await {
                    Some(ChannelMsg::Success) => return Ok(Some(channel)),
                    Some(ChannelMsg::WindowAdjusted { .. }) => {}
                    Some(ChannelMsg::Failure) => return Ok(None),
                    // Data before it is agreed what data means.
                    Some(_) => return Err(russh::Error::Inconsistent),
                    None => return Err(russh::Error::Disconnect),
                }
            }
        };
        match within("the control service", opening).await? {
            Ok(Some(channel)) => Ok(channel),
            Ok(None) | Err(russh::Error::ChannelOpenFailure(_)) => Err(Trouble::NoService),
            Err(error) => Err(self.end().unwrap_or_else(|| trouble(&error))),
        }
    }

    /// Why it has ended, as far as that is known.
    pub(crate) fn end(&self) -> Option<Trouble> {
        lock(&self.shown).end.clone()
    }

    /// What has really happened, when all that is seen of it is that the connection is lost.
    pub(crate) fn explain(&self, trouble: Trouble) -> Trouble {
        if trouble == Trouble::Lost { self.end().unwrap_or(trouble) } else { trouble }
    }

    /// Says that it is over. What was sent before goes out first.
    pub(crate) async fn close(self) {
        // One that takes nothing any more is cut off.
        let _ = tokio::time::timeout(Duration::from_secs(1), async {
            let _ = self.handle.disconnect(Disconnect::ByApplication, "", "").await;
            let _ = self.handle.await;
        })
        .await;
    }
}

/// SHA-256 of a key, as OpenSSH writes it.
pub(crate) fn fingerprint(key: &PublicKey) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

async fn within<T>(what: &'static str, work: impl Future<Output = T>) -> Result<T, Trouble> {
    tokio::time::timeout(STEP_WITHIN, work).await.map_err(|_| Trouble::Late(what))
}

fn trouble(error: &russh::Error) -> Trouble {
    let why = match error {
        russh::Error::IO(error) => match error.kind() {
            std::io::ErrorKind::UnexpectedEof
            | std::io::ErrorKind::ConnectionReset
            | std::io::ErrorKind::BrokenPipe => return Trouble::Lost,
            kind => kind.to_string(),
        },
        russh::Error::Disconnect | russh::Error::HUP | russh::Error::SendError => return Trouble::Lost,
        russh::Error::NoAuthMethod => return Trouble::Login,
        russh::Error::InactivityTimeout => return Trouble::Stuck,
        russh::Error::Version => "it does not speak SSH".to_owned(),
        russh::Error::NoCommonAlgo { kind, .. } => format!("it has no {kind:?} algorithm in common"),
        russh::Error::UnknownKey => "it shows a host key that is not taken".to_owned(),
        russh::Error::WrongServerSig => "it does not have the host key that it shows".to_owned(),
        error => Line::<200>::of(&error.to_string()).as_str().to_owned(),
    };
    Trouble::Ssh(why)
}
