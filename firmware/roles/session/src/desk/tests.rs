use super::*;
use drawbridge_bus::bridge::Verification;
use drawbridge_bus::supervise::{Hold, Supervision as Wanted};
use drawbridge_bus::support::{EngineerKey, Level, Proof, Recording, Scope, Target, USUAL_GRACE};

const HERE: &str = "198.51.100.7";

struct Office {
    desk: Desk,
    _folder: tempfile::TempDir,
}

fn office() -> Office {
    let folder = tempfile::tempdir().unwrap();
    let approvals = Approvals::open(folder.path(), drawbridge_identity::vendor::VendorKeys::default());
    Office { desk: Desk::new(Identity::open(folder.path()).unwrap(), approvals), _folder: folder }
}

fn names() -> Names {
    Names {
        version: "1.2.3".to_owned(),
        serial: "4711".to_owned(),
        host: "nas-7".to_owned(),
        clock_holds: true,
    }
}

fn path() -> BridgePath {
    BridgePath {
        server: Target { host: "rss.example.com".parse().unwrap(), port: 443 },
        tls_name: None,
        verification: Verification::default(),
        hops: Vec::new(),
        proxy: None,
        interface: None,
        enrolment: Some(SecretText::new(Zeroizing::new("token".to_owned()))),
    }
}

fn request(proof: Proof) -> BridgeRequest {
    let secret = proof.needs_secret().then(|| match offer() {
        Reply::Secret(secret) => secret,
        other => panic!("no secret: {other:?}"),
    });
    let grant = GrantRequest {
        name: "case 4711".to_owned(),
        opener: "anna".to_owned(),
        reason: String::new(),
        level: Level::Direct,
        recording: Recording::Strict,
        grace_seconds: USUAL_GRACE,
        scope: Scope { targets: Vec::new(), shell: true, files: false, forwards: false },
        minutes: 60,
        proof,
        sources: Vec::new(),
    };
    BridgeRequest { grant, secret, path: path() }
}

/// Lowers the bridge as far as engineers can come in.
fn lower(desk: &mut Desk, request: BridgeRequest) -> GrantId {
    desk.check(&request).unwrap();
    let kept = keep_secret(&request, "nas-7").unwrap();
    let Reply::Opened(id) = desk.open(request, kept) else { panic!("not opened") };
    assert_eq!(desk.orders(), [Order::Begin(id)]);
    assert!(matches!(desk.sshd_orders(&names()), Reply::SshdOrders(_)));
    assert_eq!(state(desk), BridgeState::Opening, "the tunnel is not there yet");
    assert!(matches!(desk.tunnel_orders(&names()), Reply::TunnelOrders(_)));
    assert_eq!(state(desk), BridgeState::Open);
    id
}

fn status(desk: &Desk) -> BridgeStatus {
    match desk.status() {
        Reply::Bridge(status) => *status,
        other => panic!("no status: {other:?}"),
    }
}

fn state(desk: &Desk) -> BridgeState {
    status(desk).state
}

fn connect(desk: &mut Desk, connection: u64) -> Verdict {
    let ask = EngineerAsk::Connect { name: "bob\u{1b}".to_owned(), source: HERE.parse().unwrap() };
    desk.engineer(connection, ask)
}

#[test]
fn an_engineer_is_shown_from_his_proof_to_his_going_and_nobody_else_is() {
    let mut office = office();
    let desk = &mut office.desk;
    assert!(matches!(connect(desk, 1), Verdict::No { cut: true, .. }), "nothing is open");
    lower(desk, request(Proof::Secret));
    assert_eq!(connect(desk, 1), Verdict::Yes);
    assert!(status(desk).visitors.is_empty(), "he has proved nothing");
    assert!(matches!(desk.shell_scope(1, &names()), Reply::Refused(_)));
    desk.try_secret(1).unwrap();
    assert!(matches!(desk.secret(1, false), Verdict::No { cut: false, .. }));
    desk.try_secret(1).unwrap();
    assert_eq!(desk.secret(1, true), Verdict::Yes);
    let visitors = status(desk).visitors;
    assert_eq!((visitors.len(), visitors[0].name.as_str()), (1, "bob?"));
    assert!(matches!(desk.shell_scope(1, &names()), Reply::ShellScope(scope) if scope.engineer == "bob?"));
    assert_eq!(desk.engineer(1, EngineerAsk::May(EngineerUse::Shell)), Verdict::Yes);
    assert!(matches!(desk.engineer(1, EngineerAsk::May(EngineerUse::Files)), Verdict::No { cut: false, .. }));
    assert_eq!(desk.engineer(1, EngineerAsk::Gone), Verdict::Yes);
    assert!(status(desk).visitors.is_empty());
}

#[test]
fn a_bridge_that_is_raised_keeps_nothing_of_the_way_and_is_closed_when_nothing_is_left() {
    let mut office = office();
    let desk = &mut office.desk;
    lower(desk, request(Proof::Secret));
    assert_eq!(desk.close("anna"), Reply::Done);
    assert_eq!(desk.orders(), [Order::End, Order::Look]);
    assert!(desk.bridge.is_none());
    assert!(matches!(desk.tunnel_orders(&names()), Reply::Refused(_)));
    assert!(matches!(desk.sshd_orders(&names()), Reply::Refused(_)));
    assert_eq!(state(desk), BridgeState::Closing);
    desk.left(Leftovers { sockets: 1, ..Leftovers::default() });
    assert_eq!(state(desk), BridgeState::Closing);
    desk.left(Leftovers::default());
    assert_eq!(state(desk), BridgeState::Closed);
    assert_eq!(status(desk).last_end, "stopped by anna");
}

#[test]
fn a_tunnel_that_was_started_anew_is_not_connected_before_it_says_so() {
    let mut office = office();
    let desk = &mut office.desk;
    lower(desk, request(Proof::Secret));
    let connected = Link::Connected { system: "nas-7".to_owned(), takes_recordings: true };
    desk.tunnel_news(TunnelNews::Link(connected.clone()));
    assert_eq!(status(desk).link, connected);
    assert!(matches!(desk.tunnel_orders(&names()), Reply::TunnelOrders(_)));
    assert_eq!(status(desk).link, Link::Connecting);
}

#[test]
fn a_daemon_that_was_started_anew_has_nobody_in() {
    let mut office = office();
    let desk = &mut office.desk;
    lower(desk, request(Proof::Secret));
    connect(desk, 1);
    desk.try_secret(1).unwrap();
    desk.secret(1, true);
    assert!(matches!(desk.sshd_orders(&names()), Reply::SshdOrders(_)));
    assert!(status(desk).visitors.is_empty());
    assert!(matches!(desk.engineer(1, EngineerAsk::May(EngineerUse::Shell)), Verdict::No { cut: true, .. }));
}

#[test]
fn what_cannot_be_recorded_goes_on_only_where_that_was_chosen_and_for_somebody_who_is_in() {
    for (recording, goes_on) in [(Recording::Strict, false), (Recording::BreakGlass, true)] {
        let mut office = office();
        let desk = &mut office.desk;
        let ask = || EngineerAsk::Unrecorded("the disk is full\n".to_owned());
        assert!(matches!(desk.engineer(1, ask()), Verdict::No { cut: true, .. }), "nothing is open");
        let mut request = request(Proof::Secret);
        request.grant.recording = recording;
        lower(desk, request);
        connect(desk, 1);
        assert!(matches!(desk.engineer(1, ask()), Verdict::No { cut: true, .. }), "he has proved nothing");
        desk.try_secret(1).unwrap();
        desk.secret(1, true);
        assert_eq!(desk.engineer(1, ask()) == Verdict::Yes, goes_on);
        let Reply::ShellScope(scope) = desk.shell_scope(1, &names()) else { panic!("no scope") };
        assert_eq!(scope.recording, recording);
    }
}

#[test]
fn a_daemon_of_a_grant_is_the_first_one_until_it_has_had_its_orders() {
    let mut office = office();
    let desk = &mut office.desk;
    assert!(!desk.had_sshd());
    let request = request(Proof::Secret);
    let kept = keep_secret(&request, "nas-7").unwrap();
    assert!(matches!(desk.open(request, kept), Reply::Opened(_)));
    assert!(!desk.had_sshd());
    assert!(matches!(desk.sshd_orders(&names()), Reply::SshdOrders(_)));
    assert!(desk.had_sshd());
    desk.close("anna");
    desk.orders();
    assert!(!desk.had_sshd());
}

#[test]
fn an_enrolment_token_is_given_once_and_a_server_is_known_by_its_first_key() {
    let mut office = office();
    let desk = &mut office.desk;
    let key = desk.identity.host_line.clone();
    lower(desk, request(Proof::Secret));
    desk.tunnel_news(TunnelNews::ServerKey(key.clone()));
    desk.tunnel_news(TunnelNews::Enrolled);
    desk.tunnel_news(TunnelNews::ServerKey(desk.identity.login_line.clone()));
    let Reply::TunnelOrders(orders) = desk.tunnel_orders(&names()) else { panic!("no orders") };
    assert_eq!((orders.path.enrolment, orders.server_key), (None, Some(key)));
}

#[test]
fn a_request_is_refused_with_every_fault_of_it() {
    let mut office = office();
    let desk = &mut office.desk;
    let line = "-----BEGIN OPENSSH PRIVATE KEY-----".to_owned();
    let mut wrong = request(Proof::Key(vec![EngineerKey { line, authority: false, minutes: None }]));
    wrong.grant.minutes = 0;
    wrong.path.server.port = 0;
    let errors = desk.check(&wrong).unwrap_err();
    let fields: Vec<_> = errors.iter().map(|error| error.field.as_str()).collect();
    assert_eq!(fields, ["minutes", "path.server.port", "proof.keys[0].line"]);
    let mut weak = request(Proof::Secret);
    weak.secret = Some(SecretText::new(Zeroizing::new("case 4711 anna".to_owned())));
    assert_eq!(keep_secret(&weak, "nas-7").unwrap_err()[0].field, "secret");
    lower(desk, request(Proof::Secret));
    assert!(desk.check(&request(Proof::Secret)).unwrap_err()[0].wrong.contains("open already"));
}

#[test]
fn a_test_tells_its_steps_and_a_bridge_that_is_lowered_ends_it() {
    let mut office = office();
    let desk = &mut office.desk;
    assert_eq!(desk.test(path()), Reply::Done);
    assert_eq!(desk.orders(), [Order::BeginTest]);
    assert!(matches!(desk.test(path()), Reply::Refused(_)), "one at a time");
    let Reply::TunnelOrders(orders) = desk.tunnel_orders(&names()) else { panic!("no orders") };
    assert_eq!(orders.job, TunnelJob::Test);
    let step = |result, detail: &str| PathStep {
        number: 1,
        title: "The address of rss.example.com".to_owned(),
        result,
        detail: detail.to_owned(),
        milliseconds: 5,
    };
    desk.tunnel_news(TunnelNews::Step(step(StepResult::Running, "")));
    desk.tunnel_news(TunnelNews::Step(step(StepResult::Pass, "192.0.2.1")));
    desk.tunnel_news(TunnelNews::ServerKey(desk.identity.host_line.clone()));
    let told = Reply::TestSteps { steps: vec![step(StepResult::Pass, "192.0.2.1")], over: false };
    assert_eq!(desk.test_steps(), told);
    // A test keeps nothing of what it sees.
    assert_eq!(desk.identity.server_key("rss.example.com:443"), None);
    let wanted = request(Proof::Secret);
    let kept = keep_secret(&wanted, "nas-7").unwrap();
    let Reply::Opened(id) = desk.open(wanted, kept) else { panic!("not opened") };
    assert_eq!(desk.orders(), [Order::End, Order::Begin(id)]);
    assert!(matches!(desk.test_steps(), Reply::TestSteps { over: true, .. }));
}

#[test]
fn who_is_to_be_watched_waits_until_somebody_does_and_is_told_to_go_when_nobody_comes() {
    let mut office = office();
    let mut wanted = request(Proof::Secret);
    wanted.grant.level = Level::Watched;
    lower(&mut office.desk, wanted);
    assert_eq!(connect(&mut office.desk, 1), Verdict::Yes);
    assert_eq!(office.desk.engineer_orders(1), Reply::Refused(Refusal::NotNow), "he has proved nothing");
    office.desk.try_secret(1).unwrap();
    assert_eq!(office.desk.secret(1, true), Verdict::Yes);
    let orders = |desk: &mut Desk| match desk.engineer_orders(1) {
        Reply::EngineerOrders(orders) => *orders,
        other => panic!("{other:?}"),
    };
    assert!(matches!(orders(&mut office.desk).hold, Some(Hold::Unwatched { .. })));
    assert_eq!(office.desk.supervise(1, 7, "anna", Wanted::Watch), Reply::Done);
    let now = orders(&mut office.desk);
    assert_eq!((now.hold, now.watchers), (None, vec!["anna".to_owned()]));
    assert_eq!(office.desk.supervise(1, 7, "anna", Wanted::Pause), Reply::Done);
    assert_eq!(orders(&mut office.desk).hold, Some(Hold::Paused { by: "anna".to_owned() }));
    assert!(matches!(
        office.desk.supervise(1, 7, "anna", Wanted::Message("\u{7}".to_owned())),
        Reply::NotTaken(_)
    ));
    assert!(matches!(office.desk.propose(1, "status"), Reply::NotTaken(_)));
    assert_eq!(office.desk.supervise(1, 7, "anna", Wanted::End), Reply::Done);
    assert!(orders(&mut office.desk).end.is_some());
    assert_eq!(office.desk.supervise(2, 7, "anna", Wanted::Watch), Reply::Refused(Refusal::NotNow));
}

#[test]
fn a_session_by_a_grant_is_bounded_by_it_and_shown_with_it_and_a_second_one_is_refused() {
    use crate::approval::tests::{keys, request, signer, text};
    use drawbridge_identity::Serial;
    let vendor = signer("2026");
    let folder = tempfile::tempdir().unwrap();
    let approvals = Approvals::open(folder.path(), keys(&[&vendor]));
    let mut desk = Desk::new(Identity::open(folder.path()).unwrap(), approvals);
    let text = text(&vendor, |grant| {
        grant.serial = Serial::new("4711").unwrap();
        (grant.not_before, grant.not_after) = (0, u64::MAX);
    });
    let Reply::Grant(terms) = desk.check_grant(&text, &names()) else { panic!("not taken") };
    assert!(!terms.is_open);
    // Without the grant's key nothing is used up.
    let mut other = request();
    other.grant.minutes = 91;
    desk.check(&other).unwrap();
    assert!(
        matches!(desk.open_granted(other, None, &text, &names()), Reply::Invalid(errors) if errors[0].field == "minutes")
    );
    assert!(matches!(desk.open_granted(request(), None, &text, &names()), Reply::Opened(_)));
    assert_eq!(
        status(&desk).approved_by.map(|by| (by.case, by.id)),
        Some(("CASE-4711".to_owned(), terms.id))
    );
    assert!(matches!(desk.check_grant(&text, &names()), Reply::Grant(terms) if terms.is_open));
    assert!(matches!(desk.set_end(91), Reply::Invalid(errors) if errors[0].field == "minutes"));
    assert_eq!(desk.set_end(89), Reply::Done);
    // Neither beside the open one nor after it.
    assert!(matches!(desk.open_granted(request(), None, &text, &names()), Reply::Invalid(_)));
    desk.close("anna");
    desk.orders();
    desk.left(Leftovers::default());
    assert_eq!((state(&desk), status(&desk).approved_by), (BridgeState::Closed, None));
    for reply in [desk.check_grant(&text, &names()), desk.open_granted(request(), None, &text, &names())] {
        assert!(matches!(&reply, Reply::GrantRefused(fault) if fault.code == "grant-used"), "{reply:?}");
    }
}

/// What was told, as the codes and whom each is put down to.
fn told(desk: &mut Desk) -> Vec<(String, String)> {
    let draft = |draft: Draft| (draft.what.code().as_str().to_owned(), draft.who.name.as_str().to_owned());
    desk.told().into_iter().map(draft).collect()
}

fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(code, who)| ((*code).to_owned(), (*who).to_owned())).collect()
}

#[test]
fn the_audit_is_told_of_a_session_from_its_opening_to_its_end_in_order_and_of_no_secret() {
    let Office { mut desk, _folder } = office();
    let request = request(Proof::Secret);
    let secret = request.secret.as_ref().unwrap().reveal().to_owned();
    lower(&mut desk, request);
    assert_eq!(told(&mut desk), pairs(&[("SESSION_OPENED", "anna")]));
    let ask = |name: &str| EngineerAsk::Connect { name: name.to_owned(), source: HERE.parse().unwrap() };
    assert_eq!(desk.engineer(1, ask("maria")), Verdict::Yes);
    desk.try_secret(1).unwrap();
    assert!(matches!(desk.secret(1, false), Verdict::No { .. }));
    desk.try_secret(1).unwrap();
    assert_eq!(desk.secret(1, true), Verdict::Yes);
    let drafts = desk.told();
    assert!(drafts.iter().all(|draft| !draft.encode().contains(&secret)));
    assert!(drafts.iter().all(|draft| draft.from == Some(HERE.parse().unwrap()) && draft.grant.is_some()));
    assert!(drafts.iter().all(|draft| draft.endpoint.as_ref().unwrap().as_str() == "rss.example.com:443"));
    let codes: Vec<_> = drafts.iter().map(|draft| draft.what.code().as_str()).collect();
    assert_eq!(codes, ["ACCESS_DENIED", "ENGINEER_ARRIVED"]);
    desk.supervise(1, 9, "anna", Wanted::Watch);
    desk.supervise(1, 9, "anna", Wanted::Pause);
    desk.supervise(1, 9, "anna", Wanted::Message("look here".to_owned()));
    assert_eq!(told(&mut desk), pairs(&[("WATCH_BEGAN", "anna"), ("PAUSED", "anna"), ("MESSAGE", "anna")]));
    assert_eq!(desk.close("anna"), Reply::Done);
    assert_eq!(told(&mut desk), pairs(&[("SESSION_STOPPED", "anna"), ("ENGINEER_LEFT", "maria")]));
    desk.orders();
    desk.left(Leftovers::default());
    // The head of the audit's chain is for the receivers.
    assert_eq!(told(&mut desk), pairs(&[("AUDIT_HEAD", "appliance")]));
}

#[test]
fn the_audit_is_told_of_what_could_not_be_recorded_and_of_an_end_that_failed() {
    let Office { mut desk, _folder } = office();
    let mut glass = request(Proof::Secret);
    glass.grant.recording = Recording::BreakGlass;
    lower(&mut desk, glass);
    let ask = EngineerAsk::Connect { name: "maria".to_owned(), source: HERE.parse().unwrap() };
    desk.engineer(1, ask);
    desk.try_secret(1).unwrap();
    desk.secret(1, true);
    desk.told();
    assert_eq!(desk.engineer(1, EngineerAsk::Unrecorded("the disk is full".to_owned())), Verdict::Yes);
    assert_eq!(told(&mut desk), pairs(&[("BREAK_GLASS", "maria")]));
    assert_eq!(desk.unwritten(), Verdict::Yes);
    let left = Leftovers { processes: 1, ..Leftovers::default() };
    desk.close("anna");
    let begun = desk.now();
    desk.told();
    desk.machine.left(left, begun + 60_000);
    assert_eq!(told(&mut desk), pairs(&[("FAILED_TO_CLOSE", "appliance")]));
    assert!(matches!(desk.unwritten(), Verdict::No { cut: true, .. }));
}
