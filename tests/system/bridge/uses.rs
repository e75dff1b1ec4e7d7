//! What an engineer does once he is in: files, forwards, a terminal; and what he may not.

use drawbridge_bus::bridge::BridgeState;
use drawbridge_bus::{Reply, Request};
use drawbridge_lab::net::{Namespace, NamespaceConfig, Program};
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant, target};
use std::time::Duration;

const SOON: Duration = Duration::from_mins(1);

/// A host of the array's, 10.0.1.3, that says who it is on port 8080.
fn node(bridge: &Bridge) -> (Namespace, Program) {
    let node = bridge.inside.0.namespace("node", &NamespaceConfig::new().ipv4([10, 0, 1, 3], 24)).unwrap();
    let serve = "import socket\ns = socket.create_server(('', 8080))\nprint('listens', flush=True)\n\
                 while True:\n c, _ = s.accept()\n c.sendall(b'the node\\n')\n c.close()\n";
    let server = node.run("/usr/bin/python3", ["-u", "-c", serve]).unwrap();
    server.wait_for("listens", within(SOON)).unwrap();
    (node, server)
}

#[test]
fn files_go_both_ways_whole_and_are_gone_with_the_grant() {
    let lab = Lab::new("files");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let secret = bridge.lower(grant(Vec::new()));
    let bytes: Vec<u8> =
        (0..4_000_000_u32).map(|number| number.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect();
    let (here, back) = (lab.folder().join("here.bin"), lab.folder().join("back.bin"));
    std::fs::write(&here, &bytes).unwrap();
    let there = format!("sa:{}", "there.bin");
    bridge.client("scp", [here.to_str().unwrap(), &there], &secret).finish(within(SOON)).unwrap();
    let (said, code) = bridge.ssh(["ls"], &secret);
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("there.bin"), "{said}");
    // The same in scp's old protocol.
    bridge.client("scp", ["-O", &there, back.to_str().unwrap()], &secret).finish(within(SOON)).unwrap();
    assert!(std::fs::read(&back).unwrap() == bytes, "the file has changed on its way");
    bridge.raise();
    let secret = bridge.offer();
    let path = bridge.known_path();
    bridge.open(grant(Vec::new()), Some(&secret), path);
    bridge.connected();
    let (said, code) = bridge.ssh(["ls"], &secret);
    assert_eq!(code, Some(0), "{said}");
    assert!(!said.contains("there.bin"), "{said}");
}

#[test]
fn a_forward_reaches_the_scope_s_targets_and_nothing_else() {
    let lab = Lab::new("forwards");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let _node = node(&bridge);
    let secret = bridge.lower(grant(vec![target("10.0.1.3", 8080)]));
    let reach = |place: &str| {
        let program = bridge.client("ssh", ["-W", place, "sa"], &secret);
        let status = program.wait(within(SOON)).unwrap();
        (program.whole_text(), status.code())
    };
    let (said, _) = reach("10.0.1.3:8080");
    assert!(said.contains("the node"), "{said}\n{}", bridge.site.machine.serial().tail(20));
    for place in ["10.0.1.3:22", "127.0.0.1:2222", "127.0.0.1:9000", "10.0.1.10:9000", "10.0.2.2:443"] {
        let (said, code) = reach(place);
        assert_ne!(code, Some(0), "{place}: {said}");
        assert!(!said.contains("the node") && !said.contains("SSH-2.0"), "{place}: {said}");
    }
    let (said, _) = reach("10.0.1.3:8080");
    assert!(
        said.contains("the node"),
        "what is allowed goes on: {said}\n{}",
        bridge.site.machine.serial().tail(20)
    );
}

#[test]
fn ten_wrong_secrets_burn_it_and_a_grant_ends_at_its_time() {
    let lab = Lab::new("burned");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let mut short = grant(Vec::new());
    short.minutes = 1;
    let secret = bridge.lower(short);
    for _ in 0..4 {
        let (said, code) = bridge.ssh(["whoami"], "gravel-tuesday-umbrella-quench");
        assert_ne!(code, Some(0), "{said}");
    }
    assert!(bridge.status().burned);
    let (said, code) = bridge.ssh(["whoami"], &secret);
    assert_ne!(code, Some(0), "the right one opens nothing any more: {said}");
    let left = bridge.status().seconds_left.unwrap_or(0);
    let end = std::time::Instant::now() + Duration::from_secs(left) + within(Duration::from_secs(15));
    while bridge.status().state != BridgeState::Closed {
        assert!(std::time::Instant::now() < end, "{:?}", bridge.status());
        std::thread::sleep(Duration::from_millis(200));
    }
    assert_eq!(bridge.status().last_end, "its time is over");
    assert!(matches!(bridge.ask(&Request::SetBridgeEnd { minutes: 5 }), Reply::Refused(_)));
}

/// Asks `terminal` on a terminal of 80 by 24, makes that 132 by 50, and asks again.
const RESIZE: &str = r#"
import fcntl, os, pty, re, signal, struct, sys, termios, time
def size(fd, columns, rows): fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
pid, fd = pty.fork()
if pid == 0:
    # It waits for its size.
    time.sleep(0.5)
    os.execvp("ssh", ["ssh", "-F", os.environ["CONFIG"], "-t", "sa"])
size(fd, 80, 24)
said, answered = b"", 0
while True:
    try: said += os.read(fd, 4096)
    except OSError: break
    if answered == 0 and b"> " in said:
        os.write(fd, b"terminal\r"); answered = 1
    elif answered == 1 and b"80 x 24" in said:
        size(fd, 132, 50); os.kill(pid, signal.SIGWINCH); os.write(fd, b"terminal\r"); answered = 2
    elif answered == 2 and re.search(rb"\d+ x \d+[^x]*terminal[^x]*132 x 50", said, re.S):
        os.write(fd, b"exit 5\r"); answered = 3
    elif answered == 2 and said.count(b"80 x 24") > 1:
        said = said.replace(b"80 x 24", b"80 by 24"); said += b"80 x 24 "; os.write(fd, b"terminal\r")
print(answered, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), said)
"#;

#[test]
fn sftp_local_forwards_window_changes_and_exit_status_go_through_as_with_any_server() {
    let lab = Lab::new("as with any server");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let _node = node(&bridge);
    let secret = bridge.lower(grant(vec![target("10.0.1.3", 8080)]));

    // What the appliance finds out about a place of the scope, and about no other.
    for (words, wanted) in [
        (&["ping", "10.0.1.3", "2"][..], "2 of 2"),
        (&["trace", "10.0.1.3"], "10.0.1.3"),
        (&["mtu", "10.0.1.3"], "1500"),
        (&["tcp", "10.0.1.3", "8080"], "it speaks first"),
    ] {
        let (said, code) = bridge.ssh(words, &secret);
        assert!(code == Some(0) && said.contains(wanted), "{words:?}: {said} {code:?}");
    }
    let (said, code) = bridge.ssh(["tls", "10.0.1.3", "8080"], &secret);
    assert_eq!(code, Some(1), "no TLS server: {said}");
    for words in [&["ping", "10.0.2.2"][..], &["trace", "10.0.1.1"], &["mtu", "10.0.1.10"]] {
        let (said, code) = bridge.ssh(words, &secret);
        assert!(code == Some(1) && said.contains("does not open"), "{words:?}: {said} {code:?}");
    }

    // The log goes on where it is followed.
    let follows = bridge.client("ssh", ["-T", "sa", "logs -f -n 1 'has come in'"], &secret);
    follows.wait_for("has come in", within(SOON)).unwrap();
    let (said, code) = bridge.ssh(["whoami"], &secret);
    assert_eq!(code, Some(0), "{said}");
    follows.wait_for("has come in", within(SOON)).unwrap();
    drop(follows);

    let batch = lab.folder().join("batch");
    let (here, back) = (lab.folder().join("here.txt"), lab.folder().join("back.txt"));
    std::fs::write(&here, "a line\n").unwrap();
    let text = format!(
        "mkdir notes\nput {here} notes/one.txt\nrename notes/one.txt notes/two.txt\nls -l notes\n\
         get notes/two.txt {back}\nrm notes/two.txt\nrmdir notes\n",
        here = here.display(),
        back = back.display()
    );
    std::fs::write(&batch, text).unwrap();
    // `-b` asks nothing, and so for no secret: `-o` is stronger.
    let words = ["-o", "BatchMode=no", "-b", batch.to_str().unwrap(), "sa"];
    let said = bridge.client("sftp", words, &secret).finish(within(SOON)).unwrap();
    assert!(said.contains("two.txt"), "{said}");
    assert_eq!(std::fs::read_to_string(&back).unwrap(), "a line\n");

    // Two forwards: one inside the scope, one outside.
    let script = "ssh -F \"$CONFIG\" -N -L 5001:10.0.1.3:8080 -L 5002:10.0.1.3:22 sa & ssh=$!\n\
                  for _ in $(seq 300); do exec 3<>/dev/tcp/127.0.0.1/5001 && break; sleep 0.1; done 2>/dev/null\n\
                  echo \"inside: $(head -c 100 <&3)\"\nexec 4<>/dev/tcp/127.0.0.1/5002\n\
                  echo \"outside: $(head -c 100 <&4)\"\nkill $ssh\n";
    let said = bridge.script(script, &secret);
    said.wait(within(SOON)).unwrap();
    let said = said.whole_text();
    assert!(said.contains("inside: the node"), "{said}");
    assert!(said.lines().any(|line| line.trim_end().ends_with("outside:")), "{said}");

    let script = format!("python3 - <<'PYTHON'\n{RESIZE}PYTHON\n");
    let said = bridge.script(&script, &secret);
    said.wait(within(SOON)).unwrap();
    let said = said.whole_text();
    assert!(said.contains("3 5 b"), "size or exit status: {said}");
}
