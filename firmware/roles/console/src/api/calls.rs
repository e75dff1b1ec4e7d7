//! Which calls there are, and who may ask for each: one table, and the way from a path to its line. It carries none out.

use hyper::Method;

/// Who may ask for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Access {
    /// Anybody.
    Open,
    /// Anybody, with credentials of his own in each call: the array's own pages, which have no cookie of ours.
    Credentials,
    /// Whoever has logged in.
    Look,
    /// Whoever has logged in, and not by a grant: what belongs to the owner alone.
    Own,
    /// Whoever may change something, and who has come by a grant, within it.
    Support,
    /// Whoever may change something.
    Change,
}

/// A call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    Session,
    LogIn,
    LogOut,
    Challenge,
    ChallengeResponse,
    Bridge,
    BridgeLast,
    OfferSecret,
    CheckGrant,
    OpenBridge,
    CloseBridge,
    SetEnd,
    Supervise,
    Test,
    Steps,
    Device,
    Profile,
    Network,
    NetworkSettings,
    ChangeNetwork,
    ConfirmNetwork,
    RevertNetwork,
    Certificate,
    Upload,
    CertificateRequest,
    SelfSigned,
    Array,
    SetArray,
    ProbeArray,
    SupportKeys,
    SetSupportKeys,
    Health,
    Log,
    LogFile,
    Recordings,
    RecordingKey,
    SetRecordingKey,
    KeptRecordings,
    KeptRecordingFile,
    RecordingFile,
    RecordingEvents,
    PlayRecording,
    SearchRecording,
    RecordingCast,
    Audit,
    AuditState,
    ExportAudit,
    AuditBundle,
    VerifyAudit,
    Notices,
    SetNotices,
    TestNotices,
    NoticeSteps,
    Live,
    Screen,
    Reload,
    Power,
    Events,
    Description,
    Support,
    SupportStatus,
    SupportTerminate,
}

/// All calls: method, path behind [`ROOT`] (`*` stands for one segment), who may, which.
pub(super) const CALLS: &[(Method, &str, Access, Call)] = &[
    (Method::GET, "session", Access::Open, Call::Session),
    (Method::POST, "session", Access::Open, Call::LogIn),
    (Method::DELETE, "session", Access::Look, Call::LogOut),
    (Method::POST, "challenge", Access::Open, Call::Challenge),
    (Method::POST, "challenge/response", Access::Open, Call::ChallengeResponse),
    (Method::GET, "bridge", Access::Look, Call::Bridge),
    (Method::GET, "bridge/last", Access::Look, Call::BridgeLast),
    (Method::POST, "bridge/secret", Access::Change, Call::OfferSecret),
    (Method::POST, "bridge", Access::Support, Call::OpenBridge),
    (Method::DELETE, "bridge", Access::Support, Call::CloseBridge),
    (Method::PUT, "bridge/end", Access::Support, Call::SetEnd),
    (Method::POST, "bridge/visitors/*", Access::Change, Call::Supervise),
    (Method::POST, "bridge/test", Access::Support, Call::Test),
    (Method::GET, "bridge/test", Access::Look, Call::Steps),
    (Method::POST, "grant", Access::Change, Call::CheckGrant),
    (Method::GET, "device", Access::Look, Call::Device),
    (Method::GET, "profile", Access::Look, Call::Profile),
    (Method::GET, "network", Access::Look, Call::Network),
    (Method::GET, "network/settings", Access::Look, Call::NetworkSettings),
    (Method::PUT, "network/settings", Access::Change, Call::ChangeNetwork),
    (Method::POST, "network/changes/*/confirm", Access::Change, Call::ConfirmNetwork),
    (Method::DELETE, "network/changes/*", Access::Change, Call::RevertNetwork),
    (Method::GET, "certificate", Access::Look, Call::Certificate),
    (Method::PUT, "certificate", Access::Change, Call::Upload),
    (Method::POST, "certificate/request", Access::Change, Call::CertificateRequest),
    (Method::POST, "certificate/self-signed", Access::Change, Call::SelfSigned),
    (Method::GET, "array", Access::Look, Call::Array),
    (Method::PUT, "array", Access::Change, Call::SetArray),
    (Method::POST, "array/probe", Access::Change, Call::ProbeArray),
    (Method::GET, "support-keys", Access::Look, Call::SupportKeys),
    (Method::PUT, "support-keys", Access::Change, Call::SetSupportKeys),
    (Method::GET, "health", Access::Look, Call::Health),
    (Method::GET, "log", Access::Look, Call::Log),
    (Method::GET, "log.txt", Access::Look, Call::LogFile),
    (Method::GET, "recordings", Access::Look, Call::Recordings),
    // Before those of one recording: no recording is called so.
    (Method::GET, "recordings/encryption", Access::Look, Call::RecordingKey),
    (Method::PUT, "recordings/encryption", Access::Change, Call::SetRecordingKey),
    (Method::GET, "recordings/server", Access::Look, Call::KeptRecordings),
    (Method::GET, "recordings/server/*", Access::Look, Call::KeptRecordingFile),
    (Method::GET, "recordings/*", Access::Look, Call::RecordingFile),
    (Method::GET, "recordings/*/events", Access::Look, Call::RecordingEvents),
    (Method::GET, "recordings/*/play", Access::Look, Call::PlayRecording),
    (Method::GET, "recordings/*/search", Access::Look, Call::SearchRecording),
    (Method::GET, "recordings/*/cast", Access::Look, Call::RecordingCast),
    (Method::GET, "audit", Access::Own, Call::Audit),
    (Method::GET, "audit/state", Access::Own, Call::AuditState),
    (Method::GET, "audit/export", Access::Change, Call::ExportAudit),
    (Method::GET, "audit/bundle", Access::Change, Call::AuditBundle),
    (Method::POST, "audit/verify", Access::Change, Call::VerifyAudit),
    (Method::GET, "notifications", Access::Own, Call::Notices),
    (Method::PUT, "notifications", Access::Change, Call::SetNotices),
    (Method::POST, "notifications/test", Access::Change, Call::TestNotices),
    (Method::GET, "notifications/test", Access::Own, Call::NoticeSteps),
    (Method::GET, "live", Access::Look, Call::Live),
    (Method::GET, "live/*", Access::Look, Call::Screen),
    (Method::POST, "service/reload", Access::Change, Call::Reload),
    (Method::POST, "power", Access::Change, Call::Power),
    (Method::GET, "events", Access::Look, Call::Events),
    (Method::GET, "openapi.json", Access::Open, Call::Description),
    (Method::POST, "support", Access::Credentials, Call::Support),
    (Method::POST, "support/status", Access::Credentials, Call::SupportStatus),
    (Method::POST, "support/terminate", Access::Credentials, Call::SupportTerminate),
];

/// What came of looking for a call.
pub(super) enum Found<'p> {
    Call(Access, Call, &'p str),
    /// The path is there, for these methods.
    Methods(Vec<&'static str>),
    Nothing,
}

/// The part of the path that the star stands for (nothing without one), where the path is as the pattern says.
fn matches<'p>(pattern: &str, path: &'p str) -> Option<&'p str> {
    let mut star = "";
    let mut given = path.split('/');
    for wanted in pattern.split('/') {
        let segment = given.next()?;
        if wanted == "*" {
            star = segment;
        } else if wanted != segment {
            return None;
        }
    }
    given.next().is_none().then_some(star)
}

/// Which call a method and a path behind [`ROOT`] mean.
pub(super) fn find<'p>(method: &Method, path: &'p str) -> Found<'p> {
    let mut methods = Vec::new();
    for (wanted, pattern, access, call) in CALLS {
        if let Some(star) = matches(pattern, path) {
            if wanted == method {
                return Found::Call(*access, *call, star);
            }
            methods.push(wanted.as_str());
        }
    }
    if methods.is_empty() { Found::Nothing } else { Found::Methods(methods) }
}

#[cfg(test)]
mod tests {
    use super::super::{OPENAPI, ROOT};
    use super::*;

    #[test]
    fn only_these_calls_are_open() {
        let open: Vec<_> = (CALLS.iter().filter(|(_, _, access, _)| *access == Access::Open))
            .map(|(method, path, ..)| (method.as_str(), *path))
            .collect();
        assert_eq!(
            open,
            [
                ("GET", "session"),
                ("POST", "session"),
                ("POST", "challenge"),
                ("POST", "challenge/response"),
                ("GET", "openapi.json"),
            ]
        );
    }

    #[test]
    fn whoever_only_looks_changes_nothing() {
        for (method, path, access, _) in CALLS {
            let looks = method.is_safe() || *path == "session";
            assert!(looks || *access != Access::Look, "{method} {path}");
        }
    }

    #[test]
    fn a_path_is_as_it_is_written_and_no_other() {
        let is_call = |path: &str| matches!(find(&Method::GET, path), Found::Call(..));
        assert!(is_call("bridge"));
        for path in [
            "Bridge",
            "bridge/",
            "/bridge",
            "bridge;x",
            "%62ridge",
            "bridge//last",
            "./bridge",
            "bridge%2flast",
            "",
        ] {
            assert!(!is_call(path), "{path}");
        }
        assert_eq!(matches("network/changes/*/confirm", "network/changes/ab/confirm"), Some("ab"));
        assert_eq!(matches("network/changes/*", "network/changes/ab/confirm"), None);
    }

    #[test]
    fn the_description_has_each_call_and_no_other() {
        let description: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let mut described = Vec::new();
        for (path, item) in description["paths"].as_object().unwrap() {
            for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
                described
                    .push((method.to_uppercase(), path.strip_prefix(ROOT).unwrap().replace("{id}", "*")));
            }
        }
        let mut calls: Vec<_> =
            CALLS.iter().map(|(method, path, ..)| (method.to_string(), (*path).to_owned())).collect();
        described.sort();
        calls.sort();
        assert_eq!(described, calls);
    }
}
