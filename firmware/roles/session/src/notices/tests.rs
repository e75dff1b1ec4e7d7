use super::*;
use crate::identity::Identity;
use drawbridge_bus::bridge::Verification;
use drawbridge_bus::notify::{Least, MailNotices, MailSecurity, SyslogCarrier, SyslogNotices};
use drawbridge_bus::support::Target;

const PASSWORD: &str = "three-keys-on-a-ring";

struct Bench(tempfile::TempDir);

impl Bench {
    fn desk(&self) -> NoticeDesk {
        NoticeDesk::open(self.0.path(), Identity::open(self.0.path()).unwrap().evidence())
    }
}

fn bench() -> Bench {
    Bench(tempfile::tempdir().unwrap())
}

fn mail(user: Option<&str>) -> MailNotices {
    MailNotices {
        server: Target { host: "mail.example.com".parse().unwrap(), port: 587 },
        security: MailSecurity::StartTls,
        verification: Verification::default(),
        user: user.map(str::to_owned),
        from: "sa@example.com".to_owned(),
        to: vec!["anna@example.com".to_owned()],
        least: Least::Notice,
    }
}

fn syslog() -> SyslogNotices {
    SyslogNotices {
        server: Target { host: "192.0.2.1".parse().unwrap(), port: 6514 },
        carrier: SyslogCarrier::Tls,
        verification: Verification::default(),
        facility: 13,
        least: Least::Info,
    }
}

fn change(notices: Notices, mail: Option<&str>) -> NoticesChange {
    let secrets =
        NoticeSecrets { array: None, mail: mail.map(|text| SecretText::new(text.to_owned().into())) };
    NoticesChange { by: "anna".to_owned(), notices, secrets }
}

fn system() -> CourierSystem {
    CourierSystem {
        name: "sa".to_owned(),
        serial: "1001".to_owned(),
        version: "1".to_owned(),
        vendor: "Vendor".to_owned(),
    }
}

/// What a courier that has just started gets.
fn orders(desk: &mut NoticeDesk) -> CourierOrders {
    given(desk, true)
}

/// What it gets the next time.
fn asked_again(desk: &mut NoticeDesk) -> CourierOrders {
    given(desk, false)
}

fn given(desk: &mut NoticeDesk, first: bool) -> CourierOrders {
    match desk.orders(system(), first) {
        Reply::CourierOrders(orders) => *orders,
        other => panic!("{other:?}"),
    }
}

fn settled(receiver: Receiver, settled: u64) -> CourierNews {
    CourierNews::State(Box::new(ReceiverState {
        receiver,
        is_up: Some(true),
        since_ms: 1,
        settled,
        backlog: 0,
        oldest_ms: None,
        error: None,
        next_try_ms: None,
    }))
}

#[test]
fn settings_and_password_outlive_the_role_and_the_password_is_not_on_the_disk_in_the_clear() {
    let bench = bench();
    let mut desk = bench.desk();
    assert!(!desk.wants_courier());
    let wanted = Notices { mail: Some(mail(Some("sa"))), ..Notices::default() };
    let reply = desk.set(&change(wanted.clone(), None), 5);
    assert!(matches!(&reply, Reply::Invalid(errors) if errors[0].field == "mail.password"), "{reply:?}");
    let reply = desk.set(&change(wanted.clone(), Some(PASSWORD)), 5);
    assert!(matches!(&reply, Reply::Notices(status) if status.has_password == (false, true)), "{reply:?}");
    let told = desk.told();
    // Where, trusted by whom, and the password.
    assert_eq!(told.len(), 3);
    assert!(told.iter().all(|draft| !draft.encode().contains(PASSWORD)), "{told:?}");
    drop(desk);
    for entry in std::fs::read_dir(bench.0.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let has = bytes.windows(PASSWORD.len()).any(|part| part == PASSWORD.as_bytes());
            assert!(!has, "{}", path.display());
        }
    }
    let mut again = bench.desk();
    let orders = orders(&mut again);
    assert_eq!(orders.notices, wanted);
    assert_eq!(orders.secrets.mail.unwrap().reveal(), PASSWORD);
    assert_eq!(orders.settled, [(Receiver::Mail, 5)]);
}

#[test]
fn a_password_is_kept_for_its_user_at_its_server_only() {
    let bench = bench();
    let mut desk = bench.desk();
    let first = Notices { mail: Some(mail(Some("sa"))), ..Notices::default() };
    desk.set(&change(first.clone(), Some(PASSWORD)), 0);
    let more = Notices {
        mail: Some(MailNotices { to: vec!["bert@example.com".to_owned()], ..mail(Some("sa")) }),
        ..Notices::default()
    };
    assert!(matches!(desk.set(&change(more, None), 0), Reply::Notices(_)));
    let elsewhere = Target { host: "evil.example.com".parse().unwrap(), port: 587 };
    for other in [mail(Some("root")), MailNotices { server: elsewhere, ..mail(Some("sa")) }] {
        let other = Notices { mail: Some(other), ..Notices::default() };
        assert!(matches!(desk.set(&change(other, None), 0), Reply::Invalid(_)));
    }
    let without = Notices { mail: Some(mail(None)), ..Notices::default() };
    assert!(matches!(desk.set(&change(without, None), 0), Reply::Notices(status) if !status.has_password.1));
}

#[test]
fn whoever_is_set_is_told_what_comes_after_it_and_how_far_he_is_outlives_the_role() {
    let bench = bench();
    let mut desk = bench.desk();
    let both = Notices { mail: Some(mail(None)), syslog: Some(syslog()), ..Notices::default() };
    desk.set(&change(both.clone(), None), 7);
    assert_eq!(desk.settled_by_all(), Some(7));
    assert_eq!(desk.news(settled(Receiver::Syslog, 12)), Reply::Done);
    // Nobody goes back.
    desk.news(settled(Receiver::Syslog, 3));
    assert_eq!((desk.settled_by_all(), desk.highest()), (Some(7), 12));
    desk.news(settled(Receiver::Mail, 9));
    drop(desk);
    let mut again = bench.desk();
    assert_eq!(orders(&mut again).settled, [(Receiver::Syslog, 12), (Receiver::Mail, 9)]);
    // One that was not set for a while is not told of that while.
    again.set(&change(Notices { mail: Some(mail(None)), ..Notices::default() }, None), 20);
    assert!(matches!(again.news(settled(Receiver::Syslog, 30)), Reply::Refused(_)));
    again.set(&change(both, None), 40);
    assert_eq!(orders(&mut again).settled, [(Receiver::Syslog, 40), (Receiver::Mail, 9)]);
}

#[test]
fn a_test_is_given_to_the_courier_once_and_its_end_is_told() {
    let bench = bench();
    let mut desk = bench.desk();
    let test =
        |receiver| NoticeTest { by: "anna".to_owned(), receiver, to: Some("bert@example.com".to_owned()) };
    assert!(matches!(desk.test(test(Receiver::Mail)), Reply::NotTaken(_)));
    desk.set(&change(Notices { mail: Some(mail(None)), ..Notices::default() }, None), 0);
    desk.told();
    assert_eq!(desk.test(test(Receiver::Mail)), Reply::Done);
    assert!(matches!(desk.test(test(Receiver::Mail)), Reply::NotTaken(_)));
    assert_eq!(orders(&mut desk).test, Some(test(Receiver::Mail)));
    assert_eq!(asked_again(&mut desk).test, None);
    assert_eq!(desk.steps(), Reply::NoticeSteps { steps: Vec::new(), over: false });
    let step = NoticeStep {
        title: "Connection".to_owned(),
        worked: false,
        detail: "Nobody answers.".to_owned(),
        remedy: "See the server.".to_owned(),
    };
    desk.news(CourierNews::Tested(vec![step.clone()]));
    assert_eq!(desk.steps(), Reply::NoticeSteps { steps: vec![step], over: true });
    let told = desk.told();
    assert_eq!(told.len(), 1);
    assert!(told[0].encode().contains("DELIVERY_TESTED") && told[0].encode().contains("bert@example.com"));
}

#[test]
fn a_test_waits_for_a_courier_with_the_settings_of_now_and_one_that_was_cut_short_says_so() {
    let bench = bench();
    let mut desk = bench.desk();
    let test = NoticeTest { by: "anna".to_owned(), receiver: Receiver::Mail, to: None };
    let set = |desk: &mut NoticeDesk, to: &str| {
        let mail = MailNotices { to: vec![to.to_owned()], ..mail(None) };
        desk.set(&change(Notices { mail: Some(mail), ..Notices::default() }, None), 0);
    };
    set(&mut desk, "anna@example.com");
    assert_eq!(orders(&mut desk).test, None);
    // Changed and tested before the courier has asked again: the process that has the old settings ends without it.
    set(&mut desk, "otto@example.com");
    assert_eq!(desk.test(test.clone()), Reply::Done);
    assert_eq!(asked_again(&mut desk).test, None);
    assert_eq!(orders(&mut desk).test, Some(test.clone()));
    assert_eq!(desk.steps(), Reply::NoticeSteps { steps: Vec::new(), over: false });
    // The one that did it is no more.
    assert_eq!(orders(&mut desk).test, None);
    let Reply::NoticeSteps { steps, over: true } = desk.steps() else { panic!() };
    assert!(matches!(&steps[..], [step] if !step.worked && step.detail.contains("cut short")), "{steps:?}");
    // And the next one works.
    assert_eq!(desk.test(test.clone()), Reply::Done);
    assert_eq!(asked_again(&mut desk).test, Some(test));
}

/// The settings that were told as changed, and what they were changed to.
fn changed(desk: &mut NoticeDesk) -> Vec<(String, String)> {
    let told = desk.told();
    let one = |draft: &Draft| match &draft.what {
        What::SettingChanged { setting, change: Change::Plain { new, .. } } => {
            (setting.to_string(), new.as_ref().map_or_else(String::new, ToString::to_string))
        }
        other => panic!("{other:?}"),
    };
    told.iter().map(one).collect()
}

#[test]
fn whom_a_receiver_is_trusted_by_and_each_of_its_recipients_are_in_the_audit_when_they_change() {
    let bench = bench();
    let mut desk = bench.desk();
    let with = |mail: MailNotices| change(Notices { mail: Some(mail), ..Notices::default() }, None);
    let mut now = MailNotices {
        // More than fits a text of the audit.
        to: (0..20).map(|number| format!("somebody.{number:02}@department.example.com")).collect(),
        from: format!("{}@example.com", "a".repeat(230)),
        ..mail(None)
    };
    desk.set(&with(now.clone()), 0);
    let names = |told: &[(String, String)]| told.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
    assert_eq!(names(&changed(&mut desk)), ["events to mail", "trust in mail"]);
    desk.set(&with(now.clone()), 0);
    assert_eq!(changed(&mut desk), []);

    now.verification.uploaded = vec![vec![1, 2], vec![3]];
    desk.set(&with(now.clone()), 0);
    let first = changed(&mut desk);
    assert_eq!(names(&first), ["trust in mail"]);
    assert!(
        first[0].1.contains("the roots that browsers trust, uploaded certificates, 2 in all (SHA-256 "),
        "{first:?}"
    );
    // The same bytes in another division are other certificates.
    now.verification.uploaded = vec![vec![1], vec![2, 3]];
    desk.set(&with(now.clone()), 0);
    let second = changed(&mut desk);
    assert!(names(&second) == ["trust in mail"] && second[0].1 != first[0].1, "{second:?}");
    now.verification = Verification { built_in: false, key_pin: Some([0xab; 32]), ..Verification::default() };
    desk.set(&with(now.clone()), 0);
    assert!(changed(&mut desk)[0].1.starts_with("the key with the SHA-256 abab"));
    now.security = MailSecurity::Plain;
    desk.set(&with(now.clone()), 0);
    let before = changed(&mut desk);
    assert_eq!(names(&before), ["events to mail", "trust in mail"]);
    assert_eq!(before[1].1, "nobody: there is no TLS");

    now.to[19] = "mallory@example.com".to_owned();
    desk.set(&with(now), 0);
    let told = changed(&mut desk);
    assert!(names(&told) == ["events to mail"] && !told[0].1.contains("mallory"), "it is cut: {told:?}");
    assert_ne!(told[0].1, before[0].1, "and still tells one list from another");
}
