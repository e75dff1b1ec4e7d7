//! Several sessions in one connection of OpenSSH's client: one that stands still is alone with it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use drawbridge_wire::{ToAppliance, ticket};
use peers::appliance::{Appliance, Control, tls_over};
use peers::{Server, soon};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::process::{Child, ChildStdin, ChildStdout};
use tokio_rustls::client::TlsStream;

/// A server, an appliance, and an engineer's connection that his sessions share.
struct Shared {
    server: Server,
    control: Control,
    master: Child,
}

impl Shared {
    async fn start() -> Self {
        let server = Server::start().await;
        let control = Appliance::new(&server, "SN-1", "box-1").await.enrol(&server).await;
        let socket = server.path("master");
        let master =
            server.ssh("anna", &["-M", "-N", "-S", socket.to_str().unwrap(), "rss"]).spawn().unwrap();
        soon("the shared connection", async {
            while !socket.exists() {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await;
        Self { server, control, master }
    }

    /// A session through the shared connection, and the appliance's end of it.
    async fn session(&mut self) -> (Session, TlsStream<TcpStream>) {
        let socket = self.server.path("master");
        let mut client = self.server.ssh("anna", &["-S", socket.to_str().unwrap(), "-W", "box-1:22", "rss"]);
        let mut client = client.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let Some(ToAppliance::Dial { token, .. }) = self.control.next().await else { panic!() };
        // The kernel takes little for an appliance that takes nothing.
        let socket = TcpSocket::new_v4().unwrap();
        socket.set_recv_buffer_size(8 * 1024).unwrap();
        let stream = soon("a connection", socket.connect(self.server.tls)).await.unwrap();
        let mut end = tls_over(&self.server, stream, drawbridge_wire::SESSION).await;
        ticket::present(&mut end, &token).await.unwrap();
        let (stdin, stdout) = (client.stdin.take().unwrap(), client.stdout.take().unwrap());
        (Session { _client: client, stdin, stdout }, end)
    }

    /// A session whose appliance sends back what it gets.
    async fn echo(&mut self) -> Session {
        let (session, end) = self.session().await;
        tokio::spawn(async move {
            let (mut from, mut to) = tokio::io::split(end);
            tokio::io::copy(&mut from, &mut to).await
        });
        session
    }
}

struct Session {
    _client: Child,
    stdin: ChildStdin,
    stdout: ChildStdout,
}

impl Session {
    /// Sends a word and waits for it; how long it took.
    async fn says(&mut self, number: u32) -> Duration {
        let began = Instant::now();
        self.stdin.write_u32(number).await.unwrap();
        assert_eq!(soon("the word back", self.stdout.read_u32()).await.unwrap(), number);
        began.elapsed()
    }

    /// The longest of many words, one after the other.
    async fn says_for(&mut self, time: Duration) -> Duration {
        let began = Instant::now();
        let (mut longest, mut number) = (Duration::ZERO, 0);
        while began.elapsed() < time {
            longest = longest.max(self.says(number).await);
            number += 1;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        longest
    }
}

fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| at.to_le_bytes()[0] ^ at.to_le_bytes()[1] ^ at.to_le_bytes()[2]).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_system_does_not_take_for_a_while_holds_up_nobody_and_is_not_lost() {
    let mut shared = Shared::start().await;
    let (still, mut end) = shared.session().await;
    let mut other = shared.echo().await;
    let bytes = pattern(3_000_000);
    let sent = bytes.clone();
    let Session { _client, mut stdin, mut stdout } = still;
    let sending = tokio::spawn(async move {
        stdin.write_all(&sent).await.unwrap();
        drop(stdin);
    });
    let longest = other.says_for(Duration::from_secs(7)).await;
    println!("the other session's slowest word beside 3 MB that stand still: {longest:?}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    // It goes on, whole, to its end, and back.
    let mut got = Vec::new();
    soon("the bytes", end.read_to_end(&mut got)).await.unwrap();
    assert!(got == bytes, "{} bytes", got.len());
    soon("the client", sending).await.unwrap();
    end.write_all(b"thanks").await.unwrap();
    end.shutdown().await.unwrap();
    let mut answer = String::new();
    soon("the answer", stdout.read_to_string(&mut answer)).await.unwrap();
    assert_eq!(answer, "thanks");
    assert!(shared.master.try_wait().unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_system_that_takes_nothing_more_loses_its_session_and_the_others_go_on() {
    let mut shared = Shared::start().await;
    let (mut still, _end) = shared.session().await;
    let mut other = shared.echo().await;
    let sending = tokio::spawn(async move {
        let zeros = vec![0; 1024 * 1024];
        // Until its session is closed.
        while still.stdin.write_all(&zeros).await.is_ok() {}
        still
    });
    let longest = other.says_for(Duration::from_secs(12)).await;
    println!("the other session's slowest word beside a flood that nobody takes: {longest:?}");
    assert!(longest < Duration::from_secs(6), "{longest:?}");
    shared.server.audit_has(&[("what", "session"), ("system", "SN-1"), ("result", "took nothing")]).await;
    soon("the end of that session", sending).await.unwrap();
    assert!(other.says_for(Duration::from_secs(1)).await < Duration::from_secs(2));
}

#[tokio::test(flavor = "multi_thread")]
async fn alone_in_his_connection_he_may_wait_for_a_slow_system_with_more_than_the_buffer_holds() {
    let mut shared = Shared::start().await;
    let (alone, mut end) = shared.session().await;
    let bytes = pattern(20_000_000);
    let sent = bytes.clone();
    let Session { _client, mut stdin, .. } = alone;
    let sending = tokio::spawn(async move {
        stdin.write_all(&sent).await.unwrap();
    });
    tokio::time::sleep(Duration::from_secs(6)).await;
    assert!(!sending.is_finished(), "he sends no faster than the system takes");
    let mut got = Vec::new();
    soon("the bytes", end.read_to_end(&mut got)).await.unwrap();
    assert!(got == bytes, "{} bytes", got.len());
    sending.await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engineer_who_reads_one_session_no_more_goes_on_in_the_others() {
    let mut shared = Shared::start().await;
    let (mut still, mut end) = shared.session().await;
    let mut other = shared.echo().await;
    let bytes = pattern(20_000_000);
    let sent = bytes.clone();
    let sending = tokio::spawn(async move {
        end.write_all(&sent).await.unwrap();
        end.shutdown().await.unwrap();
        end
    });
    let longest = other.says_for(Duration::from_secs(7)).await;
    println!("the other session's slowest word beside 20 MB that nobody reads: {longest:?}");
    assert!(longest < Duration::from_secs(2), "{longest:?}");
    let mut got = vec![0; bytes.len()];
    soon("the bytes", still.stdout.read_exact(&mut got)).await.unwrap();
    assert!(got == bytes);
    soon("the appliance", sending).await.unwrap();
}
