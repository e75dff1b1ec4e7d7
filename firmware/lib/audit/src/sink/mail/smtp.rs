//! One conversation with a mail server (RFC 5321): TLS before anything is said that matters, login, and one mail. What the
//! server says is bounded, and none of it is believed before it is verified.

use super::message::HostName;
use super::{Login, MailSecurity, Mailbox, Step};
use crate::sink::{Failure, Security, Way};
use drawbridge_dial::{HostPort, Transport};
use lettre::transport::smtp::authentication::Mechanism;
use lettre::transport::smtp::client::{AsyncSmtpConnection, AsyncTokioStream};
use lettre::transport::smtp::commands::{Data, Mail, Rcpt};
use lettre::transport::smtp::extension::{ClientId, Extension, MailParameter};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// How long the server may take for one answer (RFC 5321, section 4.5.3.2, has five minutes for people's patience).
const ANSWER: Duration = Duration::from_secs(30);
/// How long it may take to take a mail.
const TAKE: Duration = Duration::from_mins(1);
/// So much the server may say in all, in bytes.
const TALK: usize = 64 << 10;
/// So much it may say before TLS, in bytes.
const TALK_BEFORE: usize = 8 << 10;

/// The stream as the library wants it: what was read early first, and no more than is allowed.
struct Bounded {
    early: &'static [u8],
    // Never locked: the library wants to share it, and nobody does.
    inner: Mutex<Box<dyn Transport>>,
    left: usize,
    peer: SocketAddr,
}

impl Bounded {
    fn inner(&mut self) -> Pin<&mut Box<dyn Transport>> {
        Pin::new(self.inner.get_mut().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Bounded {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.debug_struct("Bounded").field("peer", &self.peer).finish_non_exhaustive()
    }
}

impl AsyncRead for Bounded {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.early.is_empty() {
            let (now, later) = self.early.split_at(self.early.len().min(buffer.remaining()));
            buffer.put_slice(now);
            self.early = later;
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = self.inner().poll_read(context, buffer);
        let taken = buffer.filled().len().saturating_sub(before);
        match self.left.checked_sub(taken) {
            Some(left) => self.left = left,
            None => {
                return Poll::Ready(Err(io::Error::new(
                    io::ErrorKind::InvalidData,
                    "the server says more than it may",
                )));
            }
        }
        read
    }
}

impl AsyncWrite for Bounded {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.inner().poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.inner().poll_shutdown(context)
    }
}

impl AsyncTokioStream for Bounded {
    fn peer_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.peer)
    }
}

/// A conversation, and who is told of its steps.
pub(super) struct Talk<'a> {
    server: &'a HostPort,
    tell: &'a mut (dyn FnMut(Step, Result<String, Failure>) + Send),
    connection: Box<AsyncSmtpConnection>,
}

/// What a mail came to.
pub(super) struct Taken {
    /// Those who were refused, each with the server's words.
    pub(super) refused: Vec<String>,
}

/// Tells that a step has failed, and gives its failure back.
fn failed(
    tell: &mut (dyn FnMut(Step, Result<String, Failure>) + Send),
    step: Step,
    failure: Failure,
) -> Failure {
    tell(step, Err(failure.clone()));
    failure
}

impl<'a> Talk<'a> {
    /// Connects, verifies and greets, and logs in where there is a login.
    pub(super) async fn begin(
        way: &'a Way,
        security: &MailSecurity,
        login: Option<&Login>,
        host: &HostName,
        tell: &'a mut (dyn FnMut(Step, Result<String, Failure>) + Send),
    ) -> Result<Self, Failure> {
        let server = way.server();
        let (stream, early, peer) = match open(way, security, host, tell).await {
            Ok(open) => open,
            Err((step, failure)) => return Err(failed(tell, step, failure)),
        };
        let bounded = Bounded { early, inner: Mutex::new(stream), left: TALK, peer };
        let hello = ClientId::Domain(host.as_str().to_owned());
        let greeted = timeout(ANSWER, AsyncSmtpConnection::connect_with_transport(Box::new(bounded), &hello));
        let greeted = within(server, "greets the appliance", greeted.await);
        let connection = match greeted {
            Ok(connection) => Box::new(connection),
            Err(failure) => return Err(failed(tell, Step::Greeting, failure)),
        };
        tell(Step::Greeting, Ok(format!("{server} is a mail server")));
        let mut talk = Self { server, tell, connection };
        if let Some(login) = login {
            let credentials = login.credentials();
            let login_by = [Mechanism::Plain, Mechanism::Login];
            let answered = timeout(ANSWER, talk.connection.auth(&login_by, &credentials)).await;
            match within(server, "lets the appliance log in", answered) {
                Ok(_) => (talk.tell)(Step::Login, Ok(format!("logged in as {}", login.user()))),
                Err(failure) => {
                    let failure = Failure::new(
                        failure.what.as_str(),
                        "Correct user and password, or ask whoever runs the mail server.",
                    );
                    return Err(failed(talk.tell, Step::Login, failure));
                }
            }
        }
        Ok(talk)
    }

    /// Hands one mail over, to whom of these the server takes.
    pub(super) async fn send(
        mut self,
        from: &Mailbox,
        to: &[Mailbox],
        bytes: &[u8],
    ) -> Result<Taken, Failure> {
        let server = self.server;
        let utf8 = from.is_utf8() || to.iter().any(Mailbox::is_utf8);
        if utf8 && !self.connection.server_info().supports_feature(Extension::SmtpUtfEight) {
            let text = format!("{server} takes no addresses with letters beyond ASCII");
            let failure = Failure::new(&text, "Use addresses of ASCII letters.");
            return Err(failed(self.tell, Step::Sender, failure));
        }
        let parameters = if utf8 { vec![MailParameter::SmtpUtfEight] } else { Vec::new() };
        let command = Mail::new(Some(from.inner().email.clone()), parameters);
        let answered = timeout(ANSWER, self.connection.command(command)).await;
        if let Err(failure) = within(server, &format!("takes mail from {from}"), answered) {
            return Err(failed(self.tell, Step::Sender, failure));
        }
        (self.tell)(Step::Sender, Ok(format!("{from} may send")));
        let mut refused = Vec::new();
        for one in to {
            let answered =
                timeout(ANSWER, self.connection.command(Rcpt::new(one.inner().email.clone(), vec![]))).await;
            match within(server, &format!("takes mail for {one}"), answered) {
                Ok(_) => (self.tell)(Step::Recipient, Ok(format!("{one} gets mail"))),
                Err(failure) => {
                    refused.push(failure.what.as_str().to_owned());
                    (self.tell)(Step::Recipient, Err(failure));
                }
            }
        }
        if refused.len() == to.len() {
            let text = refused.first().cloned().unwrap_or_else(|| "there is nobody to send to".to_owned());
            return Err(Failure::new(
                &text,
                "Correct the recipient's address, or ask whoever runs the mail server.",
            ));
        }
        let answered = timeout(ANSWER, self.connection.command(Data)).await;
        let answered = match within(server, "wants the mail", answered) {
            Ok(_) => {
                let taken = timeout(TAKE, self.connection.message(bytes)).await;
                within(server, "takes the mail", taken)
            }
            Err(failure) => Err(failure),
        };
        match answered {
            Ok(response) => {
                let words: Vec<_> = response.message().take(4).map(plain).collect();
                (self.tell)(Step::Message, Ok(format!("the server has taken it: {}", words.join(" "))));
            }
            Err(failure) => return Err(failed(self.tell, Step::Message, failure)),
        }
        // It has the mail, whatever it says to this.
        let _ = timeout(Duration::from_secs(3), self.connection.quit()).await;
        Ok(Taken { refused })
    }
}

/// The server's words as one printable line.
fn plain(text: &str) -> String {
    text.chars().take(200).map(|char| if char.is_control() { '?' } else { char }).collect()
}

type Answered<T> = Result<Result<T, lettre::transport::smtp::Error>, tokio::time::error::Elapsed>;

/// An answer, or why there is none: `deed` as the server does it.
fn within<T>(server: &HostPort, deed: &str, answered: Answered<T>) -> Result<T, Failure> {
    match answered {
        Ok(Ok(answer)) => Ok(answer),
        Err(_) => Err(Failure::new(
            &format!("the mail server {server} does not say in time whether it {deed}"),
            "See whether the server is overloaded; try again.",
        )),
        Ok(Err(error)) => {
            let text = plain(&error.to_string());
            let remedy = if error.is_permanent() || error.is_transient() {
                "See what the server says, and its own log; ask whoever runs it."
            } else {
                "See that a mail server listens there, on this port and with this kind of TLS."
            };
            Err(Failure::new(&format!("it is not so that the mail server {server} {deed}: {text}"), remedy))
        }
    }
}

type Open = (Box<dyn Transport>, &'static [u8], SocketAddr);

/// Connects, with TLS as it is wanted.
async fn open(
    way: &Way,
    security: &MailSecurity,
    host: &HostName,
    tell: &mut (dyn FnMut(Step, Result<String, Failure>) + Send),
) -> Result<Open, (Step, Failure)> {
    let server = way.server();
    // What the library never asks for.
    let nowhere = SocketAddr::from(([0, 0, 0, 0], server.port));
    match security {
        MailSecurity::Implicit(trust) => {
            let stream = way.open(&Security::Tls(trust.clone())).await;
            let stream = stream.map_err(|failure| (Step::Tls, failure))?;
            tell(Step::Tls, Ok(format!("{server} is verified, and nobody can read what is said")));
            Ok((stream, b"", nowhere))
        }
        MailSecurity::Plain => {
            let stream = way.open(&Security::Plain).await.map_err(|failure| (Step::Connection, failure))?;
            tell(Step::Connection, Ok(format!("{server} takes connections")));
            Ok((stream, b"", nowhere))
        }
        MailSecurity::StartTls(trust) => {
            let addresses = way.addresses().await.map_err(|failure| (Step::Connection, failure))?;
            let mut stream = way.tcp(&addresses).await.map_err(|failure| (Step::Connection, failure))?;
            tell(Step::Connection, Ok(format!("{server} takes connections")));
            let begun = timeout(ANSWER, start_tls(&mut stream, host)).await;
            let begun = begun.unwrap_or_else(|_| Err("it does not answer in time".to_owned()));
            begun.map_err(|why| {
                let failure = Failure::new(
                    &format!("the mail server {server} does not begin TLS: {why}"),
                    "Use the port and the kind of TLS that the server has: STARTTLS is usual on 587, TLS from the start on 465.",
                );
                (Step::Tls, failure)
            })?;
            let stream = way.upgrade(trust, stream).await.map_err(|failure| (Step::Tls, failure))?;
            tell(Step::Tls, Ok(format!("{server} is verified, and nobody can read what is said")));
            // After STARTTLS no server greets again, and the library waits for it.
            Ok((stream, b"220 ready\r\n", nowhere))
        }
    }
}

/// Asks for TLS (RFC 3207). Not a byte beyond the answer is read, so that what somebody adds to it becomes no answer of later.
async fn start_tls(stream: &mut TcpStream, host: &HostName) -> Result<(), String> {
    let mut left = TALK_BEFORE;
    expect(reply(stream, &mut left).await?, "220", "its greeting is")?;
    say(stream, &format!("EHLO {}\r\n", host.as_str())).await?;
    let lines = expect(reply(stream, &mut left).await?, "250", "its answer to EHLO is")?;
    if !lines
        .iter()
        .any(|line| line.get(4..).is_some_and(|word| word.trim().eq_ignore_ascii_case("STARTTLS")))
    {
        return Err("it does not offer STARTTLS".to_owned());
    }
    say(stream, "STARTTLS\r\n").await?;
    expect(reply(stream, &mut left).await?, "220", "its answer to STARTTLS is")?;
    Ok(())
}

async fn say(stream: &mut TcpStream, line: &str) -> Result<(), String> {
    stream.write_all(line.as_bytes()).await.map_err(|error| error.to_string())
}

fn expect(lines: Vec<String>, code: &str, what: &str) -> Result<Vec<String>, String> {
    if lines.iter().all(|line| line.starts_with(code)) && !lines.is_empty() {
        return Ok(lines);
    }
    Err(format!("{what} {}", plain(&lines.join(" "))))
}

/// The lines of one reply (RFC 5321, section 4.2).
async fn reply(stream: &mut TcpStream, left: &mut usize) -> Result<Vec<String>, String> {
    let mut lines = Vec::new();
    loop {
        let mut line = Vec::new();
        while line.last() != Some(&b'\n') {
            *left = left.checked_sub(1).ok_or("it says more than it may")?;
            let byte = stream.read_u8().await.map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => "it has closed the connection".to_owned(),
                _ => error.to_string(),
            })?;
            line.push(byte);
        }
        let line = String::from_utf8_lossy(&line).trim_end().to_owned();
        let is_reply = line.get(..3).is_some_and(|code| code.bytes().all(|byte| byte.is_ascii_digit()));
        if !is_reply {
            return Err(format!("it is no mail server; it says {}", plain(&line)));
        }
        let goes_on = line.get(3..4) == Some("-");
        lines.push(line);
        if !goes_on {
            return Ok(lines);
        }
    }
}
