//! Keys and chains as stock OpenSSL makes them.

use super::*;
use std::path::Path;
use std::process::Command;
use tempfile::TempDir;

/// A folder in which OpenSSL works.
struct Bench(TempDir);

impl Bench {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    /// Runs `openssl` with words that have no blanks in them.
    fn openssl(&self, words: &str) {
        let output =
            Command::new("openssl").args(words.split_whitespace()).current_dir(self.path()).output().unwrap();
        assert!(output.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&output.stderr));
    }

    fn read(&self, names: &str) -> String {
        names.split(' ').map(|name| std::fs::read_to_string(self.path().join(name)).unwrap()).collect()
    }

    /// A certificate for a key: `subject` with extensions, by the authority or by itself.
    fn certificate(&self, name: &str, key: &str, issuer: Option<&str>, extensions: &str, more: &str) {
        std::fs::write(self.path().join("ext"), extensions).unwrap();
        self.openssl(&format!("req -new -key {key}.key -subj /O=Test/CN={name} -out {name}.csr"));
        let by = match issuer {
            Some(issuer) => format!("-CA {issuer}.pem -CAkey {issuer}.key -CAcreateserial"),
            None => format!("-signkey {key}.key"),
        };
        self.openssl(&format!("x509 -req -in {name}.csr {by} -extfile ext -out {name}.pem {more}"));
    }

    fn ec_key(&self, name: &str, curve: &str) {
        self.openssl(&format!("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:{curve} -out {name}.key"));
    }

    /// A root, two authorities below it, and the system's certificate below these.
    fn chain() -> Self {
        let bench = Self::new();
        for name in ["root", "one", "two", "sa"] {
            bench.ec_key(name, if name == "root" { "P-384" } else { "P-256" });
        }
        bench.certificate("root", "root", None, AUTHORITY, "-days 900");
        bench.certificate("one", "one", Some("root"), AUTHORITY, "-days 900");
        bench.certificate("two", "two", Some("one"), AUTHORITY, "-days 900");
        bench.certificate("sa", "sa", Some("two"), SERVER, "-days 300");
        bench
    }
}

const AUTHORITY: &str = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n";
const SERVER: &str = "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature\n\
    extendedKeyUsage=serverAuth\nsubjectAltName=DNS:sa.example.org,IP:192.0.2.7\n";

fn now() -> u64 {
    std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}

fn expected() -> Expected {
    Expected { names: vec!["sa.example.org".to_owned()], addresses: Vec::new(), now: Some(now()) }
}

fn codes(pem: &str) -> Vec<Code> {
    codes_for(pem, &expected())
}

fn codes_for(pem: &str, expected: &Expected) -> Vec<Code> {
    match check(pem.as_bytes(), expected) {
        Ok(_) => Vec::new(),
        Err(faults) => {
            for fault in &faults {
                assert!(fault.sentence.ends_with('.') && fault.sentence.len() < 600, "{fault}");
                assert!(!fault.remedy.is_empty(), "{fault}");
            }
            faults.into_iter().map(|fault| fault.code).collect()
        }
    }
}

#[test]
fn each_kind_of_key_is_taken_in_each_of_its_formats() {
    let bench = Bench::new();
    for bits in ["2048", "3072", "4096"] {
        bench.openssl(&format!("genrsa -out {bits}.key {bits}"));
        bench.openssl(&format!("rsa -in {bits}.key -traditional -out {bits}.old"));
    }
    for curve in ["prime256v1", "secp384r1"] {
        bench.openssl(&format!("ecparam -name {curve} -genkey -out {curve}.old"));
        assert!(bench.read(&format!("{curve}.old")).contains("EC PARAMETERS"));
        bench.openssl(&format!("pkcs8 -topk8 -nocrypt -in {curve}.old -out {curve}.key"));
    }
    for (key, kind) in [
        ("2048", KeyKind::Rsa(2048)),
        ("3072", KeyKind::Rsa(3072)),
        ("4096", KeyKind::Rsa(4096)),
        ("prime256v1", KeyKind::P256),
        ("secp384r1", KeyKind::P384),
    ] {
        bench.certificate("sa", key, None, SERVER, "-days 30");
        for form in ["key", "old"] {
            let checked = check(bench.read(&format!("sa.pem {key}.{form}")).as_bytes(), &expected()).unwrap();
            assert_eq!(checked.facts.key, kind);
            assert!(checked.advice.is_empty(), "{:?}", checked.advice);
            let secret = checked.key.secret_der();
            let shown = format!("{checked:?}");
            let hidden = [format!("{secret:?}"), format!("{secret:02x?}").replace(['[', ']', ',', ' '], "")];
            assert!(hidden.iter().all(|form| !shown.contains(form)), "the key is shown");
        }
    }
}

#[test]
fn a_chain_in_any_order_is_put_in_order() {
    let bench = Bench::chain();
    let ders = |pem: &str| {
        let checked = check(pem.as_bytes(), &expected()).unwrap();
        assert!(checked.advice.is_empty(), "{:?}", checked.advice);
        checked.chain
    };
    let right = ders(&bench.read("sa.key sa.pem two.pem one.pem root.pem"));
    assert_eq!(right.len(), 4);
    assert_eq!(ders(&bench.read("root.pem one.pem two.pem sa.pem sa.key")), right);
    assert_eq!(ders(&bench.read("one.pem sa.pem sa.key root.pem two.pem one.pem sa.pem")), right);
    // The root may stay away, and so may everything above the leaf: it is then for the browser to know them.
    assert_eq!(ders(&bench.read("two.pem sa.key one.pem sa.pem")), right[..3]);
    assert_eq!(ders(&bench.read("sa.key sa.pem")), right[..1]);
}

#[test]
fn faults_of_the_chain_are_told() {
    let bench = Bench::chain();
    assert_eq!(codes(&bench.read("sa.key sa.pem one.pem root.pem")), [Code::ChainGap]);
    bench.ec_key("other", "P-256");
    bench.certificate("other", "other", None, SERVER, "-days 30");
    assert_eq!(codes(&bench.read("sa.key sa.pem two.pem other.pem")), [Code::Stranger]);
    // Another authority by the same name.
    bench.certificate("two", "other", Some("one"), AUTHORITY, "-days 900");
    assert_eq!(codes(&bench.read("sa.key sa.pem two.pem")), [Code::WrongSignature]);
    // A server's certificate that signs another one.
    bench.certificate("two", "two", Some("one"), SERVER, "-days 900");
    assert_eq!(codes(&bench.read("sa.key sa.pem two.pem one.pem")), [Code::IssuerIsNoAuthority]);
    bench.certificate("two", "two", Some("one"), AUTHORITY, "-days -1");
    assert_eq!(codes(&bench.read("sa.key sa.pem two.pem one.pem")), [Code::Expired]);
}

#[test]
fn a_missing_second_or_foreign_key_is_told() {
    let bench = Bench::chain();
    assert_eq!(codes(&bench.read("sa.pem two.pem one.pem")), [Code::NoKey]);
    assert_eq!(codes(&bench.read("sa.pem sa.key two.key")), [Code::SeveralKeys]);
    assert_eq!(codes(&bench.read("sa.key")), [Code::NoCertificate]);
    assert_eq!(
        codes(&bench.read("one.key sa.pem two.pem one.pem")),
        [
            // The key is that of an authority in the chain, whose certificate it then is about.
            Code::LeafIsAuthority,
            Code::NotForServers,
            Code::NameMismatch,
            Code::ChainGap,
            Code::Stranger,
        ]
    );
    bench.ec_key("other", "P-256");
    assert_eq!(codes(&bench.read("other.key sa.pem two.pem one.pem")), [Code::KeyMismatch]);
    bench.certificate("request", "sa", None, SERVER, "-days 3");
    assert_eq!(codes(&bench.read("sa.key request.csr sa.pem")), [Code::ForeignBlock]);
}

#[test]
fn encrypted_keys_are_told_apart_with_the_command_that_decrypts_them() {
    let bench = Bench::chain();
    bench.openssl("pkcs8 -topk8 -in sa.key -passout pass:secret -out new.key");
    bench.openssl("ec -in sa.key -aes128 -passout pass:secret -out old.key");
    bench.openssl("genrsa -aes128 -traditional -passout pass:secret -out rsa.key 2048");
    assert!(bench.read("old.key").contains("Proc-Type: 4,ENCRYPTED"));
    for key in ["new.key", "old.key", "rsa.key"] {
        let faults = check(bench.read(&format!("{key} sa.pem")).as_bytes(), &expected()).unwrap_err();
        assert_eq!((faults.len(), faults[0].code), (1, Code::EncryptedKey), "{key}");
        assert!(faults[0].remedy.contains("openssl pkey -in key.pem -out plain.pem"));
    }
    // The command does what the sentence says.
    bench.openssl("pkey -in old.key -passin pass:secret -out plain.pem");
    assert_eq!(codes(&bench.read("plain.pem sa.pem")), []);
}

#[test]
fn dates_are_looked_at_when_the_clock_is_known() {
    let bench = Bench::chain();
    let pem = bench.read("sa.key sa.pem");
    let at = |now| codes_for(&pem, &Expected { now, ..expected() });
    assert_eq!(at(Some(now() - 3600)), [Code::NotYetValid]);
    // The authority's clock is a little ahead.
    assert_eq!(at(Some(now() - 240)), []);
    assert_eq!(at(Some(now() + 299 * 86_400)), []);
    assert_eq!(at(Some(now() + 301 * 86_400)), [Code::Expired]);
    assert_eq!(at(Some(u64::MAX)), [Code::Expired]);
    assert_eq!(at(None), []);
}

#[test]
fn the_system_is_known_by_name_address_or_wildcard() {
    let bench = Bench::chain();
    let pem = bench.read("sa.key sa.pem");
    let with = |names: &[&str], addresses: &[&str]| Expected {
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
        now: None,
    };
    assert_eq!(codes_for(&pem, &with(&["SA.Example.Org."], &[])), []);
    assert_eq!(codes_for(&pem, &with(&["elsewhere"], &["192.0.2.7"])), []);
    assert_eq!(codes_for(&pem, &with(&[], &[])), []);
    assert_eq!(codes_for(&pem, &with(&["x.example.org"], &["192.0.2.8"])), [Code::NameMismatch]);
    let checked = check(pem.as_bytes(), &with(&["sa"], &[])).unwrap();
    assert!(
        checked.advice[0].contains("alternative names"),
        "a common name alone is taken, with a word about it"
    );
    let wild = SERVER.replace("sa.example.org", "*.example.org");
    bench.certificate("wild", "sa", None, &wild, "-days 30");
    let pem = bench.read("sa.key wild.pem");
    assert_eq!(codes_for(&pem, &with(&["x.example.org"], &[])), []);
    assert_eq!(codes_for(&pem, &with(&["x.y.example.org"], &[])), [Code::NameMismatch]);
}

#[test]
fn weak_and_unsupported_keys_and_signatures_are_refused() {
    let bench = Bench::new();
    bench.openssl("genrsa -out weak.key 1024");
    bench.openssl("genrsa -out big.key 5120");
    bench.openssl("genpkey -algorithm ED25519 -out ed.key");
    bench.openssl("genpkey -algorithm ED448 -out ed448.key");
    bench.ec_key("p521", "P-521");
    bench.ec_key("sa", "P-256");
    bench.openssl("genrsa -out rsa.key 2048");
    let code_of = |key: &str, more: &str| {
        bench.certificate("cert", key, None, SERVER, more);
        codes(&bench.read(&format!("{key}.key cert.pem")))
    };
    assert_eq!(code_of("weak", ""), [Code::WeakKey]);
    for key in ["big", "ed", "ed448", "p521"] {
        assert_eq!(code_of(key, ""), [Code::UnsupportedKey], "{key}");
    }
    assert_eq!(code_of("rsa", "-sha1"), [Code::WeakSignature]);
    assert_eq!(code_of("rsa", "-md5"), [Code::WeakSignature]);
    assert_eq!(code_of("sa", "-sha1"), [Code::WeakSignature]);
    // An authority with a key that is too short.
    bench.certificate("weak", "weak", None, AUTHORITY, "");
    bench.certificate("cert", "sa", Some("weak"), SERVER, "");
    assert_eq!(codes(&bench.read("sa.key cert.pem weak.pem")), [Code::WeakKey]);
    // A root's own signature is of no account; a key that is not checked here is a matter for the browser.
    bench.certificate("rsa", "rsa", None, AUTHORITY, "-sha1");
    bench.certificate("cert", "sa", Some("rsa"), SERVER, "");
    assert_eq!(codes(&bench.read("sa.key cert.pem rsa.pem")), []);
    bench.certificate("p521", "p521", None, AUTHORITY, "");
    bench.certificate("cert", "sa", Some("p521"), SERVER, "-sha512");
    let checked = check(bench.read("sa.key cert.pem p521.pem").as_bytes(), &expected()).unwrap();
    assert!(checked.advice[0].contains("not checked here"));
}

#[test]
fn certificates_that_browsers_do_not_take_from_a_server_are_refused() {
    let bench = Bench::new();
    bench.ec_key("sa", "P-256");
    let name = "subjectAltName=DNS:sa.example.org\n";
    let code_of = |extensions: &str| {
        bench.certificate("cert", "sa", None, extensions, "");
        codes(&bench.read("sa.key cert.pem"))
    };
    assert_eq!(code_of(&format!("basicConstraints=critical,CA:TRUE\n{name}")), [Code::LeafIsAuthority]);
    assert_eq!(code_of(&format!("extendedKeyUsage=clientAuth\n{name}")), [Code::NotForServers]);
    assert_eq!(code_of(&format!("keyUsage=keyEncipherment\n{name}")), [Code::NotForServers]);
    assert_eq!(code_of(&format!("1.2.3.4=critical,DER:0500\n{name}")), [Code::Unservable]);
    // What the sentence tells a person to add is enough.
    bench.openssl("req -x509 -key sa.key -subj /CN=sa -addext subjectAltName=DNS:sa.example.org -out ca.pem");
    assert_eq!(codes(&bench.read("sa.key ca.pem")), [Code::LeafIsAuthority]);
    bench.openssl(
        "req -x509 -key sa.key -subj /CN=sa -addext subjectAltName=DNS:sa.example.org \
         -addext basicConstraints=critical,CA:FALSE -out good.pem",
    );
    assert_eq!(codes(&bench.read("sa.key good.pem")), []);
}

#[test]
fn all_faults_are_found_at_once() {
    let bench = Bench::chain();
    bench.ec_key("other", "P-256");
    let all = bench.read("other.key sa.csr sa.pem two.pem root.pem");
    let wrong =
        Expected { names: vec!["x".to_owned()], now: Some(now() + 400 * 86_400), ..Expected::default() };
    assert_eq!(
        codes_for(&all, &wrong),
        [Code::ForeignBlock, Code::KeyMismatch, Code::NameMismatch, Code::Expired, Code::ChainGap,]
    );
}

#[test]
fn what_is_no_pem_is_told_how_to_become_one() {
    let bench = Bench::chain();
    bench.openssl("x509 -in sa.pem -outform DER -out sa.der");
    bench.openssl("pkcs12 -export -inkey sa.key -in sa.pem -passout pass:secret -out sa.p12");
    for file in ["sa.der", "sa.p12"] {
        let bytes = std::fs::read(bench.path().join(file)).unwrap();
        assert_eq!(check(&bytes, &expected()).unwrap_err()[0].code, Code::NotPem);
    }
    bench.openssl("pkcs12 -in sa.p12 -nodes -passin pass:secret -out all.pem");
    assert_eq!(codes(&bench.read("all.pem")), []);
    assert_eq!(codes("hello"), [Code::NotPem]);
    assert_eq!(codes(&"a".repeat(LONGEST + 1)), [Code::TooLong]);
}

#[test]
fn keys_that_are_damaged_or_in_another_format_are_told_what_to_do() {
    let bench = Bench::chain();
    // Cut off, another kind under its label, and without the public half that TLS wants.
    let key = bench.read("sa.key");
    let cut =
        key.lines().take(2).chain(key.lines().last()).fold(String::new(), |all, line| all + line + "\n");
    let renamed = key.replace("PRIVATE KEY", "RSA PRIVATE KEY");
    bench.openssl("ec -in sa.key -no_public -out half.key");
    for broken in [&cut, &renamed, &bench.read("half.key")] {
        assert_eq!(codes(&format!("{broken}{}", bench.read("sa.pem"))), [Code::DamagedKey], "{broken}");
    }
    // What the sentence says mends the last one.
    bench.openssl("ec -in half.key -out new.pem");
    assert_eq!(codes(&bench.read("new.pem sa.pem")), []);
    // OpenSSH's own format, and the command for it.
    let path = bench.path().join("ssh.key");
    let keygen = |words: &[&str]| {
        assert!(
            Command::new("ssh-keygen").args(words).arg(&path).output().unwrap().status.success(),
            "{words:?}"
        );
    };
    keygen(&["-q", "-t", "ecdsa", "-b", "256", "-N", "", "-f"]);
    assert_eq!(codes(&bench.read("ssh.key sa.pem")), [Code::UnsupportedKey]);
    keygen(&["-p", "-m", "PKCS8", "-N", "", "-f"]);
    bench.certificate("sa", "ssh", None, SERVER, "-days 30");
    assert_eq!(codes(&bench.read("ssh.key sa.pem")), []);
}

#[test]
fn damage_and_excess_are_told() {
    let bench = Bench::chain();
    let (key, pem) = (bench.read("sa.key"), bench.read("sa.pem"));
    assert_eq!(codes(&format!("{key}{}", pem.replacen("-----END", "-----EDN", 1))), [Code::DamagedText]);
    assert_eq!(codes(&format!("{key}{}", pem.replacen("MII", "M!I", 1))), [Code::DamagedText]);
    assert_eq!(codes(&format!("{key}{}", pem.replacen("MII", "MIJ", 1))), [Code::DamagedCertificate]);
    // A certificate that was changed after it was signed.
    let mut changed =
        crate::pem::blocks(&pem).unwrap_or_else(|fault| panic!("{fault:?}")).remove(0).der.to_vec();
    let place = changed.windows(4).rposition(|part| part == b"Test").unwrap();
    changed[place] = b'B';
    let whole = format!("{key}{}{}", block("CERTIFICATE", &changed), bench.read("two.pem one.pem"));
    assert_eq!(codes(&whole), [Code::WrongSignature]);
    let mut many = key;
    for number in 0..17 {
        bench.certificate("sa", "sa", None, SERVER, &format!("-days {}", number + 1));
        many += &bench.read("sa.pem");
    }
    assert_eq!(codes(&many), [Code::ManyCertificates]);
}

fn block(label: &str, der: &[u8]) -> String {
    use base64::Engine as _;
    let body = base64::engine::general_purpose::STANDARD.encode(der);
    format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
}
