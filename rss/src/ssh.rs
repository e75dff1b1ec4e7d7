//! What the SSH side is for appliances and engineers alike: algorithms, sizes, limits. It admits nobody.

use crate::guard::{Cut, Guard};
use russh::keys::{Algorithm, EcdsaCurve, PrivateKey};
use russh::server::{Config, Handler, run_stream};
use russh::{MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};

/// From the first byte to the end of the login, whatever comes meanwhile.
pub(crate) const LOGIN_WITHIN: Duration = Duration::from_secs(30);

/// Larger windows and packets move more at once, and let keystrokes wait longer beside them.
const WINDOW: u32 = 256 * 1024;
const PACKET: u32 = 16 * 1024;
/// Packets of a channel that wait for their reader.
const PACKETS_WAITING: usize = 32;

static KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];
static CIPHERS: &[cipher::Name] = &[cipher::AES_256_GCM, cipher::AES_128_GCM, cipher::CHACHA20_POLY1305];
// For none of these ciphers, but the protocol wants one named.
static MACS: &[mac::Name] = &[mac::HMAC_SHA512_ETM, mac::HMAC_SHA256_ETM];
/// Of those who come in. The server's own host key is an Ed25519 key.
static KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::SkEd25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::SkEcdsaSha2NistP256,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
];
static COMPRESSION: &[compression::Name] = &[compression::NONE];

/// The settings of the SSH library.
pub(crate) fn config(host_key: &PrivateKey) -> Arc<Config> {
    Arc::new(Config {
        server_id: SshId::Standard(Cow::Borrowed("SSH-2.0-Drawbridge_RSS")),
        methods: MethodSet::from(&[MethodKind::PublicKey][..]),
        auth_rejection_time: Duration::from_millis(300),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: vec![host_key.clone()],
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
        max_auth_attempts: 6,
        // An engineer may read for hours. Who is gone is told by keepalives; an appliance's pings come sooner.
        inactivity_timeout: None,
        keepalive_interval: Some(Duration::from_secs(20)),
        keepalive_max: 3,
        nodelay: true,
        ..Config::default()
    })
}

/// Serves one connection until it ends or is cut.
pub(crate) async fn serve<H: Handler<Error = russh::Error> + Send + 'static>(
    config: Arc<Config>,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    handler: H,
    cut: &Cut,
) {
    // Cut when this task is dropped, too: the library's own task would stay otherwise.
    let stream = Guard::new(stream, cut);
    let Ok(Ok(session)) = tokio::time::timeout(LOGIN_WITHIN, run_stream(config, stream, handler)).await
    else {
        return;
    };
    tokio::select! {
        // How a peer's connection fails is the peer's affair.
        _ = session => {}
        () = cut.happens() => {}
    }
    cut.cut();
}
