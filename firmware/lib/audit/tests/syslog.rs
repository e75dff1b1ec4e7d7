//! Events to rsyslog, a syslog server that is not ours, over TLS, TCP and UDP; and to one that dies in between.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

mod common;

use common::{Bench, Peer, certificates, free_port, paused, read_until, trust, until, way};
use drawbridge_audit::event::{Draft, Health, Part};
use drawbridge_audit::event::{Long, Name, What, Who, WhoKind};
use drawbridge_audit::sink::syslog::{Carrier, ENTERPRISE, Facility, Header, Syslog};
use drawbridge_audit::sink::{PlainDatagrams, Security, Sink as _};
use drawbridge_dial::{CertificateDer, Pin, Trust};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tempfile::TempDir;

struct Rsyslog {
    folder: TempDir,
    port: u16,
    root: CertificateDer<'static>,
    configuration: String,
}

impl Rsyslog {
    fn new(tls: bool) -> Self {
        let (folder, port) = (tempfile::tempdir().unwrap(), free_port());
        let root = certificates(folder.path());
        let path = folder.path().to_str().unwrap().to_owned();
        let (driver, mode) = if tls {
            let driver = format!(
                "defaultNetstreamDriver=\"gtls\" defaultNetstreamDriverCAFile=\"{path}/root.pem\" \
                 defaultNetstreamDriverCertFile=\"{path}/certificate.pem\" defaultNetstreamDriverKeyFile=\"{path}/key.pem\""
            );
            let mode = "streamDriver.name=\"gtls\" streamDriver.mode=\"1\" streamDriver.authMode=\"anon\"";
            (driver, mode)
        } else {
            (String::new(), "")
        };
        let configuration = format!(
            "global(workDirectory=\"{path}\" maxMessageSize=\"16k\" {driver})\n\
             module(load=\"imtcp\" {mode})\n\
             module(load=\"imudp\")\n\
             input(type=\"imtcp\" address=\"127.0.0.1\" port=\"{port}\")\n\
             input(type=\"imudp\" address=\"127.0.0.1\" port=\"{port}\")\n\
             template(name=\"json\" type=\"list\" option.jsonf=\"on\") {{\n\
               property(outname=\"pri\" name=\"pri\" format=\"jsonf\")\n\
               property(outname=\"time\" name=\"timereported\" dateFormat=\"rfc3339\" format=\"jsonf\")\n\
               property(outname=\"host\" name=\"hostname\" format=\"jsonf\")\n\
               property(outname=\"app\" name=\"app-name\" format=\"jsonf\")\n\
               property(outname=\"id\" name=\"msgid\" format=\"jsonf\")\n\
               property(outname=\"data\" name=\"structured-data\" format=\"jsonf\")\n\
               property(outname=\"text\" name=\"msg\" format=\"jsonf\")\n\
             }}\n\
             action(type=\"omfile\" file=\"{path}/out\" template=\"json\")\n"
        );
        Self { folder, port, root, configuration }
    }

    fn start(&self) -> Peer {
        let path = self.folder.path();
        fs::write(path.join("rsyslog.conf"), &self.configuration).unwrap();
        let program = Path::new("/usr/sbin/rsyslogd");
        assert!(program.exists(), "rsyslogd is not here: apt-get install rsyslog rsyslog-gnutls");
        let file = |name: &str| path.join(name).to_str().unwrap().to_owned();
        let _ = fs::remove_file(path.join("pid"));
        Peer::start(program, &["-n", "-f", &file("rsyslog.conf"), "-i", &file("pid")], self.port, path)
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("out")
    }

    fn sink(&self, carrier: Carrier) -> Syslog {
        let header = Header {
            facility: Facility::AUDIT,
            host: "box1-sa".to_owned(),
            enterprise: ENTERPRISE,
            version: "1.0.0".to_owned(),
            serial: "1001".to_owned(),
        };
        Syslog::new(way("log.test", self.port), carrier, header)
    }
}

/// The lines that are whole.
fn lines(text: &str) -> Vec<Value> {
    text.split_inclusive('\n')
        .filter(|line| line.ends_with('\n'))
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect()
}

/// The events' numbers, by their structured data.
fn numbers(lines: &[Value]) -> Vec<u64> {
    let number = |line: &Value| {
        let data = line["data"].as_str()?;
        data.split_once(" sequence=\"")?.1.split_once('"')?.0.parse().ok()
    };
    lines.iter().filter_map(number).collect()
}

async fn all_arrive(rsyslog: &Rsyslog, carrier: Carrier) {
    let _peer = rsyslog.start();
    let mut bench = Bench::new();
    let mut sent = Vec::new();
    for text in [
        "plain",
        "quotes \" \\ ] and [brackets]",
        "\u{fc}ber \u{1f40e}",
        "a\u{1b}[2J\r\n<34>1 forged",
        "%s%n {0}",
    ] {
        let what = What::Hardware { part: Part::Disk, health: Health::Failed, text: Long::of(text) };
        let mut draft = Draft::new(what, Who::new(WhoKind::Engineer, text));
        draft.endpoint = Some(Name::of(text));
        sent.push(bench.add(draft));
    }
    for _ in 0..200 {
        sent.push(bench.add(paused(&"x".repeat(100))));
    }
    let (queue, watch) = bench.queue("syslog", rsyslog.sink(carrier));
    let run = tokio::spawn(queue.run());
    let found = read_until(&rsyslog.out(), |text| {
        let found = lines(text);
        (found.len() >= sent.len()).then_some(found)
    })
    .await;
    assert_eq!(numbers(&found), (1..=sent.len() as u64).collect::<Vec<_>>());
    for (line, kept) in found.iter().zip(&sent) {
        assert_eq!(line["id"], kept.entry.code());
        assert_eq!((&line["host"], &line["app"]), (&"box1-sa".into(), &"drawbridge".into()));
        let text = line["text"].as_str().unwrap().trim_start_matches('\u{feff}');
        assert_eq!(text, kept.entry.summary());
        assert!(line["data"].as_str().unwrap().contains(&kept.hash().to_string()));
        let priority = if kept.entry.code() == "HARDWARE" { "107" } else { "110" };
        assert_eq!(line["pri"], priority);
        assert!(line["time"].as_str().unwrap().starts_with("2026-01-01T00:00:00."), "{line}");
    }
    assert!(watch.state().error.is_none());
    run.abort();
}

#[tokio::test]
async fn every_event_arrives_over_tls_whole_and_in_order() {
    let rsyslog = Rsyslog::new(true);
    let carrier = Carrier::Stream(Security::Tls(trust(&rsyslog.root)));
    all_arrive(&rsyslog, carrier).await;
}

#[tokio::test]
async fn every_event_arrives_over_tcp_whole_and_in_order() {
    all_arrive(&Rsyslog::new(false), Carrier::Stream(Security::Plain)).await;
}

#[tokio::test]
async fn every_event_arrives_over_udp_whole_and_in_order() {
    all_arrive(&Rsyslog::new(false), Carrier::Datagrams(Arc::new(PlainDatagrams))).await;
}

#[tokio::test]
async fn a_server_that_is_not_the_trusted_one_gets_nothing() {
    let rsyslog = Rsyslog::new(true);
    let _peer = rsyslog.start();
    let mut bench = Bench::new();
    let kept = bench.add(paused("secret plan"));
    let other = certificates(bench.folder.path());
    let wrong_pin = Trust { pin: Some(Pin::Key([7; 32])), ..trust(&rsyslog.root) };
    for trust in [trust(&other), wrong_pin] {
        let mut sink = rsyslog.sink(Carrier::Stream(Security::Tls(trust)));
        let (progress, failure) = sink.deliver(std::slice::from_ref(&kept)).await;
        let failure = failure.unwrap();
        assert_eq!(progress.sent, 0);
        assert!(
            failure.what.as_str().contains("certificate") && failure.remedy.as_str().ends_with('.'),
            "{failure}"
        );
    }
    // The one that is trusted gets it, and nothing came before.
    let mut sink = rsyslog.sink(Carrier::Stream(Security::Tls(trust(&rsyslog.root))));
    assert_eq!(sink.deliver(std::slice::from_ref(&kept)).await.1, None);
    let found = read_until(&rsyslog.out(), |text| (!lines(text).is_empty()).then(|| lines(text))).await;
    assert_eq!(numbers(&found), [1]);
}

#[tokio::test]
async fn what_a_dying_server_had_not_for_good_is_sent_again_and_nobody_listening_is_told() {
    let rsyslog = Rsyslog::new(false);
    let peer = rsyslog.start();
    let mut bench = Bench::new();
    for _ in 0..50 {
        bench.add(paused("one"));
    }
    let (queue, watch) = bench.queue("syslog", rsyslog.sink(Carrier::Stream(Security::Plain)));
    let run = tokio::spawn(queue.run());
    until(&watch, |state| state.is_up == Some(true)).await;
    drop(peer);
    let state = until(&watch, |state| state.is_up == Some(false)).await;
    assert_eq!((state.settled, state.backlog), (0, 50), "nothing of it was there long enough");
    bench.add(paused("while it is down"));
    let state = until(&watch, |state| state.failures > 1).await;
    let error = state.error.unwrap();
    assert!(error.what.as_str().contains("cannot be reached"), "{error}");
    // What the dead one has written may end amid a line, and the next one would go on in it.
    let _ = fs::rename(rsyslog.out(), rsyslog.out().with_extension("before"));
    let _peer = rsyslog.start();
    watch.try_now();
    until(&watch, |state| state.settled == 51 && state.backlog == 0).await;
    let found = read_until(&rsyslog.out(), |text| {
        let found = lines(text);
        (found.len() >= 51).then_some(found)
    })
    .await;
    assert_eq!(numbers(&found), (1..=51).collect::<Vec<_>>());
    run.abort();

    // UDP: the kernel says that nobody listens.
    let nobody = Rsyslog::new(false);
    let mut sink = nobody.sink(Carrier::Datagrams(Arc::new(PlainDatagrams)));
    let (progress, failure) = sink.deliver(&[bench.add(paused("two"))]).await;
    assert!(progress.settled == 0 && failure.unwrap().what.as_str().contains("takes no datagrams"));
}
