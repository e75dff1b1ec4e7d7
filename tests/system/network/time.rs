//! The time of day from servers: what is believed, what is kept, and that no timer of ours goes by it.

use drawbridge_bus::{ClockState, Reply, Request, Role};
use drawbridge_lab::net::dhcp::DhcpMessageType;
use drawbridge_lab::net::{DhcpConfig, Host, HostConfig, Network, NtpServer};
use drawbridge_lab::{Lab, Machine, NicModel, seconds, within};
use drawbridge_tests::{Image, Site, SitePlan};
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

const YEAR: i64 = 365 * 86_400;

fn clock(site: &Site) -> ClockState {
    match site.ask(Role::Init, &Request::Status) {
        Reply::Status(status) => status.clock,
        other => panic!("not a status: {other:?}"),
    }
}

/// Whose word the clock has, and the correction in seconds.
fn synchronised(site: &Site) -> (Vec<String>, i64, u64) {
    match clock(site) {
        ClockState::Synchronised { servers, milliseconds, at_seconds } => {
            (servers, milliseconds / 1000, at_seconds)
        }
        other => panic!("not synchronised: {other:?}"),
    }
}

/// The hardware clock's year, month and day as QEMU keeps them.
fn hardware_clock(machine: &Machine) -> (i64, i64, i64) {
    let question = serde_json::json!({ "path": "/machine", "property": "rtc-time" });
    let time = machine.qmp().execute("qom-get", question).unwrap();
    let field = |name: &str| time.get(name).and_then(serde_json::Value::as_i64).unwrap();
    (field("tm_year") + 1900, field("tm_mon") + 1, field("tm_mday"))
}

/// Today and, should midnight pass meanwhile, yesterday, by this machine's clock.
fn is_today((year, month, day): (i64, i64, i64)) -> bool {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    [now, now - 3600].into_iter().any(|seconds| {
        let output = std::process::Command::new("date")
            .args(["--utc", "+%Y %-m %-d", "--date"])
            .arg(format!("@{seconds}"))
            .output()
            .unwrap();
        String::from_utf8(output.stdout).unwrap().trim() == format!("{year} {month} {day}")
    })
}

#[test]
fn a_clock_of_2001_is_put_right_and_no_running_timer_notices() {
    let lab = Lab::new("a clock of 2001");
    let image = Image::here();
    let network = Network::new(&lab, "management").unwrap();
    let gateway = network.host(HostConfig::new("gateway").ipv4([10, 0, 1, 1], 24));
    let lease = Duration::from_secs(20);
    let dhcp = gateway.serve_dhcp(DhcpConfig::pool([10, 0, 1, 100], 1).lease(lease));
    let _ntp = network.host(HostConfig::new("clock").ipv4([10, 0, 1, 3], 24)).serve_ntp().unwrap();
    let plan = SitePlan::new(vec![("management", NicModel::VirtioNet, &network)]);
    let site = Site::boot(&lab, &image, SitePlan { clock: Some("2001-09-09T12:00:00"), ..plan });
    let address = site.address("management");
    let before = clock(&site);
    assert!(matches!(before, ClockState::Floor { .. }), "{before:?}");

    // The servers come with a change that nobody confirms, while a lease runs.
    let confirm = 30_u64;
    let proposed = Instant::now();
    site.change(&format!(r#"{{"confirm_seconds": {confirm}, "time_servers": ["10.0.1.3"]}}"#));
    site.says("the clock was corrected by");
    let (servers, by, _) = synchronised(&site);
    assert!(servers.iter().any(|server| server.contains("10.0.1.3")), "{servers:?}");
    assert!(by.abs() > 1, "corrected by {by} s: nothing is shown");
    assert!(is_today(hardware_clock(&site.machine)), "{:?}", hardware_clock(&site.machine));

    // The change waits as long as it was to wait, and is then taken back.
    let passed = proposed.elapsed().as_secs();
    let left = site.network().pending.expect("a change that waits").seconds;
    let expected = confirm.saturating_sub(passed);
    assert!(u64::from(left).abs_diff(expected) <= 3, "{left} s are left, not {expected}");
    site.says("was not confirmed in time and is taken back");
    let waited = proposed.elapsed();
    assert!(waited >= Duration::from_secs(confirm - 1), "{waited:?}");
    assert!(waited < within(Duration::from_secs(confirm + 5)), "{waited:?}");

    // The lease was renewed at its half, before and after the correction, and never fell.
    let renewals = dhcp.counters().ack;
    dhcp.wait_until(seconds(20), |counters| counters.ack > renewals).expect("a renewal");
    let seen = dhcp.seen();
    let requests = seen.iter().filter(|seen| seen.kind == DhcpMessageType::Request);
    let times: Vec<Instant> = requests.map(|seen| seen.at).collect();
    assert!(times.len() >= 4, "{} requests", times.len());
    for pair in times.windows(2) {
        let apart = pair[1].duration_since(pair[0]);
        assert!(
            (7..=14).contains(&apart.as_secs()),
            "renewed after {apart:?}, and half of {lease:?} is 10 s"
        );
    }
    assert_eq!(site.address("management"), address);
    assert_eq!(dhcp.counters().discover, 1, "it never had to ask anew");

    // The hardware clock keeps it over a reset that nobody has prepared.
    site.machine.qmp().system_reset().unwrap();
    site.says("the clock has the hardware clock's time");
    assert!(is_today(hardware_clock(&site.machine)));
}

/// A host with a clock that is off by so many seconds.
fn clock_at(network: &Network, last: u8, offset: i64) -> (Host, NtpServer) {
    let name = format!("clock {last}");
    let host = network.host(HostConfig::new(&name).ipv4([10, 0, 1, last], 24));
    let server = host.serve_ntp().unwrap();
    server.set_offset(offset);
    (host, server)
}

fn asking(servers: &str) -> String {
    format!(
        r#"{{"confirm_seconds": 600, "time_servers": [{servers}], "interfaces": [
            {{"name": "management", "at": {{"port": "{{management}}"}}, "roles": ["management"],
              "ipv4": {{"static": {{"address": "10.0.1.20/24"}}}}, "ipv6": "off"}}]}}"#
    )
}

#[test]
fn a_clock_of_2040_is_put_right_and_servers_that_lie_are_not_believed() {
    let lab = Lab::new("a clock of 2040");
    let image = Image::here();
    let network = Network::new(&lab, "management").unwrap();
    let _honest = [clock_at(&network, 3, 0), clock_at(&network, 4, 0)];
    let (_host, liar) = clock_at(&network, 5, 10 * YEAR);
    let plan = SitePlan::new(vec![("management", NicModel::VirtioNet, &network)]);
    let plan = plan.settings(&asking(r#""10.0.1.3", "10.0.1.5", "10.0.1.4""#));
    let site = Site::boot(&lab, &image, SitePlan { clock: Some("2040-02-03T04:05:06"), ..plan });
    site.has("management", Ipv4Addr::new(10, 0, 1, 20));
    // It may have said so before the bus answered.
    site.look_again();
    site.says("the clock was corrected by");
    let (servers, by, at) = synchronised(&site);
    assert_eq!(servers.len(), 2, "{servers:?}");
    assert!(!servers.iter().any(|server| server.contains("10.0.1.5")), "the liar is among {servers:?}");
    assert!((-15 * YEAR..-10 * YEAR).contains(&by), "corrected by {by} s");
    assert!(is_today(hardware_clock(&site.machine)), "{:?}", hardware_clock(&site.machine));

    // One against one: nobody can tell who lies.
    site.change(&asking(r#""10.0.1.3", "10.0.1.5""#));
    site.says("the two time servers that answered disagree");
    // Alone, and with a time that cannot be.
    liar.set_offset(-10 * YEAR);
    site.change(&asking(r#""10.0.1.5""#));
    site.says("hours before this system was built");
    liar.set_offset(25 * YEAR);
    site.change(&asking(r#""10.0.1.5", "10.0.1.77""#));
    site.says("time server 10.0.1.5: its time is");
    assert_eq!(synchronised(&site).2, at, "a lie has moved the clock");
    assert!(is_today(hardware_clock(&site.machine)));
}
