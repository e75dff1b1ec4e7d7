//! Lines that are lost: how fast the role comes back, and when it comes back at once.

use crate::common::server::Server;
use crate::common::{FAST, Tunnel, orders, soon};
use drawbridge_tunnel::Pace;
use std::time::{Duration, Instant};
use tokio::net::TcpListener;

/// So long that no test sees its end; what happens in a test happens for another reason.
const NEVER: Duration = Duration::from_secs(1_000_000_000);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_comes_up_ends_the_wait_at_once() {
    let mut server = Server::start().await;
    let pace = Pace { wait_first: NEVER, wait_most: NEVER, ..FAST };
    let mut tunnel = Tunnel::start(orders(&server), pace).await;
    // The first line fails: from then on it waits.
    drop(server.control_stream().await);
    tunnel.waiting().await;
    tunnel.has_looked().await;
    assert_eq!(server.controls_waiting(), 0, "it does not wait");
    tunnel.comes_up("eth0");
    let began = Instant::now();
    server.welcome().await;
    let time = began.elapsed();
    println!("connected {time:?} after the port came up");
    assert!(time < Duration::from_secs(5), "only after {time:?}");
    tunnel.connected().await;
    tunnel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_comes_up_ends_an_attempt_that_hangs() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    // TLS is there, and then nothing: its time would be 15 s.
    let stuck = server.control_stream().await;
    // It looks only when the attempt is a second old.
    tunnel.has_looked().await;
    tunnel.comes_up("eth0");
    let began = Instant::now();
    server.welcome().await;
    let time = began.elapsed();
    assert!(time < Duration::from_secs(5), "only after {time:?}");
    tunnel.connected().await;
    drop(stuck);
    tunnel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_comes_up_has_a_silent_server_asked_and_left() {
    let mut server = Server::start().await;
    let pace = Pace { ping_every: Duration::from_millis(200), silent_for: NEVER, ..FAST };
    let mut tunnel = Tunnel::start(orders(&server), pace).await;
    // Its pings are taken, and answered by nobody.
    let silent = server.welcome().await;
    tunnel.connected().await;
    tunnel.has_looked().await;
    tunnel.comes_up("eth0");
    let began = Instant::now();
    let why = tunnel.waiting().await;
    let time = began.elapsed();
    println!("a dead line was left {time:?} after the port came up");
    assert!(why.contains("has come from the server"), "{why}");
    assert!(time < Duration::from_secs(12), "only after {time:?}");
    server.welcome().await;
    tunnel.connected().await;
    drop(silent);
    tunnel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_port_that_comes_up_leaves_a_server_that_answers_alone() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(orders(&server), FAST).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    tunnel.comes_up("eth0");
    // It answers for as long as a silent one would have had: 5 s.
    let until = tokio::time::sleep(Duration::from_secs(7));
    tokio::select! {
        said = control.next() => panic!("{said:?}"),
        () = until => {}
    }
    assert_eq!(server.controls_waiting(), 0, "it has dialled anew");
    tunnel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_server_is_left_after_the_time_of_the_protocol() {
    let mut server = Server::start().await;
    let silent_for = Duration::from_secs(2);
    let pace = Pace { ping_every: Duration::from_millis(200), silent_for, ..FAST };
    let mut tunnel = Tunnel::start(orders(&server), pace).await;
    let silent = server.welcome().await;
    tunnel.connected().await;
    let began = Instant::now();
    let why = tunnel.waiting().await;
    let time = began.elapsed();
    println!("silence of {silent_for:?} was noticed after {time:?}");
    assert!(why.contains("has come from the server") || why.contains("takes nothing"), "{why}");
    assert!(time > silent_for / 2 && time < silent_for + Duration::from_secs(5), "{time:?}");
    drop(silent);
    server.welcome().await;
    tunnel.connected().await;
    tunnel.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_finds_nobody_tries_again_within_the_bound_and_at_no_beat() {
    const TRIES: usize = 25;
    let most = Duration::from_millis(800);
    let server = Server::start().await;
    let mut orders = orders(&server);
    // Takes lines and drops them: what is measured is when they come.
    let door = TcpListener::bind("127.0.0.1:0").await.unwrap();
    orders.path.server.port = door.local_addr().unwrap().port();
    let mut tunnel = Tunnel::start(orders, Pace { wait_most: most, ..FAST }).await;
    let mut came = Vec::new();
    for _ in 0..TRIES {
        drop(soon("the next try", door.accept()).await.unwrap());
        came.push(Instant::now());
    }
    let waits: Vec<Duration> = came.windows(2).map(|two| two[1] - two[0]).collect();
    println!("{waits:?}");
    let (shortest, longest) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
    // What is over the bound is the dial itself, on a busy machine.
    assert!(*longest < most + Duration::from_secs(2), "{waits:?}");
    assert!(*longest > *shortest + most / 4, "they come at a beat: {waits:?}");
    // A wait of up to the bound is half of that in the mean.
    let mean = waits[5..].iter().sum::<Duration>() / u32::try_from(waits.len() - 5).unwrap();
    assert!(mean > most / 5 && mean < most * 4 / 5, "it hurries, or idles: {waits:?}");
    tunnel.stop().await;
}
