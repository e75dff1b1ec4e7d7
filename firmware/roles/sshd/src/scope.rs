//! Which places of the array a forward may lead to, and which addresses it never may. Pure: it resolves nothing.

use drawbridge_bus::support::{Scope, Target};
use drawbridge_settings::network::Host;
use std::net::IpAddr;

/// The longest host that a client may name, in bytes (RFC 1035, section 2.3.4, with a dot at the end).
const HOST_BYTES: usize = 254;

/// The target of the scope that is meant: the same name, whatever its case, or the same address, and the same port.
pub(crate) fn target<'a>(scope: &'a Scope, host: &str, port: u32) -> Option<&'a Target> {
    let port = u16::try_from(port).ok()?;
    if host.len() > HOST_BYTES {
        return None;
    }
    let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    let address: Option<IpAddr> = host.parse().ok();
    let name = host.strip_suffix('.').unwrap_or(host);
    scope.targets.iter().find(|target| {
        target.port == port
            && match &target.host {
                Host::Address(its) => address == Some(*its),
                Host::Name(its) => its.to_string().eq_ignore_ascii_case(name),
            }
    })
}

/// Whether an address can be a place of the array. A name in the scope says where it leads only when it is resolved: it must
/// not lead to the appliance itself, to everybody, or to the fixed addresses of service ports.
pub(crate) fn is_elsewhere(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            !address.is_loopback()
                && address.octets()[0] != 0
                && !address.is_multicast()
                && !address.is_broadcast()
                && !address.is_link_local()
        }
        IpAddr::V6(address) => {
            !address.is_loopback()
                && !address.is_unspecified()
                && !address.is_multicast()
                && !address.is_unicast_link_local()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        let target = |host: &str, port| Target { host: host.parse().unwrap(), port };
        Scope {
            targets: vec![target("node-1.example", 22), target("192.0.2.7", 443), target("2001:db8::1", 22)],
            shell: false,
            files: false,
            forwards: true,
        }
    }

    #[test]
    fn only_what_the_scope_names_is_a_target() {
        let scope = scope();
        for (host, port) in [
            ("node-1.example", 22),
            ("NODE-1.Example.", 22),
            ("192.0.2.7", 443),
            ("2001:DB8:0::1", 22),
            ("[2001:db8::1]", 22),
        ] {
            assert!(target(&scope, host, port).is_some(), "{host}:{port}");
        }
        for (host, port) in [
            ("node-1.example", 23),
            ("node-1", 22),
            ("node-1.example.evil.example", 22),
            ("192.0.2.8", 443),
            ("192.0.2.7", 443 + 65_536),
            ("::ffff:192.0.2.7", 443),
            ("", 22),
            ("127.0.0.1", 22),
        ] {
            assert!(target(&scope, host, port).is_none(), "{host}:{port}");
        }
        assert!(target(&scope, &"x".repeat(100_000), 22).is_none());
    }

    #[test]
    fn a_name_cannot_lead_to_the_appliance_itself() {
        for own in [
            "127.0.0.1",
            "127.9.9.9",
            "0.0.0.0",
            "0.1.2.3",
            "224.0.0.251",
            "255.255.255.255",
            "169.254.1.1",
            "::1",
            "::",
            "ff02::1",
            "fe80::1",
            "::ffff:127.0.0.1",
        ] {
            assert!(!is_elsewhere(own.parse().unwrap()), "{own}");
        }
        for other in ["192.0.2.1", "10.0.0.1", "2001:db8::1", "fd00::1"] {
            assert!(is_elsewhere(other.parse().unwrap()), "{other}");
        }
    }
}
