//! The recorder as a process, and the tunnel that sends what it has: what it is given, and what its word is worth.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod common;

use common::{Caller, House, end, may_run, output};
use drawbridge_bus::record::RecordingId;
use drawbridge_bus::upload::Unsent;
use drawbridge_bus::{Refusal, Reply, Request, Role};
use drawbridge_chain::FILE;

#[test]
#[ignore = "the role itself, started by the others"]
fn the_roles_own_process() {
    common::be_the_role();
}

#[test]
#[ignore = "a caller itself, started by the others"]
fn a_callers_own_process() {
    common::be_a_caller();
}

fn unsent(tunnel: &mut Caller) -> Vec<Unsent> {
    match tunnel.call(Request::Unsent) {
        Reply::Unsent(unsent) => unsent,
        other => panic!("{other:?}"),
    }
}

fn part(tunnel: &mut Caller, id: &RecordingId, file: &str) -> Option<Vec<u8>> {
    let request = Request::UnsentPart { id: id.clone(), file: file.to_owned(), offset: 0, most: 128 * 1024 };
    match tunnel.call(request) {
        Reply::RecordingPart(bytes, _) => Some(bytes),
        Reply::Refused(Refusal::NotNow) => None,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_tunnel_is_given_what_is_unsent_and_nothing_of_what_was_confirmed() {
    if !may_run() {
        return;
    }
    let house = House::new();
    let role = house.start();
    let (mut sshd, mut tunnel) = (house.call_as(Role::Sshd), house.call_as(Role::Tunnel));
    assert_eq!(unsent(&mut tunnel), []);
    sshd.begin(1);
    sshd.terminal(1, 1);
    sshd.keep(1, output(1, b"hello"));
    let running = unsent(&mut tunnel);
    assert!(running.len() == 1 && running[0].running, "{running:?}");
    let id = running[0].id.clone();
    // What it says that there is, is there.
    let chain = part(&mut tunnel, &id, FILE).unwrap();
    assert!(chain.len() as u64 >= running[0].chain && chain.starts_with(b"{\"line\":\"header\""));
    assert_eq!(part(&mut tunnel, &id, "../../etc/passwd"), None);
    // It may ask for nothing else, and nobody else for this.
    for request in [Request::Recordings { before: None }, Request::Live, Request::RecordingsOver] {
        assert_eq!(tunnel.call(request), Reply::Refused(Refusal::Forbidden));
    }
    for role in [Role::Console, Role::Sshd, Role::Shell, Role::Session] {
        assert_eq!(house.call_as(role).call(Request::Unsent), Reply::Refused(Refusal::Forbidden));
    }
    // Not before its end is signed, and not another line's hash.
    let confirm = |tunnel: &mut Caller, head| tunnel.call(Request::Confirmed { id: id.clone(), head });
    assert!(matches!(confirm(&mut tunnel, [7; 32]), Reply::NotTaken(_)));
    sshd.keep(1, end());
    let head = house.whole(1)[0].head.unwrap();
    assert!(matches!(confirm(&mut tunnel, [7; 32]), Reply::NotTaken(_)));
    assert!(!house.lines()[0].confirmed);
    let whole = unsent(&mut tunnel);
    assert_eq!(whole[0].chain, part(&mut tunnel, &id, FILE).unwrap().len() as u64);
    assert_eq!(confirm(&mut tunnel, head), Reply::Done);
    assert!(house.lines()[0].confirmed);
    assert_eq!((unsent(&mut tunnel), part(&mut tunnel, &id, FILE)), (Vec::new(), None));
    // Another process of the role gives it no more either.
    role.kill();
    let _role = house.start();
    let mut tunnel = house.call_as(Role::Tunnel);
    assert_eq!((part(&mut tunnel, &id, FILE), unsent(&mut tunnel)), (None, Vec::new()));
    assert!(house.lines()[0].confirmed);
    house.is_proved(&id);
}
