//! What the daemon speaks: current algorithms only, and bounds of the transport. No algorithm is here for an old client's sake.

use drawbridge_bus::bridge::SshdOrders;
use russh::keys::ssh_key::private::{Ed25519Keypair, KeypairData};
use russh::keys::{Algorithm, EcdsaCurve, PrivateKey};
use russh::server::Config;
use russh::{Limits, MethodKind, MethodSet, Preferred, SshId, cipher, compression, kex, mac};
use std::borrow::Cow;
use std::time::Duration;

/// Bytes and time under one key (RFC 4253, section 9).
const REKEY_BYTES: usize = 1 << 30;
const REKEY_TIME: Duration = Duration::from_hours(1);

/// What a channel may have on the way to us, and a packet carries: with these a keystroke beside bulk waits little.
pub(crate) const WINDOW: u32 = 256 * 1024;
pub(crate) const PACKET: u32 = 16 * 1024;

/// Whoever does not answer so many questions, one each interval, is gone.
const KEEPALIVE: Duration = Duration::from_secs(15);
const KEEPALIVES_MISSED: usize = 3;

/// A client that takes no byte for so long is cut off. Keepalives find the one that sends none.
const UNREAD: Duration = Duration::from_mins(2);

/// Refusals of a connection, keys that are only offered included: an agent may hold many. Secrets are counted by session.
const REFUSALS: usize = 12;

const KEX: &[kex::Name] = &[
    kex::MLKEM768X25519_SHA256,
    kex::CURVE25519,
    kex::CURVE25519_PRE_RFC_8731,
    // Not algorithms: that both know RFC 8308, and the answer to CVE-2023-48795.
    kex::EXTENSION_SUPPORT_AS_SERVER,
    kex::EXTENSION_OPENSSH_STRICT_KEX_AS_SERVER,
];

/// GCM first: three times as fast as `ChaCha` here, with the instructions that every machine of the kind has.
const CIPHERS: &[cipher::Name] = &[
    cipher::AES_256_GCM,
    cipher::AES_128_GCM,
    // The one that every client has, and which is safe with strict key exchange.
    cipher::CHACHA20_POLY1305,
    cipher::AES_256_CTR,
    cipher::AES_192_CTR,
    cipher::AES_128_CTR,
];

const MACS: &[mac::Name] = &[mac::HMAC_SHA256_ETM, mac::HMAC_SHA512_ETM];

const NO_COMPRESSION: &[compression::Name] = &[compression::NONE];

/// How engineers prove themselves, and what signs certificates.
const KEYS: &[Algorithm] = &[
    Algorithm::Ed25519,
    Algorithm::SkEd25519,
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP256 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP384 },
    Algorithm::Ecdsa { curve: EcdsaCurve::NistP521 },
    Algorithm::SkEcdsaSha2NistP256,
];

/// Whether keys of this algorithm can be looked at here.
pub(crate) fn is_known(algorithm: &Algorithm) -> bool {
    KEYS.contains(algorithm)
}

/// The methods that are offered: a key first, where there are keys.
pub(crate) fn methods(orders: &SshdOrders, key_was_shown: bool) -> MethodSet {
    let mut methods = MethodSet::empty();
    if orders.keys.is_empty() || key_was_shown {
        if orders.secret {
            methods.push(MethodKind::KeyboardInteractive);
            methods.push(MethodKind::Password);
        }
    } else {
        methods.push(MethodKind::PublicKey);
    }
    methods
}

/// The server's side of every connection.
pub(crate) fn config(orders: &SshdOrders) -> Config {
    let pair = Ed25519Keypair::from_seed(orders.host_key.reveal());
    Config {
        server_id: SshId::Standard(Cow::Borrowed(crate::refusal::VERSION)),
        methods: methods(orders, false),
        auth_rejection_time: Duration::from_millis(300),
        auth_rejection_time_initial: Some(Duration::ZERO),
        keys: PrivateKey::new(KeypairData::Ed25519(pair), "").into_iter().collect(),
        limits: Limits::new(REKEY_BYTES, REKEY_BYTES, REKEY_TIME),
        window_size: WINDOW,
        maximum_packet_size: PACKET,
        max_auth_attempts: REFUSALS,
        inactivity_timeout: Some(UNREAD),
        keepalive_interval: Some(KEEPALIVE),
        keepalive_max: KEEPALIVES_MISSED,
        nodelay: true,
        preferred: Preferred {
            kex: Cow::Borrowed(KEX),
            key: Cow::Borrowed(KEYS),
            cipher: Cow::Borrowed(CIPHERS),
            mac: Cow::Borrowed(MACS),
            compression: Cow::Borrowed(NO_COMPRESSION),
            ..Preferred::default()
        },
        ..Config::default()
    }
}
