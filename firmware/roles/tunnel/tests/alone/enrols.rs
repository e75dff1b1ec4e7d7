//! The enrolment token: who gets it, how often, and that it stays unsaid everywhere else.

use crate::common::server::{Control, Server};
use crate::common::{FAST, Tunnel, orders};
use drawbridge_bus::bridge::{SecretText, TunnelOrders};
use drawbridge_tunnel::Pace;
use drawbridge_wire::{Features, Line, ToAppliance, ToServer};
use std::time::Duration;

const TOKEN: &str = "enrol-7c1f-5b2e-hush";

fn with_token(server: &Server) -> TunnelOrders {
    let mut orders = orders(server);
    orders.path.enrolment = Some(SecretText::new(TOKEN.to_owned().into()));
    orders
}

/// The next control connection, whose greeting is answered with "unknown".
async fn unknown(server: &mut Server) -> Control {
    let mut control = server.control().await.expect("the appliance logs in");
    let said = control.next().await;
    assert!(matches!(said, Some(ToServer::Hello { .. })), "{said:?}");
    control.say(&ToAppliance::Unenrolled).await;
    control
}

fn is_token(said: Option<&ToServer>) -> bool {
    matches!(said, Some(ToServer::Enrol { token }) if token.as_str() == TOKEN)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_that_was_refused_is_shown_no_second_time_and_never_logged() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(with_token(&server), FAST).await;
    let mut control = unknown(&mut server).await;
    assert!(is_token(control.next().await.as_ref()), "the token is not shown");
    let (why, remedy) = (Line::of("it is too old"), Line::of("Make another."));
    control.say(&ToAppliance::Refused { why, remedy }).await;
    let why = tunnel.waiting().await;
    assert!(why.contains("refuses the enrolment token: it is too old"), "{why}");
    let mut again = unknown(&mut server).await;
    assert_eq!(again.next().await, None, "it says more");
    let why = tunnel.waiting().await;
    assert!(why.contains("does not know this appliance"), "{why}");
    tunnel.stop().await;
    assert!(!tunnel.log().contains("hush"), "{}", tunnel.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_token_whose_answer_was_lost_is_shown_again_and_a_used_one_is_not() {
    let mut server = Server::start().await;
    let mut tunnel = Tunnel::start(with_token(&server), FAST).await;
    let mut control = unknown(&mut server).await;
    assert!(is_token(control.next().await.as_ref()), "the token is not shown");
    control.cut();
    let mut control = unknown(&mut server).await;
    assert!(is_token(control.next().await.as_ref()), "the token is not shown again");
    let (version, system) = (Line::of("9.9"), Line::of("sa-0042"));
    control.say(&ToAppliance::Welcome { version, system, can: Features::NONE }).await;
    tunnel.connected().await;
    control.cut();
    let mut forgetful = unknown(&mut server).await;
    assert_eq!(forgetful.next().await, None, "it says more");
    tunnel.stop().await;
    assert!(!tunnel.log().contains("hush"), "{}", tunnel.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_known_appliance_shows_no_token_and_no_cable_shortens_the_wait_after_a_refusal() {
    let mut server = Server::start().await;
    let long = Duration::from_secs(1_000_000);
    let mut tunnel = Tunnel::start(with_token(&server), Pace { wait_refused: long, ..FAST }).await;
    let mut control = server.welcome().await;
    tunnel.connected().await;
    let (why, remedy) = (Line::of("locked"), Line::of("Call us."));
    control.say(&ToAppliance::Refused { why, remedy }).await;
    assert_eq!(control.next().await, None, "it says more");
    assert!(tunnel.waiting().await.contains("locked"));
    // A cable does not change what people have decided. Ports are looked at four times in this time, if at all.
    tunnel.comes_up("eth0");
    let again = tokio::time::timeout(Duration::from_secs(1), server.control_stream()).await;
    assert!(again.is_err(), "it comes again");
    tunnel.stop().await;
}
