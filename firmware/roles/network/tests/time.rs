//! The time client against servers that are honest (chronyd among them), lie, are forged, or say nothing.

use drawbridge_network::time::{Bounds, Correction, Host, News, Pace, Resolve, Source, run};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, SystemTime};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, watch};
use tokio::time::timeout;

/// 2024-01-01: before any run of this test.
const FLOOR: u64 = 1_704_067_200;
const DAY: i64 = 86_400;
/// How long news are waited for. An honest answer takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// As the product's, but quick.
const PACE: Pace = Pace {
    patience: Duration::from_millis(300),
    burst: 2,
    gap: Duration::from_millis(10),
    retry: Duration::from_millis(200),
    shortest: Duration::from_millis(200),
    longest: Duration::from_secs(2),
};

struct NoNames;

impl Resolve for NoNames {
    async fn resolve(&self, name: &str, _port: Option<&str>) -> Result<Vec<IpAddr>, String> {
        match name {
            "silent-then-honest.test" => Ok(vec![IpAddr::from([127, 0, 7, 1]), IpAddr::from([127, 0, 7, 2])]),
            _ => Err(format!("there is no {name} here")),
        }
    }
}

/// The news of one round with these sources.
async fn first_news(sources: Vec<Source>) -> News {
    let (_keep, sources) = watch::channel(sources);
    let (sender, mut news) = mpsc::channel(1);
    let client = run(sources, Bounds::from_floor(FLOOR), PACE, NoNames, sender);
    tokio::select! {
        () = client => panic!("the client ended"),
        said = timeout(PATIENCE, news.recv()) => said.expect("no news").expect("the client ended"),
    }
}

async fn correction(sources: Vec<Source>) -> Correction {
    match first_news(sources).await {
        News::Correction(correction) => correction,
        News::Kept(reason) => panic!("kept: {reason}"),
    }
}

async fn kept(sources: Vec<Source>) -> String {
    match first_news(sources).await {
        News::Kept(reason) => reason,
        News::Correction(correction) => panic!("believed: {correction:?}"),
    }
}

fn source(address: SocketAddr) -> Source {
    Source { udp_port: address.port(), ..Source::new(Host::Address(address.ip()), None) }
}

/// An honest reply to a request, of a server whose clock is `ahead` seconds ahead.
fn reply(request: &[u8], ahead: i64) -> Vec<u8> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).expect("after 1970");
    let seconds = i64::try_from(now.as_secs()).expect("this century") + 2_208_988_800 + ahead;
    let fraction = (u64::from(now.subsec_nanos()) << 32) / 1_000_000_000;
    let time = (seconds.cast_unsigned() << 32 | fraction).to_be_bytes();
    let mut bytes = vec![0; 48];
    bytes[0] = 0x24;
    bytes[1] = 2;
    bytes[24..32].copy_from_slice(&request[40..48]);
    bytes[32..40].copy_from_slice(&time);
    bytes[40..48].copy_from_slice(&time);
    bytes
}

/// A server at an address of its own in 127.0.`net`.0/24 that answers each request with what `answers` makes of it.
async fn server(
    net: u8,
    host: u8,
    answers: impl Fn(&[u8]) -> Vec<Vec<u8>> + Send + 'static,
) -> (SocketAddr, Arc<AtomicU32>) {
    let socket =
        UdpSocket::bind((Ipv4Addr::new(127, 0, net, host), 0)).await.expect("an address of loopback");
    let address = socket.local_addr().expect("it is bound");
    let asked = Arc::new(AtomicU32::new(0));
    let count = Arc::clone(&asked);
    tokio::spawn(async move {
        let mut buffer = [0; 128];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            count.fetch_add(1, Ordering::Relaxed);
            for answer in answers(&buffer[..length]) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    (address, asked)
}

async fn honest(net: u8, host: u8, ahead: i64) -> SocketAddr {
    server(net, host, move |request| vec![reply(request, ahead)]).await.0
}

#[tokio::test]
async fn one_server_is_believed_within_the_bounds() {
    let address = honest(1, 1, 3600).await;
    let correction = correction(vec![source(address)]).await;
    let off = (correction.offset_nanoseconds - 3_600_000_000_000).unsigned_abs();
    assert!(u128::from(off) <= correction.error.as_nanos(), "{correction:?}");
    assert!(correction.servers[0].contains("127.0.1.1"), "{correction:?}");
}

#[tokio::test]
async fn ten_years_back_and_thirty_ahead_are_not_believed_and_ten_ahead_are_outvoted() {
    let back = honest(2, 1, -3650 * DAY).await;
    assert!(kept(vec![source(back)]).await.contains("no time server"));
    let far = honest(2, 2, 30 * 365 * DAY).await;
    assert!(kept(vec![source(far)]).await.contains("no time server"));
    let ahead = honest(2, 3, 3650 * DAY).await;
    let (one, other) = (honest(2, 4, 0).await, honest(2, 5, 0).await);
    let correction = correction([ahead, one, other, back].map(source).to_vec()).await;
    assert!(correction.offset_nanoseconds.abs() < 1_000_000_000, "{correction:?}");
    assert_eq!(correction.servers.len(), 2);
}

#[tokio::test]
async fn two_liars_lose_against_three_honest_servers() {
    let mut sources = Vec::new();
    for (host, ahead) in [(1, 400 * DAY), (2, 0), (3, 400 * DAY), (4, 0), (5, 0)] {
        sources.push(source(honest(3, host, ahead).await));
    }
    let correction = correction(sources).await;
    assert!(correction.offset_nanoseconds.abs() < 1_000_000_000, "{correction:?}");
    assert_eq!(correction.servers.len(), 3, "{correction:?}");
}

#[tokio::test]
async fn of_two_that_disagree_neither_is_believed_and_both_are_named() {
    let (one, other) = (honest(4, 1, 0).await, honest(4, 2, 60).await);
    let reason = kept(vec![source(one), source(other)]).await;
    assert!(
        reason.contains("disagree") && reason.contains("127.0.4.1") && reason.contains("127.0.4.2"),
        "{reason}"
    );
}

#[tokio::test]
async fn many_addresses_of_one_server_are_one_vote() {
    let (liar, one, other) = (honest(5, 1, 60).await, honest(5, 2, 0).await, honest(5, 3, 0).await);
    let sources = [liar, liar, liar, liar, one, other].map(source).to_vec();
    assert_eq!(correction(sources).await.servers.len(), 2);
}

#[tokio::test]
async fn forged_answers_do_not_hide_the_right_one_and_are_none_themselves() {
    let wrong = |request: &[u8]| {
        let mut bytes = reply(request, 60);
        bytes[31] ^= 1;
        bytes
    };
    let (flooded, _) = server(6, 1, move |request| {
        let mut answers = vec![wrong(request); 20];
        answers.push(reply(request, 0));
        answers
    })
    .await;
    assert!(correction(vec![source(flooded)]).await.offset_nanoseconds.abs() < 1_000_000_000);
    let (forged, _) = server(6, 2, move |request| vec![wrong(request); 100]).await;
    assert!(kept(vec![source(forged)]).await.contains("no time server"));
}

#[tokio::test]
async fn an_answer_from_another_port_or_address_is_none() {
    let elsewhere = Arc::new(UdpSocket::bind("127.0.6.9:0").await.unwrap());
    let socket = UdpSocket::bind("127.0.6.8:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 128];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let _ = elsewhere.send_to(&reply(&buffer[..length], 0), from).await;
        }
    });
    assert!(kept(vec![source(address)]).await.contains("no time server"));
}

#[tokio::test]
async fn a_server_that_does_not_want_to_be_asked_is_left_alone() {
    let (address, asked) = server(8, 1, |request| {
        let mut bytes = reply(request, 0);
        bytes[1] = 0;
        bytes[12..16].copy_from_slice(b"DENY");
        vec![bytes]
    })
    .await;
    let (_keep, sources) = watch::channel(vec![source(address)]);
    let (sender, mut news) = mpsc::channel(1);
    let client = run(sources, Bounds::from_floor(FLOOR), PACE, NoNames, sender);
    let rounds = async {
        for _ in 0..3 {
            assert!(matches!(timeout(PATIENCE, news.recv()).await.unwrap(), Some(News::Kept(_))));
        }
    };
    tokio::select! { () = client => panic!("the client ended"), () = rounds => {} }
    assert_eq!(asked.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn silence_is_asked_again_and_another_address_of_the_name_is_tried() {
    let (silent, _) = server(9, 1, |_| Vec::new()).await;
    assert!(kept(vec![source(silent)]).await.contains("no time server"));
    // Both addresses of the name at one port: 127.0.7.1 says nothing.
    let quiet = UdpSocket::bind("127.0.7.1:0").await.unwrap();
    let port = quiet.local_addr().unwrap().port();
    let socket = UdpSocket::bind((Ipv4Addr::new(127, 0, 7, 2), port)).await.unwrap();
    tokio::spawn(async move {
        let mut buffer = [0; 128];
        while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
            let _ = socket.send_to(&reply(&buffer[..length], 0), from).await;
        }
    });
    let name = Host::Name("silent-then-honest.test".to_owned());
    let correction = correction(vec![Source { udp_port: port, ..Source::new(name, None) }]).await;
    assert!(correction.servers[0].contains("127.0.7.2"), "{correction:?}");
    let unknown = Source::new(Host::Name("nowhere.test".to_owned()), None);
    assert!(kept(vec![unknown]).await.contains("no time server"));
}

#[tokio::test]
async fn other_sources_are_asked_at_once_and_the_client_ends_with_its_listener() {
    let address = honest(10, 1, 0).await;
    let (set, sources) = watch::channel(Vec::new());
    let (sender, mut news) = mpsc::channel(1);
    let client = run(sources, Bounds::from_floor(FLOOR), Pace::default(), NoNames, sender);
    let change = async {
        tokio::task::yield_now().await;
        set.send(vec![source(address)]).unwrap();
        // A burst with the product's own pace.
        let said = timeout(PATIENCE, news.recv()).await.unwrap();
        drop(news);
        said
    };
    let ((), said) = timeout(PATIENCE, async { tokio::join!(client, change) }).await.unwrap();
    assert!(matches!(said, Some(News::Correction(_))), "{said:?}");
}

#[tokio::test]
async fn a_question_goes_out_through_the_port_it_was_bound_to() {
    let address = honest(11, 1, 0).await;
    let through = |port: &str| vec![Source { port: Some(port.to_owned()), ..source(address) }];
    assert!(correction(through("lo")).await.servers[0].contains("on lo"));
    assert!(kept(through("no-such-port")).await.contains("no time server"));
}

/// A chronyd that serves this machine's time and does not touch its clock.
struct Chrony {
    process: Child,
    _folder: tempfile::TempDir,
}

impl Chrony {
    fn start(address: &str, port: u16) -> Chrony {
        let folder = tempfile::tempdir().expect("a folder");
        let configuration = folder.path().join("chrony.conf");
        let pid = folder.path().join("pid");
        let lines = format!(
            "local stratum 8\nallow 127.0.0.0/8\nbindaddress {address}\nport {port}\ncmdport 0\nbindcmdaddress /\npidfile {}\n",
            pid.display()
        );
        std::fs::write(&configuration, lines).expect("a file");
        let user = Command::new("id").arg("-un").output().expect("id");
        let process = Command::new("chronyd")
            .env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin")
            .args(["-U", "-x", "-d", "-u", String::from_utf8_lossy(&user.stdout).trim(), "-f"])
            .arg(&configuration)
            .stdout(Stdio::null())
            .spawn()
            .expect("chronyd is there: tests/setup installs it");
        Chrony { process, _folder: folder }
    }
}

impl Drop for Chrony {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[tokio::test]
async fn chronyd_is_understood() {
    let free = UdpSocket::bind("127.0.12.1:0").await.unwrap().local_addr().unwrap();
    let chrony = Chrony::start("127.0.12.1", free.port());
    let (_keep, sources) = watch::channel(vec![source(free)]);
    let (sender, mut news) = mpsc::channel(1);
    let client = run(sources, Bounds::from_floor(FLOOR), PACE, NoNames, sender);
    let wait = async {
        loop {
            match news.recv().await {
                Some(News::Correction(correction)) => return correction,
                Some(News::Kept(_)) => {} // it is still starting
                None => panic!("the client ended"),
            }
        }
    };
    let correction = tokio::select! {
        () = client => panic!("the client ended"),
        correction = timeout(PATIENCE, wait) => correction.expect("chronyd gave no time"),
    };
    let off = u128::from(correction.offset_nanoseconds.unsigned_abs());
    println!("chronyd on loopback: off by {off} ns, error {:?}", correction.error);
    assert!(off <= correction.error.as_nanos(), "its clock is this machine's: {correction:?}");
    drop(chrony);
}
