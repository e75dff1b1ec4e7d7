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
}

impl Role {
    /// Every role, init first, in the order in which they are started.
    pub const ALL: [Role; 3] = [Role::Init, Role::Network, Role::Console];

    /// The role's name: its argument on the command line, its folder under `/data`, its socket.
    pub const fn name(self) -> &'static str {
        match self {
            Role::Init => "init",
            Role::Network => "network",
            Role::Console => "console",
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
