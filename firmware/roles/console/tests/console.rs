//! The console's promises, kept to a real TLS client.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod common;

use common::{Console, SOON, read_all};
use drawbridge_bus::RoleState;
use std::io::{Read as _, Write as _};
use std::time::{Duration, Instant};

/// Not a test: the role's process, which the tests start from this same program.
#[test]
#[ignore = "the role's own process, started by the other tests"]
fn the_roles_own_process() {
    common::be_the_role();
}

#[test]
fn the_page_comes_with_all_headers_that_it_needs() {
    let console = Console::start("page", None);
    let page = console.page().unwrap();
    assert!(page.starts_with("HTTP/1.1 200 OK\r\n"), "{page}");
    for header in [
        "content-security-policy: default-src 'none'; script-src 'self'; style-src 'self'; ",
        "frame-ancestors 'none'",
        "x-content-type-options: nosniff\r\n",
        "x-frame-options: DENY\r\n",
        "referrer-policy: no-referrer\r\n",
        "cache-control: no-store\r\n",
        "content-type: text/html; charset=utf-8\r\n",
    ] {
        assert!(page.contains(header), "{header} is missing in {page}");
    }
    assert!(!page.to_lowercase().contains("strict-transport-security"));
    for shown in ["10.0.1.5/24", "vda3", "i6300esb", "All is well"] {
        assert!(page.contains(shown), "{shown} is missing in {page}");
    }
    let fingerprint: Vec<_> = console.fingerprint.iter().map(|byte| format!("{byte:02X}")).collect();
    assert!(page.contains(&fingerprint.join(":")), "the fingerprint is the one that init was told");
    let mut stream = console.tls().unwrap();
    let certificate = stream.conn.peer_certificates().unwrap()[0].clone();
    assert_eq!(ring::digest::digest(&ring::digest::SHA256, &certificate).as_ref(), console.fingerprint);
    stream.conn.send_close_notify();
    let _ = stream.flush();
}

#[test]
fn what_is_no_page_is_refused_with_a_word() {
    let console = Console::start("routes", None);
    for (request, first, says) in [
        (
            "GET /status.css HTTP/1.1\r\nHost: drawbridge\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 200 OK",
            "color-scheme",
        ),
        ("GET /status?x=1 HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n", "HTTP/1.0 200 OK", "All is well"),
        (
            "GET /status HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 421",
            "not known by that name",
        ),
        (
            "GET /admin HTTP/1.1\r\nHost: drawbridge\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 404",
            "There is no such page",
        ),
        (
            "GET /../etc/passwd HTTP/1.1\r\nHost: drawbridge\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 404",
            "There is no such page",
        ),
        (
            "DELETE / HTTP/1.1\r\nHost: drawbridge\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 405",
            "allow: GET, HEAD",
        ),
        (
            "OPTIONS / HTTP/1.1\r\nHost: drawbridge\r\nConnection: close\r\n\r\n",
            "HTTP/1.1 405",
            "allow: GET, HEAD",
        ),
        ("NONSENSE\r\n\r\n", "HTTP/1.1 400", ""),
        (
            "GET /status HTTP/1.1\r\nHost: drawbridge\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 400",
            "",
        ),
    ] {
        let answer = console.ask(request).unwrap();
        assert!(answer.starts_with(first) && answer.contains(says), "{request} is answered with {answer}");
    }
    let head = console.ask("HEAD / HTTP/1.1\r\nHost: drawbridge\r\nConnection: close\r\n\r\n").unwrap();
    assert!(head.starts_with("HTTP/1.1 200 OK") && head.ends_with("\r\n\r\n"), "{head}");
}

#[test]
fn plain_http_is_told_where_the_page_is() {
    let console = Console::start("plain", None);
    let mut stream = console.tcp().unwrap();
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: drawbridge\r\n\r\n").unwrap();
    let answer = read_all(&mut stream).unwrap();
    assert!(answer.starts_with("HTTP/1.1 400") && answer.contains("https://"), "{answer}");
}

#[test]
fn a_body_of_any_length_is_not_read_and_ends_the_connection() {
    let console = Console::start("body", None);
    for length in ["Content-Length: 100000000000000", "Transfer-Encoding: chunked"] {
        let mut stream = console.tls().unwrap();
        write!(stream, "POST / HTTP/1.1\r\nHost: drawbridge\r\n{length}\r\n\r\n").unwrap();
        let answer = read_all(&mut stream).unwrap();
        assert!(answer.starts_with("HTTP/1.1 405") && answer.contains("connection: close"), "{answer}");
    }
    console.page().unwrap();
}

#[test]
fn a_flood_of_headers_is_refused() {
    let console = Console::start("headers", None);
    let many = "x: 1\r\n".repeat(200);
    let long = format!("x: {}\r\n", "y".repeat(200_000));
    for headers in [many, long] {
        let mut stream = console.tls().unwrap();
        // The server may have closed before all is written.
        let _ = write!(stream, "GET /status HTTP/1.1\r\nHost: drawbridge\r\n{headers}\r\n");
        let answer = read_all(&mut stream).unwrap_or_default();
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    }
    console.page().unwrap();
}

#[test]
fn idle_connections_keep_nobody_out() {
    let console = Console::start("idle", None);
    let idle: Vec<_> = (0..200).map(|_| console.tcp().unwrap()).collect();
    // Some say a little, and no more.
    for mut stream in &idle {
        let _ = stream.write_all(&[22]);
    }
    let begin = Instant::now();
    assert!(console.page_soon().contains("All is well"));
    assert!(begin.elapsed() < Duration::from_secs(9), "it was not the handshake's end that made room");
    drop(idle);
}

#[test]
fn a_client_that_is_too_slow_is_cut_off_and_a_fast_one_is_served_meanwhile() {
    let console = Console::start("slow", None);
    let begin = Instant::now();
    let mut slow = console.tls().unwrap();
    slow.write_all(b"GET / HT").unwrap();
    let mut silent = console.tcp().unwrap();
    console.page().unwrap();
    assert!(begin.elapsed() < SOON);
    // Both are ended by the server.
    let _ = silent.read(&mut [0; 16]);
    let answer = read_all(&mut slow).unwrap_or_default();
    assert!(!answer.contains("200 OK"), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
}

#[test]
fn a_connection_that_is_kept_open_ends_when_nothing_more_is_asked() {
    let console = Console::start("keep", None);
    let mut stream = console.tls().unwrap();
    stream
        .write_all(b"HEAD / HTTP/1.1\r\nHost: drawbridge\r\n\r\nHEAD / HTTP/1.1\r\nHost: drawbridge\r\n\r\n")
        .unwrap();
    let begin = Instant::now();
    let answers = read_all(&mut stream).unwrap();
    assert_eq!(answers.matches("200 OK").count(), 2, "{answers}");
    assert!(begin.elapsed() < Duration::from_secs(25), "{:?}", begin.elapsed());
}

#[test]
fn a_role_that_hangs_or_fails_is_shown_and_the_page_comes_all_the_same() {
    let console = Console::start("hang", None);
    *console.said.ports.lock().unwrap() = None;
    console.said.status.lock().unwrap().as_mut().unwrap().roles[0].state = RoleState::Failed;
    let page = console.page().unwrap();
    assert!(page.contains("the network role did not answer in time"), "{page}");
    assert!(page.contains("The part network has failed"), "{page}");
    *console.said.status.lock().unwrap() = None;
    std::thread::sleep(Duration::from_millis(1_100));
    let page = console.page().unwrap();
    assert!(page.contains("the init role did not answer in time"), "{page}");
}

#[test]
fn it_stops_when_it_is_told_to_and_answers_what_it_has_begun() {
    let mut console = Console::start("stop", None);
    *console.said.ports.lock().unwrap() = None;
    let mut stream = console.tls().unwrap();
    stream.write_all(b"GET /status HTTP/1.1\r\nHost: drawbridge\r\n\r\n").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    console.tell_to_stop(10);
    let page = read_all(&mut stream).unwrap();
    assert!(page.contains("did not answer in time"), "{page}");
    assert!(console.ends().success());
    assert!(console.tcp().is_err(), "nobody listens any more");
}

#[test]
fn an_idle_connection_does_not_delay_the_end() {
    let mut console = Console::start("end", None);
    let mut idle = console.tls().unwrap();
    idle.write_all(b"HEAD / HTTP/1.1\r\nHost: drawbridge\r\n\r\n").unwrap();
    idle.read_exact(&mut [0; 15]).unwrap();
    let begin = Instant::now();
    assert!(console.stop(30).success());
    assert!(begin.elapsed() < Duration::from_secs(15), "{:?}", begin.elapsed());
}

#[test]
fn without_init_it_ends_with_a_failure() {
    let mut console = Console::start("init", None);
    console.lose_init();
    assert!(!console.ends().success());
}

#[test]
fn the_certificate_survives_a_restart() {
    let mut console = Console::start("restart", None);
    console.kill();
    let again = Console::start_in(console.folder.clone(), None);
    assert_eq!(console.fingerprint, again.fingerprint);
    assert!(again.page().unwrap().contains("All is well"));
}

#[test]
fn a_full_descriptor_table_is_survived() {
    // Enough to run, and too few for all who come.
    let console = Console::start("descriptors", Some(40));
    let crowd: Vec<_> = (0..120).filter_map(|_| console.tcp().ok()).collect();
    std::thread::sleep(Duration::from_secs(1));
    drop(crowd);
    assert!(console.page_soon().contains("All is well"));
}
