//! Looking on: how long after a key was typed its character stands in another person's browser, beside what the engineer himself waits
//! for it; and how many others may look on meanwhile. All of it runs on this host, the appliance under emulation.

use crate::error::{BenchError, Result};
use crate::figures::{Spread, beside, print, ratio};
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_lab::array::HostedArray;
use drawbridge_lab::net::{NamespaceConfig, Program};
use drawbridge_lab::vendor::beside as program_beside;
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, grant};
use std::fmt::Write as _;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

const TYPIST: &str = include_str!("typist.py");
const VIEWER: &str = include_str!("viewer.mjs");
const SETTINGS: &str = r#"{"interfaces": [
    {"name": "management", "at": {"port": "{management}"}, "roles": ["management", "array"],
     "ipv4": {"static": {"address": "10.0.1.10/24"}}, "ipv6": "off"},
    {"name": "uplink", "at": {"port": "{uplink}"}, "roles": ["uplink"],
     "ipv4": {"static": {"address": "10.0.2.10/24"}}, "ipv6": "off"}]}"#;
const OFFICE: Ipv4Addr = Ipv4Addr::new(10, 0, 1, 7);
const ASKS: &str = "The console asks for this set-up code: ";
const PASSWORD: &str = "three-keys-on-a-ring";

/// So many keys are typed while nobody else looks on, and for each number of others.
const KEYS: usize = 150;
const KEYS_MORE: usize = 40;
/// Others who look on. It ends with the first number that is held no more.
const OTHERS: [u32; 5] = [4, 8, 16, 32, 64];
/// They are held while each gets an answer a second at least, and 99 keys of 100 are seen within a second.
const HELD: Duration = Duration::from_secs(1);
const SOON: Duration = Duration::from_mins(2);

/// Measures, and prints.
pub(crate) fn measure(image: &Image) -> Result<()> {
    let modules = modules()?;
    let lab = Lab::new("bench live");
    let mut bridge = Bridge::boot_with(&lab, image, |plan| plan.settings(SETTINGS));
    let office = bridge.inside.0.namespace("office", &NamespaceConfig::new().ipv4(OFFICE, 24))?;
    let program = program_beside("lab").ok_or(BenchError::NoProgram("lab"))?;
    let array = HostedArray::start(&office, &program, (OFFICE, 443).into(), &["box1.lab"], None)?;
    array.tell(&format!("user anna {PASSWORD} ADMIN"))?;
    bridge.site.look_again();
    let said = bridge.site.says(ASKS);
    let code = said.split(ASKS).nth(1).unwrap_or_default().split_whitespace().next().unwrap_or_default();
    let mut fingerprint = String::new();
    for byte in array.fingerprint() {
        // Writing to a string cannot fail.
        let _ = write!(fingerprint, "{byte:02x}");
    }
    let secret = bridge.lower(grant(Vec::new()));
    let go = lab.file("go");
    let typist = typist(&bridge, &secret, KEYS, &go);
    typist.wait_for("inside", within(SOON))?;

    let orders = office.write("orders", "0")?;
    let mut viewer = Command::new("node");
    viewer.arg(office.write("viewer.mjs", VIEWER)?);
    viewer.env("BASE", "https://10.0.1.10:9000").env("NAME", "anna").env("PASSWORD", PASSWORD);
    viewer.env("CODE", code).env("HOST", OFFICE.to_string()).env("FINGERPRINT", fingerprint);
    viewer.env("MODULES", modules).env("ORDERS", &orders);
    let viewer = office.run_command(viewer)?;
    viewer.wait_for("ready", within(SOON)).inspect_err(|_| eprintln!("{}", viewer.text()))?;

    order(&go, "")?;
    typist.wait_for("over", within(Duration::from_mins(5)))?;
    let alone = Delays::of(&typist, &viewer);
    alone.print("a key until it is seen in another browser", "the engineer's own echo");

    let mut held = 0;
    for others in OTHERS {
        order(&orders, &others.to_string())?;
        let typist = self::typist(&bridge, &secret, KEYS_MORE, &go);
        typist.wait_for("over", within(Duration::from_mins(5)))?;
        let delays = Delays::of(&typist, &viewer);
        let (answers, waited) = asked(&viewer, others);
        let name = format!("the same with {others} others, {answers:.1} answers/s each in {waited} ms");
        delays.print(&name, "own echo");
        if answers < 1.0 || delays.seen.at(99) > HELD || delays.lost > 0 {
            break;
        }
        held = others;
    }
    print("others held, with all seen within a second", held.to_string(), &[]);
    if let Reply::Recorder(status) = bridge.site.ask(Role::Recorder, &Request::Recorder) {
        print("and the recordings of it take", format!("{} kB", status.bytes.0 / 1000), &[]);
    }
    order(&orders, "end")?;
    viewer.wait(within(SOON))?;
    bridge.raise();
    Ok(())
}

/// Where the browser's driver is: `tests/browser/run` puts it there.
fn modules() -> Result<PathBuf> {
    let program = std::env::current_exe().unwrap_or_default();
    let modules =
        program.ancestors().map(|folder| folder.join("npm/node_modules")).find(|modules| modules.is_dir());
    modules.ok_or(BenchError::NoProgram("playwright-core (tests/browser/run gets it)"))
}

fn order(orders: &Path, what: &str) -> Result<()> {
    std::fs::write(orders, what).map_err(|source| BenchError::File {
        action: "write",
        path: orders.to_owned(),
        source,
    })
}

/// An engineer who types so many keys once there is a file `go`.
fn typist(bridge: &Bridge, secret: &str, keys: usize, go: &Path) -> Program {
    let go = go.display();
    bridge.script(&format!("python3 -u - {keys} {go} <<'PYTHON'\n{TYPIST}PYTHON\n"), secret)
}

/// What others got in the last seconds: answers a second each, and the mean of what they waited, in milliseconds.
fn asked(viewer: &Program, others: u32) -> (f64, u64) {
    let (mut seconds, mut answers, mut waited) = (0_u32, 0_u32, 0_u64);
    for line in viewer.lines().iter().rev() {
        let mut words = line.text.split(' ');
        let ("asked", Some(of)) = (words.next().unwrap_or_default(), words.next()) else { continue };
        if of != others.to_string() || seconds == 10 {
            break;
        }
        let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        if let [count, millis] = numbers[..] {
            seconds += 1;
            answers += u32::try_from(count).unwrap_or(u32::MAX);
            waited += millis;
        }
    }
    if seconds == 0 {
        return (0.0, 0);
    }
    (f64::from(answers) / f64::from(seconds) / f64::from(others), waited / u64::from(seconds))
}

/// How long after they were typed keys came back to the engineer, and were seen by the other.
struct Delays {
    echoed: Spread,
    seen: Spread,
    lost: usize,
}

impl Delays {
    fn of(typist: &Program, viewer: &Program) -> Self {
        let events = |program: &Program| -> Vec<(String, f64, String)> {
            let event = |line: &str| {
                let mut words = line.splitn(3, ' ');
                let (kind, at) = (words.next()?.to_owned(), words.next()?.parse().ok()?);
                Some((kind, at, words.next()?.to_owned()))
            };
            program.lines().iter().filter_map(|line| event(&line.text)).collect()
        };
        let (typed, seen) = (events(typist), events(viewer));
        let since = |from: f64, at: f64| Duration::from_secs_f64((at - from).max(0.0) / 1000.0);
        let (mut echoes, mut sights, mut lost) = (Vec::new(), Vec::new(), 0);
        for (_, from, line) in typed.iter().filter(|(kind, ..)| kind == "typed") {
            let echo = typed.iter().find(|(kind, _, of)| kind == "echoed" && of == line);
            echoes.extend(echo.map(|(_, at, _)| since(*from, *at)));
            // The browser's clock is in whole milliseconds.
            let sight = seen
                .iter()
                .find(|(kind, at, of)| kind == "seen" && *at + 1.0 >= *from && of.starts_with(line.as_str()));
            match sight {
                Some((_, at, _)) => sights.push(since(*from, *at)),
                None => lost += 1,
            }
        }
        Self { echoed: Spread::of(echoes), seen: Spread::of(sights), lost }
    }

    fn print(&self, name: &str, peer: &str) {
        let both = |spread: &Spread| {
            format!("p50 {} ms, p99 {} ms", spread.median().as_millis(), spread.at(99).as_millis())
        };
        let times = ratio(self.seen.median(), self.echoed.median());
        let mut remarks = vec![beside(peer, both(&self.echoed), times)];
        if self.lost > 0 {
            remarks.push(format!("{} keys were not seen", self.lost));
        }
        print(name, both(&self.seen), &remarks);
    }
}
