//! Each role is killed at moments of chance while an engineer types and events are told: it works again in bounded time, what was
//! acknowledged is kept, once, and all of it verifies.

use crate::events::{last, proved, recordings, syslog, tell, telling, to_syslog, until};
use crate::kept::{events, terminals, unpack, verify};
use drawbridge_bus::bridge::{BridgeState, Link};
use drawbridge_bus::notify::{NoticeSecrets, Notices, Receiver};
use drawbridge_bus::{Reply, Role};
use drawbridge_lab::net::{NamespaceConfig, Program};
use drawbridge_lab::{Lab, seconds, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant};
use std::collections::BTreeSet;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant, SystemTime};

const SOON: Duration = Duration::from_mins(1);
/// A kill comes at most so long after its order.
const AFTER_MILLISECONDS: u64 = 1_000;
const OFFICE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 5);

/// A terminal on which marks are typed without an end, `echo mark SESSION.NUMBER`; each that was answered is told, a line each.
const TYPES: &str = r#"
import os, pty, re, sys
session = sys.argv[1]
pid, fd = pty.fork()
if pid == 0:
    os.execvp("ssh", ["ssh", "-F", os.environ["CONFIG"], "-t", "sa"])
said, number = b"", 0
while True:
    try: piece = os.read(fd, 4096)
    except OSError: break
    if not piece: break
    said += piece
    mark = f"mark {session}.{number}"
    if number == 0:
        answered = b"> " in said
    else:
        answered = re.search(b"\n" + re.escape(mark.encode()) + b"\r?\n.*> ", said, re.S)
        if answered: print("shown", mark, flush=True)
    if answered:
        said, number = b"", number + 1
        os.write(fd, f"echo mark {session}.{number}\r".encode())
sys.stdout.buffer.write(said)
print("\nover:", os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), flush=True)
"#;

/// Numbers of chance (xorshift), the same again for the same seed.
struct Chance(u64);

impl Chance {
    /// One below `most`.
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % u64::try_from(most).unwrap()).unwrap()
    }
}

/// An engineer who types marks.
struct Engineer {
    number: usize,
    program: Program,
}

/// The bridge, and what was told and shown so far.
struct Trial {
    bridge: Bridge,
    secret: String,
    engineer: Option<Engineer>,
    /// How many have come in.
    engineers: usize,
    /// The marks that engineers' terminals have shown.
    shown: Vec<String>,
    /// The names of the events that were told, and whether that was acknowledged.
    told: Vec<(String, bool)>,
}

impl Trial {
    /// Has an engineer in whose typing is answered now.
    fn types(&mut self) {
        if self.engineer.is_none() {
            self.engineers += 1;
            let number = self.engineers;
            let script = format!("python3 -u - {number} <<'PYTHON'\n{TYPES}PYTHON\n");
            let program = self.bridge.script(&script, &self.secret);
            self.engineer = Some(Engineer { number, program });
        }
        let Engineer { number, program } = self.engineer.as_ref().unwrap();
        let next = format!("shown mark {number}.{}", marks(program).len() + 1);
        program.wait_for(next.as_str(), within(SOON)).unwrap_or_else(|error| {
            panic!("{error}\n{}\n{}", program.text(), self.bridge.site.machine.serial().tail(40))
        });
    }

    /// The engineer's connection has ended, or ends now.
    fn leaves(&mut self) {
        let Engineer { program, .. } = self.engineer.take().unwrap();
        if let Err(error) = program.wait(within(SOON)) {
            panic!("{error}\n{}\n{}", program.text(), self.bridge.site.machine.serial().tail(40));
        }
        assert!(program.whole_text().contains("over: "), "{}", program.whole_text());
        self.shown.extend(marks(&program));
    }

    fn event(&mut self) {
        let name = format!("told {:05}", self.told.len());
        let reply = self.bridge.site.try_ask(Role::Session, &telling(&name));
        assert!(matches!(reply, Ok(Reply::Done) | Err(_)), "{reply:?}");
        self.told.push((name, reply.is_ok()));
    }

    fn kills(&mut self, role: Role, after: u64) {
        let (site, dies) = (&self.bridge.site, format!("lab: KILL for {role}"));
        let end = Instant::now() + within(SOON);
        // After the session role's own death the courier comes a moment later.
        while role != Role::Shell && site.role(role).pid == 0 {
            assert!(Instant::now() < end, "{role} does not run\n{}", site.machine.serial().tail(40));
        }
        let from = site.machine.serial().end();
        site.machine.serial().look_from(from);
        site.kill(role, after);
        // The console takes the lab's questions along: none is asked then.
        while role != Role::Console && !self.bridge.site.machine.serial().said(dies.as_str(), from) {
            assert!(Instant::now() < end, "{}", self.bridge.site.machine.serial().tail(40));
            self.event();
        }
        self.bridge.site.says(&dies);
        if role != Role::Shell {
            self.bridge.site.says(&format!("the {role} role was ended by signal SIGKILL"));
        }
    }

    /// The role works as before; where its death ends an engineer's connection or the grant, others can be had.
    fn works_again(&mut self, role: Role) {
        let site = &self.bridge.site;
        match role {
            // Nobody is held up by these.
            Role::Network => {
                site.says("the network role serves");
                site.has("uplink", drawbridge_tests::bridge::UPLINK);
            }
            Role::Console => {
                site.says("questions to the bus are answered");
                site.says("the console role serves");
                site.serves(&self.bridge.inside.1, Ipv4Addr::new(10, 0, 1, 10));
            }
            Role::Courier => {
                site.says("the courier role serves");
                let now = last(site);
                until(site, Receiver::Syslog, "syslog has all", |state| state.settled >= now);
            }
            // The connection ends, the grant stays open.
            Role::Recorder | Role::Sshd | Role::Tunnel => {
                site.says(&format!("the {role} role serves"));
                if role == Role::Tunnel {
                    // Until then the way is said to be as the dead one had left it.
                    site.says("session: the way to");
                }
                self.leaves();
                self.bridge.until("the way in", |status| {
                    let is_open = status.state == BridgeState::Open;
                    (is_open && matches!(status.link, Link::Connected { .. })).then_some(())
                });
            }
            Role::Shell => self.leaves(),
            // Nobody is left who could say when the grant ends: it ends at once.
            Role::Session => {
                site.says("the session role serves");
                self.leaves();
                self.bridge.until("the end", |status| (status.state == BridgeState::Closed).then_some(()));
                self.secret = self.bridge.offer();
                let path = self.bridge.known_path();
                self.bridge.open(grant(Vec::new()), Some(&self.secret), path);
                self.bridge.connected();
            }
            Role::Init => unreachable!("init is not killed here"),
        }
        self.types();
    }
}

/// The marks that an engineer's terminal has shown.
fn marks(program: &Program) -> Vec<String> {
    let lines = program.lines().into_iter();
    lines.filter_map(|line| line.text.strip_prefix("shown ").map(str::to_owned)).collect()
}

fn number_of(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().and_then(|text| text.parse().ok())
}

#[test]
fn each_role_that_is_killed_in_a_session_works_again_and_what_was_acknowledged_is_kept_once_and_verifies() {
    let lab = Lab::new("kills");
    let clock = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    let seed = number_of("DRAWBRIDGE_SEED").unwrap_or(u64::from(clock.subsec_nanos())).max(1);
    // All but init, which has a test of its own, `failure`; each once, where nothing else is said.
    let roles: Vec<Role> = Role::ALL.into_iter().filter(|role| *role != Role::Init).collect();
    let kills = number_of("DRAWBRIDGE_KILLS").map_or(roles.len(), |kills| usize::try_from(kills).unwrap());
    println!("{kills} kills by DRAWBRIDGE_SEED={seed}");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let office = bridge.inside.0.namespace("office", &NamespaceConfig::new().ipv4(OFFICE, 24)).unwrap();
    let (server, out) = syslog(&lab, &office);
    let notices = Notices { syslog: Some(to_syslog(OFFICE)), ..Notices::default() };
    tell(&bridge.site, notices, NoticeSecrets::default());
    let secret = bridge.lower(grant(Vec::new()));
    let keys = bridge.keys();
    let (shown, told) = (Vec::new(), Vec::new());
    let mut trial = Trial { bridge, secret, engineer: None, engineers: 0, shown, told };
    trial.types();

    let (mut chance, mut round, mut killed) = (Chance(seed), Vec::new(), Vec::new());
    while killed.len() < kills {
        if round.is_empty() {
            round.clone_from(&roles);
        }
        let role = round.swap_remove(chance.below(round.len()));
        let after = u64::try_from(chance.below(usize::try_from(AFTER_MILLISECONDS).unwrap())).unwrap();
        let began = Instant::now();
        trial.event();
        trial.kills(role, after);
        trial.works_again(role);
        println!("kill {}: {role} after {after} ms, {:?} in all", killed.len() + 1, began.elapsed());
        killed.push(role);
    }
    trial.event();
    let Trial { bridge, .. } = &trial;
    bridge.raise();
    trial.leaves();
    let Trial { bridge, shown, told, engineers, .. } = &trial;
    assert!(killed.len() >= kills && kills > 0, "{killed:?}");
    assert!(shown.len() > kills && told.len() > 2 * kills, "{} shown, {} told", shown.len(), told.len());

    // All is closed and signed while the appliance runs, and its disk has it when it is off.
    let listed = recordings(&bridge.site);
    assert_eq!(proved(&bridge.site).faults, Vec::<String>::new());
    let now = last(&bridge.site);
    until(&bridge.site, Receiver::Syslog, "syslog has all", |state| state.settled >= now);
    bridge.site.machine.power_off(seconds(30)).unwrap();
    let kept = lab.folder().join("kept");
    unpack(&bridge.site.disk, &kept);
    assert!(listed.len() >= *engineers, "{} recordings of {engineers} engineers", listed.len());
    let mut shown_there = String::new();
    for line in &listed {
        let folder = kept.join("recorder").join(line.id.as_str());
        let (status, said) = verify(&folder, &keys.evidence_fingerprint);
        assert_eq!(status, Some(0), "{said}\n{line:#?}");
        shown_there.push_str(&terminals(&folder));
    }
    // What was shown had been recorded before, the last second not left out: the kernel had it, which outlives every role.
    let there: BTreeSet<&str> = shown_there.split("\r\n").collect();
    for mark in shown {
        assert!(there.contains(mark.as_str()), "{mark} was shown, and is in no recording");
    }
    let (status, said) = verify(&kept.join("audit"), &keys.evidence_fingerprint);
    assert_eq!(status, Some(0), "{said}");
    let events = events(&kept.join("audit"));
    let numbers: Vec<u64> = events.iter().map(|(number, _)| *number).collect();
    assert_eq!(numbers, (1..=u64::try_from(numbers.len()).unwrap()).collect::<Vec<_>>());
    let told_by_syslog = std::fs::read_to_string(out).unwrap();
    assert!(server.runs(), "{}", server.text());
    for (name, is_acknowledged) in told {
        let there = events.iter().filter(|(_, one)| one == name).count();
        assert!(there == 1 || there == 0 && !is_acknowledged, "{name}: {there}, {is_acknowledged}");
        assert!(there == 0 || told_by_syslog.contains(name), "{name} has not reached syslog");
    }
    let lost = told.iter().filter(|(_, is_acknowledged)| !is_acknowledged).count();
    println!(
        "figure: {} kills; {} marks of {engineers} engineers, {} events told, {lost} of them not acknowledged, {} recordings",
        killed.len(),
        shown.len(),
        told.len(),
        listed.len()
    );
}
