//! Who is let in: appliances by token and key, engineers by key; how many; and what is left when the server ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use drawbridge_wire::{Line, ToAppliance, ToServer};
use peers::appliance::{Appliance, tls};
use peers::{Server, key, public, run, soon, text};
use std::os::unix::fs::PermissionsExt as _;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

#[tokio::test(flavor = "multi_thread")]
async fn a_token_enrols_one_appliance_which_is_then_known_by_its_keys() {
    let server = Server::start().await;
    let appliance = Appliance::new(&server, "SN-1", "box-1").await;
    let token = server.operate(&["enrol", "--name", "box-9", "--minutes", "5"]).await;
    let token = token.trim();
    let enrol = ToServer::Enrol { token: Line::of(token) };
    // A wrong one is one too many: the connection ends.
    let mut control = appliance.connect(&server).await;
    assert_eq!(control.next().await, Some(ToAppliance::Unenrolled));
    control.send(&ToServer::Enrol { token: Line::of("WRONG") }).await;
    assert!(control.refusal().await.contains("the enrolment token is not good"));
    assert_eq!(control.next().await, None);
    let mut control = appliance.connect(&server).await;
    assert_eq!(control.next().await, Some(ToAppliance::Unenrolled));
    control.send(&enrol).await;
    let Some(ToAppliance::Welcome { system, .. }) = control.next().await else { panic!() };
    assert_eq!(system.as_str(), "box-9");
    // Used up for another, and not needed any more by this one.
    let other = Appliance::new(&server, "SN-2", "box-2").await;
    let mut second = other.connect(&server).await;
    assert_eq!(second.next().await, Some(ToAppliance::Unenrolled));
    second.send(&enrol).await;
    assert!(second.refusal().await.contains("used"));
    let mut newer = appliance.connect(&server).await;
    assert!(matches!(newer.next().await, Some(ToAppliance::Welcome { .. })));
    // The newer connection takes the older one's place.
    assert!(matches!(control.next().await, Some(ToAppliance::Bye { .. })));
    assert_eq!(control.next().await, None);
    server.audit_has(&[("who", "SN-1"), ("what", "enrolled"), ("result", "box-9")]).await;
    let refused = server.try_operate(&["enrol", "--serial", "sn-1"]).await;
    assert!(!refused.status.success() && text(&refused.stderr).contains("enrolled already"));
    assert!(!server.audit().await.iter().any(|line| line.to_string().contains(token)));
}

#[tokio::test(flavor = "multi_thread")]
async fn other_keys_or_another_address_are_refused_with_a_remedy_and_written_down() {
    let server = Server::start().await;
    let appliance = Appliance::new(&server, "SN-1", "box-1").await;
    let mut control = appliance.enrol(&server).await;
    let login = key(server.home.path(), "login").await;
    let mut thief = Appliance { login, ..appliance.clone() }.connect(&server).await;
    assert!(thief.refusal().await.contains("another login key"));
    let host = key(server.home.path(), "host").await;
    let mut changed = Appliance { host, ..appliance.clone() }.connect(&server).await;
    assert!(changed.refusal().await.contains("another host key"));
    server.audit_has(&[("system", "SN-1"), ("what", "refused"), ("result", "another login key")]).await;
    server.audit_has(&[("system", "SN-1"), ("what", "refused"), ("result", "another host key")]).await;
    // The one that is connected stays so.
    control.send(&ToServer::Ping(7)).await;
    assert_eq!(control.next().await, Some(ToAppliance::Pong(7)));
    let token = server.operate(&["enrol", "--address", "192.0.2.0/24"]).await;
    let mut far = Appliance::new(&server, "SN-2", "box-2").await.connect(&server).await;
    assert_eq!(far.next().await, Some(ToAppliance::Unenrolled));
    far.send(&ToServer::Enrol { token: Line::of(token.trim()) }).await;
    assert!(far.refusal().await.contains("not for this system"));
}

#[tokio::test(flavor = "multi_thread")]
async fn term_says_goodbye_and_writes_down_what_was_open_and_the_keys_stay() {
    let mut server = Server::start().await;
    let appliance = Appliance::new(&server, "SN-1", "box-1").await;
    let control = appliance.enrol(&server).await;
    let serving = appliance.serve(&server, control);
    server.take_known_hosts("anna", "box-1").await;
    let mut session = server.ssh("anna", &["-J", "rss", "box-1", "echo in; exec sleep 600"]);
    let mut session = session.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = [0; 3];
    soon("the session", session.stdout.as_mut().unwrap().read_exact(&mut said)).await.unwrap();
    let second = Appliance::new(&server, "SN-2", "box-2").await;
    let mut idle = second.enrol(&server).await;
    let (ended, word) = tokio::join!(server.stop(), idle.next());
    assert!(ended.success(), "{ended}");
    assert!(matches!(word, Some(ToAppliance::Bye { .. })), "{word:?}");
    assert!(!soon("the session's end", session.wait()).await.unwrap().success());
    soon("the appliance's end", serving).await.unwrap();
    let audit = server.audit().await;
    let last = audit.last().unwrap();
    assert_eq!((last["what"].as_str(), last["result"].as_str()), (Some("stop"), Some("done")));
    server.audit_has(&[("who", "anna"), ("what", "session"), ("result", "going down")]).await;
    for serial in ["SN-1", "SN-2"] {
        server
            .audit_has(&[("what", "disconnected"), ("system", serial), ("result", "the server ends")])
            .await;
    }
    let mode = |name: &str| std::fs::metadata(server.path(name)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode("data"), mode("data/host_key"), mode("data/tls.key")), (0o700, 0o600, 0o600));
    assert_eq!(mode("data/rss.sqlite"), 0o600);
    let (before, certificate) =
        (server.fingerprint.clone(), std::fs::read(server.path("data/tls.crt")).unwrap());
    server.start_again().await;
    assert_eq!(server.fingerprint, before);
    assert_eq!(std::fs::read(server.path("data/tls.crt")).unwrap(), certificate);
    assert!(matches!(appliance.connect(&server).await.next().await, Some(ToAppliance::Welcome { .. })));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engineer_comes_in_over_tls_with_any_client_that_speaks_it() {
    let server = Server::start().await;
    for protocol in [&[][..], &["-alpn", "drawbridge-engineer/1"]] {
        let proxy = format!(
            "ProxyCommand=openssl s_client -quiet -verify_return_error -verify_hostname localhost -CAfile {} -connect {} {}",
            server.path("data/tls.crt").display(),
            server.tls,
            protocol.join(" "),
        );
        let help = run(&mut server.ssh("anna", &["-o", &proxy, "rss", "help"])).await;
        assert!(help.status.success(), "{}", text(&help.stderr));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn other_keys_names_and_addresses_than_an_engineers_own_get_nowhere() {
    let server = Server::start().await;
    let bert = key(server.home.path(), "bert").await;
    server.write_client("bert").await;
    let may =
        async |user: &str, arguments: &[&str]| run(&mut server.ssh(user, arguments)).await.status.success();
    assert!(!may("bert", &["rss", "help"]).await);
    assert!(!may("bert", &["-l", "anna", "rss", "help"]).await);
    assert!(!may("anna", &["-l", "bert", "rss", "help"]).await);
    let file = public(&bert);
    let add = ["engineers", "add", "bert", "--key", file.to_str().unwrap(), "--from"];
    server.operate(&[&add[..], &["192.0.2.0/24"]].concat()).await;
    assert!(!may("bert", &["rss", "help"]).await);
    server.operate(&[&add[..], &["192.0.2.0/24,127.0.0.0/8"]].concat()).await;
    assert!(may("bert", &["rss", "help"]).await);
    // Nothing else is opened or forwarded.
    assert!(!may("bert", &["-N", "-o", "ExitOnForwardFailure=yes", "-R", "0:127.0.0.1:1", "rss"]).await);
    assert!(!may("bert", &["-s", "rss", "sftp"]).await);
    let reached = run(&mut server.ssh("bert", &["-W", "127.0.0.1:22", "rss"])).await;
    assert!(text(&reached.stderr).contains("no such system, or not allowed"), "{}", text(&reached.stderr));
    server.operate(&["engineers", "remove", "bert"]).await;
    assert!(!may("bert", &["rss", "help"]).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_login_that_never_ends_is_ended_whatever_bytes_come() {
    let server = Server::start().await;
    let began = Instant::now();
    let mut slow = TcpStream::connect(server.ssh).await.unwrap();
    // The head of a packet of 4096 bytes.
    slow.write_all(b"SSH-2.0-slow\r\n\x00\x00\x10\x00").await.unwrap();
    let (mut from, mut to) = slow.split();
    let mut sink = tokio::io::sink();
    soon("the end of the connection", async {
        tokio::select! {
            _ = tokio::io::copy(&mut from, &mut sink) => {}
            // It grows by a byte a second.
            () = async {
                loop {
                    let _ = to.write_all(&[0]).await;
                    tokio::time::sleep(Duration::from_secs(1)).await;
                }
            } => {}
        }
    })
    .await;
    let took = began.elapsed();
    assert!((Duration::from_secs(25)..Duration::from_secs(45)).contains(&took), "{took:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_in_the_place_of_a_ticket_or_a_handshake_ends_that_connection_only() {
    let server = Server::start().await;
    let mut session = tls(&server, drawbridge_wire::SESSION).await;
    session.write_all(b"GET / HTTP/1.1\r\nHost: rss.example.com\r\n\r\n").await.unwrap();
    let mut answer = Vec::new();
    let _ = soon("the end", session.read_to_end(&mut answer)).await;
    assert_eq!(answer, [drawbridge_wire::ticket::UNKNOWN]);
    for address in [server.tls, server.ssh] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let _ = stream.write_all(&vec![0xa5; 100_000]).await;
        let mut rest = Vec::new();
        let _ = soon("the end", stream.read_to_end(&mut rest)).await;
    }
    assert!(run(&mut server.ssh("anna", &["rss", "help"])).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_appliance_that_sends_into_a_channel_without_the_service_is_ended_at_once() {
    let server = Server::start().await;
    let appliance = Appliance::new(&server, "SN-1", "box-1").await;
    let (handle, mut channel) = appliance.channel(&server).await;
    let flood = async {
        for number in 0..200 {
            if channel.set_env(false, format!("N{number}"), "x").await.is_err()
                || channel.data_bytes(vec![0; 4096]).await.is_err()
            {
                break;
            }
        }
    };
    // Whoever waits for room in a channel is not told that its connection has gone.
    let ended = async {
        while !handle.is_closed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    soon("the end of the flood", async {
        tokio::select! {
            () = flood => {}
            () = ended => {}
        }
    })
    .await;
    soon("the channel's end", async { while channel.wait().await.is_some() {} }).await;
    soon("the connection's end", async {
        while !handle.is_closed() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_answered_also_to_a_client_that_sends_without_end() {
    let server = Server::start().await;
    let mut flood = server.ssh("anna", &["rss", "help"]);
    flood.stdin(std::fs::File::open("/dev/zero").unwrap());
    let output = soon("an answer beside a flood", flood.output()).await.unwrap();
    assert!(
        output.status.success() && text(&output.stdout).contains("known-hosts"),
        "{}",
        text(&output.stderr)
    );
}
