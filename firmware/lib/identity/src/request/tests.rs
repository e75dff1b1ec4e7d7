//! What stock OpenSSL says of the requests and certificates.

use super::*;
use crate::facts::{CertificateFacts, KeyKind};
use crate::upload::{Expected, check};
use std::process::Command;

const NOW: u64 = 1_795_720_000;

fn wanted(key: NewKey) -> Wanted {
    Wanted {
        subject: Subject::new("SA.example.org", "Müller & Söhne, Inc.", "Storage", "de", "Bayern", "")
            .unwrap(),
        names: vec!["sa".to_owned(), "sa.example.org".to_owned()],
        addresses: vec!["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()],
        key,
    }
}

/// Writes the files and has `openssl` look at them.
fn openssl(files: &[(&str, &str)], words: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let output = Command::new("openssl").args(words.split(' ')).current_dir(folder.path()).output().unwrap();
    assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap()
}

#[test]
fn openssl_verifies_the_request_and_reads_every_field() {
    for (key, curve) in [(NewKey::P256, "P-256"), (NewKey::P384, "P-384")] {
        let made = wanted(key).request().unwrap();
        let text = openssl(
            &[("csr", &made.request)],
            "req -in csr -verify -noout -text -subject -nameopt utf8,sep_comma_plus,sname",
        );
        for part in [
            "verify OK",
            "subject=C=DE,ST=Bayern,O=Müller & Söhne, Inc.,OU=Storage,CN=SA.example.org",
            curve,
            "DNS:sa.example.org, DNS:sa, IP Address:192.0.2.7, IP Address:2001:DB8:0:0:0:0:0:7",
            "Digital Signature",
        ] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        let keys = [("key", made.key.as_str()), ("csr", made.request.as_str())];
        assert_eq!(openssl(&keys, "pkey -in key -pubout"), openssl(&keys, "req -in csr -pubkey -noout"));
    }
}

#[test]
fn what_an_authority_makes_of_a_request_can_be_uploaded() {
    let made = wanted(NewKey::P256).request().unwrap();
    let root = openssl(
        &[],
        "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout - -subj /CN=root -days 30",
    );
    let files = [("csr", made.request.as_str()), ("root", root.as_str())];
    let certificate =
        openssl(&files, "x509 -req -in csr -CA root -CAkey root -copy_extensions copy -days 20");
    let (_, root) = root.split_at(root.find("-----BEGIN CERTIFICATE").unwrap());
    let (root, _) = root.split_at(root.find("-----END CERTIFICATE-----").unwrap() + 26);
    let certificate = &certificate[certificate.find("-----BEGIN").unwrap()..];
    let pem = format!("{root}{}{certificate}", made.key.as_str());
    let expected = Expected { names: vec!["sa".to_owned()], ..Expected::default() };
    let checked = check(pem.as_bytes(), &expected).unwrap();
    assert_eq!(checked.chain.len(), 2);
}

#[test]
fn openssl_verifies_the_certificate_and_the_upload_takes_it() {
    for (key, kind) in [(NewKey::P256, KeyKind::P256), (NewKey::P384, KeyKind::P384)] {
        let made = wanted(key).self_signed(NOW, 365).unwrap();
        let files = [("cert", made.certificate.as_str())];
        let verified = openssl(
            &files,
            &format!("verify -x509_strict -purpose sslserver -attime {NOW} -check_ss_sig -trusted cert cert"),
        );
        assert_eq!(verified.trim(), "cert: OK");
        let text = openssl(&files, "x509 -in cert -noout -text -fingerprint -sha256");
        for part in ["Version: 3", "CA:FALSE", "TLS Web Server Authentication", "DNS:sa"] {
            assert!(text.contains(part), "{part:?} is not in {text}");
        }
        assert!(!text.contains("Subject Alternative Name: critical"));
        let expected = Expected { names: vec!["sa".to_owned()], now: Some(NOW), ..Expected::default() };
        let pem = format!("{}{}", made.certificate, made.key.as_str());
        let facts = check(pem.as_bytes(), &expected).unwrap().facts;
        assert!(text.contains(&facts.fingerprint), "{} is not in {text}", facts.fingerprint);
        assert_eq!((facts.begins, facts.ends), (NOW - 86_400, NOW + 364 * 86_400));
        assert_eq!((facts.key, facts.self_issued), (kind, true));
    }
}

#[test]
fn two_certificates_have_neither_key_nor_serial_number_in_common() {
    let made = || {
        let made = wanted(NewKey::P256).self_signed(NOW, 1).unwrap();
        let der = openssl(&[("cert", &made.certificate)], "x509 -in cert -noout -serial -pubkey");
        (made.key.to_string(), der)
    };
    let (one, two) = (made(), made());
    assert_ne!(one.0, two.0);
    assert_ne!(one.1, two.1);
}

#[test]
fn the_facts_are_those_that_openssl_shows() {
    let made = wanted(NewKey::P384).self_signed(NOW, 30).unwrap();
    let der = crate::pem::blocks(&made.certificate).unwrap_or_else(|fault| panic!("{fault:?}"));
    let facts = CertificateFacts::of(&der[0].der).unwrap();
    assert_eq!(facts.common_name.as_deref(), Some("SA.example.org"));
    assert_eq!(facts.names, ["sa.example.org", "sa"]);
    assert_eq!(facts.addresses.len(), 2);
    assert!(facts.subject.contains("O=Müller & Söhne\\, Inc."), "{}", facts.subject);
    let serial = openssl(&[("cert", &made.certificate)], "x509 -in cert -noout -serial");
    assert_eq!(format!("serial={}", facts.serial.replace(':', "")), serial.trim());
}

#[test]
fn wrong_fields_are_named() {
    let subject = |cn: &str, o: &str, c: &str| Subject::new(cn, o, "", c, "", "");
    assert!(matches!(subject("", "", ""), Err(RequestFault::Field { field: "CN", fault: LineFault::Empty })));
    assert!(matches!(subject(&"a".repeat(65), "", ""), Err(RequestFault::Field { field: "CN", .. })));
    assert!(matches!(subject("a", &"ü".repeat(65), ""), Err(RequestFault::Field { field: "O", .. })));
    assert!(subject(&"a".repeat(64), &"ü".repeat(64), "de").is_ok());
    for country in ["D", "DEU", "D1", "ßß"] {
        assert_eq!(subject("a", "", country), Err(RequestFault::Country), "{country}");
    }
    for name in ["a b", "-a", "a..b", "https://a", "", "a:1", "192.0.2.1", "*.org", "ü.org"] {
        let names = vec![name.to_owned()];
        let made = Wanted { names, ..wanted(NewKey::P256) }.request();
        assert!(matches!(made, Err(RequestFault::Name(_))), "{name}");
    }
    let many = Wanted { names: vec!["a".to_owned(); 65], ..wanted(NewKey::P256) };
    assert!(matches!(many.request(), Err(RequestFault::Many)));
    for days in [0, 731] {
        assert!(matches!(wanted(NewKey::P256).self_signed(NOW, days), Err(RequestFault::Days(_))));
    }
    // Clocks that are far off make a certificate all the same.
    for now in [0, u64::MAX] {
        wanted(NewKey::P256).self_signed(now, 730).unwrap();
    }
}
