//! A DNS server on loopback that says whatever a test wants it to say.

#![allow(dead_code, reason = "each test uses a part of it")]

use hickory_resolver::proto::op::{Message, MessageType, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, CNAME};
use hickory_resolver::proto::rr::{Name, RData, Record, RecordType};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, UdpSocket};
use tokio::task::JoinHandle;

/// One datagram or TCP message of the server's, or none.
pub(crate) enum Say {
    /// From the address that was asked.
    This(Vec<u8>),
    /// From another UDP port of the same address.
    FromPort(Vec<u8>),
    /// From another address.
    FromAddress(Vec<u8>),
}

pub(crate) struct Server {
    pub(crate) address: IpAddr,
    pub(crate) asked: Arc<AtomicUsize>,
    tasks: Vec<JoinHandle<()>>,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

impl Server {
    /// How many questions have come.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// A free port on all of the addresses that the tests' servers use.
pub(crate) async fn free_port() -> u16 {
    for _ in 0..100 {
        let first = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let port = first.local_addr().unwrap().port();
        if TcpListener::bind(("127.0.0.1", port)).await.is_ok() {
            return port;
        }
    }
    panic!("no port is free for UDP and TCP")
}

/// Serves on `127.0.0.<last>`. What `answer` gives for a question (and whether it came over TCP) is sent as it is.
pub(crate) async fn serve(
    last: u8,
    port: u16,
    answer: impl Fn(&Message, bool) -> Vec<Say> + Send + Sync + 'static,
) -> Server {
    let address = Ipv4Addr::new(127, 0, 0, last);
    let asked = Arc::new(AtomicUsize::new(0));
    let answer = Arc::new(answer);
    let datagrams = UdpSocket::bind((address, port)).await.unwrap();
    let other_port = UdpSocket::bind((address, 0)).await.unwrap();
    let other_address = UdpSocket::bind((Ipv4Addr::new(127, 0, 1, last), 0)).await.unwrap();
    let listener = TcpListener::bind((address, port)).await.unwrap();
    let (count, say) = (Arc::clone(&asked), Arc::clone(&answer));
    let udp = tokio::spawn(async move {
        let mut buffer = [0; 2048];
        loop {
            // A client that has gone away is an error here, once.
            let Ok((length, from)) = datagrams.recv_from(&mut buffer).await else { continue };
            count.fetch_add(1, Ordering::SeqCst);
            let question = Message::from_vec(&buffer[..length]).unwrap();
            for say in say(&question, false) {
                let (socket, bytes) = match &say {
                    Say::This(bytes) => (&datagrams, bytes),
                    Say::FromPort(bytes) => (&other_port, bytes),
                    Say::FromAddress(bytes) => (&other_address, bytes),
                };
                let _: Result<usize, _> = socket.send_to(bytes, from).await;
            }
        }
    });
    let (count, say) = (Arc::clone(&asked), answer);
    let tcp = tokio::spawn(async move {
        loop {
            let Ok((mut stream, _)) = listener.accept().await else { continue };
            let (count, say) = (Arc::clone(&count), Arc::clone(&say));
            tokio::spawn(async move {
                while let Ok(length) = stream.read_u16().await {
                    let mut bytes = vec![0; length.into()];
                    if stream.read_exact(&mut bytes).await.is_err() {
                        return;
                    }
                    count.fetch_add(1, Ordering::SeqCst);
                    for say in say(&Message::from_vec(&bytes).unwrap(), true) {
                        let Say::This(bytes) = say else { panic!("over TCP there is one address") };
                        let length = u16::try_from(bytes.len()).unwrap();
                        let sent = [&length.to_be_bytes()[..], &bytes].concat();
                        if stream.write_all(&sent).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    Server { address: address.into(), asked, tasks: vec![udp, tcp] }
}

/// An answer in the making.
pub(crate) fn reply(question: &Message) -> Message {
    let mut message = Message::response(question.id, OpCode::Query);
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_available = true;
    message.add_queries(question.queries.iter().cloned());
    message
}

pub(crate) fn name(text: &str) -> Name {
    Name::from_ascii(format!("{text}.")).unwrap()
}

pub(crate) fn address(owner: &Name, ttl: u32, address: &str) -> Record {
    let data = match address.parse().unwrap() {
        IpAddr::V4(address) => RData::A(A(address)),
        IpAddr::V6(address) => RData::AAAA(AAAA(address)),
    };
    Record::from_rdata(owner.clone(), ttl, data)
}

pub(crate) fn alias(owner: &Name, target: &str) -> Record {
    Record::from_rdata(owner.clone(), 300, RData::CNAME(CNAME(name(target))))
}

/// The truth that most tests want to hear: one address of each kind, for 300 seconds.
pub(crate) fn truth(question: &Message) -> Message {
    let asked = &question.queries[0];
    let mut message = reply(question);
    message.add_answer(match asked.query_type() {
        RecordType::AAAA => address(asked.name(), 300, "2001:db8::7"),
        _ => address(asked.name(), 300, "192.0.2.7"),
    });
    message
}

/// The same with the addresses of an attacker.
pub(crate) fn lie(question: &Message) -> Message {
    let asked = &question.queries[0];
    let mut message = reply(question);
    message.add_answer(match asked.query_type() {
        RecordType::AAAA => address(asked.name(), 300, "2001:db8::666"),
        _ => address(asked.name(), 300, "198.51.100.66"),
    });
    message
}

pub(crate) fn code(question: &Message, code: ResponseCode) -> Message {
    let mut message = reply(question);
    message.metadata.response_code = code;
    message
}

pub(crate) fn this(message: &Message) -> Say {
    Say::This(message.to_vec().unwrap())
}

pub(crate) fn truthful() -> [IpAddr; 2] {
    ["192.0.2.7".parse().unwrap(), "2001:db8::7".parse().unwrap()]
}

/// Bounds that let a test wait for what does not come.
pub(crate) fn limits(server_port: u16) -> drawbridge_resolver::Limits {
    drawbridge_resolver::Limits {
        attempt: Duration::from_millis(700),
        total: Duration::from_secs(3),
        server_port,
        ..drawbridge_resolver::Limits::default()
    }
}

/// Resolver and servers, in the order of preference.
pub(crate) fn resolver(port: u16, servers: &[&Server]) -> drawbridge_resolver::Resolver {
    let resolver = drawbridge_resolver::Resolver::with_limits(limits(port));
    resolver.set(vec![drawbridge_resolver::Servers {
        servers: servers.iter().map(|server| server.address).collect(),
        ..drawbridge_resolver::Servers::default()
    }]);
    resolver
}

/// A loopback address on which nobody serves.
pub(crate) fn nobody(last: u8) -> IpAddr {
    SocketAddr::from(([127, 0, 0, last], 0)).ip()
}
