//! Uploads that are made to cost time and memory: each is judged within 2 s and 64 MiB. It is a program of its own, so that
//! the memory which is measured is the check's.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use drawbridge_identity::upload::{Code, Expected, LONGEST, check};
use std::time::{Duration, Instant};

const MOST_TIME: Duration = Duration::from_secs(2);
const MOST_MEMORY: u64 = 64 * 1024;

#[test]
fn no_upload_costs_more_than_two_seconds_and_64_mib() {
    let before = memory();
    let mut slowest = (Duration::ZERO, "");
    for (name, upload) in corpus() {
        assert!(upload.len() <= LONGEST, "{name} would be refused for its {} bytes alone", upload.len());
        let began = Instant::now();
        for now in [None, Some(0), Some(1_795_720_000)] {
            let names = vec!["sa.example.org".to_owned()];
            let faults = check(&upload, &Expected { names, addresses: Vec::new(), now });
            let faults = faults.expect_err(name);
            assert!(!faults.is_empty() && faults.len() < 100, "{name}: {} faults", faults.len());
            assert!(faults.iter().all(|fault| fault.to_string().len() < 8192), "{name}: {faults:?}");
            // Those that are to be costly got as far as they should.
            let expected = match name {
                "a key of 16384 bits" | "a key of 360000 bits" => Some(Code::UnsupportedKey),
                "the most work for signatures" => Some(Code::WrongSignature),
                "a certificate of 16384 bits" | "many names" | "a long name" => Some(Code::NameMismatch),
                _ => None,
            };
            let is_found = expected.is_none_or(|code| faults.iter().any(|fault| fault.code == code));
            assert!(is_found, "{name}: {expected:?} is not in {faults:?}");
        }
        let took = began.elapsed() / 3;
        assert!(took <= MOST_TIME, "{name} took {took:?}");
        slowest = slowest.max((took, name));
    }
    let grown = memory() - before;
    assert!(grown <= MOST_MEMORY, "the checks took {grown} KiB");
    println!("the slowest was {} with {:?}; all took {grown} KiB", slowest.1, slowest.0);
}

/// The most memory that this program ever had, in KiB.
fn memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap()
}

fn corpus() -> Vec<(&'static str, Vec<u8>)> {
    let fill = |part: &str| part.repeat(LONGEST / part.len()).into_bytes();
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let begin = "-----BEGIN CERTIFICATE-----\n";
    vec![
        ("nothing but BEGIN", fill(begin)),
        ("nothing but END", fill("-----END CERTIFICATE-----\n")),
        ("empty blocks", fill(&pem("CERTIFICATE", b""))),
        (
            "blocks of many kinds",
            (0..900).map(|kind| pem(&format!("K{kind}"), b"")).collect::<String>().into_bytes(),
        ),
        ("one line", fill("A")),
        ("empty lines", fill("\n")),
        ("one long label", format!("-----BEGIN {}-----", "A".repeat(60_000)).into_bytes()),
        ("headers without end", format!("{begin}{}", "a: b\n".repeat(12_000)).into_bytes()),
        ("random bytes", random.bytes(LONGEST)),
        ("random text", random.bytes(LONGEST).iter().map(|byte| byte & 0x7f | 1).collect()),
        (
            "random certificates",
            (0..16).map(|_| pem("CERTIFICATE", &random.bytes(2500))).collect::<String>().into(),
        ),
        ("a random key", pem("PRIVATE KEY", &random.bytes(45_000)).into()),
        ("deep certificate", pem("CERTIFICATE", &nested(15_000)).into()),
        ("deep PKCS#8 key", pem("PRIVATE KEY", &nested(15_000)).into()),
        ("deep SEC1 key", pem("EC PRIVATE KEY", &nested(15_000)).into()),
        ("endless nesting", pem("CERTIFICATE", &[0x30, 0x80].repeat(20_000)).into()),
        ("huge length", pem("CERTIFICATE", b"\x30\x84\xff\xff\xff\xff\x30\x84\xff\xff\xff\xf0").into()),
        (
            "huge length of a key",
            pem("RSA PRIVATE KEY", b"\x30\x88\xff\xff\xff\xff\xff\xff\xff\xff\x02\x01\x00").into(),
        ),
        ("a key of 16384 bits", big_key(2048).into()),
        ("a key of 360000 bits", big_key(45_000).into()),
        ("a certificate of 16384 bits", chain(3, 2048, &alternative_names(1)).into()),
        ("the most work for signatures", chain(16, 1024, b"").into()),
        ("many names", chain(1, 256, &alternative_names(11_000)).into()),
        ("a long name", long_name().into()),
    ]
}

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn bytes(&mut self, count: usize) -> Vec<u8> {
        let mut next = || {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0.to_le_bytes()[3]
        };
        (0..count).map(|_| next()).collect()
    }
}

fn pem(label: &str, der: &[u8]) -> String {
    format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", STANDARD.encode(der))
}

fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let content = parts.concat();
    let length = u32::try_from(content.len()).unwrap().to_be_bytes();
    match content.len() {
        0..0x80 => [&[tag, length[3]], content.as_slice()].concat(),
        0x80..0x100 => [&[tag, 0x81, length[3]], content.as_slice()].concat(),
        0x100..0x1_0000 => [&[tag, 0x82, length[2], length[3]], content.as_slice()].concat(),
        _ => [&[tag, 0x83, length[1], length[2], length[3]], content.as_slice()].concat(),
    }
}

fn nested(depth: usize) -> Vec<u8> {
    let mut der = Vec::new();
    // From the inside out each would be copied for each level: so only as deep as 64 KiB hold.
    for _ in 0..depth.min(10_000) {
        der = tlv(0x30, &[&der]);
        if der.len() > 44_000 {
            break;
        }
    }
    der
}

/// An odd number of so many bytes with the highest bit set.
fn modulus(bytes: usize) -> Vec<u8> {
    let mut number = Random(42).bytes(bytes);
    number[0] |= 0x80;
    number[bytes - 1] |= 1;
    tlv(0x02, &[&[0], &number])
}

fn big_key(bytes: usize) -> String {
    let (number, small) = (modulus(bytes), tlv(0x02, &[&[3]]));
    let parts = [&tlv(0x02, &[&[0]])[..], &number, &small, &small, &small, &small, &small, &small, &small];
    pem("RSA PRIVATE KEY", &tlv(0x30, &parts))
}

const SHA256_WITH_RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x0b\x05\x00";
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00";

fn name(text: &str) -> Vec<u8> {
    tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[b"\x06\x03\x55\x04\x03", &tlv(0x0c, &[text.as_bytes()])])])])
}

fn certificate(serial: u8, issuer: &[u8], subject: &[u8], bytes: usize, extensions: &[u8]) -> Vec<u8> {
    // The largest exponent that is computed with: 33 bits.
    let key = tlv(0x30, &[&modulus(bytes), &tlv(0x02, &[&[1, 0xff, 0xff, 0xff, 0xff]])]);
    let inner = tlv(
        0x30,
        &[
            b"\xa0\x03\x02\x01\x02",
            &tlv(0x02, &[&[serial]]),
            &tlv(0x30, &[SHA256_WITH_RSA]),
            issuer,
            &tlv(0x30, &[b"\x17\x0d260101000000Z", b"\x17\x0d360101000000Z"]),
            subject,
            &tlv(0x30, &[&tlv(0x30, &[RSA]), &tlv(0x03, &[&[0], &key])]),
            extensions,
        ],
    );
    let signature = [vec![0, 0x01], vec![0x55; bytes - 1]].concat();
    tlv(0x30, &[&inner, &tlv(0x30, &[SHA256_WITH_RSA]), &tlv(0x03, &[&signature])])
}

/// Certificates with the same name as their issuer's, as many as are taken.
fn chain(count: u8, bytes: usize, extensions: &[u8]) -> String {
    let (leaf, issuer) = (name("leaf"), name("authority"));
    let other = name("other");
    (0..count)
        .map(|serial| match serial {
            0 => certificate(1, &issuer, &leaf, bytes, extensions),
            _ => certificate(serial + 1, &other, &issuer, bytes, b""),
        })
        .map(|der| pem("CERTIFICATE", &der))
        .collect()
}

fn alternative_names(count: usize) -> Vec<u8> {
    let names = b"\x82\x01a".repeat(count);
    let extension = tlv(0x30, &[b"\x06\x03\x55\x1d\x11", &tlv(0x04, &[&tlv(0x30, &[&names])])]);
    tlv(0xa3, &[&tlv(0x30, &[&extension])])
}

fn long_name() -> String {
    let part =
        tlv(0x31, &[&tlv(0x30, &[b"\x06\x03\x55\x04\x03", &tlv(0x0c, &["\u{202e}\u{1}".as_bytes()])])]);
    let name = tlv(0x30, &[&part.repeat(1300)]);
    pem("CERTIFICATE", &certificate(1, &name, &name, 256, b""))
}
