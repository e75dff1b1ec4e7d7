//! What init, session and network say to the role.

use drawbridge_bus::bridge::{TunnelNews, TunnelOrders};
use drawbridge_bus::frame::{Decoder, Frame, encode};
use drawbridge_bus::{Port, Refusal, Reply, Request};
use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};

/// What the roles of the test say.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) ports: Mutex<Vec<Port>>,
    /// Session has forgotten the grant.
    pub(crate) over: Mutex<bool>,
}

/// The other roles.
pub(crate) struct Bus {
    pub(crate) said: Arc<Said>,
    pub(crate) orders: TunnelOrders,
    pub(crate) told: mpsc::UnboundedSender<TunnelNews>,
    pub(crate) ready: mpsc::UnboundedSender<UnixStream>,
    pub(crate) look: watch::Sender<u64>,
}

impl Bus {
    /// Answers on one connection until it ends.
    pub(crate) fn answer(&self, mut stream: UnixStream) {
        let (mut decoder, mut buffer) = (Decoder::default(), [0; 4096]);
        while let Ok(length @ 1..) = stream.read(&mut buffer) {
            decoder.push(&buffer[..length]);
            while let Some(frame) = decoder.next_frame().unwrap() {
                let Frame::Request { id, request } = frame else { panic!("{frame:?}") };
                let is_ready = request == Request::Ready;
                let reply = match request {
                    Request::Ready => Reply::Done,
                    Request::TunnelOrders => Reply::TunnelOrders(Box::new(self.orders.clone())),
                    Request::Ports => {
                        self.look.send_modify(|looks| *looks += 1);
                        Reply::Ports(self.said.ports.lock().unwrap().clone())
                    }
                    Request::TunnelNews(_) if *self.said.over.lock().unwrap() => {
                        Reply::Refused(Refusal::NotNow)
                    }
                    Request::TunnelNews(news) => {
                        let _ = self.told.send(*news);
                        Reply::Done
                    }
                    other => panic!("the tunnel asks {other:?}"),
                };
                if stream.write_all(&encode(&Frame::Reply { id, reply }).unwrap()).is_err() {
                    return;
                }
                if is_ready {
                    let _ = self.ready.send(stream.try_clone().unwrap());
                }
            }
        }
    }
}

/// A port with a cable and an address.
pub(crate) fn port(name: &str) -> Port {
    Port {
        name: name.to_owned(),
        interface: name.to_owned(),
        roles: Vec::new(),
        mac: [2; 6],
        pci: String::new(),
        driver: String::new(),
        carrier: true,
        megabits: None,
        mtu: 1500,
        addresses: vec![("192.0.2.9".parse().unwrap(), 24)],
        remarks: Vec::new(),
    }
}
