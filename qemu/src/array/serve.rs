//! The HTTP server behind the array's door, and the faults of its answers. Nobody but the door reaches it.

use super::api::{self, BODY, Reply, Request};
use super::store::{Fault, Store};
use std::io::{self, Read};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;
use tiny_http::{Header, Response, Server};

/// The store, and word of its changes.
#[derive(Debug)]
pub(super) struct Shared {
    store: Mutex<Store>,
    changed: Condvar,
}

impl Shared {
    pub(super) fn new(store: Store) -> Self {
        Self { store: Mutex::new(store), changed: Condvar::new() }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes it, and wakes whoever waits for a slow answer.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Store) -> T) -> T {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Waits as long as answers are slow, and no longer than that; gives the fault that is on then.
    fn wait_while_slow(&self) -> Fault {
        let began = Instant::now();
        let mut store = self.lock();
        loop {
            let Fault::Slow(by) = store.fault else { return store.fault };
            let left = by.saturating_sub(began.elapsed());
            if left.is_zero() || store.ended {
                return Fault::None;
            }
            store = self.changed.wait_timeout(store, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

/// Answers until the server is told to stop.
pub(super) fn run(server: &Server, shared: &Arc<Shared>) {
    while !shared.lock().ended {
        // It ends with an error when the server is unblocked, too.
        let Ok(request) = server.recv() else { continue };
        let shared = Arc::clone(shared);
        // Each in a thread of its own: a slow answer holds up no other.
        let started = std::thread::Builder::new()
            .name("array-answer".to_owned())
            .spawn(move || answer(request, &shared));
        // Without a thread the request is dropped, which the library answers with 500.
        drop(started);
    }
}

fn answer(mut request: tiny_http::Request, shared: &Shared) {
    let mut body = Vec::new();
    let bound = u64::try_from(BODY).unwrap_or(u64::MAX) + 1;
    let read = request.as_reader().take(bound).read_to_end(&mut body).is_ok();
    let header = |name: &'static str| {
        let found = request.headers().iter().find(|header| header.field.equiv(name));
        found.map(|header| header.value.as_str().to_owned())
    };
    let (cookie, authorization) = (header("Cookie"), header("Authorization"));
    let fault = shared.wait_while_slow();
    shared.lock().requests += 1;
    let reply = match fault {
        Fault::None | Fault::Slow(_) => {
            let asked = Request {
                method: request.method().as_str(),
                url: request.url(),
                cookie: cookie.as_deref(),
                authorization: authorization.as_deref(),
                body: (read && body.len() <= BODY).then_some(&body[..]),
            };
            api::answer(&mut shared.lock(), &asked)
        }
        Fault::Status(status) => Reply::error(status, "INTERNAL_ERROR", "the management layer has failed"),
        Fault::Page => {
            let page = b"<!DOCTYPE html><title>Welcome</title><p>It works!".to_vec();
            send(request, Response::from_data(page), &[("Content-Type", "text/html")]);
            return;
        }
        Fault::Garbage => {
            let bytes = (0..4096_u16).map(|number| number.to_le_bytes()[0] ^ 0xa5).collect::<Vec<_>>();
            send(request, Response::from_data(bytes), &[("Content-Type", "application/json")]);
            return;
        }
        Fault::Endless => {
            let endless = Response::new(200.into(), Vec::new(), Endless { begun: false }, None, None);
            send(request, endless, &[("Content-Type", "application/json")]);
            return;
        }
    };
    let response = Response::from_data(reply.body).with_status_code(reply.status);
    let mut headers = vec![("Content-Type", "application/json"), ("Cache-Control", "no-store")];
    if let Some(cookie) = &reply.cookie {
        headers.push(("Set-Cookie", cookie));
    }
    send(request, response, &headers);
}

fn send<R: Read>(request: tiny_http::Request, mut response: Response<R>, headers: &[(&str, &str)]) {
    for (name, value) in headers {
        if let Ok(header) = Header::from_bytes(*name, *value) {
            response.add_header(header);
        }
    }
    // A client that has gone away has lost interest.
    let _ = request.respond(response);
}

/// The beginning of an answer, and blanks after it for ever, which any reader of JSON may skip.
struct Endless {
    begun: bool,
}

impl Read for Endless {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        buffer.fill(b' ');
        if let (false, Some(first)) = (self.begun, buffer.first_mut()) {
            *first = b'{';
            self.begun = true;
        }
        Ok(buffer.len())
    }
}
