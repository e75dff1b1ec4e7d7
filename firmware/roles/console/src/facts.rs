//! What the page shows, asked of the other roles over the bus. It never keeps a fact longer than a second.

use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::fetch::ANSWER_WITHIN as ANSWER_OF_TUNNEL_WITHIN;
use drawbridge_bus::{Port, Reply, Request, Role, SystemStatus};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{Mutex, Semaphore};
use tokio::time::Instant;

/// How long a person waits for a role that may not answer at all. Roles answer from memory.
const ANSWER_WITHIN: Duration = Duration::from_secs(2);

/// How long an answer serves all who ask: a flood of requests is no flood of questions to init.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// The most questions of browsers that are under way at one time: half of the connections that a role takes from one other.
const CALLS_AT_ONCE: usize = 4;

/// The most questions of browsers that the tunnel asks the server: two lists, and a part of each of two downloads.
const SERVER_CALLS_AT_ONCE: usize = 4;
/// How long one of these may take in all: longer than the tunnel gives the server, and shorter than a page waits.
const SERVER_WITHIN: Duration = Duration::from_secs(ANSWER_OF_TUNNEL_WITHIN + 2);

/// The state of the system as far as it could be asked.
#[derive(Clone, Debug)]
pub(crate) struct Facts {
    /// Init's word, or why there is none.
    pub(crate) status: Result<SystemStatus, String>,
    /// The network role's word, or why there is none.
    pub(crate) ports: Result<Vec<Port>, String>,
}

/// Asks for facts.
#[derive(Debug)]
pub(crate) struct Asker {
    sockets: PathBuf,
    last: Mutex<Option<(Instant, Arc<Facts>)>>,
    turns: Semaphore,
    /// Apart from the others: whatever the server does, nothing else waits for it.
    server_turns: Semaphore,
}

impl Asker {
    /// Asks the roles whose sockets are in this folder.
    pub(crate) fn new(sockets: PathBuf) -> Self {
        Self {
            sockets,
            last: Mutex::new(None),
            turns: Semaphore::new(CALLS_AT_ONCE),
            server_turns: Semaphore::new(SERVER_CALLS_AT_ONCE),
        }
    }

    /// The facts, at most a second old. Takes at most two seconds, whatever the roles do.
    pub(crate) async fn facts(&self) -> Arc<Facts> {
        // Whoever comes while the roles are asked waits for the same answer.
        let mut last = self.last.lock().await;
        if let Some((asked, facts)) = &*last
            && asked.elapsed() < FRESH_FOR
        {
            return Arc::clone(facts);
        }
        let (status, ports) = tokio::join!(
            self.ask(Role::Init, Request::Status, |reply| match reply {
                Reply::Status(status) => Some(*status),
                _ => None,
            }),
            self.ask(Role::Network, Request::Ports, |reply| match reply {
                Reply::Ports(ports) => Some(ports),
                _ => None,
            }),
        );
        let facts = Arc::new(Facts { status, ports });
        *last = Some((Instant::now(), Arc::clone(&facts)));
        facts
    }

    async fn ask<T>(
        &self,
        role: Role,
        request: Request,
        read: impl FnOnce(Reply) -> Option<T>,
    ) -> Result<T, String> {
        let answer = self.over_one_connection(role, request);
        let reply = tokio::time::timeout(ANSWER_WITHIN, answer)
            .await
            .unwrap_or(Err(CallError::TimedOut(role)))
            .map_err(|error| error.to_string())?;
        read(reply).ok_or_else(|| format!("the {role} role answered something else"))
    }

    /// Asks a role something that a person waits for: as long as the bus lets an answer take.
    pub(crate) async fn call(&self, role: Role, request: Request) -> Result<Reply, CallError> {
        // Browsers may ask faster than a role answers: the others wait here, where they hold nothing of the role's.
        let _turn = self.turns.acquire().await;
        self.over_one_connection(role, request).await
    }

    /// Asks the tunnel something that it asks the server first.
    pub(crate) async fn ask_server(&self, request: Request) -> Result<Reply, CallError> {
        let asked = async {
            let _turn = self.server_turns.acquire().await;
            self.connect(Role::Tunnel).await?.call_within(request, SERVER_WITHIN).await
        };
        // One who is waited for long has the time of the others, too.
        tokio::time::timeout(SERVER_WITHIN, asked).await.unwrap_or(Err(CallError::TimedOut(Role::Tunnel)))
    }

    async fn connect(&self, role: Role) -> Result<Client, CallError> {
        let stream = tokio::net::UnixStream::connect(self.sockets.join(role.name()))
            .await
            .map_err(|error| CallError::Unreachable(role, error))?;
        Ok(Client::over(role, stream))
    }

    async fn over_one_connection(&self, role: Role, request: Request) -> Result<Reply, CallError> {
        self.connect(role).await?.call(request).await
    }
}
