//! The mDNS responder on a link with another implementation, zeroconf for Python: found, resolved, renamed, gone. The
//! link is a pair of virtual ports in network namespaces of their own, which need no rights.

use drawbridge_network::mdns::{MdnsPort, Service, run};
use std::net::IpAddr;
use std::process::{Command, Stdio};
use std::time::Duration;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStdout};
use tokio::sync::watch;
use tokio::time::timeout;

/// How long a word from the other side is waited for. Under load Python alone takes seconds to start.
const PATIENCE: Duration = Duration::from_mins(1);

/// What the other host does: `own` takes the name first, then all look for the service and say what they find.
const OTHER_HOST: &str = r#"
import ipaddress, socket, subprocess, sys
print("started", flush=True)
sys.stdin.readline()  # the port is here
def ip(*words): subprocess.run(["ip", *words], check=True)
ip("addr", "add", "10.77.0.2/24", "dev", "there")
ip("link", "set", "there", "up")
ip("link", "set", "lo", "up")
from zeroconf import IPVersion, ServiceBrowser, ServiceInfo, ServiceListener, Zeroconf
z = Zeroconf(interfaces=["10.77.0.2"], ip_version=IPVersion.V4Only)
kind = "_drawbridge._tcp.local."
# It answers a probe for an instance, and not one for a host. Without properties it would send a text record without a
# single string, which RFC 1035, section 3.3.14, does not allow, and such a message is passed over whole.
mine = ("sa-42." if sys.argv[1] == "own" else "other.") + kind
if sys.argv[1] == "own":
    z.register_service(ServiceInfo(kind, mine, port=1, addresses=[socket.inet_aton("10.77.0.2")], server="sa-42.local.", properties={"serial": "7"}))
print("ready", flush=True)
class Seen(ServiceListener):
    def add_service(self, z, kind, name):
        if name == mine: return
        info = z.get_service_info(kind, name, 10000)
        if info is None:
            print("unresolved", name, flush=True)
            return
        where = ",".join(sorted(str(ipaddress.ip_address(a)) for a in info.addresses))
        print("found", name, info.server, where, info.port, info.properties.get(b"serial"), flush=True)
    def update_service(self, *_): pass
    def remove_service(self, z, kind, name):
        print("removed", name, flush=True)
browser = ServiceBrowser(z, kind, Seen())
for line in sys.stdin:  # a plain resolver's question
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.settimeout(20)
    s.bind(("10.77.0.2", 0))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton("10.77.0.2"))
    query = b"\x12\x34\0\0\0\1\0\0\0\0\0\0" + b"".join(bytes([len(l)]) + l.encode() for l in line.strip().split(".")) + b"\0\0\1\0\1"
    s.sendto(query, ("224.0.0.251", 5353))
    data, source = s.recvfrom(9000)
    print("plain", source[0], source[1], data[:2].hex(), data[6:8].hex(), flush=True)
"#;

/// Runs the test of that name again in a user and a network namespace of its own.
fn in_a_namespace(test: &str) {
    let this = std::env::current_exe().expect("the test itself");
    let output = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--kill-child", "--"])
        .arg(this)
        .args(["--exact", test, "--ignored", "--nocapture"])
        .output()
        .expect("unshare");
    let said =
        String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}");
}

#[test]
fn the_console_is_found_and_resolved_and_its_end_is_heard() {
    in_a_namespace("inside_found");
}

#[test]
fn a_name_that_another_host_has_is_left_to_it() {
    in_a_namespace("inside_renamed");
}

struct OtherHost {
    process: Child,
    lines: Lines<BufReader<ChildStdout>>,
}

impl OtherHost {
    /// Starts it at the other end of a new link.
    async fn start(what: &str) -> OtherHost {
        let mut process = tokio::process::Command::new("unshare")
            .args(["--net", "--", "/usr/bin/python3", "-c", OTHER_HOST, what])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .expect("python3");
        let lines = BufReader::new(process.stdout.take().expect("a pipe")).lines();
        let mut other = OtherHost { process, lines };
        other.hears("started").await;
        let id = other.process.id().expect("it runs").to_string();
        ip(&["link", "add", "here", "type", "veth", "peer", "name", "there", "netns", &id]);
        ip(&["addr", "add", "10.77.0.1/24", "dev", "here"]);
        ip(&["link", "set", "here", "up"]);
        other.say("go").await;
        other.hears("ready").await;
        other
    }

    async fn say(&mut self, line: &str) {
        let stdin = self.process.stdin.as_mut().expect("a pipe");
        stdin.write_all(format!("{line}\n").as_bytes()).await.expect("it listens");
    }

    /// The next line that begins so.
    async fn hears(&mut self, word: &str) -> String {
        let wait = async {
            loop {
                let line = self.lines.next_line().await.expect("a line").expect("it ended");
                println!("other host: {line}");
                if line.starts_with(word) {
                    return line;
                }
            }
        };
        timeout(PATIENCE, wait).await.unwrap_or_else(|_| panic!("it never said {word}"))
    }
}

fn ip(words: &[&str]) {
    assert!(Command::new("ip").args(words).status().expect("ip").success(), "ip {words:?}");
}

fn port() -> MdnsPort {
    let index = std::fs::read_to_string("/proc/net/dev_mcast").expect("proc");
    let line = index.lines().find(|line| line.split_whitespace().nth(1) == Some("here")).expect("the port");
    let index = line.split_whitespace().next().and_then(|index| index.parse().ok()).expect("a number");
    MdnsPort { index, name: "here".to_owned(), addresses: vec![(IpAddr::from([10, 77, 0, 1]), 24)] }
}

fn service() -> Service {
    Service { kind: "drawbridge".to_owned(), port: 9000, text: vec![("serial".to_owned(), "42".to_owned())] }
}

#[tokio::test]
#[ignore = "run in a namespace by the_console_is_found_and_resolved_and_its_end_is_heard"]
async fn inside_found() {
    let mut other = OtherHost::start("look").await;
    let (set, ports) = watch::channel(vec![port()]);
    let service = service();
    let talk = async {
        let found = other.hears("found").await;
        assert_eq!(found, "found sa-42._drawbridge._tcp.local. sa-42.local. 10.77.0.1 9000 b'42'");
        other.say("sa-42.local").await;
        assert_eq!(other.hears("plain").await, "plain 10.77.0.1 5353 1234 0001");
        drop(set);
        assert_eq!(other.hears("removed").await, "removed sa-42._drawbridge._tcp.local.");
    };
    tokio::join!(run(ports, "SA-42.example.com", &service), talk);
}

#[tokio::test]
#[ignore = "run in a namespace by a_name_that_another_host_has_is_left_to_it"]
async fn inside_renamed() {
    let mut other = OtherHost::start("own").await;
    let (set, ports) = watch::channel(vec![port()]);
    let service = service();
    let talk = async {
        let found = other.hears("found").await;
        assert_eq!(found, "found sa-42-2._drawbridge._tcp.local. sa-42-2.local. 10.77.0.1 9000 b'42'");
        drop(set);
    };
    tokio::join!(run(ports, "sa-42", &service), talk);
}
