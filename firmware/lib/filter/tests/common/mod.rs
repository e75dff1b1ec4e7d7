//! A network namespace for a test, with cables to other ones. It needs no root: the namespace has a user namespace around it.
#![allow(dead_code, reason = "each test program uses its part")]

pub(crate) mod frames;

use nix::sched::{CloneFlags, unshare};
use std::process::Command;
use std::sync::mpsc;

/// What a test inside of its namespace is known by.
const INSIDE: &str = "DRAWBRIDGE_FILTER_TEST_NAMESPACE";

/// Runs `body` in a network namespace of its own: the test of this name is run once more there.
pub(crate) fn in_a_namespace(name: &str, body: impl FnOnce()) {
    if std::env::var_os(INSIDE).is_some() {
        run("ip link set lo up");
        return body();
    }
    let program = std::env::current_exe().expect("the test's own program");
    let done = Command::new("unshare")
        .args(["--user", "--map-root-user", "--net", "--"])
        .arg(program)
        .args([name, "--exact", "--nocapture", "--include-ignored"])
        .env(INSIDE, "1")
        .output()
        .expect("unshare of util-linux");
    let said = String::from_utf8_lossy(&done.stdout) + String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success() && said.contains("1 passed"), "inside of the namespace:\n{said}");
}

/// Runs a command line of words without spaces, and gives what it says.
pub(crate) fn run(line: &str) -> String {
    let mut words = line.split_whitespace();
    let done =
        Command::new(words.next().expect("a command")).args(words).output().expect("the program is there");
    assert!(done.status.success(), "{line}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// Sets a kernel setting of the network namespace that the caller is in.
pub(crate) fn set(name: &str, value: &str) {
    std::fs::write(format!("/proc/sys/net/{name}"), value).unwrap_or_else(|error| panic!("{name}: {error}"));
}

type Work = Box<dyn FnOnce() + Send>;

/// Another machine: a thread in a network namespace of its own.
pub(crate) struct Peer {
    work: mpsc::Sender<Work>,
    thread: i32,
}

impl Peer {
    pub(crate) fn new() -> Self {
        let (work, orders) = mpsc::channel::<Work>();
        let (told, thread) = mpsc::channel();
        std::thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).expect("a network namespace");
            told.send(nix::unistd::gettid().as_raw()).expect("the test is there");
            for order in orders {
                order();
            }
        });
        let thread = thread.recv().expect("the thread is there");
        let peer = Self { work, thread };
        peer.on(|| {
            run("ip link set lo up");
        });
        peer
    }

    /// Does it over there.
    pub(crate) fn on<T: Send + 'static>(&self, order: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        self.work
            .send(Box::new(move || done.send(order()).expect("the test waits")))
            .expect("the peer lives");
        result.recv().expect("what the peer does works")
    }

    /// A cable between our port `name` with the addresses of network `net` and the peer's port of the same name: we are
    /// `10.net.0.2`, `fd0net::2` and `fe80::2`, it ends with 1, and with 9 as a stranger. Gives our port's index.
    pub(crate) fn cable(&self, name: &str, net: u8) -> u32 {
        let thread = self.thread;
        set("ipv4/igmp_qrv", "1");
        run(&format!(
            "ip link add {name} address 02:00:00:00:0{net}:02 type veth peer name {name} address 02:00:00:00:0{net}:01 netns {thread}"
        ));
        let up = move |name: &str, hosts: &[u8]| {
            // Nothing is said again later that nobody asked for.
            set(&format!("ipv6/conf/{name}/router_solicitations"), "0");
            set(&format!("ipv6/conf/{name}/mldv2_unsolicited_report_interval"), "1");
            run(&format!("ip link set {name} addrgenmode none"));
            run(&format!("ip link set {name} up"));
            for host in hosts {
                run(&format!("ip address add 10.{net}.0.{host}/24 dev {name}"));
                run(&format!("ip address add fd0{net}::{host}/64 dev {name} nodad"));
                run(&format!("ip address add fe80::{host}/64 dev {name} nodad"));
            }
        };
        let theirs = name.to_owned();
        self.on(move || up(&theirs, &[1, 9]));
        up(name, &[2]);
        let shown = run(&format!("ip -o link show {name}"));
        shown.split(':').next().and_then(|index| index.parse().ok()).expect("the port's index")
    }
}
