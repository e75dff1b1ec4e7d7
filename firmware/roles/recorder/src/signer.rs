//! Signatures by the device's key for evidence, which the session role holds. It never keeps anybody waiting who records: what cannot be
//! signed now is asked for again later.

use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_chain::{DeviceKey, Hash, Kind, Signature, ToSign};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;
use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// The most that wait for a signature: more than there are recordings.
const WAITING: usize = 64;
/// How long session may take for one.
const WITHIN: Duration = Duration::from_secs(2);

/// Who waits for a signature; told none when there is none now.
pub(crate) type Told = Box<dyn FnOnce(Option<Signature>) + Send>;

/// The way to the signer.
#[derive(Clone)]
pub(crate) struct Signer {
    asks: mpsc::Sender<(ToSign, Told)>,
}

/// What the signer's task has.
pub(crate) struct Pen {
    socket: PathBuf,
    asked: mpsc::Receiver<(ToSign, Told)>,
}

/// A signer, and what is to be given to [`run`].
pub(crate) fn signer(sockets: &Path) -> (Signer, Pen) {
    let (asks, asked) = mpsc::channel(WAITING);
    (Signer { asks }, Pen { socket: sockets.join(Role::Session.name()), asked })
}

impl Signer {
    /// Asks for a signature. From any thread; it never waits.
    pub(crate) fn sign(&self, to_sign: ToSign, told: Told) {
        if let Err(error) = self.asks.try_send((to_sign, told)) {
            let (mpsc::error::TrySendError::Full((_, told)) | mpsc::error::TrySendError::Closed((_, told))) =
                error;
            told(None);
        }
    }
}

/// Asks for one after the other, until nobody is left who could want one.
pub(crate) async fn run(mut pen: Pen) {
    let mut client = None;
    while let Some((to_sign, told)) = pen.asked.recv().await {
        let signature = match ask(&mut client, &pen.socket, to_sign).await {
            Ok((signature, _)) => Some(signature),
            Err(error) => {
                client = None;
                log::warn!("a recording is not signed now, and will be later: {error}");
                None
            }
        };
        told(signature);
    }
}

/// Why there is no signature.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SignError {
    #[error(transparent)]
    Call(#[from] CallError),
    #[error("the session role did not sign in time")]
    Late,
    #[error("the session role answered something else than a signature")]
    Other,
}

async fn ask(
    client: &mut Option<Client>,
    socket: &Path,
    to_sign: ToSign,
) -> Result<(Signature, DeviceKey), SignError> {
    let asked = timeout(WITHIN, async {
        let client = if let Some(client) = client {
            client
        } else {
            let stream = UnixStream::connect(socket).await;
            let stream = stream.map_err(|error| CallError::Unreachable(Role::Session, error))?;
            client.insert(Client::over(Role::Session, stream))
        };
        client.call(Request::Sign(to_sign.bytes())).await
    });
    match asked.await.map_err(|_| SignError::Late)?? {
        Reply::Signature(signature, key) => {
            let signature = signature.try_into().map(Signature).map_err(|_| SignError::Other)?;
            Ok((signature, DeviceKey(key)))
        }
        _ => Err(SignError::Other),
    }
}

/// The device's public key for evidence, which each recording begins with.
pub(crate) struct Keyhole {
    socket: PathBuf,
    known: Mutex<Option<DeviceKey>>,
}

impl Keyhole {
    pub(crate) fn new(sockets: &Path) -> Self {
        Self { socket: sockets.join(Role::Session.name()), known: Mutex::default() }
    }

    /// The key as session has it now, or the one that it had before when it does not answer.
    pub(crate) async fn key(&self) -> Result<DeviceKey, SignError> {
        // It comes with a signature: of nothing, as no line has this hash.
        let nothing = ToSign { kind: Kind::Recording, mark: Hash([0; 32]) };
        let told = ask(&mut None, &self.socket, nothing).await;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        match told {
            Ok((_, key)) => Ok(*known.insert(key)),
            Err(error) => known.ok_or(error),
        }
    }
}
