//! One connection to the array, and what is asked over it. Answers are bounded, and no redirect is followed.

use crate::address::Address;
use crate::answer::{Answer, Asked, Person, session};
use crate::credentials::{Password, Token, UserName};
use crate::error::{LoginError, Stranger, Unreachable};
use crate::event::LoggedEvent;
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{Builder, SendRequest};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::error::Error;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;
use tokio_rustls::client::TlsStream;
use zeroize::Zeroizing;

/// The longest head of an answer, in bytes, and the most headers in it.
const HEAD: (usize, usize) = (16 << 10, 64);
/// The longest body of an answer, in bytes.
pub(crate) const BODY: usize = 256 << 10;
/// As whom the appliance asks.
const CLIENT: &str = concat!("drawbridge/", env!("CARGO_PKG_VERSION"));

/// Logging in; `approved` says that a person wants it.
const LOGIN: (&str, &str) = ("/api/rest/users/login", "/api/rest/users/login?approved=true");
/// Logging out, which nobody needs to approve of.
const LOGOUT: &str = "/api/rest/users/logout?approved=true";
/// Whose a session is.
const CURRENT: &str = "/api/rest/users/current";

/// A connection. Dropped, it is closed.
pub(crate) struct Line {
    sender: SendRequest<Full<Bytes>>,
    driver: AbortHandle,
    host: HeaderValue,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        to.debug_struct("Line").field("host", &self.host).finish_non_exhaustive()
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        self.driver.abort();
    }
}

/// An answer that was read to its end.
pub(crate) struct Read {
    status: u16,
    headers: HeaderMap,
    body: Bytes,
}

impl Read {
    fn answer(&self) -> Answer<'_> {
        let content_type = self.headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
        Answer { status: self.status, content_type, body: &self.body }
    }

    fn person(&self, asked: Asked) -> Result<Person, LoginError> {
        self.answer().person(asked)
    }

    pub(crate) fn events(&self) -> Result<Vec<LoggedEvent>, LoginError> {
        self.answer().events()
    }

    pub(crate) fn taken(&self) -> Result<(), LoginError> {
        self.answer().taken()
    }

    fn session(&self) -> Option<Token> {
        session(self.headers.get_all(header::SET_COOKIE).iter().filter_map(|value| value.to_str().ok()))
    }
}

impl Line {
    /// HTTP over a stream whose other end is verified.
    pub(crate) async fn over(stream: TlsStream<TcpStream>, address: &Address) -> Result<Self, LoginError> {
        let host = HeaderValue::from_str(&address.to_string())
            .map_err(|_| LoginError::Unreachable(Unreachable::NoAddress))?;
        let (sender, connection) = Builder::new()
            .max_buf_size(HEAD.0)
            .max_header_size(HEAD.0)
            .max_headers(HEAD.1)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(|error| broken(&error))?;
        // How it ends is seen by who asks.
        let driver = tokio::spawn(async { drop(connection.await) });
        Ok(Self { sender, driver: driver.abort_handle(), host })
    }

    /// Whether something can be asked over it.
    pub(crate) async fn is_open(&mut self) -> bool {
        self.sender.ready().await.is_ok()
    }

    /// Logs in: who it is, and the session that has begun whatever else the answer is.
    pub(crate) async fn login(
        &mut self,
        user: &UserName,
        password: &Password,
        approved: bool,
    ) -> Result<(Result<Person, LoginError>, Option<Token>), LoginError> {
        let path = if approved { LOGIN.1 } else { LOGIN.0 };
        let read = self.ask(Method::POST, path, None, Some(login_body(user, password))).await?;
        Ok((read.person(Asked::Login), read.session()))
    }

    /// Ends a session.
    pub(crate) async fn logout(&mut self, token: &Token) -> Result<(), LoginError> {
        let body = Zeroizing::new(b"{}".to_vec());
        let read = self.ask(Method::POST, LOGOUT, Some(token), Some(body)).await?;
        match read.status {
            // 401: it is over already.
            200..=299 | 401 => Ok(()),
            status => Err(LoginError::Refused { status, words: String::new() }),
        }
    }

    /// Whose session this is.
    pub(crate) async fn who(&mut self, token: &Token) -> Result<Person, LoginError> {
        self.ask(Method::GET, CURRENT, Some(token), None).await?.person(Asked::Session)
    }

    pub(crate) async fn ask(
        &mut self,
        method: Method,
        path: &str,
        token: Option<&Token>,
        body: Option<Zeroizing<Vec<u8>>>,
    ) -> Result<Read, LoginError> {
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, self.host.clone())
            .header(header::USER_AGENT, CLIENT)
            .header(header::ACCEPT, "application/json");
        if body.is_some() {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        if let Some(token) = token {
            let cookie = Zeroizing::new(format!("JSESSIONID={}", token.reveal()));
            let mut cookie = HeaderValue::from_str(&cookie).map_err(|_| LoginError::UnknownSession)?;
            cookie.set_sensitive(true);
            request = request.header(header::COOKIE, cookie);
        }
        // The bytes are wiped when the last of those who send them lets go.
        let body = Full::new(body.map_or_else(Bytes::new, Bytes::from_owner));
        let request = request.body(body).map_err(|_| LoginError::Unreachable(Unreachable::NoAddress))?;
        let response = self.sender.send_request(request).await.map_err(|error| broken(&error))?;
        read(response).await
    }
}

async fn read(response: Response<Incoming>) -> Result<Read, LoginError> {
    let (head, body) = response.into_parts();
    let body = Limited::new(body, BODY).collect().await.map_err(|error| {
        if error.is::<LengthLimitError>() {
            return LoginError::NotAnArray(Stranger::TooLong(BODY >> 10));
        }
        error.downcast_ref::<hyper::Error>().map_or(LoginError::Unreachable(Unreachable::Cut), broken)
    })?;
    Ok(Read { status: head.status.as_u16(), headers: head.headers, body: body.to_bytes() })
}

/// What is sent to log in.
fn login_body(user: &UserName, password: &Password) -> Zeroizing<Vec<u8>> {
    #[derive(serde::Serialize)]
    struct Login<'a> {
        username: &'a str,
        password: &'a str,
        clientid: &'a str,
    }
    // A byte becomes six at most: the buffer does not grow, and leaves no copy behind.
    let length = 6 * (user.as_str().len() + password.reveal().len() + CLIENT.len()) + 64;
    let mut body = Zeroizing::new(Vec::with_capacity(length));
    let login = Login { username: user.as_str(), password: password.reveal(), clientid: CLIENT };
    // Writing text to memory cannot fail.
    let _ = serde_json::to_writer(&mut *body, &login);
    body
}

fn broken(error: &hyper::Error) -> LoginError {
    // A chunk or trailer that is none comes as an error of reading.
    let io = error.source().and_then(|source| source.downcast_ref::<std::io::Error>());
    let senseless = io.is_some_and(|error| {
        matches!(error.kind(), std::io::ErrorKind::InvalidInput | std::io::ErrorKind::InvalidData)
            && error.get_ref().is_none_or(|inner| !inner.is::<rustls::Error>())
    });
    if error.is_parse() || error.is_parse_too_large() || error.is_parse_status() || senseless {
        LoginError::NotAnArray(Stranger::NotHttp)
    } else {
        LoginError::Unreachable(Unreachable::Cut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_credentials_fit_the_buffer_that_is_wiped() {
        let user = UserName::parse(&"\u{10ffff}".repeat(128)).unwrap();
        let password = Password::parse(Zeroizing::new("\u{1}".repeat(256))).unwrap();
        let body = login_body(&user, &password);
        let length = 6 * (user.as_str().len() + 256 + CLIENT.len()) + 64;
        assert!(body.capacity() == length && body.len() <= length, "it has grown");
        let told: serde_json::Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(told["password"].as_str(), Some(password.reveal()));
    }
}
