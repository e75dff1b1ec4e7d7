//! The client and the service port's server against programs that others wrote: dnsmasq, udhcpc and dhclient, in network
//! namespaces with a virtual cable between them.
//!
//! They need root, `ip` (iproute2), `dnsmasq` (dnsmasq-base), `udhcpc` and `dhclient` (isc-dhcp-client), so they run only
//! when they are asked for: `sudo -E cargo test -p drawbridge-network --test peers -- --ignored`

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use drawbridge_network::client::{self, Mode, News};
use drawbridge_network::dhcp_server::{self, ServerNews};
use drawbridge_network::ports::{Kind, Link};
use std::io::{BufRead as _, BufReader};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};
use tokio::sync::mpsc;

/// Tells this program what to run on `eth0`.
const PORT: &str = "DRAWBRIDGE_TEST_PORT";
/// What its words begin with.
const WORD: &str = "port: ";
/// Generous: the machine that runs this may be busy.
const SOON: Duration = Duration::from_mins(1);

fn link() -> Link {
    let read = |what: &str| std::fs::read_to_string(format!("/sys/class/net/eth0/{what}")).unwrap();
    let bytes: Vec<_> =
        read("address").trim().split(':').map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect();
    let mac = bytes.try_into().unwrap();
    Link {
        index: read("ifindex").trim().parse().unwrap(),
        name: "eth0".into(),
        mac,
        permanent_mac: mac,
        up: true,
        carrier: true,
        mtu: 1500,
        mtu_most: None,
        kind: Kind::Port,
        bond: None,
    }
}

/// Not a test: one port's process, which the tests start from this same program in a namespace. It says what is new.
#[test]
#[ignore = "a port's own process, started by the other tests"]
fn the_ports_own_process() {
    let Ok(what) = std::env::var(PORT) else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        if what == "server" {
            let (tell, mut news) = mpsc::channel(16);
            tokio::spawn(dhcp_server::run(link(), tell));
            while let Some((_, said)) = news.recv().await {
                match said {
                    ServerNews::Serving => println!("\n{WORD}serving"),
                    ServerNews::Silent { server } => println!("\n{WORD}silent {server}"),
                    ServerNews::Given { address, .. } => println!("\n{WORD}given {address}"),
                    ServerNews::Failed(error) => panic!("{error}"),
                }
            }
            return;
        }
        let mode = match what.as_str() {
            "dhcp" => Mode::Dhcp {
                link_local_after: Some(Duration::from_secs(10)),
                host_name: Some("drawbridge".into()),
                wanted: None,
            },
            _ => Mode::Static { address: Ipv4Addr::new(10, 0, 1, 1) },
        };
        let (tell, mut news) = mpsc::channel(16);
        tokio::spawn(client::run(link(), mode, 1, tell));
        while let Some((_, said)) = news.recv().await {
            match said {
                News::Leased(lease) => {
                    println!("\n{WORD}leased {lease:?}");
                    if lease.domain().is_some_and(|name| name.as_str() == "give.back") {
                        client::release(&link(), &lease).unwrap();
                    }
                }
                News::Failed(error) => panic!("{error}"),
                other => println!("\n{WORD}{other:?}"),
            }
        }
    });
}

fn command(line: &str) -> Command {
    let mut words = line.split_whitespace();
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

fn run(line: &str) -> String {
    let output = command(line).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Two namespaces with a cable between them: our port's, and the peer's with the address that it is to have.
struct Lab {
    name: String,
    folder: PathBuf,
    children: Vec<Child>,
}

impl Lab {
    fn new(name: &str) -> Self {
        let name = format!("dp{}{name}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir(&folder).unwrap();
        let lab = Self { name, folder, children: Vec::new() };
        let name = &lab.name;
        run(&format!("ip netns add {name}-a"));
        run(&format!("ip netns add {name}-b"));
        run(&format!("ip -n {name}-a link add eth0 type veth peer name lan0 netns {name}-b"));
        for link in ["a link set eth0 up", "b link set lan0 up"] {
            run(&format!("ip -n {name}-{link}"));
        }
        lab
    }

    fn with_address(name: &str) -> Self {
        let lab = Self::new(name);
        run(&format!("ip -n {}-b addr add 10.0.1.1/24 dev lan0", lab.name));
        lab
    }

    fn dnsmasq(&mut self, more: &str) {
        let line = format!(
            "ip netns exec {}-b dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --interface=lan0 \
             --bind-dynamic --dhcp-range=10.0.1.50,10.0.1.59,255.255.255.0,2m --no-ping --user=root \
             --dhcp-authoritative --pid-file= --log-facility=/dev/null --dhcp-leasefile={} {more}",
            self.name,
            self.leases().display()
        );
        self.children.push(command(&line).spawn().unwrap());
    }

    fn leases(&self) -> PathBuf {
        self.folder.join("leases")
    }

    fn port(&mut self, what: &str) -> Words {
        let program = std::env::current_exe().unwrap();
        let line = format!(
            "ip netns exec {}-a {} the_ports_own_process --exact --ignored --nocapture",
            self.name,
            program.display()
        );
        let mut child = command(&line).env(PORT, what).stdout(Stdio::piped()).spawn().unwrap();
        let (tell, words) = channel();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                if let Some(word) = line.strip_prefix(WORD)
                    && tell.send(word.to_owned()).is_err()
                {
                    return;
                }
            }
        });
        self.children.push(child);
        Words(words)
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        for child in &mut self.children {
            let _ = child.kill();
            let _ = child.wait();
        }
        for end in ["a", "b"] {
            let _ = command(&format!("ip netns del {}-{end}", self.name)).status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

struct Words(Receiver<String>);

impl Words {
    /// Waits for a word that begins so.
    fn wait(&self, start: &str) -> String {
        let until = Instant::now() + SOON;
        while let Ok(word) = self.0.recv_timeout(until.saturating_duration_since(Instant::now())) {
            eprintln!("{word}");
            if word.starts_with(start) {
                return word;
            }
        }
        panic!("no {start}");
    }
}

#[test]
#[ignore = "needs root, ip and dnsmasq"]
fn dnsmasqs_options_are_taken_over() {
    let mut lab = Lab::with_address("o");
    lab.dnsmasq(
        "--dhcp-option=6,10.0.1.2,10.0.1.3 --domain=lab.example --dhcp-option=option:domain-search,a.example,b.example \
         --dhcp-option=26,1400 --dhcp-option=42,10.0.1.4 --dhcp-option=121,0.0.0.0/0,10.0.1.254,172.16.0.0/12,10.0.1.253",
    );
    let word = lab.port("dhcp").wait("leased");
    for part in [
        "address: 10.0.1.5",
        "prefix: 24",
        "router: Some(10.0.1.254)",
        "server: 10.0.1.1",
        "seconds: 120",
        "renewal: 60",
        "rebinding: 105",
        "dns: [10.0.1.2, 10.0.1.3]",
        "ntp: [10.0.1.4]",
        "domain: Some(DomainName(\"lab.example\"))",
        "search: [DomainName(\"a.example\"), DomainName(\"b.example\")]",
        "mtu: Some(1400)",
        "destination: 172.16.0.0, prefix: 12, gateway: Some(10.0.1.253)",
        "oddities: []",
    ] {
        assert!(word.contains(part), "no {part}: {word}");
    }
    let leases = std::fs::read_to_string(lab.leases()).unwrap();
    assert!(leases.contains(" drawbridge 01:"), "the host's name and its identifier: {leases}");
}

#[test]
#[ignore = "needs root, ip and dnsmasq"]
fn dnsmasq_takes_a_lease_back() {
    let mut lab = Lab::with_address("g");
    lab.dnsmasq("--domain=give.back");
    lab.port("dhcp").wait("leased");
    let until = Instant::now() + SOON;
    while !std::fs::read_to_string(lab.leases()).unwrap_or_default().is_empty() {
        assert!(Instant::now() < until, "the lease is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
#[ignore = "needs root, ip and dnsmasq"]
fn an_address_that_a_linux_host_has_is_declined() {
    let mut lab = Lab::with_address("d");
    // A host answers for all its addresses on each of its ports.
    run(&format!("ip -n {}-b link set lo up", lab.name));
    for last in 50..59 {
        run(&format!("ip -n {}-b addr add 10.0.1.{last}/32 dev lo", lab.name));
    }
    lab.dnsmasq("");
    let words = lab.port("dhcp");
    let word = words.wait("Conflict");
    assert!(word.contains("gave_up: true"), "{word}");
}

#[test]
#[ignore = "needs root and ip"]
fn a_fixed_address_that_a_linux_host_has_is_not_used_until_it_is_gone() {
    let mut lab = Lab::with_address("f");
    let words = lab.port("static");
    let word = words.wait("Conflict");
    assert!(word.contains("gave_up: true"), "{word}");
    run(&format!("ip -n {}-b addr flush dev lan0", lab.name));
    words.wait("Usable");
    // It comes back: Linux announces nothing by itself, but it asks.
    run(&format!("ip -n {}-b addr add 10.0.1.1/24 dev lan0", lab.name));
    let _ = command(&format!("ip netns exec {}-b ping -c 1 -W 1 10.0.1.9", lab.name)).output();
    let word = words.wait("Conflict");
    assert!(word.contains("gave_up: false"), "{word}");
}

#[test]
#[ignore = "needs root, ip and udhcpc"]
fn udhcpc_gets_an_address_of_the_service_port() {
    let mut lab = Lab::new("u");
    let words = lab.port("server");
    words.wait("serving");
    run(&format!(
        "ip netns exec {}-b udhcpc -i lan0 -n -q -f -t 5 -s /bin/true -x hostname:laptop",
        lab.name
    ));
    words.wait("given 169.254.100.10");
}

#[test]
#[ignore = "needs root, ip and dhclient"]
fn dhclient_gets_an_address_of_the_service_port_and_gives_it_back() {
    let mut lab = Lab::new("c");
    let words = lab.port("server");
    words.wait("serving");
    let (name, folder) = (lab.name.clone(), lab.folder.display().to_string());
    let files = format!("-lf {folder}/client -pf {folder}/pid -sf /bin/true -cf /dev/null");
    run(&format!("ip netns exec {name}-b dhclient -4 -1 -v {files} lan0"));
    words.wait("given 169.254.100.10");
    let lease = std::fs::read_to_string(lab.folder.join("client")).unwrap();
    assert!(lease.contains("fixed-address 169.254.100.10;"), "{lease}");
    assert!(lease.contains("option subnet-mask 255.255.0.0;"), "{lease}");
    assert!(!lease.contains("routers") && !lease.contains("domain-name-servers"), "{lease}");
    run(&format!("ip netns exec {name}-b dhclient -4 -r {files} lan0"));
}

#[test]
#[ignore = "needs root, ip and dnsmasq"]
fn beside_dnsmasq_the_service_port_stays_silent() {
    let mut lab = Lab::with_address("s");
    lab.dnsmasq("");
    assert_eq!(lab.port("server").wait("silent"), "silent 10.0.1.1");
}
