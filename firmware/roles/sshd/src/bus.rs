//! Questions to another role, several at one time: a connection is kept for the next one. It never asks twice but where a
//! kept connection turns out to be of a role that has started anew.

use drawbridge_bus::bridge::{EngineerAsk, Verdict};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::{Reply, Request, Role};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use tokio::net::UnixStream;
use tokio::sync::Semaphore;

/// Questions at one time: an engineer whose secret is being looked at holds up no other.
const AT_ONCE: usize = 8;

/// Asks one role.
#[derive(Debug)]
pub(crate) struct Asker {
    role: Role,
    path: PathBuf,
    idle: Mutex<Vec<Client>>,
    places: Semaphore,
}

impl Asker {
    pub(crate) fn new(role: Role, sockets: &Path) -> Self {
        Self {
            role,
            path: sockets.join(role.name()),
            idle: Mutex::new(Vec::new()),
            places: Semaphore::new(AT_ONCE),
        }
    }

    /// Asks, and waits for the answer.
    pub(crate) async fn ask(&self, request: Request) -> Result<Reply, CallError> {
        // Never closed; and if it were, a question more would do no harm.
        let _place = self.places.acquire().await;
        let kept = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(mut client) = kept {
            match client.call(request.clone()).await {
                Err(CallError::Closed(_)) => {}
                answer => return self.keep(client, answer),
            }
        }
        let stream = UnixStream::connect(&self.path)
            .await
            .map_err(|error| CallError::Unreachable(self.role, error))?;
        let mut client = Client::over(self.role, stream);
        let answer = client.call(request).await;
        self.keep(client, answer)
    }

    /// Keeps a connection whose answers and questions still match.
    fn keep(&self, client: Client, answer: Result<Reply, CallError>) -> Result<Reply, CallError> {
        if matches!(answer, Ok(_) | Err(CallError::Refused(..))) {
            self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
        }
        answer
    }

    /// What session says to this. No answer is a no.
    pub(crate) async fn engineer(&self, connection: u64, ask: EngineerAsk) -> Verdict {
        let why = match self.ask(Request::Engineer { connection, ask }).await {
            Ok(Reply::Verdict(verdict)) => return verdict,
            Ok(_) => "the session role has answered something else".to_owned(),
            Err(error) => error.to_string(),
        };
        log::error!("an engineer is refused because nobody can be asked: {why}");
        Verdict::No { why: "The appliance cannot look at this now. Try again later.".to_owned(), cut: true }
    }
}
