//! What is uploaded as a certificate: whatever it is, there are faults or something that TLS serves, and nothing hidden in
//! what is shown of it. The first byte says what the others are: the text itself, changes of a certificate, or a key.
#![no_main]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawbridge_identity::facts::CertificateFacts;
use drawbridge_identity::upload::{Expected, MOST_CERTIFICATES, check};
use libfuzzer_sys::fuzz_target;

/// A certificate to begin with: chance alone does not find the structure of one.
const CERTIFICATE: &str = "\
    MIICADCCAaegAwIBAgIUXs7V2Fu2u6eeX8mfZx0mFuGPy/IwCgYIKoZIzj0EAwIwNTELMAkGA1UEBhMCREUxDTALBgNVBAoMBFRl\
    c3QxFzAVBgNVBAMMDnNhLmV4YW1wbGUub3JnMB4XDTI2MTEyNjE5MzQ1NFoXDTM2MTEyMzE5MzQ1NFowNTELMAkGA1UEBhMCREUx\
    DTALBgNVBAoMBFRlc3QxFzAVBgNVBAMMDnNhLmV4YW1wbGUub3JnMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEUUDwQqKh1sz2\
    q2lsBzKK4jISHMwrNOQPgZe5i9Z7+AJjzrz0BjhmvfwnGdGxkmTYnEoXW1Q4cJYKqKQ3Hu3+VKOBlDCBkTAdBgNVHQ4EFgQUypuK\
    MCH6J/mqkimhtgXWQHoRr0owHwYDVR0jBBgwFoAUypuKMCH6J/mqkimhtgXWQHoRr0owHwYDVR0RBBgwFoIOc2EuZXhhbXBsZS5v\
    cmeHBMAAAgEwDAYDVR0TAQH/BAIwADALBgNVHQ8EBAMCB4AwEwYDVR0lBAwwCgYIKwYBBQUHAwEwCgYIKoZIzj0EAwIDRwAwRAIg\
    Hu7pJzcRn1/6WfRprAsz6udL8DR7sFr4aKocXN6YwfQCIBIX0R9OLMCHN2cX9w99q8jF2YXXwu4hGwDAB3bGhtTt";
const KEYS: [&str; 4] = ["PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY", "EC PARAMETERS"];

fuzz_target!(|data: &[u8]| {
    let Some((kind, rest)) = data.split_first() else { return };
    let pem = |label: &str, der: &[u8]| {
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
    };
    match kind & 7 {
        0 => judge(rest),
        1..=4 => judge(pem(KEYS[usize::from(kind & 3)], rest).as_bytes()),
        _ => {
            // Two certificates in one text: the changed one and the one that it was.
            let whole = STANDARD.decode(CERTIFICATE).expect("Base64");
            let changed = changed(&whole, rest);
            judge((pem("CERTIFICATE", &changed) + &pem("CERTIFICATE", &whole)).as_bytes());
            shown(&changed);
        }
    }
    shown(rest);
});

/// Replaces or inserts single bytes: two bytes say where, one what.
fn changed(whole: &[u8], changes: &[u8]) -> Vec<u8> {
    let mut der = whole.to_vec();
    for change in changes.chunks_exact(3).take(64) {
        let place = usize::from(u16::from_be_bytes([change[0] & 0x7f, change[1]])) % der.len();
        if change[0] & 0x80 == 0 { der[place] = change[2] } else { der.insert(place, change[2]) }
    }
    der
}

fn judge(upload: &[u8]) {
    let expected = Expected {
        names: vec!["sa.example.org".to_owned()],
        addresses: vec!["192.0.2.1".parse().expect("an address")],
        now: Some(1_795_720_000),
    };
    match check(upload, &expected) {
        Ok(checked) => assert!((1..=MOST_CERTIFICATES).contains(&checked.chain.len())),
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a word");
            for fault in faults {
                assert!(!fault.to_string().contains(['\x1b', '\n', '\u{202e}']), "{fault:?}");
            }
        }
    }
}

fn shown(der: &[u8]) {
    let Ok(facts) = CertificateFacts::of(der) else { return };
    for text in [&facts.subject, &facts.issuer].into_iter().chain(&facts.common_name).chain(&facts.names) {
        assert!(text.chars().count() <= 257, "{text}");
        assert!(!text.chars().any(char::is_control), "{text:?}");
    }
}
