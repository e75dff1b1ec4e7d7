//! What changes, as server-sent events: one look a while at bridge, test and network serves all who listen. It asks nothing while
//! nobody listens.

use super::browser::Token;
use super::{Api, bridge, network};
use crate::body::Body;
use hyper::Response;
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// How often is looked: what has happened is on the page within this and the way there.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// The network changes slowly, and is more to tell.
const NETWORK_EVERY: u32 = 5;
/// A comment keeps the way open, and finds out who has gone.
const COMMENT_EVERY: Duration = Duration::from_secs(15);

/// What is told: none where a role does not answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Seen {
    bridge: Option<Value>,
    test: Option<Value>,
    network: Option<Value>,
}

/// Looks as long as the process lives.
pub(crate) async fn look(api: Arc<Api>, told: watch::Sender<Arc<Seen>>) {
    let mut turn = 0_u32;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if told.receiver_count() == 0 {
            turn = 0;
            continue;
        }
        let mut seen = Seen::clone(&told.borrow());
        let (bridge, test) = tokio::join!(bridge::status(&api), bridge::steps(&api));
        seen.bridge = bridge.ok();
        seen.test = test.ok();
        if turn.is_multiple_of(NETWORK_EVERY) {
            seen.network = network::status(&api).await.ok();
        }
        turn = turn.wrapping_add(1);
        told.send_if_modified(|before| {
            let changed = **before != seen;
            if changed {
                *before = Arc::new(seen);
            }
            changed
        });
    }
}

/// A stream for whoever has this session. It ends by itself ([`crate::streams`]); a browser opens another (HTML, section 9.2). One
/// who does not read his events loses his stream, and gets another with all of the state.
pub(crate) fn stream(api: &Arc<Api>, peer: IpAddr, session: Token) -> Response<Body> {
    let (events, body) = api.streams.open(peer);
    tokio::spawn(tell(Arc::clone(api), session, events));
    let mut response = Response::new(body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response
}

fn event(name: &str, data: &Value) -> Bytes {
    // JSON as it is written here has no line ends.
    Bytes::from(format!("event: {name}\ndata: {data}\n\n"))
}

async fn tell(api: Arc<Api>, session: Token, events: mpsc::Sender<Bytes>) {
    let mut news = api.seen();
    let mut told = Seen::default();
    news.mark_changed();
    if events.try_send(Bytes::from_static(b"retry: 1000\n\n")).is_err() {
        return;
    }
    let mut comment = Instant::now();
    loop {
        tokio::select! {
            changed = news.changed() => if changed.is_err() { return },
            () = tokio::time::sleep_until(comment) => {
                comment = Instant::now() + COMMENT_EVERY;
                let Some((idle, left)) = api.session_left(session) else {
                    // The last word: the page asks for a login.
                    let _ = events.try_send(event("end", &json!({})));
                    return;
                };
                let left = event("session", &json!({ "idle_seconds_left": idle, "seconds_left": left }));
                if events.try_send(left).is_err() {
                    return;
                }
            }
            () = events.closed() => return,
        }
        // A session that has ended hears nothing more.
        if api.session_left(session).is_none() {
            let _ = events.try_send(event("end", &json!({})));
            return;
        }
        let now = Arc::clone(&news.borrow_and_update());
        for (name, before, now) in [
            ("bridge", &told.bridge, &now.bridge),
            ("test", &told.test, &now.test),
            ("network", &told.network, &now.network),
        ] {
            if let Some(now) = now.as_ref().filter(|_| before != now)
                && events.try_send(event(name, now)).is_err()
            {
                return;
            }
        }
        told = Seen::clone(&now);
    }
}
