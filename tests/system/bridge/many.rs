//! Many engineers and many bytes: each session goes at its own pace, and what goes through is whole.

use drawbridge_lab::net::{Namespace, NamespaceConfig, Program};
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant, target};
use std::time::{Duration, Instant};

/// Megabytes of each engineer's transfer when ten are at it.
const EACH: u64 = 4;

/// A host of the array's that sends so many megabytes to everyone who connects, once so many are there. What it sends has
/// the SHA-256 that it says first.
fn source(bridge: &Bridge, megabytes: u64, together: u32) -> (Namespace, Program, String) {
    let node = bridge.inside.0.namespace("node", &NamespaceConfig::new().ipv4([10, 0, 1, 3], 24)).unwrap();
    let serve = format!(
        "import hashlib, random, socket, threading\n\
         block = random.Random(7).randbytes(1000000)\n\
         whole = hashlib.sha256()\n\
         for number in range({megabytes}): whole.update(number.to_bytes(4, 'big') + block)\n\
         together = threading.Barrier({together})\n\
         def send(to):\n\
         \x20try:\n\
         \x20 together.wait()\n\
         \x20 for number in range({megabytes}): to.sendall(number.to_bytes(4, 'big') + block)\n\
         \x20 to.close()\n\
         \x20except OSError: pass\n\
         server = socket.create_server(('', 8080))\n\
         print('sends ' + whole.hexdigest(), flush=True)\n\
         while True:\n\
         \x20to, _ = server.accept()\n\
         \x20threading.Thread(target=send, args=(to,), daemon=True).start()\n"
    );
    let server = node.run("/usr/bin/python3", ["-u", "-c", &serve]).unwrap();
    let line = server.wait_for("sends", within(Duration::from_mins(1))).unwrap().text;
    let hash = line.split_whitespace().last().unwrap().to_owned();
    (node, server, hash)
}

const RECEIVE: &str = "ssh -F \"$CONFIG\" -W 10.0.1.3:8080 sa | sha256sum";

#[test]
fn ten_engineers_work_at_once_and_one_who_reads_nothing_holds_nobody_up() {
    let lab = Lab::new("ten engineers");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let (_node, _server, hash) = source(&bridge, EACH, 10);
    let secret = bridge.lower(grant(vec![target("10.0.1.3", 8080)]));
    let stalled = bridge.script("ssh -F \"$CONFIG\" -W 10.0.1.3:8080 sa | sleep 3600", &secret);
    bridge.until("the engineer who will read nothing", |status| status.visitors.first().cloned());
    let others: Vec<Program> = (0..9).map(|_| bridge.script(RECEIVE, &secret)).collect();
    bridge.until("ten engineers", |status| (status.visitors.len() == 10).then_some(()));
    let begun = Instant::now();
    for other in &others {
        let said = other.finish(within(Duration::from_mins(2))).unwrap();
        assert!(said.contains(&hash), "not whole: {said}\n{}", bridge.site.machine.serial().tail(30));
    }
    println!("figure: nine times {EACH} MB in {:?}, beside one who reads nothing", begun.elapsed());
    assert!(stalled.runs() && !bridge.status().visitors.is_empty(), "who reads slowly stays in");
    bridge.raise();
    assert_eq!(bridge.status().visitors, []);
}

#[test]
fn a_large_transfer_arrives_whole() {
    transfer("large transfer", 32);
}

#[test]
#[ignore = "takes minutes where the processor is emulated: tests/run --long"]
fn five_hundred_megabytes_arrive_whole() {
    transfer("500 megabytes", 500);
}

fn transfer(name: &str, megabytes: u64) {
    let lab = Lab::new(name);
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let (_node, _server, hash) = source(&bridge, megabytes, 1);
    let secret = bridge.lower(grant(vec![target("10.0.1.3", 8080)]));
    let begun = Instant::now();
    let received = bridge.script(RECEIVE, &secret);
    let said = received.finish(within(Duration::from_secs(60 + 2 * megabytes))).unwrap();
    assert!(said.contains(&hash), "not whole: {said}\n{}", bridge.site.machine.serial().tail(30));
    let seconds = begun.elapsed().as_secs_f64();
    println!("figure: {megabytes} MB in {seconds:.1} s");
    for role in [drawbridge_bus::Role::Tunnel, drawbridge_bus::Role::Sshd] {
        println!("figure: {role} holds {} KiB afterwards", bridge.site.role(role).memory_kib);
    }
}
