//! Grants signed and read, with keys made for it.

use super::*;
use crate::signer::Signer;
use crate::vendor::VendorKeys;

fn signer() -> Signer {
    Signer::read(&Signer::generate().unwrap(), Line::new("2026").unwrap()).unwrap()
}

fn keys(signer: &Signer) -> VendorKeys {
    VendorKeys::new(vec![signer.public().clone()]).unwrap()
}

fn engineer() -> EngineerKey {
    let blob = [&11u32.to_be_bytes()[..], b"ssh-ed25519", &32u32.to_be_bytes(), &[7; 32]].concat();
    EngineerKey::parse(&format!("ssh-ed25519 {} grace@example.org\n", STANDARD.encode(blob))).unwrap()
}

fn grant() -> Grant {
    let targets = ["node1.example.org:22", "192.0.2.1:443", "[2001:db8::1]:22"];
    let raw = RawScope {
        targets: targets.iter().map(|target| Target::parse(target).unwrap()).collect(),
        shell: true,
        files: false,
        forwards: true,
    };
    Grant {
        id: Grant::new_id().unwrap(),
        case: Line::new("CASE-4711").unwrap(),
        engineer: engineer(),
        serial: Serial::new("IBOX-1").unwrap(),
        scope: Scope::try_from(raw).unwrap(),
        minutes: Minutes::new(40_320).unwrap(),
        not_before: 1_795_700_000,
        not_after: 1_795_720_000,
    }
}

#[test]
fn a_grant_comes_back_whole_through_a_mail_program() {
    let (vendor, grant) = (signer(), grant());
    let text = vendor.grant(&grant);
    assert!(text.starts_with("-----BEGIN DRAWBRIDGE GRANT-----\n"));
    let mailed = format!("Hi,\n\n> {}\n--\nSupport", text.replace('\n', "\r\n> "));
    let (read, key) = Grant::open(&mailed, &keys(&vendor)).unwrap();
    assert_eq!((read, key.as_str()), (grant, "2026"));
}

#[test]
fn a_grant_is_for_one_system_and_has_its_time() {
    let (grant, ours) = (grant(), Serial::new("IBOX-1").unwrap());
    let check = |clock| grant.check(&ours, clock);
    assert_eq!(check(Clock::About(grant.not_before)), Ok(()));
    assert_eq!(check(Clock::About(grant.not_after)), Ok(()));
    let early = check(Clock::About(grant.not_before - 3600)).unwrap_err();
    assert_eq!(early, GrantRefusal::NotYet(3600));
    assert!(early.to_string().starts_with("its time begins in 60 minutes:"), "{early}");
    // A clock that was lost can only be behind.
    for clock in [Clock::About, Clock::NotBefore] {
        assert_eq!(check(clock(grant.not_after + 1)), Err(GrantRefusal::Expired));
    }
    assert_eq!(check(Clock::NotBefore(grant.not_before - 3600)), Ok(()));
    let other = grant.check(&Serial::new("IBOX-2").unwrap(), Clock::About(grant.not_before));
    assert_eq!(other, Err(GrantRefusal::OtherSystem(ours)));
}

#[test]
fn no_byte_of_a_grant_can_be_changed_and_no_stranger_signs_one() {
    let (vendor, grant) = (signer(), grant());
    let text = vendor.grant(&grant);
    let bytes = armour::read(Kind::Grant, &text).unwrap();
    for place in 0..bytes.len() {
        let mut changed = bytes.clone();
        changed[place] ^= 1;
        assert!(Grant::open(&armour::block(Kind::Grant, &changed), &keys(&vendor)).is_err(), "byte {place}");
    }
    assert_eq!(Grant::open(&text, &keys(&signer())).unwrap_err(), GrantRefusal::UnknownKey);
    assert_eq!(Grant::open(&text, &VendorKeys::default()).unwrap_err(), GrantRefusal::UnknownKey);
}

#[test]
fn a_signature_for_something_else_is_none_for_a_grant() {
    let vendor = signer();
    let parts = grant().parts();
    let elsewhere = vendor.sign_for_test(crate::response::CONTEXT, parts);
    assert_eq!(
        Grant::open(&Grant::text(&elsewhere), &keys(&vendor)).unwrap_err(),
        GrantRefusal::WrongSignature
    );
}

#[test]
fn the_largest_grant_can_be_read_and_a_larger_one_cannot_be_made() {
    let targets = |count: usize, length: usize| {
        let label = "a".repeat(length);
        let targets = (0..count).map(|_| Target::new(&label, 65_535).unwrap()).collect();
        Scope::try_from(RawScope { targets, shell: true, ..RawScope::default() })
    };
    assert_eq!(targets(65, 1), Err(GrantFault::ManyTargets));
    let large =
        Grant { scope: targets(64, 63).unwrap(), case: Line::new("ü".repeat(64)).unwrap(), ..grant() };
    let vendor = signer();
    assert_eq!(Grant::open(&vendor.grant(&large), &keys(&vendor)).unwrap().0, large);
}

#[test]
fn parts_that_are_wrong_are_told() {
    for target in
        ["node", "node:", "node:0", "node:65536", ":22", "a b:22", "2001:db8::1:22", "[node]:22", "a/b:1"]
    {
        assert!(matches!(Target::parse(target), Err(GrantFault::Target(_))), "{target}");
    }
    assert_eq!(Target::parse("[2001:DB8::1]:22").unwrap().to_string(), "[2001:db8::1]:22");
    let line = engineer().as_str().to_owned();
    for key in [
        line.replace("ssh-ed25519", "ssh-rsa"),
        line.replacen("ssh-ed25519", "ecdsa-sha2-nistp256", 1),
        format!("command=\"x\" {line}"),
        line[..40].to_owned(),
        format!("{line} a\nssh-ed25519 b"),
    ] {
        assert_eq!(EngineerKey::parse(&key), Err(GrantFault::Key), "{key}");
    }
    let targets = vec![Target::parse("a:1").unwrap()];
    let nothing = Scope::try_from(RawScope { targets, ..RawScope::default() });
    assert_eq!(nothing, Err(GrantFault::OpensNothing));
}

#[test]
fn keys_as_ssh_keygen_writes_them_are_taken() {
    let folder = tempfile::tempdir().unwrap();
    for (kind, bits) in [("ed25519", "256"), ("ecdsa", "256"), ("ecdsa", "384"), ("ecdsa", "521")] {
        let path = folder.path().join(format!("{kind}-{bits}"));
        let words = ["-q", "-t", kind, "-b", bits, "-N", "", "-C", "grace@example.org", "-f"];
        let made = std::process::Command::new("ssh-keygen").args(words).arg(&path).status().unwrap();
        assert!(made.success());
        let line = std::fs::read_to_string(path.with_extension("pub")).unwrap();
        let key = EngineerKey::parse(&line).unwrap();
        assert_eq!(format!("{} grace@example.org", key.as_str()), line.trim());
    }
}
