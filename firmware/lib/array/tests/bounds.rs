//! No wait without a bound: against ends that take a connection, or do not, and say nothing. The clock is the runtime's own,
//! which goes on by itself when nobody has anything to do.
#![allow(clippy::unwrap_used, reason = "a test ends where it fails")]

use drawbridge_array::{
    Address, Array, Connector, LoginError, Password, Plain, TlsFailure, Token, Trust, TrustError,
    Unreachable, UserName, Wait, probe,
};
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::Instant;

/// Never gets anywhere.
struct Nowhere;

impl Connector for Nowhere {
    fn connect(&self, _: SocketAddr) -> Wait<'_, io::Result<TcpStream>> {
        Box::pin(std::future::pending())
    }
}

/// The kernel's refusals.
struct Refusing(io::ErrorKind);

impl Connector for Refusing {
    fn connect(&self, _: SocketAddr) -> Wait<'_, io::Result<TcpStream>> {
        let kind = self.0;
        Box::pin(async move { Err(kind.into()) })
    }
}

fn array(port: u16, connector: Arc<dyn Connector>) -> Array {
    let address = Address { port, ..Address::parse("box1.lab").unwrap() };
    Array::new(address, Trust::Pin([7; 32]), connector).unwrap()
}

async fn login(array: &Array, addresses: &[IpAddr]) -> LoginError {
    let password = Password::parse("secret".to_owned().into()).unwrap();
    array.login(addresses, &UserName::parse("anna").unwrap(), &password).await.unwrap_err()
}

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[tokio::test(start_paused = true)]
async fn an_address_that_does_not_answer_has_5_s_and_all_of_them_15() {
    let array = array(443, Arc::new(Nowhere));
    let began = Instant::now();
    let told = login(&array, &[HERE]).await;
    assert_eq!(told, LoginError::Unreachable(Unreachable::TimedOut(Duration::from_secs(5))));
    assert_eq!(began.elapsed().as_secs(), 5);
    let began = Instant::now();
    let told = login(&array, &[HERE; 50]).await;
    assert_eq!(told, LoginError::Late(Duration::from_secs(15)));
    assert_eq!(began.elapsed().as_secs(), 15);
    let told = array.who(&[HERE; 50], &Token::parse("abc").unwrap()).await;
    assert_eq!(told, Err(LoginError::Late(Duration::from_secs(15))));
    let told = probe(array.address(), &[HERE; 50], &Nowhere).await;
    assert_eq!(told, Err(LoginError::Late(Duration::from_secs(15))));
}

#[tokio::test(start_paused = true)]
async fn no_more_than_four_addresses_are_tried() {
    struct Counting(AtomicUsize);
    impl Connector for Counting {
        fn connect(&self, _: SocketAddr) -> Wait<'_, io::Result<TcpStream>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Box::pin(async { Err(io::ErrorKind::ConnectionRefused.into()) })
        }
    }
    let counting = Arc::new(Counting(AtomicUsize::new(0)));
    let told = login(&array(443, Arc::clone(&counting) as Arc<dyn Connector>), &[HERE; 9]).await;
    assert_eq!(told, LoginError::Unreachable(Unreachable::Refused));
    assert_eq!(counting.0.load(Ordering::Relaxed), 4);
}

#[tokio::test]
async fn who_takes_the_connection_and_says_nothing_has_5_s() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let array = array(listener.local_addr().unwrap().port(), Arc::new(Plain));
    let began = Instant::now();
    let told = login(&array, &[HERE]).await;
    assert_eq!(told, LoginError::Tls(TlsFailure::TimedOut(Duration::from_secs(5))));
    assert!(began.elapsed() >= Duration::from_secs(5));
}

#[tokio::test]
async fn the_kernels_refusals_are_told_apart() {
    for (kind, told) in [
        (io::ErrorKind::ConnectionRefused, Unreachable::Refused),
        (io::ErrorKind::HostUnreachable, Unreachable::NoRoute),
        (io::ErrorKind::NetworkUnreachable, Unreachable::NoRoute),
        (io::ErrorKind::ConnectionReset, Unreachable::Cut),
        (io::ErrorKind::TimedOut, Unreachable::TimedOut(Duration::from_secs(5))),
    ] {
        let error = login(&array(443, Arc::new(Refusing(kind))), &[HERE]).await;
        assert_eq!(error, LoginError::Unreachable(told), "{kind}");
        assert!(!error.remedy().is_empty());
    }
}

#[test]
fn an_upload_that_is_of_no_use_is_refused_with_the_reason() {
    let block = |inside: &str| format!("-----BEGIN CERTIFICATE-----\n{inside}\n-----END CERTIFICATE-----\n");
    let key = rcgen::KeyPair::generate().unwrap();
    let own =
        rcgen::CertificateParams::new(["box1.lab".to_owned()]).unwrap().self_signed(&key).unwrap().pem();
    for (text, told) in [
        (String::new(), TrustError::Nothing),
        (key.serialize_pem(), TrustError::Nothing),
        (block("AAAA"), TrustError::Unreadable(1)),
        (block("!"), TrustError::Unreadable(1)),
        (format!("{own}{}", block("AAAA")), TrustError::Unreadable(2)),
        (own.repeat(9), TrustError::TooLong),
        (" ".repeat((64 << 10) + 1), TrustError::TooLong),
    ] {
        assert_eq!(Trust::from_pem(text.as_bytes()), Err(told), "{text:.80}");
    }
    // A key beside it, and text before it, do no harm.
    assert!(Trust::from_pem(format!("Subject: box1\n{own}{}", key.serialize_pem()).as_bytes()).is_ok());
}
