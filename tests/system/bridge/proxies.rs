//! Ways through squid, dante, OpenSSH's `-D` and relays, from the booted appliance. Each program is its distribution's.
//!
//! They run as nobody in a namespace of users of their own: as root of the lab's, squid and dante would change their user,
//! which nobody may there.

use super::ways::{goes, listens, through};
use drawbridge_bus::bridge::{BridgePath, ProxyProtocol, Verification};
use drawbridge_lab::Lab;
use drawbridge_lab::net::Program;
use drawbridge_tests::Image;
use drawbridge_tests::bridge::{Bridge, SERVER, target};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const PASSWORD: &str = "hush-hush";

/// A folder of a test that programs may write to.
fn folder(lab: &Lab, name: &str) -> PathBuf {
    let folder = lab.folder().join(name);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// Starts a program as nobody, and waits for its port.
fn nobody_s<S: AsRef<OsStr>>(bridge: &Bridge, port: u16, words: impl IntoIterator<Item = S>) -> Program {
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-user=65534", "--map-group=65534", "--"]).args(words);
    let program = bridge.outside.run_command(command).unwrap();
    listens(&bridge.outside, port);
    assert!(program.runs(), "{}", program.text());
    program
}

fn made(program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn squid(bridge: &Bridge, folder: &Path, port: u16, listen: &str, rules: &str) -> Program {
    let path = folder.display();
    let text = format!(
        "{listen}\n{rules}\nhttp_access deny all\ncache deny all\ncache_mem 1 MB\nmemory_cache_shared off\n\
         visible_hostname squid.lab\npid_filename none\naccess_log none\ncache_log {path}/{port}.log\n\
         coredump_dir {path}\nshutdown_lifetime 0 seconds\npinger_enable off\n"
    );
    let config = folder.join(format!("{port}.conf"));
    fs::write(&config, text).unwrap();
    // The name parts its shared memory from that of other ones.
    let name = format!("lab{}x{port}", std::process::id());
    let words = ["squid", "-N", "-n", &name, "-f", config.to_str().unwrap()];
    nobody_s(bridge, port, words)
}

#[test]
fn an_engineer_gets_in_through_squid_plain_and_over_tls_with_and_without_a_password() {
    let lab = Lab::new("squid");
    let folder = folder(&lab, "squid");
    let path = |name: &str| folder.join(name).display().to_string();
    // Made first: it is valid from now on, and the appliance's clock may be a second behind.
    let (pem, key, der) = (path("proxy.pem"), path("proxy.key"), path("proxy.der"));
    let subject = ["-subj", "/CN=squid.lab", "-addext", "subjectAltName=IP:10.0.2.2", "-days", "30"];
    let words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    made("openssl", &[&words[..], &["-keyout", &key, "-out", &pem], &subject[..]].concat());
    made("openssl", &["x509", "-in", &pem, "-outform", "der", "-out", &der]);
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let way = bridge.path();
    goes(&mut bridge, "direct, and enrolled", way);

    let _open = squid(&bridge, &folder, 3128, "http_port 3128", "http_access allow all");
    let way = through(&bridge, ProxyProtocol::Http, 3128, None);
    goes(&mut bridge, "squid", way);

    let hash = made("openssl", &["passwd", "-apr1", PASSWORD]);
    fs::write(folder.join("users"), format!("anna:{hash}")).unwrap();
    let basic = format!(
        "auth_param basic program /usr/lib/squid/basic_ncsa_auth {}\nauth_param basic children 1\n\
         acl known proxy_auth REQUIRED\nhttp_access allow known",
        path("users")
    );
    let _basic = squid(&bridge, &folder, 3129, "http_port 3129", &basic);
    let way = through(&bridge, ProxyProtocol::Http, 3129, Some(("anna", PASSWORD)));
    goes(&mut bridge, "squid with a password", way);
    let steps = bridge.test(through(&bridge, ProxyProtocol::Http, 3129, Some(("anna", "something else"))));
    let told = format!("{steps:?}");
    assert!(told.contains("Correct user and password for the proxy") && !told.contains("something else"));

    let listen = format!("https_port 3130 tls-cert={pem} tls-key={key}");
    let _tls = squid(&bridge, &folder, 3130, &listen, &basic);
    let mut way = through(&bridge, ProxyProtocol::Https, 3130, Some(("anna", PASSWORD)));
    let der = fs::read(&der).unwrap();
    let trust = |way: &mut BridgePath, verification| {
        if let Some(proxy) = &mut way.proxy {
            proxy.verification = verification;
        }
    };
    // It is an authority's certificate, as openssl makes them: no root makes that right, a pin does.
    let none = Verification { built_in: false, ..Verification::default() };
    trust(&mut way, Verification { uploaded: vec![der.clone()], ..none.clone() });
    let told = format!("{:?}", bridge.test(way.clone()));
    assert!(told.contains("it is an authority's own") && told.contains("or pin it if it is right"), "{told}");
    let pin = ring::digest::digest(&ring::digest::SHA256, &der).as_ref().try_into().unwrap();
    let pinned = Verification { certificate_pin: Some(pin), ..none };
    trust(&mut way, pinned.clone());
    goes(&mut bridge, "squid over TLS with a password", way);
    let listen = format!("https_port 3131 tls-cert={pem} tls-key={key}");
    let _open_tls = squid(&bridge, &folder, 3131, &listen, "http_access allow all");
    let mut way = through(&bridge, ProxyProtocol::Https, 3131, None);
    trust(&mut way, pinned);
    goes(&mut bridge, "squid over TLS", way);
    assert!(!bridge.site.machine.serial().text().contains(PASSWORD), "no log has the password");
}

#[test]
fn an_engineer_gets_in_through_dante_ssh_d_and_relays_before_and_behind_the_proxy() {
    let lab = Lab::new("socks and hops");
    let mut bridge = Bridge::boot(&lab, &Image::here());
    let folder = folder(&lab, "socks");
    let path = |name: &str| folder.join(name).display().to_string();
    let way = bridge.path();
    goes(&mut bridge, "direct, and enrolled", way);

    let text = "logoutput: stderr\ninternal: 0.0.0.0 port = 1090\nexternal: eth0\nclientmethod: none\n\
                socksmethod: none\nuser.privileged: nobody\nuser.unprivileged: nobody\n\
                client pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\nsocks pass { from: 0.0.0.0/0 to: 0.0.0.0/0 }\n";
    fs::write(folder.join("dante.conf"), text).unwrap();
    let words = ["danted", "-f", &path("dante.conf"), "-p", &path("dante.pid")];
    let _dante = nobody_s(&bridge, 1090, words);
    for protocol in [ProxyProtocol::Socks4, ProxyProtocol::Socks5] {
        let way = through(&bridge, protocol, 1090, None);
        goes(&mut bridge, &format!("dante by {protocol:?}"), way);
    }

    for key in ["host", "user"] {
        made("ssh-keygen", &["-q", "-t", "ed25519", "-N", "", "-f", &path(key)]);
    }
    let text = format!(
        "Port 2022\nHostKey {}\nPidFile none\nAuthorizedKeysFile {}\nStrictModes no\nUsePAM no\nPasswordAuthentication no\n",
        path("host"),
        path("user.pub")
    );
    fs::write(folder.join("sshd.conf"), text).unwrap();
    let _sshd = nobody_s(&bridge, 2022, ["/usr/sbin/sshd", "-D", "-e", "-f", &path("sshd.conf")]);
    let key = path("user");
    let words = [
        "ssh",
        "-F",
        "none",
        "-N",
        "-o",
        "StrictHostKeyChecking=no",
        "-o",
        "UserKnownHostsFile=/dev/null",
        "-o",
        "BatchMode=yes",
        "-o",
        "ExitOnForwardFailure=yes",
        "-i",
        &key,
        "-D",
        "0.0.0.0:1091",
        "-p",
        "2022",
        "nobody@127.0.0.1",
    ];
    let _client = nobody_s(&bridge, 1091, words);
    for protocol in [ProxyProtocol::Socks4, ProxyProtocol::Socks4a, ProxyProtocol::Socks5] {
        let way = through(&bridge, protocol, 1091, None);
        goes(&mut bridge, &format!("ssh -D by {protocol:?}"), way);
    }

    // 9001 leads to 9002, which leads to the server; 9003 leads to dante.
    let hop = drawbridge_lab::vendor::beside("hop");
    let hop = hop.expect("the relay's binary beside the tests: cargo build -p drawbridge-hop");
    let hop = hop.to_str().unwrap();
    let relay = |port: u16, to: &str| {
        nobody_s(&bridge, port, [hop, "--listen", &format!("0.0.0.0:{port}"), "--to", to])
    };
    let _relays =
        [relay(9001, "127.0.0.1:9002"), relay(9002, &format!("{SERVER}:443")), relay(9003, "127.0.0.1:1090")];
    // Nobody has to find the names of what is behind a relay.
    let vendor = "vendor.example";
    let near = |port| target("10.0.2.2", port);
    let way = BridgePath {
        server: target(vendor, 443),
        hops: vec![near(9001), target("127.0.0.1", 9002)],
        ..bridge.known_path()
    };
    goes(&mut bridge, "two relays", way);
    let mut way = through(&bridge, ProxyProtocol::Socks5, 1090, None);
    if let Some(proxy) = &mut way.proxy {
        proxy.address = target("proxy.inside.example", 1080);
        proxy.hops = vec![near(9003)];
    }
    goes(&mut bridge, "a proxy behind a relay", way);
}
