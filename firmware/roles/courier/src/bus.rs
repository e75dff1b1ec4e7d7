//! What the courier asks other roles over the bus. It never asks for what it was not given.

use drawbridge_audit::Kept;
use drawbridge_audit::log::Cursor;
use drawbridge_audit::queue::Events;
use drawbridge_bus::audit::{AUDIT_LINES_MOST, AuditLines};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::notify::{CourierNews, CourierOrders};
use drawbridge_bus::{Refusal, Reply, Request, Role};
use drawbridge_dial::{NameFailure, Names, Wait};
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::Mutex;

/// Of a name's addresses so many are tried: more would only be more to wait for.
const ADDRESSES_MOST: usize = 16;

/// Asks the roles whose sockets are in one folder. Each question has a connection of its own, so that none waits for another.
#[derive(Clone, Debug)]
pub(crate) struct Asker(Arc<Path>);

impl Asker {
    pub(crate) fn new(sockets: PathBuf) -> Self {
        Self(sockets.into())
    }

    /// A connection to a role.
    pub(crate) async fn connect(&self, role: Role) -> Result<Client, CallError> {
        let stream = tokio::net::UnixStream::connect(self.0.join(role.name()))
            .await
            .map_err(|error| CallError::Unreachable(role, error))?;
        Ok(Client::over(role, stream))
    }

    async fn ask(&self, role: Role, request: Request) -> Result<Reply, CallError> {
        self.connect(role).await?.call(request).await
    }

    /// What is to be done; none: nothing any more. `first` says that this process has no orders yet.
    pub(crate) async fn orders(&self, first: bool) -> Result<Option<Box<CourierOrders>>, CallError> {
        match self.ask(Role::Session, Request::CourierOrders { first }).await {
            Ok(Reply::CourierOrders(orders)) => Ok(Some(orders)),
            Err(CallError::Refused(_, Refusal::NotNow)) => Ok(None),
            Ok(_) => Err(CallError::Refused(Role::Session, Refusal::NotMine)),
            Err(error) => Err(error),
        }
    }

    /// Tells what has happened; when it returns, session has it.
    pub(crate) async fn tell(&self, news: CourierNews) -> Result<(), CallError> {
        self.ask(Role::Session, Request::CourierNews(news)).await.map(drop)
    }
}

/// The audit, by session's word. Each receiver has a connection of its own.
#[derive(Clone, Debug)]
pub(crate) struct Log {
    asker: Asker,
    client: Arc<Mutex<Option<Client>>>,
}

impl Log {
    pub(crate) fn new(asker: Asker) -> Self {
        Self { asker, client: Arc::default() }
    }

    /// Lines after a number; with `wait`, when there are any, or after some seconds.
    pub(crate) async fn lines(&self, after: u64, most: u16, wait: bool) -> Result<AuditLines, CallError> {
        let mut place = self.client.lock().await;
        let mut client = match place.take() {
            Some(client) => client,
            None => self.asker.connect(Role::Session).await?,
        };
        // One that has failed, or was given up half way, is not put back.
        match client.call(Request::AuditAfter { after, most, wait }).await? {
            Reply::AuditLines(lines) => {
                *place = Some(client);
                Ok(*lines)
            }
            _ => Err(CallError::Refused(Role::Session, Refusal::NotNow)),
        }
    }
}

impl Events for Log {
    async fn after(&self, cursor: Cursor, most: usize) -> io::Result<(Vec<Kept>, Cursor)> {
        let most = u16::try_from(most).unwrap_or(AUDIT_LINES_MOST).min(AUDIT_LINES_MOST);
        let read = self.lines(cursor.sequence, most, false).await.map_err(io::Error::other)?;
        let mut found: Vec<Kept> = Vec::with_capacity(read.lines.len());
        for line in &read.lines {
            let kept = Kept::parse(line.as_bytes()).map_err(io::Error::other)?;
            let before = found.last().map_or(cursor.sequence, Kept::sequence);
            if kept.sequence() <= before {
                return Err(io::Error::other("its numbers do not rise"));
            }
            found.push(kept);
        }
        let last = found.last().map_or(cursor, |kept| Cursor::after(kept.sequence()));
        Ok((found, last))
    }
}

/// Names to addresses, by the network role's word.
#[derive(Clone, Debug)]
pub(crate) struct ByNetwork(pub(crate) Asker);

impl Names for ByNetwork {
    fn addresses<'a>(&'a self, name: &'a str) -> Wait<'a, Result<Vec<IpAddr>, NameFailure>> {
        let request = Request::Resolve { name: name.to_owned(), interface: None };
        Box::pin(async move {
            match self.0.ask(Role::Network, request).await {
                Ok(Reply::Addresses(mut addresses)) => {
                    addresses.truncate(ADDRESSES_MOST);
                    Ok(addresses)
                }
                Ok(Reply::Unresolved(why)) => Err(NameFailure::Unknown(why)),
                Ok(_) => Err(NameFailure::Failed("the network role has answered something else".to_owned())),
                Err(error) => Err(NameFailure::Failed(error.to_string())),
            }
        })
    }
}
