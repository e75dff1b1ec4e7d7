//! The ways out: proxies that are not ours.

use drawbridge_bus::bridge::{BridgePath, ProxyPath, ProxyProtocol, Verification};
use drawbridge_lab::net::{Namespace, Program};
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant, secret, target};
use std::time::Duration;

const SOON: Duration = Duration::from_secs(30);
const PROXY: &str = "10.0.2.2";

pub(super) fn through(
    bridge: &Bridge,
    protocol: ProxyProtocol,
    port: u16,
    user: Option<(&str, &str)>,
) -> BridgePath {
    let proxy = ProxyPath {
        protocol,
        address: target(PROXY, port),
        hops: Vec::new(),
        user: user.map(|(user, _)| user.to_owned()),
        password: user.map(|(_, password)| secret(password)),
        verification: Verification::default(),
    };
    BridgePath { proxy: Some(proxy), ..bridge.known_path() }
}

/// Waits until a port of the namespace accepts.
pub(super) fn listens(outside: &Namespace, port: u16) {
    let script = format!(
        "import socket, time\nfor _ in range(300):\n try:\n  socket.create_connection(('127.0.0.1', {port}), 1)\n  break\n except OSError:\n  time.sleep(0.1)\nelse:\n raise SystemExit('nobody listens on {port}')\n"
    );
    outside.run("/usr/bin/python3", ["-c", &script]).unwrap().finish(within(SOON)).unwrap();
}

/// A tinyproxy on port 8888.
pub(super) fn tinyproxy(bridge: &Bridge) -> Program {
    let config = "Port 8888\nTimeout 600\nMaxClients 20\nConnectPort 443\n";
    let config = bridge.outside.write("tinyproxy.conf", config).unwrap();
    let tinyproxy = bridge.outside.run("tinyproxy", ["-d", "-c", config.to_str().unwrap()]).unwrap();
    listens(&bridge.outside, 8888);
    tinyproxy
}

/// An engineer gets in by this way, and the bridge is raised again.
pub(super) fn goes(bridge: &mut Bridge, what: &str, path: BridgePath) {
    let words = bridge.offer();
    bridge.open(grant(Vec::new()), Some(&words), path);
    bridge.connected();
    let (said, code) = bridge.ssh(["whoami"], &words);
    assert_eq!(code, Some(0), "{what}: {said}\n{}", bridge.site.machine.serial().tail(20));
    bridge.raise();
}

#[test]
fn an_engineer_gets_in_through_tinyproxy_and_a_socks_proxy_that_wants_a_password() {
    let lab = Lab::new("proxies");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let path = bridge.path();
    goes(&mut bridge, "direct, and enrolled", path);

    let _tinyproxy = tinyproxy(&bridge);
    let path = through(&bridge, ProxyProtocol::Http, 8888, None);
    goes(&mut bridge, "tinyproxy", path);

    let _microsocks =
        bridge.outside.run("microsocks", ["-p", "1080", "-u", "sa", "-P", "hush-hush"]).unwrap();
    listens(&bridge.outside, 1080);
    let path = through(&bridge, ProxyProtocol::Socks5, 1080, Some(("sa", "hush-hush")));
    goes(&mut bridge, "microsocks with user and password", path);
    assert!(!bridge.site.machine.serial().text().contains("hush-hush"), "no log has the password");
}
