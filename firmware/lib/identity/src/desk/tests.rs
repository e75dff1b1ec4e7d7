//! Challenges asked and answered, with keys made for it.

use super::*;
use crate::response::Minutes;
use crate::signer::Signer;

const SOURCE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));
const START: Duration = Duration::from_secs(1000);
const ME: SessionHash = [1; 32];

fn signer(name: &str) -> Signer {
    Signer::read(&Signer::generate().unwrap(), Line::new(name).unwrap()).unwrap()
}

fn keys(signers: &[&Signer]) -> VendorKeys {
    VendorKeys::new(signers.iter().map(|signer| signer.public().clone()).collect()).unwrap()
}

fn desk() -> Desk {
    Desk::new(Serial::new("IBOX-1").unwrap())
}

fn claims() -> Claims {
    Claims {
        who: Line::new("Grace Müller").unwrap(),
        reason: Line::new("case 4711: the management layer is down").unwrap(),
        minutes: Minutes::new(60).unwrap(),
        issued: 1_795_720_000,
    }
}

#[test]
fn a_right_response_is_admitted_once_with_what_it_claims() {
    let (mut desk, vendor, other) = (desk(), signer("2026"), signer("2025"));
    let keys = keys(&[&other, &vendor]);
    let open = desk.ask(ME, SOURCE, Purpose::Login, START).unwrap();
    assert_eq!((open.left, open.tries), (LIFE, TRIES));
    assert_eq!(desk.open(&ME, Purpose::Login, START), Some(open.clone()));
    // What is answered is what was read out on the telephone.
    let heard = Challenge::parse(&open.challenge.text().to_lowercase()).unwrap();
    assert_eq!((heard.serial().as_str(), heard.purpose()), ("IBOX-1", Purpose::Login));
    let text = vendor.respond(&heard, &claims());
    let pasted = format!("Hello,\r\nhere it is:\r\n\r\n{}\r\nRegards", text.replace('\n', "\r\n> "));
    let admitted = desk.answer(&ME, Purpose::Login, &pasted, &keys, START + LIFE / 2).unwrap();
    assert_eq!((admitted.claims, admitted.key.as_str()), (claims(), "2026"));
    assert_eq!(desk.answer(&ME, Purpose::Login, &text, &keys, START + LIFE / 2), Err(Refusal::Used));
    assert_eq!(desk.open(&ME, Purpose::Login, START), None);
}

#[test]
fn each_reason_not_to_admit_has_its_own_verdict() {
    let (mut desk, vendor) = (desk(), signer("2026"));
    let keys = keys(&[&vendor]);
    let challenge = desk.ask(ME, SOURCE, Purpose::Login, START).unwrap().challenge;
    let text = vendor.respond(&challenge, &claims());
    let mut answer =
        |session, purpose, text: &str, now| desk.answer(session, purpose, text, &keys, now).unwrap_err();
    let damaged = text.replacen('0', "1", 1);
    let refusal = answer(&ME, Purpose::Login, &damaged, START);
    assert!(matches!(refusal, Refusal::Text(TextFault::Damaged(_) | TextFault::Checksum)), "{refusal:?}");
    let elsewhere = Challenge::new(Purpose::Login, Serial::new("IBOX-2").unwrap()).unwrap();
    let other_system = answer(&ME, Purpose::Login, &vendor.respond(&elsewhere, &claims()), START);
    assert_eq!(other_system, Refusal::OtherSystem(elsewhere.serial().clone()));
    let unknown = Challenge::new(Purpose::Login, Serial::new("IBOX-1").unwrap()).unwrap();
    assert_eq!(answer(&ME, Purpose::Login, &vendor.respond(&unknown, &claims()), START), Refusal::NotOpen);
    assert_eq!(answer(&[2; 32], Purpose::Login, &text, START), Refusal::OtherSession);
    assert_eq!(answer(&ME, Purpose::Grant, &text, START), Refusal::WrongPurpose(Purpose::Login));
    let stranger = signer("2026").respond(&challenge, &claims());
    assert_eq!(answer(&ME, Purpose::Login, &stranger, START), Refusal::UnknownKey);
    assert_eq!(answer(&ME, Purpose::Login, &text, START + LIFE), Refusal::Expired);
    for refusal in
        [other_system, Refusal::Expired, Refusal::TooManyTries, Refusal::WrongPurpose(Purpose::Login)]
    {
        assert!(refusal.to_string().ends_with('.') && refusal.remedy().ends_with('.'));
    }
}

/// The response's text with other bytes in it and a check that fits.
fn forged(text: &str, change: impl Fn(&mut Vec<u8>)) -> String {
    use crate::armour::{Kind, block, read};
    let mut bytes = read(Kind::Response, text).unwrap();
    change(&mut bytes);
    block(Kind::Response, &bytes)
}

#[test]
fn no_byte_of_a_response_can_be_changed() {
    let (vendor, mut desk) = (signer("2026"), desk());
    let keys = keys(&[&vendor]);
    let challenge = desk.ask(ME, SOURCE, Purpose::Login, START).unwrap().challenge;
    let text = vendor.respond(&challenge, &claims());
    let length = crate::armour::read(crate::armour::Kind::Response, &text).unwrap().len();
    for place in 0..length {
        for bit in [1, 0x80] {
            let changed = forged(&text, |bytes| bytes[place] ^= bit);
            // Afresh each time, so that tries do not run out.
            desk.pending[0].wrong = 0;
            assert!(desk.answer(&ME, Purpose::Login, &changed, &keys, START).is_err(), "byte {place}");
        }
        assert!(
            desk.answer(&ME, Purpose::Login, &forged(&text, |bytes| bytes.truncate(place)), &keys, START)
                .is_err()
        );
    }
    desk.pending[0].wrong = 0;
    desk.answer(&ME, Purpose::Login, &text, &keys, START).unwrap();
}

#[test]
fn five_wrong_responses_end_a_challenge_and_typing_errors_do_not() {
    let (vendor, mut desk) = (signer("2026"), desk());
    let keys = keys(&[&vendor]);
    let challenge = desk.ask(ME, SOURCE, Purpose::Login, START).unwrap().challenge;
    let text = vendor.respond(&challenge, &claims());
    for _ in 0..100 {
        let mistyped = text.replacen(' ', " 7", 1);
        assert!(matches!(desk.answer(&ME, Purpose::Login, &mistyped, &keys, START), Err(Refusal::Text(_))));
    }
    let wrong = forged(&text, |bytes| {
        if let Some(last) = bytes.last_mut() {
            *last ^= 1;
        }
    });
    for left in (0..TRIES).rev() {
        assert_eq!(desk.answer(&ME, Purpose::Login, &wrong, &keys, START), Err(Refusal::WrongSignature));
        let open = desk.open(&ME, Purpose::Login, START).map(|open| open.tries);
        assert_eq!(open, (left > 0).then_some(left));
    }
    assert_eq!(desk.answer(&ME, Purpose::Login, &text, &keys, START), Err(Refusal::TooManyTries));
}

#[test]
fn asking_again_replaces_the_session_s_challenge() {
    let (vendor, mut desk) = (signer("2026"), desk());
    let keys = keys(&[&vendor]);
    let first = desk.ask(ME, SOURCE, Purpose::Login, START).unwrap().challenge;
    let second = desk.ask(ME, SOURCE, Purpose::Login, START).unwrap().challenge;
    let answer = |desk: &mut Desk, challenge| {
        desk.answer(&ME, Purpose::Login, &vendor.respond(challenge, &claims()), &keys, START)
    };
    assert_eq!(answer(&mut desk, &first), Err(Refusal::NotOpen));
    answer(&mut desk, &second).unwrap();
    desk.forget(&ME);
    assert_eq!(answer(&mut desk, &second), Err(Refusal::NotOpen));
}

#[test]
fn a_flood_of_challenges_pushes_out_its_own_and_not_an_honest_one() {
    let mut desk = desk();
    desk.ask(ME, SOURCE, Purpose::Login, START).unwrap();
    for number in 0..1000u32 {
        let mut session = [9; 32];
        session[..4].copy_from_slice(&number.to_be_bytes());
        desk.ask(session, "198.51.100.66".parse().unwrap(), Purpose::Login, START).unwrap();
        assert!(desk.pending.len() <= MOST);
    }
    assert!(desk.open(&ME, Purpose::Login, START).is_some());
    // From very many addresses, the oldest goes.
    for number in 0..1000u32 {
        let mut session = [8; 32];
        session[..4].copy_from_slice(&number.to_be_bytes());
        desk.ask(session, IpAddr::from((0x0a00_0000 + number).to_be_bytes()), Purpose::Login, START).unwrap();
        assert!(desk.pending.len() <= MOST);
    }
    // What nobody can answer any more goes first.
    let later = START + LIFE;
    desk.ask(ME, SOURCE, Purpose::Login, later).unwrap();
    for number in 0..10u8 {
        desk.ask([number + 100; 32], SOURCE, Purpose::Login, later).unwrap();
    }
    assert!(desk.open(&ME, Purpose::Login, later).is_some());
}
