//! The console before hostile bytes, in tests and fuzz targets only: its whole way from HTTP to the calls, without TLS and without the
//! other roles. It is in no binary that ships.

use crate::api::{Api, Gate, trial};
use crate::connection::{self, Bounds, Seat};
use crate::facts::Asker;
use crate::keep::Folder;
use crate::names::Known;
use crate::redirect::Names;
use crate::serving::Certificates;
use crate::site::Site;
use drawbridge_profile::Profile;
use hyper::header::HeaderValue;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::watch;
use tokio::time::Instant;

/// Where the other roles' sockets would be, in its folder.
pub(crate) const BUS: &str = "bus";

/// A console with one administrator's session.
pub struct Front {
    site: Arc<Site>,
    api: Arc<Api>,
    /// The pair of name and value.
    cookie: String,
    csrf: String,
    stop: watch::Sender<Option<Instant>>,
}

impl Front {
    /// One that keeps its files in this folder. To be called where a runtime of tokio's runs; none when it cannot start.
    pub fn new(folder: &Path) -> Option<Self> {
        let (stop, stops) = watch::channel(None);
        let asker = Arc::new(Asker::new(folder.join(BUS)));
        let folder = Folder::new(folder.to_owned());
        let certificates = Arc::new(Certificates::obtain(&folder, SystemTime::now()).ok()?);
        let profile = Arc::new(Profile::generic().clone());
        let gate = Gate::new(&folder)?;
        let api = Api::new(
            Arc::clone(&asker),
            folder,
            Arc::clone(&profile),
            gate,
            Arc::clone(&certificates),
            stops,
        )?;
        let (cookie, csrf) = trial::session(&api)?;
        let known = Known::fixed(Names::new("sa", &[], &[]));
        let site = Site::new(asker, Arc::clone(&api), profile, certificates.facts(), known);
        Some(Self { site, api, cookie, csrf, stop })
    }

    /// What comes back for these bytes; none when the connection does not end by itself in an hour.
    pub async fn speak(&self, bytes: &[u8]) -> Option<Vec<u8>> {
        let minutes = Duration::from_mins;
        let bounds = Bounds {
            head_within: minutes(1),
            connection_for: minutes(2),
            last_answer_within: minutes(1),
            keep_alive: true,
        };
        let (mut client, server) = tokio::io::duplex(1 << 20);
        let ends = ([10, 0, 1, 9], 50_000).into();
        let ends = (ends, ([10, 0, 1, 5], 9000).into());
        let (site, stops) = (Arc::clone(&self.site), self.stop.subscribe());
        let speaking = tokio::spawn(connection::speak(server, ends, site, bounds, Seat::alone(), stops));
        client.write_all(bytes).await.ok()?;
        // Its end stays open: to hyper a client that has closed it has left, and is not answered.
        let mut answer = Vec::new();
        let read = tokio::time::timeout(minutes(60), client.read_to_end(&mut answer)).await;
        read.ok()?.ok()?;
        // A panic is the caller's.
        if let Err(error) = speaking.await
            && let Ok(panic) = error.try_into_panic()
        {
            std::panic::resume_unwind(panic);
        }
        Some(answer)
    }

    /// What the call of this number (of those that write) answers the administrator to this body.
    pub async fn write(&self, number: usize, body: &[u8]) -> Option<Vec<u8>> {
        let calls: Vec<_> = trial::writes().collect();
        let (method, path) = calls.get(number.checked_rem(calls.len())?)?;
        self.ask(method, path, body).await
    }

    /// What the call of this number (of those that look) answers the administrator to this query.
    pub async fn look(&self, number: usize, query: &str) -> Option<Vec<u8>> {
        let calls: Vec<_> = trial::reads().collect();
        let path = calls.get(number.checked_rem(calls.len())?)?;
        self.ask("GET", &format!("{path}?{query}"), b"").await
    }

    /// What is shown of these bytes, played from this time on and searched for this text: each text by itself.
    pub fn play(bytes: &[u8], at: u64, text: &str) -> Vec<String> {
        trial::play(bytes, at, text)
    }

    /// What a call answers the administrator, by its method and its path below the API's root.
    pub async fn ask(&self, method: &str, path: &str, body: &[u8]) -> Option<Vec<u8>> {
        let head = format!(
            "{method} /api/v1/{path} HTTP/1.1\r\nHost: 10.0.1.5:9000\r\nCookie: {}\r\nX-CSRF-Token: {}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
            self.cookie,
            self.csrf,
            body.len()
        );
        self.speak(&[head.as_bytes(), body].concat()).await
    }

    /// What is wrong with a body that names an array; none when nothing is.
    pub fn array(body: &[u8]) -> Option<String> {
        trial::array(body)
    }

    /// Whether fields `Cookie` of these values are the administrator's. None when such a field cannot be.
    pub fn knows(&self, cookies: &[&[u8]]) -> Option<bool> {
        let cookies: Result<Vec<_>, _> = cookies.iter().map(|value| HeaderValue::from_bytes(value)).collect();
        Some(trial::is_session(&self.api, &cookies.ok()?))
    }

    /// The administrator's cookie: `NAME=VALUE`.
    pub fn cookie(&self) -> &str {
        &self.cookie
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn hostile_bytes_reach_the_calls_as_an_administrators_do() {
        let folder = tempfile::tempdir().unwrap();
        let front = Front::new(folder.path()).unwrap();
        let text = |answer: Option<Vec<u8>>| String::from_utf8(answer.unwrap()).unwrap();
        let get = |cookie: &str| {
            format!(
                "GET /api/v1/array HTTP/1.1\r\nHost: 10.0.1.5:9000\r\nCookie: {cookie}\r\nConnection: close\r\n\r\n"
            )
        };
        let answer = text(front.speak(get(front.cookie()).as_bytes()).await);
        assert!(answer.starts_with("HTTP/1.1 200 ") && answer.contains("\"unset\""), "{answer}");
        let answer = text(front.speak(get("__Host-session=1").as_bytes()).await);
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert_eq!(front.knows(&[front.cookie().as_bytes()]), Some(true));
        assert_eq!(front.knows(&[front.cookie().as_bytes(), front.cookie().as_bytes()]), Some(false));
        let calls = trial::writes().count();
        assert!(calls > 10);
        for number in 0..calls {
            let answer = text(front.write(number, b"[").await);
            assert!(!answer.starts_with("HTTP/1.1 403 ") && !answer.starts_with("HTTP/1.1 401 "), "{answer}");
        }
    }
}
