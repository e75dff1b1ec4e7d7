//! What happens is written down by the appliance, and told to the array, a syslog server and people's mail: in order, once each, whatever
//! of them is down meanwhile.

use crate::events::{events, happen, key, last, proved, syslog, tell, to_syslog, trial, until};
use crate::kept::verify;
use drawbridge_bus::bridge::SecretText;
use drawbridge_bus::notify::{ArrayNotices, ArrayStyle, Least, NoticeSecrets, Notices, Receiver};
use drawbridge_bus::{ClockState, Reply, Request, Role};
use drawbridge_lab::array::HostedArray;
use drawbridge_lab::net::{HostConfig, Namespace, NamespaceConfig, Network, NtpServer};
use drawbridge_lab::vendor::beside;
use drawbridge_lab::{Lab, NicModel, within};
use drawbridge_tests::{Image, Site, SitePlan};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

const SETTINGS: &str = r#"{"interfaces": [
    {"name": "management", "at": {"port": "{management}"}, "roles": ["management"],
     "ipv4": {"static": {"address": "10.0.2.20/24"}}, "ipv6": "off"},
    {"name": "array", "at": {"port": "{array}"}, "roles": ["array"],
     "ipv4": {"static": {"address": "10.0.3.20/24"}}, "ipv6": "off"}]}"#;

const ARRAY: Ipv4Addr = Ipv4Addr::new(10, 0, 3, 10);
const SYSLOG: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 5);
const CLOCK: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 6);
const PASSWORD: &str = "three-keys-on-a-ring";

fn codes(events: &[Value]) -> Vec<String> {
    events.iter().map(|event| event["what"]["code"].as_str().unwrap().to_owned()).collect()
}

/// The log as it is given away.
fn fetch(site: &Site, folder: &Path) -> PathBuf {
    let folder = folder.join("audit");
    let Reply::AuditFiles(files) = site.ask(Role::Session, &Request::AuditFiles) else { panic!("no files") };
    for (name, length) in files {
        let mut content = Vec::new();
        while (content.len() as u64) < length {
            let (file, offset) = (name.clone(), content.len() as u64);
            match site.ask(Role::Session, &Request::AuditPart { file, offset, most: 16 * 1024 }) {
                Reply::AuditPart(bytes, _) if !bytes.is_empty() => content.extend_from_slice(&bytes),
                other => panic!("{name} at {offset}: {other:?}"),
            }
        }
        content.truncate(usize::try_from(length).unwrap());
        let path = folder.join(&name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, content).unwrap();
    }
    folder
}

/// An array, a syslog server, and an appliance between them that was told of neither.
struct Stage {
    array: HostedArray,
    rsyslog: drawbridge_lab::net::Program,
    site: Site,
    /// What the syslog server has written.
    out: PathBuf,
    /// By which the appliance's clock is driven.
    clock: NtpServer,
    /// They last as long as what runs in them.
    _places: [(Namespace, Network); 2],
}

impl Stage {
    fn set(lab: &Lab) -> Self {
        let (management, inside) =
            (Network::new(lab, "management").unwrap(), Network::new(lab, "array").unwrap());
        let office = management.namespace("office", &NamespaceConfig::new().ipv4(SYSLOG, 24)).unwrap();
        let beyond = inside.namespace("array", &NamespaceConfig::new().ipv4(ARRAY, 24)).unwrap();
        let program =
            beside("lab").expect("the lab's program beside the tests: cargo build -p drawbridge-lab");
        let array = HostedArray::start(&beyond, &program, (ARRAY, 443).into(), &["box1.lab"], None).unwrap();
        array.tell(&format!("user poster {PASSWORD} ADMIN")).unwrap();
        let (rsyslog, out) = syslog(lab, &office);
        let clock = management.host(HostConfig::new("clock").ipv4(CLOCK, 24)).serve_ntp().unwrap();
        let ports =
            vec![("management", NicModel::VirtioNet, &management), ("array", NicModel::VirtioNet, &inside)];
        let site = Site::boot(lab, &Image::here(), SitePlan::new(ports).settings(SETTINGS));
        site.has("management", Ipv4Addr::new(10, 0, 2, 20));
        site.has("array", Ipv4Addr::new(10, 0, 3, 20));
        Self { array, rsyslog, site, out, clock, _places: [(office, management), (beyond, inside)] }
    }

    /// Has both told of what comes.
    fn tell_both(&self) {
        let notices = Notices {
            array: Some(ArrayNotices {
                host: ARRAY.to_string().parse().unwrap(),
                certificate: Some(self.array.fingerprint()),
                uploaded: Vec::new(),
                user: "poster".to_owned(),
                style: ArrayStyle::Custom,
                vendor_only: false,
                least: Least::Notice,
            }),
            syslog: Some(to_syslog(SYSLOG)),
            mail: None,
        };
        let password = SecretText::new(PASSWORD.to_owned().into());
        let secrets = NoticeSecrets { array: Some(password), mail: None };
        tell(&self.site, notices, secrets);
    }

    /// Lets an hour pass by the appliance's clock.
    fn an_hour_passes(&self) {
        self.clock.set_offset(3600);
        // Other settings have the servers asked at once.
        let settings = SETTINGS.replacen('{', "{\"time_servers\": [\"10.0.2.6\"], ", 1);
        let change = self.site.change(&settings);
        self.site.confirm(change.id);
        let end = Instant::now() + within(Duration::from_mins(1));
        loop {
            let clock = match self.site.ask(Role::Init, &Request::Status) {
                Reply::Status(status) => status.clock,
                other => panic!("not a status: {other:?}"),
            };
            if matches!(&clock, ClockState::Synchronised { milliseconds, .. } if (3_500_000..3_700_000).contains(milliseconds))
            {
                return;
            }
            assert!(Instant::now() < end, "no hour has passed: {clock:?}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// The numbers of the events in the array's log, as it lists them.
    fn posted(&self) -> Vec<u64> {
        let number = |line: &str| {
            let event: Value = serde_json::from_str(line).unwrap();
            let data = event["data"].as_array()?;
            let datum =
                |name: &str| data.iter().find(|one| one["name"] == name).map(|one| one["value"].clone());
            (datum("source")? == "drawbridge").then(|| datum("sequence")?.as_str()?.parse().ok()).flatten()
        };
        // What is numbered 0 was a test.
        self.array.tell("events").unwrap().lines().filter_map(number).filter(|number| *number > 0).collect()
    }
}

#[test]
fn what_happens_reaches_array_and_syslog_in_order_once_each_whichever_is_down_and_the_log_verifies() {
    let lab = Lab::new("told");
    let stage = Stage::set(&lab);
    let Stage { array, site, .. } = &stage;
    assert_eq!(codes(&events(site)), ["POWER"]);

    // The array is down from the beginning.
    array.tell("down").unwrap();
    stage.tell_both();
    for number in 0..5 {
        happen(site, &format!("first {number}"));
    }
    let now = last(site);
    until(site, Receiver::Syslog, "syslog has all", |state| state.settled >= now);
    let waits =
        until(site, Receiver::Array, "the array is seen to be down", |state| state.is_up == Some(false));
    assert!(waits.backlog >= 5 && waits.error.is_some(), "{waits:?}");
    stage.an_hour_passes();
    for number in 0..5 {
        happen(site, &format!("an hour later {number}"));
    }
    let waits = until(site, Receiver::Array, "it is still down", |state| state.backlog >= 10);
    assert!(waits.is_up == Some(false), "{waits:?}");
    array.tell("up").unwrap();
    let steps = trial(site, "anna", Receiver::Array, None);
    assert!(!steps.is_empty() && steps.iter().all(|step| step.worked), "{steps:#?}");
    for number in 0..5 {
        happen(site, &format!("second {number}"));
    }
    let now = last(site);
    until(site, Receiver::Array, "the array has all", |state| state.settled >= now);
    until(site, Receiver::Syslog, "syslog has all", |state| state.settled >= now);

    let all = events(site);
    let wanted: Vec<u64> = all
        .iter()
        .filter(|event| event["severity"] != "info" && event["what"]["code"] != "POWER")
        .map(|event| event["sequence"].as_u64().unwrap())
        .collect();
    assert!(wanted.len() >= 17, "{:?}", codes(&all));
    let posted = stage.posted();
    let mut in_order = posted.clone();
    in_order.sort_unstable();
    assert!(posted == in_order || posted.iter().rev().eq(in_order.iter()), "{posted:?}");
    assert_eq!(in_order, wanted, "{:?}", codes(&all));
    let said = std::fs::read_to_string(&stage.out).unwrap();
    let mut from = 0;
    let names = ["first", "an hour later", "second"];
    for name in names.iter().flat_map(|name| (0..5).map(move |number| format!("{name} {number}"))) {
        assert_eq!(said.matches(&name).count(), 1, "{name} once: {said}");
        let at = said.find(&name).unwrap();
        assert!(at > from, "{name} in its order: {said}");
        from = at;
    }
    assert!(stage.rsyslog.runs(), "{}", stage.rsyslog.text());
    for (text, what) in [(said.as_str(), "syslog"), (&array.tell("events").unwrap(), "the array")] {
        assert!(!text.contains(PASSWORD), "the password is at {what}");
    }
    let checked = proved(site);
    assert_eq!(checked.faults, Vec::<String>::new());
    is_found(&fetch(site, lab.folder()), &key(site));
}

/// It verifies as it is, and with a byte changed it does not.
fn is_found(folder: &Path, key: &str) {
    let (status, said) = verify(folder, key);
    assert_eq!(status, Some(0), "{said}");
    for name in ["00000001/chain.jsonl", "00000001/events.jsonl"] {
        let path = folder.join(name);
        let content = std::fs::read(&path).unwrap();
        let mut other = content.clone();
        let middle = other.len() / 2;
        other[middle] ^= 1;
        std::fs::write(&path, other).unwrap();
        let (status, said) = verify(folder, key);
        assert_ne!(status, Some(0), "{name}: {said}");
        std::fs::write(&path, content).unwrap();
    }
}
