//! Ping, route and MTU over a path of two routers with a narrow link between them, in network namespaces of its own.
//!
//! ```text
//!   here 10.9.1.1 ── 10.9.1.2 first 10.9.2.1 ── MTU 1400 ── 10.9.2.2 second 10.9.3.1 ── 10.9.3.2 there
//!        fd09:1::1 ── fd09:1::2     fd09:2::1               fd09:2::2       fd09:3::1 ── fd09:3::2
//! ```

#![allow(clippy::unwrap_used, reason = "a test may")]

use drawbridge_diagnose::{Failure, HopKind, Probe, Step, TcpFailure, Tools, Verdict};
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Set where the namespace is.
const INSIDE: &str = "DRAWBRIDGE_TEST_INSIDE";

/// A network namespace that ends with this.
struct Place(Child);

impl Drop for Place {
    fn drop(&mut self) {
        let _: Result<(), _> = self.0.kill();
        let _: Result<_, _> = self.0.wait();
    }
}

impl Place {
    fn new() -> Self {
        let child = Command::new("unshare").args(["--net", "sleep", "120"]).spawn().unwrap();
        let place = Self(child);
        let here = std::fs::read_link("/proc/self/ns/net").unwrap();
        for _ in 0..500 {
            if std::fs::read_link(format!("/proc/{}/ns/net", place.pid())).is_ok_and(|there| there != here) {
                return place;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("no network namespace came up")
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }

    fn sh(&self, script: &str) {
        let pid = self.pid();
        let status = Command::new("nsenter").args(["-t", &pid, "-n", "sh", "-ec", script]).status().unwrap();
        assert!(status.success(), "{script}");
    }
}

fn sh(script: &str) {
    assert!(Command::new("sh").args(["-ec", script]).status().unwrap().success(), "{script}");
}

/// Runs one test of this file again, in a user and network namespace in which it is root.
fn in_a_namespace(test: &str) {
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", test, "--ignored", "--nocapture"])
        .env(INSIDE, "1")
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}\n{err}");
}

fn path() -> [Place; 3] {
    let places = [Place::new(), Place::new(), Place::new()];
    let [first, second, there] = &places;
    sh(&format!("ip link set lo up; ip link add up0 type veth peer name down0 netns {}", first.pid()));
    sh("ip addr add 10.9.1.1/24 dev up0; ip -6 addr add fd09:1::1/64 dev up0 nodad; ip link set up0 up");
    first.sh(&format!("ip link add up0 type veth peer name down0 netns {}", second.pid()));
    second.sh(&format!("ip link add up0 type veth peer name down0 netns {}", there.pid()));
    for (place, down, up) in [(first, 1, Some(2)), (second, 2, Some(3)), (there, 3, None)] {
        place.sh(&format!(
            "ip link set lo up; ip addr add 10.9.{down}.2/24 dev down0; ip -6 addr add fd09:{down}::2/64 dev down0 nodad
             ip link set down0 up"
        ));
        if let Some(up) = up {
            place.sh(&format!(
                "ip addr add 10.9.{up}.1/24 dev up0; ip -6 addr add fd09:{up}::1/64 dev up0 nodad; ip link set up0 up
                 echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
                 echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit"
            ));
        }
    }
    there.sh("echo 0 >/proc/sys/net/ipv4/icmp_ratelimit; echo 0 >/proc/sys/net/ipv6/icmp/ratelimit");
    first.sh("ip link set up0 mtu 1400");
    second.sh("ip link set down0 mtu 1400");
    sh("ip route add default via 10.9.1.2; ip -6 route add default via fd09:1::2");
    first.sh("ip route add 10.9.3.0/24 via 10.9.2.2; ip -6 route add fd09:3::/64 via fd09:2::2");
    second.sh("ip route add 10.9.1.0/24 via 10.9.2.1; ip -6 route add fd09:1::/64 via fd09:2::1");
    there.sh("ip route add default via 10.9.3.1; ip -6 route add default via fd09:3::1");
    places
}

fn run(probe: Probe, on: Option<&str>) -> (Vec<Step>, Verdict) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let mut running = probe.start(on.map(ToOwned::to_owned), &Tools::default());
        let mut steps = Vec::new();
        while let Some(step) = tokio::time::timeout(Duration::from_secs(70), running.next()).await.unwrap() {
            println!("{step}");
            steps.push(step);
        }
        let Some(Step::Done(verdict)) = steps.pop() else { panic!("a probe without an end") };
        (steps, verdict)
    })
}

fn ping(to: &str) -> Probe {
    Probe::Ping { to: to.to_owned(), count: 3, interval_milliseconds: 200, size: 56 }
}

fn places_of(steps: &[Step]) -> Vec<(IpAddr, HopKind)> {
    let hops = steps.iter().filter_map(|step| match step {
        Step::Hop { answers, .. } => answers.iter().flatten().next(),
        _ => None,
    });
    hops.map(|answer| (answer.from, answer.kind)).collect()
}

#[test]
#[ignore = "wants a network namespace of its own: the test below runs it in one"]
fn inside() {
    // Whoever runs the ignored tests as root must keep the network that he has.
    if std::env::var_os(INSIDE).is_none() {
        return;
    }
    let [first, second, _there] = path();
    for ping_groups in [None, Some("0 0")] {
        // Raw sockets first, because a new namespace allows no group the others; then those that need no rights.
        if let Some(groups) = ping_groups {
            sh(&format!("echo {groups} >/proc/sys/net/ipv4/ping_group_range"));
        }
        for there in ["10.9.3.2", "fd09:3::2"] {
            // IPv6 takes a while until every router knows its neighbours.
            let all =
                |(_, verdict): &(Vec<Step>, Verdict)| matches!(verdict, Verdict::Ping { received: 3, .. });
            let pinged = (0..10).map(|_| run(ping(there), Some("up0"))).find(all);
            let (steps, verdict) = pinged.expect("the path does not come up");
            assert!(matches!(verdict, Verdict::Ping { sent: 3, received: 3, times: Some(_) }), "{verdict:?}");
            assert!(matches!(steps[0], Step::Reply { number: 1, bytes: 56, .. }), "{:?}", steps[0]);

            let (steps, verdict) = run(Probe::Mtu { to: there.to_owned() }, Some("up0"));
            assert_eq!(verdict, Verdict::Mtu { bytes: 1400, black_hole: false });
            let router: IpAddr = if there.contains(':') { "fd09:1::2" } else { "10.9.1.2" }.parse().unwrap();
            assert!(steps.iter().any(|step| matches!(step,
                Step::TooBig { bytes: 1500, from: Some(from), says: Some(1400), .. } if *from == router)));
            assert!(
                steps.iter().any(|step| matches!(step, Step::TooBig { from: None, says: Some(1500), .. }))
            );
        }
        // A network to which the first router knows no way. Linux says so to one host once a second (and a few times more, saved up), and
        // no setting of a namespace changes that: so it is asked no oftener.
        let seldom =
            Probe::Ping { to: "10.77.0.1".to_owned(), count: 3, interval_milliseconds: 1100, size: 56 };
        let (steps, verdict) = run(seldom, None);
        assert!(matches!(verdict, Verdict::Ping { received: 0, .. }), "{verdict:?}");
        let router = Some("10.9.1.2".parse().unwrap());
        let is_told = |step: &Step| matches!(step, Step::Undelivered { from, why: HopKind::NetworkUnreachable, .. } if *from == router);
        assert!(steps.len() == 3 && steps.iter().all(is_told), "{steps:?}");
    }
    // The same by TCP; and a network that our own routes lead nowhere.
    sh("ip route replace blackhole 10.78.0.0/16");
    for to in ["10.77.0.1", "10.78.0.1"] {
        let (steps, verdict) = run(Probe::Tcp { to: to.to_owned(), port: 22 }, None);
        assert_eq!(verdict, Verdict::Tcp { accepted: false });
        assert!(matches!(steps[..], [Step::NotConnected { why: TcpFailure::Unreachable, .. }]), "{steps:?}");
    }
    for (there, way) in [
        ("10.9.3.2", ["10.9.1.2", "10.9.2.2", "10.9.3.2"]),
        ("fd09:3::2", ["fd09:1::2", "fd09:2::2", "fd09:3::2"]),
    ] {
        let (steps, verdict) = run(Probe::Route { to: there.to_owned(), hops: 30, tries: 2 }, Some("up0"));
        assert_eq!(verdict, Verdict::Route { reached: true, hops: 3 });
        let kinds = [HopKind::Router, HopKind::Router, HopKind::Destination];
        let way: Vec<(IpAddr, HopKind)> = way.iter().map(|one| one.parse().unwrap()).zip(kinds).collect();
        assert_eq!(places_of(&steps), way);
    }
    let (_, verdict) = run(ping("10.9.3.2"), Some("absent0"));
    assert_eq!(verdict, Verdict::Failed(Failure::NoPort));

    // The first router believes in 1500, the second drops what is larger than 1396 and a VLAN tag: a black hole.
    first.sh("ip link set up0 mtu 1500");
    second.sh("ip link set down0 mtu 1396");
    let (_, verdict) = run(Probe::Mtu { to: "10.9.3.2".to_owned() }, None);
    assert_eq!(verdict, Verdict::Mtu { bytes: 1400, black_hole: true });

    // The second router drops all of it without a word (it looks the way up before it counts the hop).
    second.sh("ip link set up0 down; ip route add blackhole 10.9.3.0/24");
    let (steps, verdict) = run(Probe::Route { to: "10.9.3.2".to_owned(), hops: 30, tries: 1 }, None);
    assert_eq!(verdict, Verdict::Route { reached: false, hops: 1 });
    assert_eq!(places_of(&steps)[0].0, "10.9.1.2".parse::<IpAddr>().unwrap());
    let (steps, verdict) = run(Probe::Tcp { to: "10.9.3.2".to_owned(), port: 22 }, None);
    assert_eq!(verdict, Verdict::Tcp { accepted: false });
    assert!(matches!(steps[..], [Step::NotConnected { why: TcpFailure::Silent, .. }]), "{steps:?}");

    // What would take minutes is ended after one. The clock jumps to whatever is waited for next.
    let paused =
        tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let long = Probe::Ping { to: "10.9.3.2".to_owned(), count: 100, interval_milliseconds: 5000, size: 56 };
    let (verdict, took) = paused.block_on(async {
        let began = tokio::time::Instant::now();
        let mut running = long.start(None, &Tools::default());
        let mut last = None;
        while let Some(step) = running.next().await {
            last = Some(step);
        }
        (last, began.elapsed())
    });
    assert_eq!(verdict, Some(Step::Done(Verdict::OutOfTime)));
    assert!((60..62).contains(&took.as_secs()), "{took:?}");
}

#[test]
fn ping_route_and_mtu_find_the_routers_the_narrow_link_and_the_missing_way() {
    in_a_namespace("inside");
}
