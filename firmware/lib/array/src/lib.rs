//! The client of the array's management layer: it asks the array who a person is, and posts events to the array's log. It keeps
//! no credential but a poster's, and leaves no session behind.
//!
//! ```text
//!   login   POST /api/rest/users/login {"username","password","clientid"} ──► Set-Cookie JSESSIONID, result{name, roles[]}
//!           POST /api/rest/users/logout                                      at once: the answer alone was wanted
//!   who     GET  /api/rest/users/current with the JSESSIONID of somebody who came by single sign-on ──► result{name, roles[]}
//!   post    POST /api/rest/events/custom {"data","level","description_template","visibility"} with a session of the poster's
//!   latest  GET  /api/rest/events?sort=-id&page=1&page_size=20, to see what stands there already
//!   probe   TLS only: the certificate, for a person to look at before it is pinned
//! ```
//!
//! Names are looked up by the caller, and connections are made by the caller's [`Connector`], which knows the port towards the
//! array. What is not an array is told apart from an array that is down and from one that refuses ([`LoginError`]).

mod address;
mod answer;
mod certificate;
mod connect;
mod credentials;
mod error;
mod event;
mod exchange;
mod post;
mod trust;

pub use address::{Address, PORT};
pub use answer::{Answer, Asked, Person, Role, session};
pub use certificate::{Shown, fingerprint};
pub use credentials::{
    CredentialError, NAME_CHARACTERS, PASSWORD_BYTES, Password, SSO, TOKEN_BYTES, Token, UserName,
};
pub use drawbridge_dial::{CertificateFailure, Connector, Host, HostError, Plain, Wait};
pub use error::{LoginError, Stranger, TlsFailure, Unreachable};
pub use event::{CustomEvent, Datum, EVENT_BYTES, Level, LoggedEvent, TooLong, Visibility};
pub use post::{PAGE, PostError, Poster};
pub use rustls::pki_types::CertificateDer;
pub use trust::{Trust, TrustError};

use exchange::Line;
use rustls::ClientConfig;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::timeout;

/// How long a question may take, connections and all.
pub const WHOLE: Duration = Duration::from_secs(15);
/// How long the end of a session may take, which comes after.
const LOGOUT: Duration = Duration::from_secs(3);

/// An array: where it is, and what it is known by.
#[derive(Clone)]
pub struct Array {
    address: Address,
    trust: Trust,
    connector: Arc<dyn Connector>,
    config: Arc<ClientConfig>,
}

impl fmt::Debug for Array {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Array")
            .field("address", &self.address)
            .field("trust", &self.trust)
            .finish_non_exhaustive()
    }
}

impl Array {
    /// An array. Nothing is dialled yet.
    pub fn new(address: Address, trust: Trust, connector: Arc<dyn Connector>) -> Result<Self, TrustError> {
        let config = connect::trusting(&trust)?;
        Ok(Self { address, trust, connector, config })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Who a person is, by name and password. `addresses` are those of the array's name; four of them are tried at most. The
    /// session that this begins is ended again, within 3 s after the 15 s that the whole may take.
    pub async fn login(
        &self,
        addresses: &[IpAddr],
        user: &UserName,
        password: &Password,
    ) -> Result<Person, LoginError> {
        let mut line = None;
        let login = self.try_login(addresses, user, password, &mut line);
        let (person, token) = timeout(WHOLE, login).await.map_err(|_| LoginError::Late(WHOLE))??;
        if let Some(token) = token {
            let ended = timeout(LOGOUT, self.end(addresses, &token, line)).await;
            if let Err(why) = ended.unwrap_or(Err(LoginError::Late(LOGOUT))) {
                log::warn!(
                    "the array's session of a login could not be ended, and ends by itself later: {why}"
                );
            }
        }
        person
    }

    /// Whose session of the array's this is, by which somebody came who has no password. It goes on.
    pub async fn who(&self, addresses: &[IpAddr], token: &Token) -> Result<Person, LoginError> {
        let who = async { self.line(addresses).await?.who(token).await };
        timeout(WHOLE, who).await.map_err(|_| LoginError::Late(WHOLE))?
    }

    async fn try_login(
        &self,
        addresses: &[IpAddr],
        user: &UserName,
        password: &Password,
        line: &mut Option<Line>,
    ) -> Result<(Result<Person, LoginError>, Option<Token>), LoginError> {
        let first = line.insert(self.line(addresses).await?).login(user, password, false).await?;
        match first {
            // The person wants it: that he types his password says so. Once, because an array that asks again will not stop.
            (Err(LoginError::ApprovalRequired(_)), None) => {
                self.open(addresses, line).await?.login(user, password, true).await
            }
            answered => Ok(answered),
        }
    }

    async fn end(
        &self,
        addresses: &[IpAddr],
        token: &Token,
        mut line: Option<Line>,
    ) -> Result<(), LoginError> {
        self.open(addresses, &mut line).await?.logout(token).await
    }

    /// The line, or another one where the array has closed it after its answer.
    async fn open<'a>(
        &self,
        addresses: &[IpAddr],
        line: &'a mut Option<Line>,
    ) -> Result<&'a mut Line, LoginError> {
        let kept = match line.take() {
            Some(mut kept) => kept.is_open().await.then_some(kept),
            None => None,
        };
        let open = match kept {
            Some(kept) => kept,
            None => self.line(addresses).await?,
        };
        Ok(line.insert(open))
    }

    async fn line(&self, addresses: &[IpAddr]) -> Result<Line, LoginError> {
        let config = Arc::clone(&self.config);
        let stream =
            connect::connect(&self.address, addresses, &*self.connector, config, Some(&self.trust)).await?;
        Line::over(stream, &self.address).await
    }
}

/// The certificate that is shown at this address, by whoever has its key. Nothing is trusted and nothing is sent: a person has
/// to compare it with what the array's administrator says, and then it can be pinned ([`Trust::Pin`]).
pub async fn probe(
    address: &Address,
    addresses: &[IpAddr],
    connector: &dyn Connector,
) -> Result<Shown, LoginError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = connect::config(trust::Verifier::of_nobody(&provider))?;
    let look = async {
        let stream = connect::connect(address, addresses, connector, config, None).await?;
        connect::shown(&stream).ok_or(LoginError::Tls(TlsFailure::Closed))
    };
    timeout(WHOLE, look).await.map_err(|_| LoginError::Late(WHOLE))?
}
