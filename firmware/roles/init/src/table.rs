//! The sandbox table: what each role may touch, a line a power, each with its reason. It never enforces it.

use drawbridge_bus::Role;
use drawbridge_sandbox::{Calls, Capability, File, Limits, Profile};

const MIB: u64 = 1024 * 1024;

/// The port of the console.
const CONSOLE: u16 = 9000;

/// The port of name servers, for answers that are too long for UDP (RFC 7766).
const DNS: u16 = 53;

/// The profile of a role; none for init, which is root.
pub const fn profile(role: Role) -> Option<&'static Profile> {
    match role {
        Role::Init => None,
        Role::Network => Some(&NETWORK),
        Role::Console => Some(&CONSOLE_ROLE),
    }
}

static NETWORK: Profile = Profile {
    name: Role::Network.name(),
    uid: Role::Network.uid(),
    capabilities: &[
        Capability::CAP_NET_ADMIN, // links, addresses, routes, rules, the packet filter
        Capability::CAP_NET_RAW,   // DHCP before there is an address, ARP
    ],
    calls: &[
        Calls::Connections, // the bus
        Calls::Ports,       // netlink, packet sockets
        Calls::Internet,    // name servers, time servers, mDNS
        Calls::Files,       // its settings
    ],
    files: &[
        File { path: "/data/network", write: true }, // its settings
        File { path: "/sys", write: false }, // which links are Ethernet ports, their cards, the machine's names
        File { path: "/proc/sys/net", write: true }, // settings of links that rtnetlink does not have
    ],
    listens: &[],
    connects: &[DNS],
    network: true,
    limits: Limits { memory: 24 * MIB, tasks: 8, descriptors: 256, temporary: MIB, file: MIB },
};

static CONSOLE_ROLE: Profile = Profile {
    name: Role::Console.name(),
    uid: Role::Console.uid(),
    capabilities: &[],
    calls: &[
        Calls::Connections, // the bus, browsers
        Calls::Internet,    // its port
        Calls::Files,       // its key and certificate
    ],
    files: &[
        File { path: "/data/console", write: true }, // its key and certificate
    ],
    listens: &[CONSOLE],
    connects: &[],
    network: true,
    limits: Limits { memory: 32 * MIB, tasks: 8, descriptors: 512, temporary: MIB, file: MIB },
};

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_init_is_root_and_each_role_is_itself() {
        for role in Role::ALL {
            match profile(role) {
                None => assert_eq!(role, Role::Init),
                Some(profile) => {
                    assert_eq!((profile.name, profile.uid), (role.name(), role.uid()));
                    assert_ne!(profile.uid, 0);
                    assert!(!profile.capabilities.contains(&Capability::CAP_SYS_ADMIN));
                }
            }
        }
    }

    #[test]
    fn no_role_may_use_the_folder_of_another() {
        for role in Role::ALL {
            for file in profile(role).map_or(&[][..], |profile| profile.files) {
                let below_data = file.path.strip_prefix("/data/");
                assert!(
                    below_data.is_none_or(|folder| folder == role.name()),
                    "{role} may use {}",
                    file.path
                );
                assert!(!["/", "/data", "/dev", "/proc", "/run"].contains(&file.path));
            }
        }
    }
}
