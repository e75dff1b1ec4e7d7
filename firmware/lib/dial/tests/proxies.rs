//! Paths through real proxies: squid, tinyproxy, dante, microsocks, and OpenSSH's client with its own server.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use drawbridge_dial::{
    Authentication, Credentials, Failure, HostPort, Outcome, Pin, Protocol, ProxyTls, Route, Stage, Step,
    Trust,
};
use peers::{
    Identity, Peer, at, dial, dialler, fails, folder, found, free_port, hop, identity, route, target,
    through, works,
};
use std::fs;
use std::process::Command;

fn credentials(password: &str) -> Credentials {
    Credentials::new("anna".to_owned(), password.to_owned()).unwrap()
}

fn http(authentication: Authentication) -> Protocol {
    Protocol::Http { tls: None, authentication }
}

fn squid(rules: &str, identity: Option<&Identity>) -> Peer {
    let (folder, port) = (folder(), free_port());
    let path = folder.path().display().to_string();
    let listen = match identity {
        None => format!("http_port 127.0.0.1:{port}"),
        Some(identity) => {
            fs::write(folder.path().join("proxy.pem"), format!("{}{}", identity.chain_pem, identity.key_pem))
                .unwrap();
            format!("https_port 127.0.0.1:{port} tls-cert={path}/proxy.pem")
        }
    };
    let helper = found("basic_ncsa_auth", "squid-openssl");
    let hash = Command::new(found("openssl", "openssl")).args(["passwd", "-apr1", "right"]).output().unwrap();
    let users = format!("anna:{}", String::from_utf8(hash.stdout).unwrap());
    fs::write(folder.path().join("users"), users).unwrap();
    let rules = rules.replace("HELPER", &format!("{} {path}/users", helper.display()));
    fs::write(
        folder.path().join("squid.conf"),
        format!(
            "{listen}\n{rules}\nhttp_access deny all\ncache deny all\ncache_mem 1 MB\nmemory_cache_shared off\nvisible_hostname squid.test\n\
             pid_filename none\naccess_log none\ncache_log {path}/cache.log\ncoredump_dir {path}\nshutdown_lifetime 0 \
             seconds\nhosts_file {path}/hosts\n"
        ),
    )
    .unwrap();
    fs::write(folder.path().join("hosts"), "127.0.0.1 rss.test\n").unwrap();
    Peer::start("squid", "squid-openssl", port, folder, |command| {
        // The name parts its shared memory from that of other ones.
        command.args(["-N", "-n", &format!("dial{port}"), "-f", "squid.conf"]);
    })
}

const BASIC: &str = "auth_param basic program HELPER\nauth_param basic children 1\nacl known proxy_auth \
                     REQUIRED\nhttp_access allow known";

#[tokio::test]
async fn squid_connects_without_credentials_and_looks_the_name_up_itself() {
    let identity = identity(&["rss.test"], |_| {});
    let (peer, proxy) = (target(&identity, &[]), squid("http_access allow all", None));
    let path = through(proxy.port, http(Authentication::None), &format!("rss.test:{}", peer.port));
    let (tunnel, steps) = dial(&dialler(&identity.root), &path).await;
    works(tunnel.unwrap()).await;
    assert!(!steps.iter().any(|step| matches!(step, Step::Begins(Stage::Names(_)))), "{steps:?}");
    // What it cannot reach is told from what it forbids.
    let path = through(proxy.port, http(Authentication::None), &format!("127.0.0.1:{}", free_port()));
    assert!(matches!(fails(&dialler(&identity.root), &path).await.failure, Failure::TargetUnreachable(_)));
    let closed = squid("", None);
    let path = through(closed.port, http(Authentication::None), &format!("127.0.0.1:{}", peer.port));
    assert_eq!(fails(&dialler(&identity.root), &path).await.failure, Failure::TargetForbidden);
}

#[tokio::test]
async fn a_proxy_that_wants_credentials_is_told_apart_from_one_that_refuses_them() {
    let identity = identity(&["rss.test"], |_| {});
    let (peer, proxy) = (target(&identity, &[]), squid(BASIC, None));
    let dialler = dialler(&identity.root);
    let path =
        |authentication| through(proxy.port, http(authentication), &format!("127.0.0.1:{}", peer.port));
    works(dialler.dial(&path(Authentication::Basic(credentials("right"))), &()).await.unwrap()).await;
    let error = fails(&dialler, &path(Authentication::None)).await;
    assert!(matches!(&error.failure, Failure::WantsCredentials(schemes) if schemes.len() == 1), "{error}");
    let error = fails(&dialler, &path(Authentication::Basic(credentials("wrong")))).await;
    assert_eq!(error.failure, Failure::CredentialsRefused);
    assert!(!format!("{error:?}{error}{}", error.remedy()).contains("wrong"));
}

#[tokio::test]
async fn a_proxy_over_tls_is_verified_before_it_gets_the_credentials() {
    let own = identity(&["squid.test"], |_| {});
    let identity = identity(&["rss.test"], |_| {});
    let (peer, proxy) = (target(&identity, &[]), squid(BASIC, Some(&own)));
    let dialler = dialler(&identity.root);
    let path = |trust: Trust| {
        let tls = Some(Box::new(ProxyTls { name: "squid.test".try_into().unwrap(), trust }));
        let protocol = Protocol::Http { tls, authentication: Authentication::Basic(credentials("right")) };
        through(proxy.port, protocol, &format!("127.0.0.1:{}", peer.port))
    };
    let trust = Trust { uploaded: vec![own.root.clone()], ..Trust::default() };
    let (tunnel, steps) = dial(&dialler, &path(trust)).await;
    works(tunnel.unwrap()).await;
    let handshakes =
        steps.iter().filter(|step| matches!(step, Step::Ends { result: Ok(Outcome::Tls(_)), .. }));
    assert_eq!(handshakes.count(), 2);
    for trust in [
        Trust { uploaded: vec![identity.root.clone()], ..Trust::default() },
        Trust { pin: Some(Pin::Key([7; 32])), ..Trust::default() },
    ] {
        let (result, steps) = dial(&dialler, &path(trust)).await;
        let error = result.unwrap_err();
        assert!(
            matches!((&error.stage, &error.failure), (Stage::ProxyTls(_), Failure::Certificate(_))),
            "{error}"
        );
        assert!(!steps.iter().any(|step| matches!(step, Step::Begins(Stage::Proxy { .. }))));
    }
    let plain = through(proxy.port, http(Authentication::None), "rss.test:443");
    let error = fails(&dialler, &plain).await;
    assert!(matches!(error.failure, Failure::NotAProxy(_) | Failure::ProxyClosed), "{error}");
}

#[tokio::test]
async fn tinyproxy_connects_with_an_answer_of_http_1_0() {
    let identity = identity(&["rss.test"], |_| {});
    let peer = target(&identity, &[]);
    let tinyproxy = |more: &str| {
        let (folder, port) = (folder(), free_port());
        let text = format!("Port {port}\nListen 127.0.0.1\nTimeout 60\nMaxClients 10\n{more}\n");
        fs::write(folder.path().join("t.conf"), text).unwrap();
        Peer::start("tinyproxy", "tinyproxy", port, folder, |command| {
            command.args(["-d", "-c", "t.conf"]);
        })
    };
    let dialler = dialler(&identity.root);
    let to = format!("127.0.0.1:{}", peer.port);
    let plain = tinyproxy("");
    works(dialler.dial(&through(plain.port, http(Authentication::None), &to), &()).await.unwrap()).await;
    let basic = tinyproxy("BasicAuth anna right");
    let path = |authentication| through(basic.port, http(authentication), &to);
    works(dialler.dial(&path(Authentication::Basic(credentials("right"))), &()).await.unwrap()).await;
    let error = fails(&dialler, &path(Authentication::None)).await;
    assert!(matches!(error.failure, Failure::WantsCredentials(_)), "{error}");
    fails(&dialler, &path(Authentication::Basic(credentials("wrong")))).await;
    // It waits for a line that SOCKS does not have.
    let mut path = through(plain.port, Protocol::Socks5 { credentials: None }, &to);
    path.time_outs.proxy = std::time::Duration::from_millis(500);
    let error = fails(&dialler, &path).await;
    assert!(matches!(error.failure, Failure::TimedOut(_)), "{error}");
}

#[tokio::test]
async fn dante_connects_by_socks_4_and_5_and_its_rules_are_told() {
    let identity = identity(&["rss.test"], |_| {});
    let peer = target(&identity, &[]);
    let (folder, port, forbidden) = (folder(), free_port(), free_port());
    // It changes between two users, and who is not root can be himself only.
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let plain = if user == "root" { "nobody" } else { &user };
    fs::write(
        folder.path().join("d.conf"),
        format!(
            "logoutput: stderr\ninternal: 127.0.0.1 port = {port}\nexternal: 127.0.0.1\nclientmethod: none\nsocksmethod: \
             none\nuser.privileged: {user}\nuser.unprivileged: {plain}\nclient pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n\
             socks block {{ from: 127.0.0.0/8 to: 127.0.0.1/32 port = {forbidden} }}\n\
             socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n"
        ),
    )
    .unwrap();
    let proxy = Peer::start("danted", "dante-server", port, folder, |command| {
        command.args(["-f", "d.conf", "-p", "d.pid"]);
    });
    let dialler = dialler(&identity.root);
    let five = || Protocol::Socks5 { credentials: None };
    let to = format!("127.0.0.1:{}", peer.port);
    works(dialler.dial(&through(proxy.port, five(), &to), &()).await.unwrap()).await;
    // A name for SOCKS4 is looked up here.
    let named = format!("rss.test:{}", peer.port);
    let (tunnel, steps) = dial(&dialler, &through(proxy.port, Protocol::Socks4 { user: None }, &named)).await;
    works(tunnel.unwrap()).await;
    assert!(
        steps.iter().any(|step| matches!(step, Step::Ends { stage: Stage::Names(_), result: Ok(_), .. }))
    );
    let to = format!("127.0.0.1:{forbidden}");
    assert_eq!(fails(&dialler, &through(proxy.port, five(), &to)).await.failure, Failure::TargetForbidden);
    let error = fails(&dialler, &through(proxy.port, Protocol::Socks4 { user: None }, &to)).await;
    assert_eq!(error.failure, Failure::Socks4Refused);
    let error = fails(&dialler, &through(proxy.port, Protocol::Socks4 { user: None }, "six.test:1")).await;
    assert_eq!(error.failure, Failure::NoIpv4);
    let error = fails(&dialler, &through(proxy.port, http(Authentication::None), &to)).await;
    assert!(matches!(error.failure, Failure::NotAProxy(_) | Failure::ProxyClosed), "{error}");
}

#[tokio::test]
async fn microsocks_takes_the_right_password_only() {
    let identity = identity(&["rss.test"], |_| {});
    let (peer, port) = (target(&identity, &[]), free_port());
    let proxy = Peer::start("microsocks", "microsocks", port, folder(), |command| {
        command.args(["-i", "127.0.0.1", "-p", &port.to_string(), "-u", "anna", "-P", "right"]);
    });
    let dialler = dialler(&identity.root);
    let path = |credentials| {
        through(proxy.port, Protocol::Socks5 { credentials }, &format!("localhost:{}", peer.port))
    };
    works(dialler.dial(&path(Some(credentials("right"))), &()).await.unwrap()).await;
    assert_eq!(fails(&dialler, &path(Some(credentials("wrong")))).await.failure, Failure::CredentialsRefused);
    assert_eq!(fails(&dialler, &path(None)).await.failure, Failure::WantsCredentials(Vec::new()));
    let gone = format!("127.0.0.1:{}", free_port());
    let protocol = Protocol::Socks5 { credentials: Some(credentials("right")) };
    let error = fails(&dialler, &through(proxy.port, protocol, &gone)).await;
    assert!(matches!(error.failure, Failure::Socks5(_)), "{error}");
}

/// An SSH server, and a client whose -D is the proxy.
fn ssh() -> (Peer, Peer) {
    let (home, port) = (folder(), free_port());
    let path = home.path().display().to_string();
    for key in ["host", "user"] {
        let mut command = Command::new(found("ssh-keygen", "openssh-client"));
        let made = command
            .args(["-q", "-t", "ed25519", "-N", "", "-f"])
            .arg(home.path().join(key))
            .status()
            .unwrap();
        assert!(made.success());
    }
    fs::copy(home.path().join("user.pub"), home.path().join("authorized")).unwrap();
    // As root it wants a folder that Debian's unit would make.
    if nix::unistd::geteuid().is_root() {
        fs::create_dir_all("/run/sshd").unwrap();
    }
    fs::write(
        home.path().join("sshd.conf"),
        format!(
            "Port {port}\nListenAddress 127.0.0.1\nHostKey {path}/host\nPidFile none\nAuthorizedKeysFile \
             {path}/authorized\nStrictModes no\nUsePAM no\nPermitRootLogin yes\nPasswordAuthentication no\n"
        ),
    )
    .unwrap();
    let server = Peer::start("sshd", "openssh-server", port, home, |command| {
        command.args(["-D", "-e", "-f"]).arg(format!("{path}/sshd.conf"));
    });
    let (own, listen) = (folder(), free_port());
    let user = nix::unistd::User::from_uid(nix::unistd::geteuid()).unwrap().unwrap().name;
    let client = Peer::start("ssh", "openssh-client", listen, own, |command| {
        command
            .args([
                "-F",
                "none",
                "-N",
                "-o",
                "StrictHostKeyChecking=no",
                "-o",
                "UserKnownHostsFile=/dev/null",
            ])
            .args(["-o", "BatchMode=yes", "-o", "ExitOnForwardFailure=yes", "-i", &format!("{path}/user")])
            .args(["-D", &format!("127.0.0.1:{listen}"), "-p", &port.to_string()])
            .arg(format!("{user}@127.0.0.1"));
    });
    (server, client)
}

#[tokio::test]
async fn ssh_d_connects_by_socks_4_4a_and_5() {
    let identity = identity(&["rss.test"], |_| {});
    let peer = target(&identity, &[]);
    let (_server, client) = ssh();
    let dialler = dialler(&identity.root);
    for (protocol, host) in [
        (Protocol::Socks4 { user: None }, "127.0.0.1"),
        (Protocol::Socks4 { user: Some(credentials("")) }, "rss.test"),
        (Protocol::Socks4a { user: None }, "localhost"),
        (Protocol::Socks4a { user: None }, "127.0.0.1"),
        (Protocol::Socks5 { credentials: None }, "localhost"),
        (Protocol::Socks5 { credentials: Some(credentials("unused")) }, "127.0.0.1"),
    ] {
        let to = format!("{host}:{}", peer.port);
        let tunnel = dialler.dial(&through(client.port, protocol.clone(), &to), &()).await;
        works(tunnel.unwrap_or_else(|error| panic!("{protocol:?} to {host}: {error}"))).await;
    }
}

#[tokio::test]
async fn a_proxy_may_stand_behind_a_hop_and_hops_behind_the_proxy() {
    let identity = identity(&["rss.test"], |_| {});
    let (peer, proxy) = (target(&identity, &[]), squid("http_access allow all", None));
    let before = hop(proxy.port).await;
    let last = hop(peer.port).await;
    let behind = hop(last).await;
    // Neither the proxy's name nor the target's can be found from here, and neither has to.
    let mut path = through(1, http(Authentication::None), "vendor.example:443");
    let set = path.proxy.as_mut().unwrap();
    set.address = HostPort::parse("proxy.inside.example:3128").unwrap();
    set.hops = vec![at(before)];
    path.hops = vec![at(behind), at(last)];
    let tunnel = dialler(&identity.root).dial(&path, &()).await.unwrap();
    assert_eq!(tunnel.peer.port(), before);
    works(tunnel).await;
    let direct = Route { hops: vec![at(behind), at(last)], ..route(1) };
    works(dialler(&identity.root).dial(&direct, &()).await.unwrap()).await;
}
