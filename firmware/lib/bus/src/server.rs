//! A role's way to be asked: accepts connections, asks the kernel who is there, and looks at the table before the
//! request reaches the role. It never answers by itself but to refuse.

use crate::frame::{Decoder, Frame, encode};
use crate::message::{Refusal, Reply, Request};
use crate::role::Role;
use crate::table::may;
use std::future::Future;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{UnixListener, UnixStream};

/// The most connections at one time to a role. So few roles with a few connections each need far fewer.
pub const CONNECTIONS: usize = 32;

/// The most to the recorder: one of each engineer's connection (32), one of each shell process (init lets 128 run), and some of session
/// and console. Whoever waited for a place there would be an engineer whose session stands still.
pub const RECORDER_CONNECTIONS: usize = 192;

/// How long a reader may leave an answer unread.
const WRITE_WITHIN: Duration = Duration::from_secs(10);

/// Serves requests on `listener` until it fails. Each answer comes from `answer`, which gets only what the table allows.
pub async fn serve<A, F>(me: Role, listener: UnixListener, answer: A) -> std::io::Error
where
    A: Fn(Role, Request) -> F + Send + Sync + 'static,
    F: Future<Output = Reply> + Send,
{
    let answer = Arc::new(answer);
    let most = if me == Role::Recorder { RECORDER_CONNECTIONS } else { CONNECTIONS };
    let places = Arc::new(tokio::sync::Semaphore::new(most));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else {
            return std::io::Error::other("the server has ended");
        };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => return error,
        };
        let answer = Arc::clone(&answer);
        tokio::spawn(async move {
            connection(me, stream, &*answer).await;
            drop(place);
        });
    }
}

async fn connection<A, F>(me: Role, mut stream: UnixStream, answer: &A)
where
    A: Fn(Role, Request) -> F,
    F: Future<Output = Reply>,
{
    let Some(caller) = caller(&stream) else {
        log::warn!("refused a bus connection of a process that is no role");
        return;
    };
    let mut decoder = Decoder::default();
    let mut buffer = [0; 4096];
    loop {
        match decoder.next_frame() {
            Ok(Some(Frame::Request { id, request })) => {
                let reply = match verdict(caller, me, &request) {
                    Ok(()) => answer(caller, request).await,
                    Err(refusal) => Reply::Refused(refusal),
                };
                let Ok(bytes) = encode(&Frame::Reply { id, reply }) else { return };
                match tokio::time::timeout(WRITE_WITHIN, stream.write_all(&bytes)).await {
                    Ok(Ok(())) => {}
                    _ => return,
                }
            }
            Ok(Some(_)) => return,
            Ok(None) => match stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return,
                Ok(length) => decoder.push(&buffer[..length]),
            },
            Err(error) => {
                log::warn!("the {caller} role sent {error}; its connection is closed");
                return;
            }
        }
    }
}

/// Whether the table lists this request; a forbidden one is logged.
pub fn verdict(caller: Role, asked: Role, request: &Request) -> Result<(), Refusal> {
    if may(caller, asked, request.ask()) {
        return Ok(());
    }
    log::warn!("refused: {caller} asked {asked} for {:?}, which the table does not list", request.ask());
    Err(Refusal::Forbidden)
}

/// The role at the other end of a Unix socket, by the kernel's word for it; none when it is no role.
pub fn caller(stream: &impl AsFd) -> Option<Role> {
    let credentials =
        nix::sys::socket::getsockopt(stream, nix::sys::socket::sockopt::PeerCredentials).ok()?;
    Role::of_uid(credentials.uid())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_forbidden_request_is_refused_and_the_peer_is_known_by_its_user() {
        let (one, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(caller(&one), Role::of_uid(nix::unistd::getuid().as_raw()));
        assert_eq!(
            verdict(Role::Network, Role::Init, &Request::Power(crate::message::Power::Off)),
            Err(Refusal::Forbidden)
        );
    }
}
