//! The way through: OpenSSH's client, the server, an appliance, OpenSSH's daemon.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use drawbridge_wire::{Line, ToAppliance, ToServer, ticket};
use peers::appliance::{Appliance, host_key, tls};
use peers::{Server, key, public, run, soon, text};
use std::fs;
use std::time::Duration;
use tokio::io::AsyncReadExt as _;
use tokio::process::Command;

#[tokio::test(flavor = "multi_thread")]
async fn an_engineer_gets_through_by_name_or_serial_and_verifies_the_system_himself() {
    let server = Server::start().await;
    let appliance = Appliance::new(&server, "SN-1", "box-1").await;
    let control = appliance.enrol(&server).await;
    let _serving = appliance.serve(&server, control);
    // Not known yet: the client itself refuses.
    let unknown = run(&mut server.ssh("anna", &["-J", "rss", "box-1", "true"])).await;
    assert!(text(&unknown.stderr).contains("Host key verification failed"), "{}", text(&unknown.stderr));
    server.take_known_hosts("anna", "box-1").await;
    let line = fs::read_to_string(server.path("known_hosts")).unwrap();
    assert!(line.contains(&format!("box-1,SN-1 {}\n", host_key(&appliance))), "{line}");
    for name in ["box-1", "SN-1", "BOX-1"] {
        let there = run(&mut server.ssh("anna", &["-J", "rss", name, "echo here; exit 7"])).await;
        assert_eq!(
            (text(&there.stdout).as_str(), there.status.code()),
            ("here\n", Some(7)),
            "{}",
            text(&there.stderr)
        );
    }
    // Through one connection, whole and in both directions.
    let bytes: Vec<u8> =
        (0..3_000_000_u32).map(|number| number.to_le_bytes()[0] ^ number.to_le_bytes()[1]).collect();
    fs::write(server.path("bytes"), &bytes).unwrap();
    let mut copy = server.ssh("anna", &["-J", "rss", "box-1", "cat"]);
    copy.stdin(fs::File::open(server.path("bytes")).unwrap());
    let copied = soon("a copy", copy.output()).await.unwrap();
    assert!(copied.status.success() && copied.stdout == bytes, "{} bytes", copied.stdout.len());
    let list = run(&mut server.ssh("anna", &["rss", "systems"])).await;
    let list = text(&list.stdout);
    let words: Vec<&str> = list.split_whitespace().collect();
    assert_eq!((words[0], words[1], words[3]), ("box-1", "SN-1", "127.0.0.1"), "{list}");
    server.audit_has(&[("who", "anna"), ("what", "session"), ("system", "SN-1"), ("result", "opened")]).await;
    let odd = run(&mut server.ssh("anna", &["rss", "reboot"])).await;
    assert_eq!(odd.status.code(), Some(1));
    assert!(text(&odd.stderr).contains("not known"));
    let help = run(&mut server.ssh("anna", &["rss"])).await;
    assert!(help.status.success() && text(&help.stdout).contains("known-hosts"), "{help:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_reach_a_system_learns_nothing_of_it_and_who_may_learns_why_not() {
    let server = Server::start().await;
    let (mine, other) =
        (Appliance::new(&server, "SN-1", "box-1").await, Appliance::new(&server, "SN-2", "vault-2").await);
    let mut control = mine.enrol(&server).await;
    let _other = other.enrol(&server).await;
    let refusal = async |name: &str| {
        let refused = run(&mut server.ssh("anna", &["-J", "rss", name, "true"])).await;
        assert_eq!(refused.status.code(), Some(255));
        text(&refused.stderr)
    };
    for name in ["vault-2", "SN-2", "nowhere"] {
        let said = refusal(name).await;
        assert!(said.contains("no such system, or not allowed"), "{said}");
    }
    let list = text(&run(&mut server.ssh("anna", &["rss", "systems"])).await.stdout);
    assert!(list.contains("box-1") && !list.contains("vault-2"), "{list}");
    // The owner's side says no.
    let (said, ()) = tokio::join!(refusal("box-1"), async {
        let Some(ToAppliance::Dial { request, engineer, source, .. }) = control.next().await else {
            panic!()
        };
        assert_eq!((engineer.as_str(), source.to_string().as_str()), ("anna", "127.0.0.1"));
        control.send(&ToServer::Declined { request, why: Line::of("the owner has paused it") }).await;
    });
    assert!(said.contains("declined: the owner has paused it"), "{said}");
    control.send(&ToServer::Bye).await;
    assert_eq!(control.next().await, None);
    server.audit_has(&[("what", "disconnected"), ("system", "SN-1"), ("result", "raised the bridge")]).await;
    let said = refusal("box-1").await;
    assert!(said.contains("box-1 is not connected"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observer_lists_systems_and_reaches_none() {
    let server = Server::start().await;
    let appliance = Appliance::new(&server, "SN-1", "box-1").await;
    let control = appliance.enrol(&server).await;
    let _serving = appliance.serve(&server, control);
    let becomes = async |role: &str| {
        let file = public(&server.path("anna"));
        let file = file.to_str().unwrap();
        let add = ["engineers", "add", "anna", "--key", file, "--systems", "box-*", "--role", role];
        server.try_operate(&add).await.status.success()
    };
    server.take_known_hosts("anna", "box-1").await;
    let mut open = server.ssh("anna", &["-J", "rss", "box-1", "echo in; exec sleep 600"]);
    let mut open = open.stdout(std::process::Stdio::piped()).spawn().unwrap();
    let mut said = [0; 3];
    soon("the session", open.stdout.as_mut().unwrap().read_exact(&mut said)).await.unwrap();
    assert!(!becomes("emperor").await && becomes("observer").await);
    // A session that is open ends, and none begins.
    assert!(!soon("the end of the session", open.wait()).await.unwrap().success());
    let list = run(&mut server.ssh("anna", &["rss", "systems"])).await;
    assert!(text(&list.stdout).starts_with("box-1 SN-1 "), "{}", text(&list.stderr));
    let refused = run(&mut server.ssh("anna", &["-J", "rss", "box-1", "true"])).await;
    assert!(text(&refused.stderr).contains("an observer sees systems, and reaches none"));
    assert!(server.operate(&["engineers"]).await.contains("role=observer"));
    assert!(becomes("engineer").await);
    assert!(run(&mut server.ssh("anna", &["-J", "rss", "box-1", "true"])).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ticket_is_good_once_and_for_nobody_after_the_engineer_has_gone() {
    let server = Server::start().await;
    let appliance = Appliance::new(&server, "SN-1", "box-1").await;
    let mut control = appliance.enrol(&server).await;
    let mut engineer = server.ssh("anna", &["-J", "rss", "box-1", "true"]).spawn().unwrap();
    let Some(ToAppliance::Dial { token, .. }) = control.next().await else { panic!() };
    let mut first = tls(&server, drawbridge_wire::SESSION).await;
    ticket::present(&mut first, &token).await.unwrap();
    // From here on it is the engineer who speaks.
    let mut greeting = [0; 8];
    soon("the engineer's greeting", first.read_exact(&mut greeting)).await.unwrap();
    assert_eq!(&greeting, b"SSH-2.0-");
    let mut again = tls(&server, drawbridge_wire::SESSION).await;
    assert!(matches!(ticket::present(&mut again, &token).await, Err(ticket::TicketError::Unknown)));
    server.audit_has(&[("what", "ticket"), ("result", "nobody waits")]).await;
    engineer.kill().await.unwrap();
    // His end is the end of the appliance's connection.
    let mut rest = Vec::new();
    let _ = soon("the end of the session", first.read_to_end(&mut rest)).await;
    // One who goes before the appliance has dialled.
    let mut engineer = server.ssh("anna", &["-W", "box-1:22", "rss"]).spawn().unwrap();
    let Some(ToAppliance::Dial { token, .. }) = control.next().await else { panic!() };
    engineer.kill().await.unwrap();
    server.audit_has(&[("what", "session"), ("result", "given up")]).await;
    let mut late = tls(&server, drawbridge_wire::SESSION).await;
    assert!(matches!(ticket::present(&mut late, &token).await, Err(ticket::TicketError::Unknown)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_authoritys_certificate_lets_in_whom_it_names_and_nobody_else() {
    let server = Server::start().await;
    let (authority, other) =
        (key(server.home.path(), "authority").await, key(server.home.path(), "other").await);
    let file = public(&authority);
    let file = file.to_str().unwrap();
    server.operate(&["engineers", "add", "field", "--authority", "--key", file, "--systems", "*"]).await;
    let login = async |user: &str, signer: &std::path::Path, options: &[&str]| {
        let name = "bert";
        let _ = fs::remove_file(server.path(name));
        let private = key(server.home.path(), name).await;
        let mut sign = Command::new("ssh-keygen");
        sign.args(["-q", "-I", "bert at work", "-z", "42", "-s"])
            .arg(signer)
            .args(options)
            .arg(public(&private));
        let signed = run(&mut sign).await;
        assert!(signed.status.success(), "{}", text(&signed.stderr));
        server.write_client(name).await;
        let certificate = format!("CertificateFile={}", server.path("bert-cert.pub").display());
        let output = run(&mut server.ssh(name, &["-o", &certificate, "-l", user, "rss", "help"])).await;
        let _ = fs::remove_file(server.path("bert.pub"));
        output.status.success()
    };
    assert!(login("bert", &authority, &["-n", "bert,other", "-V", "+1h"]).await);
    server
        .audit_has(&[("who", "bert"), ("what", "login"), ("result", "certificate 42 \"bert at work\"")])
        .await;
    assert!(
        login("bert", &authority, &["-n", "bert", "-V", "+1h", "-O", "source-address=127.0.0.0/8"]).await
    );
    for (why, user, signer, options) in [
        ("another name", "anna", &authority, &["-n", "bert", "-V", "+1h"][..]),
        ("no name", "bert", &authority, &["-V", "+1h"]),
        ("another authority", "bert", &other, &["-n", "bert", "-V", "+1h"]),
        ("over", "bert", &authority, &["-n", "bert", "-V", "20200101:20200102"]),
        ("not yet", "bert", &authority, &["-n", "bert", "-V", "20900101:20900102"]),
        ("a host's", "bert", &authority, &["-h", "-n", "bert", "-V", "+1h"]),
        ("elsewhere", "bert", &authority, &["-n", "bert", "-V", "+1h", "-O", "source-address=192.0.2.0/24"]),
        ("bound to a command", "bert", &authority, &["-n", "bert", "-V", "+1h", "-O", "force-command=id"]),
        (
            "bound to what nobody knows",
            "bert",
            &authority,
            &["-n", "bert", "-V", "+1h", "-O", "critical:x@y.example"],
        ),
    ] {
        assert!(!login(user, signer, options).await, "{why}");
    }
    // The authority's own key opens nothing.
    fs::copy(&authority, server.path("field")).unwrap();
    server.write_client("field").await;
    assert!(!run(&mut server.ssh("field", &["rss", "help"])).await.status.success());
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_removed_is_cut_within_seconds() {
    let server = Server::start().await;
    let appliance = Appliance::new(&server, "SN-1", "box-1").await;
    let control = appliance.enrol(&server).await;
    let serving = appliance.serve(&server, control);
    server.take_known_hosts("anna", "box-1").await;
    let session = async || {
        let mut session = server.ssh("anna", &["-J", "rss", "box-1", "echo in; exec sleep 600"]);
        let mut session = session.stdout(std::process::Stdio::piped()).spawn().unwrap();
        let mut said = [0; 3];
        soon("the session", session.stdout.as_mut().unwrap().read_exact(&mut said)).await.unwrap();
        session
    };
    let mut open = session().await;
    server.operate(&["engineers", "disable", "anna"]).await;
    let within = Duration::from_secs(20);
    assert!(!tokio::time::timeout(within, open.wait()).await.unwrap().unwrap().success());
    assert!(!run(&mut server.ssh("anna", &["rss", "help"])).await.status.success());
    let anna = public(&server.path("anna"));
    server.operate(&["engineers", "add", "anna", "--key", anna.to_str().unwrap(), "--systems", "*"]).await;
    let mut open = session().await;
    server.operate(&["systems", "remove", "SN-1"]).await;
    assert!(!tokio::time::timeout(within, open.wait()).await.unwrap().unwrap().success());
    tokio::time::timeout(within, serving).await.unwrap().unwrap();
    server.audit_has(&[("what", "disconnected"), ("result", "removed")]).await;
}
