//! What a lying server, and whoever sends datagrams in its name, cannot do.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod common;

use common::{Say, address, free_port, lie, name, reply, resolver, serve, this, truth, truthful};
use drawbridge_resolver::{Reason, ResolveError};
use hickory_resolver::proto::op::{Message, MessageType};
use hickory_resolver::proto::rr::{RData, RecordType};
use ring::rand::SecureRandom as _;

/// Asks one server that says these things, and gives the answer.
async fn hear(
    say: impl Fn(&Message, bool) -> Vec<Say> + Send + Sync + 'static,
) -> Result<drawbridge_resolver::Answer, ResolveError> {
    let port = free_port().await;
    let server = serve(1, port, say).await;
    resolver(port, &[&server]).lookup("host.example", None).await
}

#[tokio::test]
async fn an_answer_from_another_port_or_address_is_not_believed() {
    let heard = hear(|question, _| {
        let lie = lie(question).to_vec().unwrap();
        vec![Say::FromPort(lie.clone()), Say::FromAddress(lie), this(&truth(question))]
    });
    assert_eq!(heard.await.unwrap().addresses, truthful());
}

#[tokio::test]
async fn an_answer_with_another_number_or_to_another_question_is_not_believed() {
    let heard = hear(|question, _| {
        let mut number = lie(question);
        number.metadata.id = question.id.wrapping_add(1);
        let mut other_name = lie(question);
        other_name.queries[0].set_name(name("other.example"));
        let mut other_kind = lie(question);
        other_kind.queries[0].set_query_type(RecordType::TXT);
        let mut none = lie(question);
        none.queries.clear();
        let mut lies: Vec<Say> = [number, other_name, other_kind, none].iter().map(this).collect();
        lies.push(this(&truth(question)));
        lies
    });
    assert_eq!(heard.await.unwrap().addresses, truthful());
}

#[tokio::test]
async fn lies_alone_are_silence() {
    let heard = hear(|question, _| {
        let mut number = lie(question);
        number.metadata.id = question.id.wrapping_add(1);
        vec![this(&number)]
    });
    let Err(ResolveError::Failed { failures, .. }) = heard.await else { panic!("a lie was believed") };
    assert_eq!(failures[0].reason, Reason::Silent);
}

#[tokio::test]
async fn over_tcp_too_an_answer_to_another_question_is_not_believed() {
    for what in 0..3 {
        let heard = hear(move |question, tcp| {
            let mut message = lie(question);
            if !tcp {
                message.answers.clear();
                message.metadata.truncation = true;
                return vec![this(&message)];
            }
            match what {
                0 => {
                    message.queries[0].set_name(name("other.example"));
                }
                1 => message.queries.clear(),
                _ => message.metadata.id = question.id.wrapping_add(1),
            }
            vec![this(&message)]
        });
        let heard = heard.await;
        assert!(matches!(heard, Err(ResolveError::Failed { .. })), "{heard:?}");
    }
}

#[tokio::test]
async fn a_question_sent_back_is_no_answer() {
    for empty in [false, true] {
        let heard = hear(move |question, _| {
            let mut message = if empty { reply(question) } else { lie(question) };
            message.metadata.message_type = MessageType::Query;
            vec![this(&message)]
        });
        let heard = heard.await;
        assert!(matches!(heard, Err(ResolveError::Failed { .. })), "{heard:?}");
    }
}

#[tokio::test]
async fn records_of_other_names_are_not_believed() {
    let heard = hear(|question, _| {
        let mut message = reply(question);
        message.add_answer(address(&name("other.example"), 300, "198.51.100.66"));
        message.add_answer(address(&name("example"), 300, "198.51.100.66"));
        message.answers.extend(truth(question).answers);
        message.add_additional(address(question.queries[0].name(), 300, "198.51.100.66"));
        vec![this(&message)]
    });
    assert_eq!(heard.await.unwrap().addresses, truthful());
}

#[tokio::test]
async fn a_name_does_not_lead_back_into_the_appliance_nor_to_what_is_no_host() {
    let heard = hear(|question, _| {
        let asked = &question.queries[0];
        let mut message = reply(question);
        let nowhere: &[&str] = match asked.query_type() {
            RecordType::AAAA => &["::1", "::", "ff02::1", "fe80::1", "::ffff:127.0.0.1"],
            _ => &["127.0.0.1", "127.5.5.5", "0.0.0.0", "224.0.0.251", "255.255.255.255", "240.0.0.1"],
        };
        for nowhere in nowhere {
            message.add_answer(address(asked.name(), 300, nowhere));
        }
        vec![this(&message)]
    });
    let heard = heard.await;
    assert!(matches!(heard, Err(ResolveError::NoAddress { .. })), "{heard:?}");
}

#[tokio::test]
async fn no_bytes_of_a_server_bring_the_resolver_down() {
    let port = free_port().await;
    let random = ring::rand::SystemRandom::new();
    let server = serve(1, port, move |question, tcp| {
        let mut dice = [0; 16];
        random.fill(&mut dice).unwrap();
        let mut message = truth(question);
        message.metadata.truncation = !tcp && dice[0].is_multiple_of(4);
        if dice[1].is_multiple_of(4) {
            let odd = RData::Unknown {
                code: u16::from(dice[2]).into(),
                rdata: hickory_resolver::proto::rr::rdata::NULL::with(dice.to_vec()),
            };
            message.add_answer(hickory_resolver::proto::rr::Record::from_rdata(name("host.example"), 1, odd));
        }
        let mut bytes = message.to_vec().unwrap();
        // Number and question stay, most times: what follows is read by nobody otherwise.
        let first = if dice[3].is_multiple_of(8) { 0 } else { 4 };
        for pair in dice[4..].chunks(2).take(usize::from(dice[3] % 7)) {
            let place = first + usize::from(pair[0]) % (bytes.len() - first);
            bytes[place] = pair[1];
        }
        if dice[2].is_multiple_of(8) {
            bytes.truncate(usize::from(dice[15]) % bytes.len());
        }
        vec![Say::This(bytes)]
    })
    .await;
    let resolver = drawbridge_resolver::Resolver::with_limits(drawbridge_resolver::Limits {
        attempt: std::time::Duration::from_millis(20),
        total: std::time::Duration::from_millis(40),
        ..common::limits(port)
    });
    resolver.set(vec![drawbridge_resolver::Servers {
        servers: vec![server.address],
        ..drawbridge_resolver::Servers::default()
    }]);
    for _ in 0..300 {
        resolver.forget();
        if let Ok(answer) = resolver.lookup("host.example", None).await {
            assert!((1..=32).contains(&answer.addresses.len()));
            assert!(answer.canonical.bytes().all(|byte| byte.is_ascii_graphic()));
        }
    }
}
