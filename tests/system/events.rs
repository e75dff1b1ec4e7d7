//! What an appliance writes down and records, and whom it tells: asked over the lab's line, and the syslog server that is told. It never decides
//! what is right.

use drawbridge_bus::audit::{AuditChecked, AuditState};
use drawbridge_bus::bridge::Verification;
use drawbridge_bus::notify::{
    Least, NoticeSecrets, NoticeStep, NoticeTest, Notices, NoticesChange, NoticesStatus, Receiver,
    ReceiverState, SyslogCarrier, SyslogNotices,
};
use drawbridge_bus::record::RecordingLine;
use drawbridge_bus::support::Target;
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_lab::net::{Namespace, Program};
use drawbridge_lab::{Lab, within};
use drawbridge_tests::Site;
use serde_json::Value;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_mins(1);

/// What has the name written down, as a setting that was changed.
pub(crate) fn telling(name: &str) -> Request {
    let event = serde_json::json!({
        "what": { "code": "SETTING_CHANGED", "setting": name, "change": { "kind": "secret" } },
        "who": { "kind": "owner", "name": "anna" },
    });
    Request::Tell(event.to_string())
}

/// Has something written down.
pub(crate) fn happen(site: &Site, name: &str) {
    assert_eq!(site.ask(Role::Session, &telling(name)), Reply::Done);
}

pub(crate) fn status(site: &Site) -> NoticesStatus {
    match site.ask(Role::Session, &Request::Notices) {
        Reply::Notices(status) => *status,
        other => panic!("{other:?}"),
    }
}

/// Waits until a receiver stands as wanted.
pub(crate) fn until(
    site: &Site,
    receiver: Receiver,
    what: &str,
    wanted: impl Fn(&ReceiverState) -> bool,
) -> ReceiverState {
    let end = Instant::now() + within(SOON);
    loop {
        let status = status(site);
        let state = status.states.iter().find(|state| state.receiver == receiver).unwrap();
        if wanted(state) {
            return state.clone();
        }
        assert!(Instant::now() < end, "{what}: {status:#?}\n{}", site.machine.serial().tail(30));
        // Nobody tells the lab of it.
        std::thread::sleep(Duration::from_millis(300));
    }
}

pub(crate) fn audit(site: &Site) -> AuditState {
    match site.ask(Role::Session, &Request::AuditState) {
        Reply::AuditState(state) => *state,
        other => panic!("{other:?}"),
    }
}

pub(crate) fn last(site: &Site) -> u64 {
    audit(site).range.map_or(0, |(_, last)| last)
}

/// Every event of the log.
pub(crate) fn events(site: &Site) -> Vec<Value> {
    let mut all: Vec<Value> = Vec::new();
    loop {
        let after = all.last().and_then(|event| event["sequence"].as_u64()).unwrap_or(0);
        match site.ask(Role::Session, &Request::AuditAfter { after, most: 20, wait: false }) {
            Reply::AuditLines(lines) if lines.lines.is_empty() => return all,
            Reply::AuditLines(lines) => {
                all.extend(lines.lines.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()));
            }
            other => panic!("{other:?}"),
        }
    }
}

pub(crate) fn key(site: &Site) -> String {
    match site.ask(Role::Session, &Request::DeviceKeys) {
        Reply::DeviceKeys(keys) => keys.evidence_fingerprint,
        other => panic!("{other:?}"),
    }
}

/// Waits until all of the log is signed.
pub(crate) fn proved(site: &Site) -> AuditChecked {
    let end = Instant::now() + within(SOON);
    loop {
        match site.ask(Role::Session, &Request::AuditVerify) {
            Reply::AuditChecked(checked) if checked.proved >= last(site) => return *checked,
            Reply::AuditChecked(checked) => assert!(Instant::now() < end, "{checked:#?}"),
            other => panic!("{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}

/// All recordings that the appliance lists, once none runs and each is signed to its end.
pub(crate) fn recordings(site: &Site) -> Vec<RecordingLine> {
    let end = Instant::now() + within(SOON);
    let mut all: Vec<RecordingLine> = Vec::new();
    loop {
        let before = all.last().map(|line| line.id.clone());
        match site.ask(Role::Recorder, &Request::Recordings { before }) {
            Reply::Recordings(lines) if lines.is_empty() => return all,
            Reply::Recordings(lines) if lines.iter().all(|line| !line.running && line.head.is_some()) => {
                all.extend(lines);
            }
            Reply::Recordings(lines) => assert!(Instant::now() < end, "{lines:#?}"),
            other => panic!("no recordings: {other:?}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// A syslog server by TCP on port 514, and the file that it writes.
pub(crate) fn syslog(lab: &Lab, place: &Namespace) -> (Program, PathBuf) {
    let out = lab.folder().join("syslog");
    let configuration = format!(
        "global(workDirectory=\"{0}\" maxMessageSize=\"16k\")\nmodule(load=\"imtcp\")\n\
         input(type=\"imtcp\" port=\"514\")\n\
         template(name=\"raw\" type=\"string\" string=\"%structured-data% %msg%\\n\")\n\
         action(type=\"omfile\" file=\"{1}\" template=\"raw\")\n",
        lab.folder().display(),
        out.display()
    );
    let file = lab.folder().join("rsyslog.conf");
    std::fs::write(&file, configuration).unwrap();
    let pid = lab.folder().join("rsyslog.pid");
    let words = ["-n", "-f", file.to_str().unwrap(), "-i", pid.to_str().unwrap()];
    (place.run("/usr/sbin/rsyslogd", words).unwrap(), out)
}

/// Telling such a server.
pub(crate) fn to_syslog(server: Ipv4Addr) -> SyslogNotices {
    SyslogNotices {
        server: Target { host: server.to_string().parse().unwrap(), port: 514 },
        carrier: SyslogCarrier::Tcp,
        verification: Verification::default(),
        facility: 13,
        least: Least::Notice,
    }
}

/// Sets who is told.
pub(crate) fn tell(site: &Site, notices: Notices, secrets: NoticeSecrets) {
    let change = NoticesChange { by: "anna".to_owned(), notices, secrets };
    let reply = site.ask(Role::Session, &Request::SetNotices(Box::new(change)));
    assert!(matches!(reply, Reply::Notices(_)), "{reply:?}");
}

/// Tries a receiver as a person of this name does, and gives what each step came to.
pub(crate) fn trial(site: &Site, by: &str, receiver: Receiver, to: Option<&str>) -> Vec<NoticeStep> {
    let test = NoticeTest { by: by.to_owned(), receiver, to: to.map(str::to_owned) };
    assert_eq!(site.ask(Role::Session, &Request::TestNotices(Box::new(test))), Reply::Done);
    let end = Instant::now() + within(SOON);
    loop {
        match site.ask(Role::Session, &Request::NoticeSteps) {
            Reply::NoticeSteps { steps, over: true } => return steps,
            other => assert!(Instant::now() < end, "{other:?}"),
        }
        std::thread::sleep(Duration::from_millis(300));
    }
}
