//! What the resolver promises where servers are honest, slow, broken or away.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{address, alias, code, free_port, name, nobody, reply, resolver, serve, this, truth, truthful};
use drawbridge_resolver::{Failure, NameError, Reason, ResolveError, Resolver, Servers};
use hickory_resolver::proto::op::{Message, ResponseCode};
use hickory_resolver::proto::rr::RecordType;
use std::net::IpAddr;
use std::time::{Duration, Instant};

#[tokio::test]
async fn an_address_is_answered_without_any_server() {
    let resolver = Resolver::new();
    for text in ["192.0.2.1", "2001:db8::1", "127.0.0.1", "fe80::1"] {
        let answer = resolver.lookup(text, None).await.unwrap();
        assert_eq!(answer.addresses, [text.parse::<IpAddr>().unwrap()]);
        assert_eq!(answer.from, None);
    }
    assert_eq!(resolver.lookup("localhost", None).await.unwrap().addresses.len(), 2);
    assert_eq!(resolver.lookup("host.example", None).await, Err(ResolveError::NoServers(None)));
    let error = resolver.lookup("host.example", Some("eth0")).await.unwrap_err().to_string();
    assert!(error.starts_with("no DNS server is known for the port eth0: set one"), "{error}");
    let error = resolver.lookup("300.1.1.1", None).await;
    assert_eq!(error, Err(ResolveError::Name(NameError::LikeAddress)));
}

#[tokio::test]
async fn both_kinds_of_addresses_are_asked_for_kept_and_counted_down() {
    let port = free_port().await;
    let server = serve(1, port, |question, _| vec![this(&truth(question))]).await;
    let resolver = resolver(port, &[&server]);
    let first = resolver.lookup("Host.Example", None).await.unwrap();
    assert_eq!(first.addresses, truthful());
    assert_eq!(
        (first.canonical.as_str(), first.from, first.kept),
        ("host.example", Some(server.address), false)
    );
    assert!(first.ttl <= Duration::from_mins(5) && first.ttl > Duration::from_secs(290));
    assert_eq!(server.asked(), 2);
    let second = resolver.lookup("host.example.", None).await.unwrap();
    assert!(second.kept && second.ttl <= first.ttl && second.addresses == first.addresses);
    assert_eq!(server.asked(), 2);
    resolver.forget();
    assert!(!resolver.lookup("host.example", None).await.unwrap().kept);
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn other_servers_mean_that_nothing_is_kept() {
    let port = free_port().await;
    let one = serve(1, port, |question, _| vec![this(&truth(question))]).await;
    let two = serve(2, port, |question, _| vec![this(&code(question, ResponseCode::NXDomain))]).await;
    let resolver = resolver(port, &[&one]);
    resolver.lookup("host.example", None).await.unwrap();
    resolver.set(vec![Servers { servers: vec![two.address], ..Servers::default() }]);
    let error = resolver.lookup("host.example", None).await;
    assert_eq!(error, Err(ResolveError::NotFound { name: "host.example".to_owned(), server: two.address }));
}

#[tokio::test]
async fn no_such_name_is_believed_kept_and_told_from_no_address() {
    let port = free_port().await;
    let server = serve(1, port, |question, _| {
        let code_of = match question.queries[0].name().to_ascii().as_str() {
            "absent.example." => ResponseCode::NXDomain,
            _ => ResponseCode::NoError,
        };
        vec![this(&code(question, code_of))]
    })
    .await;
    let resolver = resolver(port, &[&server]);
    for _ in 0..2 {
        let error = resolver.lookup("absent.example", None).await.unwrap_err();
        assert!(matches!(error, ResolveError::NotFound { .. }), "{error}");
        assert_eq!(
            error.to_string(),
            "there is no host named absent.example, says the DNS server 127.0.0.1: correct the name, or ask another DNS \
             server"
        );
    }
    assert_eq!(server.asked(), 2);
    let error = resolver.lookup("empty.example", None).await.unwrap_err();
    assert!(matches!(error, ResolveError::NoAddress { .. }), "{error}");
}

#[tokio::test]
async fn aliases_are_followed_also_where_the_server_does_not() {
    let port = free_port().await;
    let server = serve(1, port, |question, _| {
        let asked = question.queries[0].name().clone();
        let mut message = reply(question);
        match asked.to_ascii().as_str() {
            "a.example." => {
                message.add_answer(alias(&asked, "b.example"));
                message.add_answer(alias(&name("b.example"), "c.example"));
                vec![this(&message)]
            }
            "c.example." => vec![this(&truth(question))],
            "round.example." => {
                message.add_answer(alias(&asked, "round.example"));
                vec![this(&message)]
            }
            other => {
                // x1 is an alias of x11, that of x111, without end.
                let other = other.trim_end_matches(".example.");
                message.add_answer(alias(&asked, &format!("{other}1.example")));
                vec![this(&message)]
            }
        }
    })
    .await;
    let resolver = resolver(port, &[&server]);
    let answer = resolver.lookup("a.example", None).await.unwrap();
    assert_eq!((answer.addresses.as_slice(), answer.canonical.as_str()), (&truthful()[..], "c.example"));
    for endless in ["round.example", "x1.example"] {
        let error = resolver.lookup(endless, None).await.unwrap_err();
        let reason = Reason::Aliases;
        let failures = vec![Failure { server: server.address, reason }];
        assert_eq!(error, ResolveError::Failed { name: endless.to_owned(), failures });
    }
}

#[tokio::test]
async fn a_truncated_answer_is_asked_for_again_over_tcp() {
    let port = free_port().await;
    let server = serve(1, port, |question, tcp| {
        let mut message = truth(question);
        if !tcp {
            message.answers.clear();
            message.metadata.truncation = true;
        }
        vec![this(&message)]
    })
    .await;
    assert_eq!(resolver(port, &[&server]).lookup("host.example", None).await.unwrap().addresses, truthful());
    assert_eq!(server.asked(), 4);
}

#[tokio::test]
async fn every_server_is_tried_until_one_answers_and_those_that_failed_are_asked_last_from_then_on() {
    let port = free_port().await;
    let silent = serve(1, port, |_, _| vec![]).await;
    let broken = serve(2, port, |question, _| vec![this(&code(question, ResponseCode::ServFail))]).await;
    let refusing = serve(3, port, |question, _| vec![this(&code(question, ResponseCode::Refused))]).await;
    let good = serve(5, port, |question, _| vec![this(&truth(question))]).await;
    let resolver = Resolver::with_limits(common::limits(port));
    let servers = vec![silent.address, broken.address, refusing.address, nobody(4), good.address];
    resolver.set(vec![Servers { servers, ..Servers::default() }]);
    let answer = resolver.lookup("one.example", None).await.unwrap();
    assert_eq!((answer.addresses.as_slice(), answer.from), (&truthful()[..], Some(good.address)));
    let before = silent.asked() + broken.asked() + refusing.asked();
    resolver.lookup("two.example", None).await.unwrap();
    assert_eq!(silent.asked() + broken.asked() + refusing.asked(), before);
}

#[tokio::test]
async fn when_every_server_fails_the_error_says_how_each_did_and_comes_in_time() {
    let port = free_port().await;
    let silent = serve(1, port, |_, _| vec![]).await;
    let broken = serve(2, port, |question, _| vec![this(&code(question, ResponseCode::ServFail))]).await;
    let refusing = serve(3, port, |question, _| vec![this(&code(question, ResponseCode::Refused))]).await;
    let resolver = Resolver::with_limits(common::limits(port));
    let servers = vec![silent.address, broken.address, refusing.address, nobody(4)];
    resolver.set(vec![Servers { servers, ..Servers::default() }]);
    let began = Instant::now();
    let ResolveError::Failed { failures, .. } = resolver.lookup("host.example", None).await.unwrap_err()
    else {
        panic!("no server has an answer")
    };
    assert!(began.elapsed() < Duration::from_secs(5));
    let reasons: Vec<Reason> = failures.into_iter().map(|failure| failure.reason).collect();
    assert_eq!(reasons, [Reason::Silent, Reason::ServerFailure, Reason::Refused, Reason::NoServer]);
}

#[tokio::test]
async fn a_look_up_ends_in_time_however_many_servers_are_silent() {
    let port = free_port().await;
    let mut servers = Vec::new();
    for last in 1..=8 {
        servers.push(serve(last, port, |_, _| vec![]).await);
    }
    let resolver = resolver(port, &servers.iter().collect::<Vec<_>>());
    let began = Instant::now();
    let ResolveError::Failed { failures, .. } = resolver.lookup("host.example", None).await.unwrap_err()
    else {
        panic!("no server has an answer")
    };
    let took = began.elapsed();
    assert!(took >= Duration::from_secs(3) && took < Duration::from_secs(5), "{took:?}");
    assert_eq!(failures[0].reason, Reason::Silent);
    assert_eq!(failures[7].reason, Reason::NotAsked);
}

#[tokio::test]
async fn a_server_that_is_silent_about_one_kind_of_addresses_delays_the_other_hardly() {
    let port = free_port().await;
    let server = serve(1, port, |question, _| match question.queries[0].query_type() {
        RecordType::AAAA => vec![],
        _ => vec![this(&truth(question))],
    })
    .await;
    let answer = resolver(port, &[&server]).lookup("host.example", None).await.unwrap();
    assert_eq!(answer.addresses, truthful()[..1]);
    assert!(answer.ttl <= Duration::from_mins(1));
}

#[tokio::test]
async fn a_server_that_knows_no_extensions_is_asked_without() {
    let port = free_port().await;
    let server = serve(1, port, |question, _| match question.edns {
        Some(_) => vec![this(&code(question, ResponseCode::FormErr))],
        None => vec![this(&truth(question))],
    })
    .await;
    assert_eq!(resolver(port, &[&server]).lookup("host.example", None).await.unwrap().addresses, truthful());
}

#[tokio::test]
async fn a_name_without_a_dot_is_looked_for_below_the_search_domains_and_no_other_name_is() {
    let port = free_port().await;
    let server =
        serve(1, port, |question: &Message, _| match question.queries[0].name().to_ascii().as_str() {
            "host.two.example." => vec![this(&truth(question))],
            "host.in.one.example." => panic!("a full name was looked for below a search domain"),
            _ => vec![this(&code(question, ResponseCode::NXDomain))],
        })
        .await;
    let resolver = Resolver::with_limits(common::limits(port));
    let search = ["one.example", "two.example", "not a domain"].map(ToOwned::to_owned).to_vec();
    resolver.set(vec![Servers { servers: vec![server.address], search, ..Servers::default() }]);
    let answer = resolver.lookup("host", None).await.unwrap();
    assert_eq!(
        (answer.addresses.as_slice(), answer.canonical.as_str()),
        (&truthful()[..], "host.two.example")
    );
    assert!(resolver.lookup("host.in", None).await.is_err());
}

#[tokio::test]
async fn each_port_has_servers_of_its_own_and_an_absent_port_is_told() {
    let port = free_port().await;
    let one = serve(1, port, |question, _| vec![this(&code(question, ResponseCode::NXDomain))]).await;
    let two = serve(2, port, |question, _| vec![this(&truth(question))]).await;
    let resolver = Resolver::with_limits(common::limits(port));
    let entry = |port: &str, server: IpAddr| Servers {
        port: Some(port.to_owned()),
        source: Some("127.0.0.1".parse().unwrap()),
        servers: vec![server],
        search: vec![],
    };
    resolver.set(vec![entry("absent0", one.address), entry("lo", two.address)]);
    assert_eq!(resolver.lookup("host.example", Some("lo")).await.unwrap().addresses, truthful());
    let error = resolver.lookup("host.example", Some("absent0")).await.unwrap_err();
    let failures = vec![Failure { server: one.address, reason: Reason::NoPort }];
    assert_eq!(error, ResolveError::Failed { name: "host.example".to_owned(), failures });
    assert_eq!(resolver.lookup("host.example", None).await.unwrap().from, Some(two.address));
    assert_eq!(one.asked(), 0, "a question left by another port");
}

#[tokio::test]
async fn many_addresses_are_cut_with_room_for_both_kinds() {
    let port = free_port().await;
    let server = serve(1, port, |question, _| {
        let asked = &question.queries[0];
        let mut message = reply(question);
        for number in 0..100 {
            message.add_answer(match asked.query_type() {
                RecordType::AAAA => address(asked.name(), 300, &format!("2001:db8::{number}")),
                _ => address(asked.name(), 300, &format!("192.0.2.{number}")),
            });
        }
        // As a large answer may come: over TCP, as the real ones do.
        vec![this(&message)]
    })
    .await;
    let answer = resolver(port, &[&server]).lookup("host.example", None).await;
    // An answer that is larger than what was asked for is cut by the socket, and is no answer.
    match answer {
        Ok(answer) => {
            assert_eq!(answer.addresses.len(), 32);
            assert_eq!(answer.addresses.iter().filter(|address| address.is_ipv6()).count(), 16);
        }
        Err(error) => assert!(matches!(error, ResolveError::Failed { .. }), "{error}"),
    }
}
