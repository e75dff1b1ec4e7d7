//! The sandbox table: what each role may touch, a line a power, each with its reason. It never enforces it.

use drawbridge_bus::Role;
use drawbridge_bus::bridge::SSHD_PORT;
use drawbridge_sandbox::{Calls, Capability, Connects, File, Limits, Profile};

const MIB: u64 = 1024 * 1024;

/// The port of the console.
const CONSOLE: u16 = 9000;

/// The port that sends browsers to the console: who types an address without https gets there by it.
const REDIRECT: u16 = 8000;

/// The vendor's profile, in the image (`drawbridge_profile::FILE`).
const PROFILE: &str = "/profile.json";

/// The kernel's name for this run of the machine.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// The port of the array's management layer.
const ARRAY: u16 = 443;

/// The port of name servers, for answers that are too long for UDP (RFC 7766).
const DNS: u16 = 53;

/// The profile of a role; none for init, which is root.
pub const fn profile(role: Role) -> Option<&'static Profile> {
    match role {
        Role::Init => None,
        Role::Network => Some(&NETWORK),
        Role::Console => Some(&CONSOLE_ROLE),
        Role::Session => Some(&SESSION),
        Role::Recorder => Some(&RECORDER),
        Role::Tunnel => Some(&TUNNEL),
        Role::Sshd => Some(&SSHD),
        Role::Shell => Some(&SHELL),
        Role::Courier => Some(&COURIER),
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
    connects: Connects::Ports(&[DNS]),
    network: true,
    limits: Limits { memory: 24 * MIB, tasks: 8, descriptors: 256, temporary: MIB, file: MIB },
};

static CONSOLE_ROLE: Profile = Profile {
    name: Role::Console.name(),
    uid: Role::Console.uid(),
    capabilities: &[],
    calls: &[
        Calls::Connections, // the bus, browsers
        Calls::Internet,    // its two ports, the array
        Calls::Files,       // its key and certificate, what it knows of the array
    ],
    files: &[
        File { path: "/data/console", write: true }, // its key and certificate, what it knows of the array
        File { path: PROFILE, write: false },        // the vendor's names and texts
    ],
    listens: &[CONSOLE, REDIRECT],
    connects: Connects::Ports(&[ARRAY]), // whose word it takes for users and passwords
    network: true,
    limits: Limits { memory: 32 * MIB, tasks: 8, descriptors: 512, temporary: MIB, file: MIB },
};

static SESSION: Profile = Profile {
    name: Role::Session.name(),
    uid: Role::Session.uid(),
    capabilities: &[],
    calls: &[
        Calls::Connections, // the bus
        Calls::Files,       // its keys, the audit
    ],
    files: &[
        File { path: "/data/session", write: true }, // the device's keys, the servers', which grants were used, the audit
        File { path: BOOT_ID, write: false },        // which run of the machine it is, in the audit
        File { path: PROFILE, write: false },        // the vendor's keys
    ],
    listens: &[],
    connects: Connects::Ports(&[]),
    network: false,
    // Secrets are looked at one after the other, in the same 9 MiB; a typed one is judged by lists of words.
    // A segment of the audit is ended at 4 MiB.
    limits: Limits { memory: 40 * MIB, tasks: 12, descriptors: 256, temporary: MIB, file: 16 * MIB },
};

static RECORDER: Profile = Profile {
    name: Role::Recorder.name(),
    uid: Role::Recorder.uid(),
    capabilities: &[],
    calls: &[
        Calls::Connections, // the bus
        Calls::Files,       // the recordings
    ],
    files: &[
        File { path: "/data/recorder", write: true }, // the recordings
    ],
    listens: &[],
    connects: Connects::Ports(&[]),
    network: false,
    // 32 connections with a writer each, and the screens of their terminals. A file may be as large as the disk has room for.
    limits: Limits { memory: 64 * MIB, tasks: 48, descriptors: 1024, temporary: MIB, file: 1 << 40 },
};

static TUNNEL: Profile = Profile {
    name: Role::Tunnel.name(),
    uid: Role::Tunnel.uid(),
    capabilities: &[],
    calls: &[
        Calls::Connections, // the bus
        Calls::Internet,    // the way to the server, and the relay to the SSH daemon
        Calls::Narrowing,   // to the ports of that way
        Calls::Keys,        // SSH with the server
    ],
    files: &[],
    listens: &[],
    connects: Connects::Ordered,
    network: true,
    // 32 engineers' connections, each with TLS and two buffers.
    limits: Limits { memory: 48 * MIB, tasks: 8, descriptors: 256, temporary: MIB, file: MIB },
};

static COURIER: Profile = Profile {
    name: Role::Courier.name(),
    uid: Role::Courier.uid(),
    capabilities: &[],
    calls: &[
        Calls::Connections, // the bus
        Calls::Internet,    // the array, a syslog server, a mail server
        Calls::Narrowing,   // to their ports
    ],
    files: &[],
    listens: &[],
    connects: Connects::Ordered,
    network: true,
    limits: Limits { memory: 32 * MIB, tasks: 4, descriptors: 128, temporary: MIB, file: MIB },
};

static SSHD: Profile = Profile {
    name: Role::Sshd.name(),
    uid: Role::Sshd.uid(),
    capabilities: &[],
    calls: &[
        Calls::Connections,   // the bus, the relay
        Calls::Internet,      // its port on loopback, forwards to targets
        Calls::Narrowing,     // to the ports of the grant's targets
        Calls::Keys,          // SSH with engineers
        Calls::TerminalsMade, // a terminal for each shell that wants one
    ],
    files: &[
        File { path: "/dev/ptmx", write: true },
        File { path: "/dev/pts", write: true }, // where ptmx leads to
    ],
    listens: &[SSHD_PORT],
    connects: Connects::Ordered,
    network: true,
    // 32 engineers, each with channels whose unread bytes are kept up to a bound.
    limits: Limits { memory: 96 * MIB, tasks: 8, descriptors: 1024, temporary: MIB, file: MIB },
};

static SHELL: Profile = Profile {
    name: Role::Shell.name(),
    uid: Role::Shell.uid(),
    capabilities: &[],
    calls: &[
        Calls::Connections, // the bus
        Calls::Internet,    // ssh to the grant's targets, and probes of the way to them
        Calls::Narrowing,   // to their ports
        Calls::Keys,        // ssh
        Calls::Files,       // the grant's folder
        Calls::Terminal,    // line editing
    ],
    files: &[
        File { path: "/data/shell", write: true }, // the grant's folder, emptied with the grant
    ],
    listens: &[],
    connects: Connects::Ordered,
    network: true,
    // All shells of all engineers together. A file may be as large as the disk has room for.
    limits: Limits { memory: 128 * MIB, tasks: 128, descriptors: 64, temporary: MIB, file: 1 << 40 },
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
