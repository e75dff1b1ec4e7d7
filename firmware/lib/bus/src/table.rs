//! The one table of who may ask whom what. It never asks.

use crate::message::Request;
use crate::role::Role;

/// The kind of a request: a request without its particulars.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ask {
    /// [`Request::Ready`]
    Ready,
    /// [`Request::Announce`]
    Announce,
    /// [`Request::Status`]
    Status,
    /// [`Request::Log`]
    Log,
    /// [`Request::Power`]
    Power,
    /// [`Request::CorrectClock`]
    CorrectClock,
    /// [`Request::HostName`]
    HostName,
    /// [`Request::Ports`]
    Ports,
    /// [`Request::Network`]
    Network,
    /// [`Request::NetworkSettings`]
    NetworkSettings,
    /// [`Request::ChangeNetwork`], [`Request::ConfirmNetwork`] and [`Request::RevertNetwork`]
    ChangeNetwork,
    /// [`Request::Resolve`]
    Resolve,
}

impl Request {
    /// Its kind.
    pub const fn ask(&self) -> Ask {
        match self {
            Request::Ready => Ask::Ready,
            Request::Announce(_) => Ask::Announce,
            Request::Status => Ask::Status,
            Request::Log { .. } => Ask::Log,
            Request::Power(_) => Ask::Power,
            Request::CorrectClock(_) => Ask::CorrectClock,
            Request::HostName(_) => Ask::HostName,
            Request::Ports => Ask::Ports,
            Request::Network => Ask::Network,
            Request::NetworkSettings => Ask::NetworkSettings,
            Request::ChangeNetwork(_) | Request::ConfirmNetwork(_) | Request::RevertNetwork(_) => {
                Ask::ChangeNetwork
            }
            Request::Resolve { .. } => Ask::Resolve,
        }
    }
}

/// Who asks, whom, what: every line is needed by the page or sentence behind it. What is not here is refused.
const MAY: &[(Role, Role, Ask)] = &[
    (Role::Network, Role::Init, Ask::Ready),
    (Role::Network, Role::Init, Ask::Announce), // addresses on serial line and screen
    (Role::Network, Role::Init, Ask::CorrectClock), // what time servers say; init decides what is believed
    (Role::Network, Role::Init, Ask::HostName), // the kernel's host name is root's to set
    (Role::Console, Role::Init, Ask::Ready),
    (Role::Console, Role::Init, Ask::Announce), // the certificate's fingerprint on serial line and screen
    (Role::Console, Role::Init, Ask::Status),   // the status page
    (Role::Console, Role::Init, Ask::Log),      // the log, for whoever has logged in
    (Role::Console, Role::Network, Ask::Ports), // the status page
    (Role::Console, Role::Network, Ask::Network), // the pages of the network
    (Role::Console, Role::Network, Ask::NetworkSettings),
    (Role::Console, Role::Network, Ask::ChangeNetwork),
    (Role::Console, Role::Network, Ask::Resolve), // tests of a path, and the array's name
];

/// Whether `caller` may ask `asked` this.
pub fn may(caller: Role, asked: Role, ask: Ask) -> bool {
    MAY.contains(&(caller, asked, ask))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_table_does_not_list_is_forbidden() {
        assert!(may(Role::Console, Role::Network, Ask::Ports));
        assert!(!may(Role::Network, Role::Console, Ask::Ports));
        assert!(!may(Role::Network, Role::Init, Ask::Power));
        assert!(!may(Role::Network, Role::Init, Ask::Log));
    }

    #[test]
    fn no_line_stands_twice_and_nobody_asks_himself() {
        for (i, line) in MAY.iter().enumerate() {
            assert!(!MAY[i + 1..].contains(line), "{line:?} stands twice");
            assert_ne!(line.0, line.1);
        }
    }
}
