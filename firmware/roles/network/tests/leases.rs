//! The network role against a real DHCP server: dnsmasq, on the other end of a virtual cable, in network namespaces.
//!
//! It needs root, `ip` (iproute2) and `dnsmasq` (dnsmasq-base), so it runs only when it is asked for:
//! `sudo -E cargo test -p drawbridge-network --test leases -- --ignored`

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::{Announcement, Event, Port, Reply, Request};
use drawbridge_network::{Place, Which, run_at};
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, UdpSocket};
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

/// Tells this program that it is the role, and where the bus's sockets are.
const ROLE: &str = "DRAWBRIDGE_TEST_ROLE";

/// Generous: the machine that runs this may be busy.
const SOON: Duration = Duration::from_mins(1);

/// Not a test: the role's process, which the tests start from this same program.
#[test]
#[ignore = "the role's own process, started by the other tests"]
fn the_roles_own_process() {
    let Some(sockets) = std::env::var_os(ROLE) else { return };
    drawbridge_bus::logger::start();
    let sockets = PathBuf::from(sockets);
    let folder = sockets.clone();
    let code = run_at(&Place { sockets, listener: 0, ports: Which::AnyEthernet, folder });
    std::process::exit(i32::from(code != std::process::ExitCode::SUCCESS));
}

/// Tells this program that it is a DHCP server that means harm.
const ROGUE: &str = "DRAWBRIDGE_TEST_ROGUE";

/// Not a test: a DHCP server that answers everything with what no host should take.
#[test]
#[ignore = "the rogue server's own process, started by a test"]
fn the_rogues_own_process() {
    if std::env::var_os(ROGUE).is_none() {
        return;
    }
    let socket = UdpSocket::bind("0.0.0.0:67").unwrap();
    socket.set_broadcast(true).unwrap();
    let mut question = [0; 2048];
    loop {
        let (length, _) = socket.recv_from(&mut question).unwrap();
        if length < 241 {
            continue;
        }
        for (address, mask, seconds) in [
            ([127, 0, 0, 2], [255, 0, 0, 0], 3600_u32),
            ([0, 0, 0, 0], [255, 255, 255, 0], 3600),
            ([255, 255, 255, 255], [255, 255, 255, 0], 3600),
            ([10, 0, 1, 66], [128, 0, 0, 0], 3600),
            ([10, 0, 1, 66], [255, 0, 255, 0], 3600),
            ([10, 0, 1, 66], [255, 255, 255, 0], 0),
        ] {
            for kind in [2, 5] {
                let mut answer = question[..240].to_vec();
                answer[0] = 2;
                answer[16..20].copy_from_slice(&address);
                answer.extend([53, 1, kind, 54, 4, 10, 0, 1, 1, 1, 4]);
                answer.extend(mask);
                answer.extend([51, 4]);
                answer.extend(seconds.to_be_bytes());
                answer.extend([58, 4, 0, 0, 0, 0, 3, 4, 8, 8, 8, 8, 255]);
                socket.send_to(&answer, "10.0.1.255:68").unwrap();
            }
        }
        // A few that are no DHCP at all.
        for length in [0, 1, 100, 239, 240, 241, 1400] {
            socket.send_to(&vec![0xff; length], "10.0.1.255:68").unwrap();
        }
    }
}

/// Two network namespaces with a cable between them: the appliance's and the server's.
struct Lab {
    name: String,
    folder: PathBuf,
    server: Option<Child>,
    role: Option<Child>,
    init: UnixListener,
}

/// Init, as far as the role knows it.
struct Init {
    stream: UnixStream,
    ports: Receiver<Vec<Port>>,
}

fn command(line: &str) -> Command {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().unwrap());
    command.args(words);
    command
}

fn run(line: &str) {
    let output = command(line).output().unwrap();
    assert!(output.status.success(), "{line}: {}", String::from_utf8_lossy(&output.stderr));
}

impl Lab {
    fn new(name: &str) -> Self {
        let name = format!("db{}{name}", std::process::id());
        let folder = std::env::temp_dir().join(&name);
        std::fs::create_dir(&folder).unwrap();
        let init = UnixListener::bind(folder.join("init")).unwrap();
        run(&format!("ip netns add {name}-a"));
        run(&format!("ip netns add {name}-b"));
        let lab = Self { name, folder, server: None, role: None, init };
        lab.plug_in();
        lab
    }

    fn plug_in(&self) {
        let name = &self.name;
        run(&format!("ip -n {name}-a link add eth0 type veth peer name lan0 netns {name}-b"));
        run(&format!("ip -n {name}-b addr add 10.0.1.1/24 dev lan0"));
        self.cable("up");
    }

    /// The far end of the cable.
    fn cable(&self, state: &str) {
        run(&format!("ip -n {}-b link set lan0 {state}", self.name));
    }

    fn start_server(&mut self, first: &str, last: &str) {
        let (name, leases) = (&self.name, self.folder.join("leases"));
        let line = format!(
            "ip netns exec {name}-b dnsmasq --keep-in-foreground --conf-file=/dev/null --port=0 --interface=lan0 \
             --bind-dynamic --dhcp-range={first},{last},255.255.255.0,2m --dhcp-option=3,10.0.1.1 --no-ping --user=root \
             --dhcp-authoritative --pid-file= --log-facility=/dev/null --dhcp-leasefile={}",
            leases.display()
        );
        self.server = Some(command(&line).stderr(Stdio::null()).spawn().unwrap());
    }

    fn start_rogue(&mut self) {
        let program = std::env::current_exe().unwrap();
        let line = format!(
            "ip netns exec {}-b {} the_rogues_own_process --exact --ignored --nocapture",
            self.name,
            program.display()
        );
        self.server = Some(command(&line).env(ROGUE, "1").stdout(Stdio::null()).spawn().unwrap());
    }

    fn stop_server(&mut self) {
        if let Some(mut server) = self.server.take() {
            server.kill().unwrap();
            server.wait().unwrap();
        }
        let _ = std::fs::remove_file(self.folder.join("leases"));
    }

    fn start_role(&mut self) -> Init {
        let socket = self.folder.join("network");
        let _ = std::fs::remove_file(&socket);
        let listener = UnixListener::bind(socket).unwrap();
        let program = std::env::current_exe().unwrap();
        let line = format!(
            "ip netns exec {}-a {} the_roles_own_process --exact --ignored --nocapture",
            self.name,
            program.display()
        );
        let role = command(&line)
            .env(ROLE, &self.folder)
            .stdin(Stdio::from(OwnedFd::from(listener)))
            .stdout(Stdio::null())
            .spawn();
        self.role = Some(role.unwrap());
        let (stream, _) = self.init.accept().unwrap();
        Init::new(stream)
    }

    fn role_ends(&mut self) -> ExitStatus {
        self.role.take().unwrap().wait().unwrap()
    }

    fn kill_role(&mut self) {
        self.role.as_mut().unwrap().kill().unwrap();
        self.role_ends();
    }

    fn ip(&self, what: &str) -> String {
        let output = command(&format!("ip -n {}-a {what}", self.name)).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        self.stop_server();
        if self.role.is_some() {
            self.kill_role();
        }
        for end in ["a", "b"] {
            let _ = command(&format!("ip netns del {}-{end}", self.name)).status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

impl Init {
    fn new(stream: UnixStream) -> Self {
        let (told, ports) = channel();
        let mut connection = stream.try_clone().unwrap();
        std::thread::spawn(move || {
            let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
            while let Ok(length @ 1..) = connection.read(&mut buffer) {
                decoder.push(&buffer[..length]);
                while let Some(frame) = decoder.next_frame().unwrap() {
                    let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
                    let answer = encode(&Frame::Reply { id, reply: Reply::Done }).unwrap();
                    if connection.write_all(&answer).is_err() {
                        return;
                    }
                    match request {
                        Request::Ready | Request::HostName(_) => {}
                        Request::Announce(Announcement::Ports(ports)) => {
                            let _ = told.send(ports);
                        }
                        other => panic!("{other:?}"),
                    }
                }
            }
        });
        Self { stream, ports }
    }

    /// Waits until the role tells of ports that are so.
    fn wait_until(&self, what: &str, is: impl Fn(&[Port]) -> bool) -> Vec<Port> {
        let until = Instant::now() + SOON;
        let mut last = Vec::new();
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match self.ports.recv_timeout(left) {
                Ok(ports) if is(&ports) => return ports,
                Ok(ports) => last = ports,
                Err(_) => break,
            }
        }
        panic!("not {what}: {last:?}");
    }

    fn stop(&mut self) {
        self.stream.write_all(&encode(&Frame::Event(Event::Stop { seconds: 3 })).unwrap()).unwrap();
    }
}

/// The IPv4 address of the only port, between two bounds.
fn leased(ports: &[Port], from: u8, to: u8) -> bool {
    let [port] = ports else { return false };
    port.carrier
        && port.addresses.iter().any(|(address, prefix)| {
            matches!(address, IpAddr::V4(v4) if v4.octets()[..3] == [10, 0, 1] && (from..=to).contains(&v4.octets()[3]))
                && *prefix == 24
        })
}

fn bare(ports: &[Port]) -> bool {
    ports.iter().all(|port| port.addresses.iter().all(|(address, _)| address.is_ipv6()))
}

#[test]
#[ignore = "needs root, ip and dnsmasq"]
fn a_port_gets_a_lease_and_loses_it_with_its_carrier() {
    let mut lab = Lab::new("l");
    lab.start_server("10.0.1.50", "10.0.1.59");
    let mut init = lab.start_role();
    init.wait_until("leased", |ports| leased(ports, 50, 59));
    let address = lab.ip("-4 addr show dev eth0");
    assert!(address.contains("valid_lft 1") && address.contains("scope global dynamic"), "{address}");
    let route = lab.ip("-4 route");
    assert!(route.contains("default via 10.0.1.1 dev eth0 proto 97 src 10.0.1.5"), "{route}");

    lab.cable("down");
    init.wait_until("without lease", |ports| bare(ports) && !ports[0].carrier);
    assert_eq!(lab.ip("-4 route"), "", "nothing stays of the lease");

    // The next network is another one.
    lab.stop_server();
    lab.cable("up");
    lab.start_server("10.0.1.70", "10.0.1.79");
    init.wait_until("leased by the other server", |ports| leased(ports, 70, 79));
    assert_eq!(lab.ip("-4 -o addr show dev eth0").lines().count(), 1);

    init.stop();
    assert!(lab.role_ends().success(), "stopped in order");
}

#[test]
#[ignore = "needs root, ip and dnsmasq"]
fn a_server_that_comes_late_is_found() {
    let mut lab = Lab::new("s");
    let init = lab.start_role();
    init.wait_until("with carrier", |ports| ports.len() == 1 && ports[0].carrier);
    // Two questions go unanswered.
    std::thread::sleep(Duration::from_secs(5));
    lab.start_server("10.0.1.50", "10.0.1.59");
    init.wait_until("leased", |ports| leased(ports, 50, 59));
}

#[test]
#[ignore = "needs root, ip and dnsmasq"]
fn a_port_that_is_pulled_and_plugged_in_again_gets_a_lease_again() {
    let mut lab = Lab::new("p");
    lab.start_server("10.0.1.50", "10.0.1.59");
    let init = lab.start_role();
    init.wait_until("leased", |ports| leased(ports, 50, 59));
    run(&format!("ip -n {}-a link del eth0", lab.name));
    init.wait_until("gone", <[Port]>::is_empty);
    lab.plug_in();
    init.wait_until("leased again", |ports| leased(ports, 50, 59));
}

#[test]
#[ignore = "needs root, ip and dnsmasq"]
fn a_role_that_was_killed_takes_over_what_it_had_set() {
    let mut lab = Lab::new("k");
    lab.start_server("10.0.1.50", "10.0.1.59");
    let init = lab.start_role();
    init.wait_until("leased", |ports| leased(ports, 50, 59));
    lab.kill_role();
    assert!(lab.ip("-4 addr show dev eth0").contains("10.0.1.5"), "connections go on meanwhile");
    // The address that the server gives now is another one: the old one has to go.
    lab.stop_server();
    lab.start_server("10.0.1.70", "10.0.1.79");
    let init = lab.start_role();
    init.wait_until("leased anew", |ports| leased(ports, 70, 79) && !leased(ports, 50, 59));
    let route = lab.ip("-4 route show default");
    assert!(route.lines().count() == 1 && route.contains("src 10.0.1.7"), "{route}");
}

#[test]
#[ignore = "needs root, ip and dnsmasq"]
fn nothing_is_taken_from_a_server_that_means_harm() {
    let mut lab = Lab::new("h");
    lab.start_rogue();
    let init = lab.start_role();
    init.wait_until("with carrier", |ports| ports.len() == 1 && ports[0].carrier);
    // Two questions at least are answered.
    let until = Instant::now() + Duration::from_secs(8);
    while let Ok(ports) = init.ports.recv_timeout(until.saturating_duration_since(Instant::now())) {
        assert!(bare(&ports), "{ports:?}");
    }
    lab.stop_server();
    lab.start_server("10.0.1.50", "10.0.1.59");
    init.wait_until("leased by the one that does not", |ports| leased(ports, 50, 59));
}

#[test]
#[ignore = "needs root, ip and dnsmasq"]
fn a_role_without_init_ends() {
    let mut lab = Lab::new("i");
    let init = lab.start_role();
    init.wait_until("there", |ports| ports.len() == 1);
    init.stream.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(!lab.role_ends().success());
}

#[test]
#[ignore = "needs root, ip and dnsmasq, and more than a minute"]
fn a_lease_is_renewed_before_it_ends_and_given_up_when_nobody_renews_it() {
    let mut lab = Lab::new("r");
    lab.start_server("10.0.1.50", "10.0.1.59");
    let init = lab.start_role();
    init.wait_until("leased", |ports| leased(ports, 50, 59));
    // Two minutes: renewed after one. Ten seconds later more is left than of a lease that was not renewed.
    std::thread::sleep(Duration::from_secs(70));
    let left = seconds_left(&lab.ip("-4 addr show dev eth0"));
    assert!((100..=120).contains(&left), "{left} s are left");
    lab.stop_server();
    // Longer than a lease, and the end of it.
    let until = Instant::now() + Duration::from_secs(150);
    while Instant::now() < until {
        if init.ports.recv_timeout(Duration::from_secs(1)).is_ok_and(|ports| bare(&ports)) {
            return;
        }
    }
    panic!("{}", lab.ip("-4 addr show dev eth0"));
}

fn seconds_left(shown: &str) -> u32 {
    let (_, rest) = shown.split_once("valid_lft ").unwrap();
    rest.split_once("sec").unwrap().0.parse().unwrap()
}
