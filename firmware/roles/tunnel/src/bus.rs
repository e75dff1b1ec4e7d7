//! What the tunnel asks other roles over the bus. Each question has a connection of its own, so that none waits for another.

use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::record::RecordingId;
use drawbridge_bus::upload::Unsent;
use drawbridge_bus::{Port, Refusal, Reply, Request, Role, SystemStatus};
use drawbridge_dial::{NameFailure, Names, Wait};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Of a name's addresses so many are tried: more would only be more to wait for.
const ADDRESSES_MOST: usize = 16;

/// Asks the roles whose sockets are in one folder.
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

    async fn ask<T>(
        &self,
        role: Role,
        request: Request,
        read: impl FnOnce(Reply) -> Option<T>,
    ) -> Result<T, CallError> {
        let reply = self.connect(role).await?.call(request).await?;
        read(reply).ok_or(CallError::Refused(role, Refusal::NotMine))
    }

    /// The ports as they are now.
    pub(crate) async fn ports(&self) -> Result<Vec<Port>, CallError> {
        self.ask(Role::Network, Request::Ports, |reply| match reply {
            Reply::Ports(ports) => Some(ports),
            _ => None,
        })
        .await
    }

    /// The key by which recordings are signed, as OpenSSH writes it, without comment.
    pub(crate) async fn evidence_key(&self) -> Result<String, CallError> {
        let line = self
            .ask(Role::Session, Request::DeviceKeys, |reply| match reply {
                Reply::DeviceKeys(keys) => Some(keys.evidence_key),
                _ => None,
            })
            .await?;
        Ok(line.split_whitespace().take(2).collect::<Vec<_>>().join(" "))
    }

    /// Recordings that the server has not confirmed.
    pub(crate) async fn unsent(&self) -> Result<Vec<Unsent>, CallError> {
        self.ask(Role::Recorder, Request::Unsent, |reply| match reply {
            Reply::Unsent(unsent) => Some(unsent),
            _ => None,
        })
        .await
    }

    /// A part of a file of such a recording.
    pub(crate) async fn unsent_part(
        &self,
        id: &RecordingId,
        file: &str,
        offset: u64,
        most: u32,
    ) -> Result<Vec<u8>, CallError> {
        let request = Request::UnsentPart { id: id.clone(), file: file.to_owned(), offset, most };
        self.ask(Role::Recorder, request, |reply| match reply {
            Reply::RecordingPart(bytes, _) => Some(bytes),
            _ => None,
        })
        .await
    }

    /// Tells the recorder that the server has all of a recording: none when that is taken, otherwise why not.
    pub(crate) async fn confirmed(
        &self,
        id: &RecordingId,
        head: [u8; 32],
    ) -> Result<Option<String>, CallError> {
        self.ask(Role::Recorder, Request::Confirmed { id: id.clone(), head }, |reply| match reply {
            Reply::Done => Some(None),
            Reply::NotTaken(why) => Some(Some(why)),
            _ => None,
        })
        .await
    }

    /// The state of the system.
    pub(crate) async fn status(&self) -> Result<SystemStatus, CallError> {
        self.ask(Role::Init, Request::Status, |reply| match reply {
            Reply::Status(status) => Some(*status),
            _ => None,
        })
        .await
    }
}

/// Names to addresses, by the network role's word.
#[derive(Clone, Debug)]
pub(crate) struct ByNetwork {
    pub(crate) asker: Asker,
    /// Whose servers are asked; none: by the order of ports.
    pub(crate) interface: Option<String>,
}

impl Names for ByNetwork {
    fn addresses<'a>(&'a self, name: &'a str) -> Wait<'a, Result<Vec<IpAddr>, NameFailure>> {
        let request = Request::Resolve { name: name.to_owned(), interface: self.interface.clone() };
        Box::pin(async move {
            let answer = self.asker.ask(Role::Network, request, |reply| match reply {
                Reply::Addresses(addresses) => Some(Ok(addresses)),
                Reply::Unresolved(why) => Some(Err(why)),
                _ => None,
            });
            match answer.await {
                Ok(Ok(mut addresses)) => {
                    addresses.truncate(ADDRESSES_MOST);
                    Ok(addresses)
                }
                Ok(Err(why)) => Err(NameFailure::Unknown(why)),
                Err(error) => Err(NameFailure::Failed(error.to_string())),
            }
        })
    }
}
