//! The roles: their names and user ids. It says nothing of what they may do.

use serde::{Deserialize, Serialize};

/// A process of the appliance, one a variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Role {
    /// PID 1: mounts, supervision, shutdown.
    Init,
    /// Ports, addresses, routes.
    Network,
    /// The HTTPS console.
    Console,
    /// Grants: who may come in, and when it ends.
    Session,
    /// What engineers do, written down and read out again.
    Recorder,
    /// The connection to the Remote Support Server, while the bridge is lowered.
    Tunnel,
    /// The SSH daemon for engineers, while the bridge is lowered.
    Sshd,
    /// An engineer's command line or files: a process for each of his channels.
    Shell,
    /// What has happened, told to the array, a syslog server and people's mail, while any of them is set.
    Courier,
}

/// When a role runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Runs {
    /// From boot on, and again when it has ended.
    Always,
    /// While the session role wants it.
    OnDemand,
    /// A process for each channel of an engineer's.
    PerChannel,
}

impl Role {
    /// Every role, init first, in the order in which they are started.
    pub const ALL: [Role; 9] = [
        Role::Init,
        Role::Network,
        Role::Console,
        Role::Session,
        Role::Recorder,
        Role::Tunnel,
        Role::Sshd,
        Role::Shell,
        Role::Courier,
    ];

    /// The role's name: its argument on the command line, its folder under `/data`, its socket.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Init => "init",
            Role::Network => "network",
            Role::Console => "console",
            Role::Session => "session",
            Role::Recorder => "recorder",
            Role::Tunnel => "tunnel",
            Role::Sshd => "sshd",
            Role::Shell => "shell",
            Role::Courier => "courier",
        }
    }

    /// When it runs.
    pub const fn runs(self) -> Runs {
        match self {
            Role::Init | Role::Network | Role::Console | Role::Session | Role::Recorder => Runs::Always,
            Role::Tunnel | Role::Sshd | Role::Courier => Runs::OnDemand,
            Role::Shell => Runs::PerChannel,
        }
    }

    /// The role of that name.
    pub fn of_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.name() == name)
    }

    /// The user id, and the group id, that the role runs as. Only init is 0; no two roles share one.
    pub const fn uid(self) -> u32 {
        match self {
            Role::Init => 0,
            Role::Network => 201,
            Role::Console => 202,
            Role::Session => 203,
            Role::Tunnel => 204,
            Role::Sshd => 205,
            Role::Shell => 206,
            Role::Recorder => 207,
            Role::Courier => 208,
        }
    }

    /// The role that runs as this user.
    pub fn of_uid(uid: u32) -> Option<Self> {
        Self::ALL.into_iter().find(|role| role.uid() == uid)
    }
}

impl std::fmt::Display for Role {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_roles_share_a_user_or_a_name() {
        for a in Role::ALL {
            assert_eq!(Role::of_name(a.name()), Some(a));
            assert_eq!(Role::of_uid(a.uid()), Some(a));
            assert_eq!(a == Role::Init, a.uid() == 0);
        }
    }
}
