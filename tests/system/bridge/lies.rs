//! A Remote Support Server that lies: another one in its place, and one that talks without an end. It gets no shell, no byte
//! of the secret, and no memory.

use drawbridge_bus::Role;
use drawbridge_bus::bridge::{BridgePath, Link};
use drawbridge_lab::{Lab, Vendor, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant, secret};
use std::time::Duration;

const SOON: Duration = Duration::from_mins(1);

/// Waits until the appliance says why it does not get through to what is there now.
fn is_told(bridge: &Bridge, wanted: &str) {
    bridge.until(wanted, |status| match &status.link {
        Link::Waiting { why, .. } if why.contains(wanted) => Some(()),
        _ => None,
    });
}

/// The honest server comes back, and an engineer gets in.
fn is_found_again(bridge: &mut Bridge) {
    bridge.vendor.start(&bridge.outside).unwrap();
    let words = bridge.offer();
    bridge.open(grant(Vec::new()), Some(&words), bridge.known_path());
    bridge.connected();
    let (said, code) = bridge.ssh(["whoami"], &words);
    assert_eq!(code, Some(0), "{said}");
}

/// A TLS server with the other one's certificate that says more than anybody can want, `garbage` at once or after the
/// client's greeting, counts its clients, and says whether one ever sent the secret.
const TALKER: &str = r#"
import os, socket, ssl, sys, threading
chain, key, secret = sys.argv[1], sys.argv[2], os.environ["DRAWBRIDGE_LAB_SECRET"].encode()
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(chain, key)
listener = socket.create_server(("", 443), backlog=100)
print("listens", flush=True)
count = 0
def talk(stream, number):
    try:
        stream = context.wrap_socket(stream, server_side=True)
        stream.settimeout(60)
        if number % 2:
            stream.sendall(b"SSH-2.0-server\r\n")
        heard = b""
        stream.setblocking(False)
        for block in range(100000):
            stream.setblocking(True)
            stream.sendall(os.urandom(16384))
            stream.setblocking(False)
            try:
                heard = (heard + stream.recv(65536))[-200000:]
            except ssl.SSLWantReadError:
                pass
            if any(word in heard for word in secret.split(b"-")):
                print("the secret was sent", flush=True)
    except OSError:
        pass
    print("served", number, flush=True)
while True:
    stream, _ = listener.accept()
    count += 1
    threading.Thread(target=talk, args=(stream, count), daemon=True).start()
"#;

#[test]
fn a_server_that_lies_gets_no_shell_no_byte_of_the_secret_and_no_memory() {
    let lab = Lab::new("a server that lies");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let words = bridge.lower(grant(Vec::new()));
    let (said, code) = bridge.ssh(["whoami"], &words);
    assert_eq!(code, Some(0), "{said}");
    bridge.raise();
    bridge.vendor.kill();

    // Another server at the same place, which even the path's pin is for: its host key is not the one that is known.
    let program = Vendor::program().unwrap();
    let other = Vendor::new(&lab.folder().join("other"), &program, "mallory").unwrap();
    other.start(&bridge.outside).unwrap();
    let pin = other.certificate_pin().unwrap();
    let path = |bridge: &Bridge, token: Option<&str>| {
        let mut path = BridgePath { enrolment: token.map(secret), ..bridge.known_path() };
        path.verification.certificate_pin = Some(pin);
        path
    };
    let token = other.token().unwrap();
    let words = bridge.offer();
    bridge.open(grant(Vec::new()), Some(&words), path(&bridge, Some(&token)));
    is_told(&bridge, "host key");
    assert!(bridge.status().visitors.is_empty());
    assert_eq!(other.command("systems", ["list"]).unwrap().trim(), "", "it enrolled there");
    bridge.raise();
    other.kill();

    // One that never comes to an end.
    let words = bridge.offer();
    let mut command = std::process::Command::new("/usr/bin/python3");
    command.args(["-u", "-c", TALKER]).args([other.file("data/tls.crt"), other.file("data/tls.key")]);
    command.env("DRAWBRIDGE_LAB_SECRET", &words);
    let talker = bridge.outside.run_command(command).unwrap();
    talker.wait_for("listens", within(SOON)).unwrap();
    bridge.open(grant(Vec::new()), Some(&words), path(&bridge, None));
    let (mut most, starts) = (0, bridge.site.role(Role::Tunnel).starts);
    for _ in 0..4 {
        talker.wait_for("served", within(SOON)).unwrap();
        let tunnel = bridge.site.role(Role::Tunnel);
        assert_eq!(tunnel.starts, starts, "it has ended: {tunnel:?}");
        most = most.max(tunnel.memory_kib);
    }
    println!("figure: the tunnel held {most} KiB at most");
    assert!(most < 8 * 1024, "the tunnel holds {most} KiB");
    let status = bridge.status();
    assert!(matches!(status.link, Link::Waiting { .. } | Link::Connecting), "{status:?}");
    assert!(status.visitors.is_empty() && !status.burned);
    bridge.raise();
    assert!(!talker.text().contains("the secret was sent"));

    drop(talker);

    // The right one is known all the same.
    is_found_again(&mut bridge);
}

/// The server with the right keys that asks for too much.
const LIAR: &str = include_str!("liar.py");

#[test]
fn ten_thousand_orders_twice_told_tickets_and_garbage_for_engineers_come_to_nothing() {
    let lab = Lab::new("ten thousand orders");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    bridge.lower(grant(Vec::new()));
    bridge.raise();
    bridge.vendor.kill();

    let words = bridge.offer();
    let mut command = std::process::Command::new("/usr/bin/python3");
    command.args(["-W", "ignore", "-u", "-c", LIAR]);
    command.args(["data/tls.crt", "data/tls.key", "data/host_key"].map(|name| bridge.vendor.file(name)));
    command.arg("10000").env("DRAWBRIDGE_LAB_SECRET", &words);
    let liar = bridge.outside.run_command(command).unwrap();
    liar.wait_for("listens", within(SOON)).unwrap();
    bridge.open(grant(Vec::new()), Some(&words), bridge.known_path());
    liar.wait_for("welcomed", within(SOON)).unwrap();
    let starts = [Role::Tunnel, Role::Sshd].map(|role| bridge.site.role(role).starts);
    let mut most = [0; 2];
    for _ in 0..2 {
        // Twenty tickets more.
        liar.wait_for("tickets", within(Duration::from_mins(2))).unwrap();
        let status = bridge.status();
        assert!(status.visitors.is_empty(), "somebody is in: {status:?}");
        for ((role, most), starts) in [Role::Tunnel, Role::Sshd].into_iter().zip(&mut most).zip(starts) {
            let status = bridge.site.role(role);
            assert_eq!(status.starts, starts, "it has ended: {status:?}");
            *most = status.memory_kib.max(*most);
        }
    }
    println!(
        "figure: tunnel and sshd held {most:?} KiB at most; the liar's last words: {:?}",
        liar.lines().last()
    );
    assert!(most.iter().all(|most| *most < 12 * 1024), "{most:?} KiB");
    let said = liar.text();
    let at_once = said.lines().filter_map(|line| line.split("at once ").nth(1)?.trim().parse::<u32>().ok());
    assert!(at_once.max().is_some_and(|most| most <= 32), "{said}");
    assert!(!said.contains("the secret was sent"), "{said}");
    bridge.raise();
    drop(liar);

    is_found_again(&mut bridge);
}
