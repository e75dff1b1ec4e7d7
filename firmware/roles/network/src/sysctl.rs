//! Settings of links that rtnetlink does not have, under `/proc/sys/net`. It never decides what a link is for.

use drawbridge_settings::network::Ipv6;
use std::io;
use std::path::{Path, PathBuf};

const PLACE: &str = "/proc/sys/net";

/// Of the whole host, once: name, value, why.
const HOST: &[(&str, &str)] = &[
    // What comes in by a port is marked by the packet filter; answers without a socket, and sockets that were accepted,
    // inherit the mark, and the mark leads to the port's own table.
    ("ipv4/fwmark_reflect", "1"),
    ("ipv6/fwmark_reflect", "1"),
    ("ipv4/tcp_fwmark_accept", "1"),
    // Nothing is forwarded, whatever the filter says.
    ("ipv4/ip_forward", "0"),
    ("ipv6/conf/all/forwarding", "0"),
    ("ipv4/tcp_syncookies", "1"),
    ("ipv4/icmp_echo_ignore_broadcasts", "1"),
    ("ipv4/icmp_ignore_bogus_error_responses", "1"),
    // A connection that was closed is not reopened by what is still under way (RFC 1337).
    ("ipv4/tcp_rfc1337", "1"),
    // By its memory the kernel would remember some two thousand connections, and drop what comes beyond: a crowd of slow clients at the
    // console's ports would shut the administrator out, and the array. At the most this takes 5 MiB.
    ("netfilter/nf_conntrack_max", "16384"),
    // What is over is forgotten soon, and what nobody ends after an hour without a sign: everything here that lasts has keepalives.
    ("netfilter/nf_conntrack_tcp_timeout_syn_recv", "20"),
    ("netfilter/nf_conntrack_tcp_timeout_fin_wait", "20"),
    ("netfilter/nf_conntrack_tcp_timeout_close_wait", "20"),
    ("netfilter/nf_conntrack_tcp_timeout_last_ack", "10"),
    ("netfilter/nf_conntrack_tcp_timeout_time_wait", "10"),
    ("netfilter/nf_conntrack_tcp_timeout_close", "5"),
    ("netfilter/nf_conntrack_tcp_timeout_established", "3600"),
    // Each link's own values count, but where the larger of both does.
    ("ipv4/conf/all/accept_redirects", "0"),
    ("ipv4/conf/all/secure_redirects", "0"),
    ("ipv4/conf/all/send_redirects", "0"),
    ("ipv4/conf/all/accept_source_route", "0"),
    ("ipv4/conf/all/src_valid_mark", "1"),
    ("ipv4/conf/all/rp_filter", "0"),
    // A port that is not planned yet: no address by itself, nothing believed.
    ("ipv6/conf/default/accept_ra", "0"),
    ("ipv6/conf/default/autoconf", "0"),
    ("ipv6/conf/default/accept_redirects", "0"),
    ("ipv6/conf/default/disable_ipv6", "1"),
];

/// Of each link for IPv4.
const LINK_IPV4: &[(&str, &str)] = &[
    // One port never answers ARP for the address of another, and never asks with it.
    ("arp_ignore", "1"),
    ("arp_announce", "2"),
    // The packet filter looks for the way back, in the port's own table. The kernel would look for that of an ARP question,
    // which bears no mark, in the main table: of two ports in overlapping networks one would never answer.
    ("rp_filter", "0"),
    ("src_valid_mark", "1"),
    ("accept_redirects", "0"),
    ("secure_redirects", "0"),
    ("send_redirects", "0"),
    ("accept_source_route", "0"),
    // An address that goes does not take along those that were set after it in the same network.
    ("promote_secondaries", "1"),
];

/// Of each link for IPv6, whatever is set for it.
const LINK_IPV6: &[(&str, &str)] = &[
    ("accept_redirects", "0"),
    ("accept_source_route", "0"),
    ("forwarding", "0"),
    // Routes to single networks by an advertisement are no router's business here: the default route is.
    ("accept_ra_rt_info_max_plen", "0"),
    ("accept_ra_min_hop_limit", "1"),
    ("max_addresses", "16"),
];

/// Sets what concerns the whole host. What this kernel does not have is named in the log.
pub(crate) fn set_host() {
    for (name, value) in HOST {
        note(name, set(&Path::new(PLACE).join(name), value));
    }
}

/// Sets what concerns a link. `secret` is what its stable IPv6 addresses are made of (RFC 7217).
pub(crate) fn set_link(link: &str, ipv6: &Ipv6, secret: u128) {
    // Its names hold no `/` (`dev_valid_name`); one that does has no settings.
    if link.contains('/') || link == "all" || link == "default" {
        return;
    }
    let place =
        |family: &str, name: &str| -> PathBuf { [PLACE, family, "conf", link, name].iter().collect() };
    for (name, value) in LINK_IPV4 {
        note(name, set(&place("ipv4", name), value));
    }
    let off = *ipv6 == Ipv6::Off;
    if !off {
        for (name, value) in LINK_IPV6 {
            note(name, set(&place("ipv6", name), value));
        }
        let secret = std::net::Ipv6Addr::from_bits(secret).to_string();
        note("stable_secret", set(&place("ipv6", "stable_secret"), &secret));
        let (advertised, privacy) = match ipv6 {
            Ipv6::Auto { privacy } => (true, *privacy),
            _ => (false, false),
        };
        let flag = |on: bool| if on { "1" } else { "0" };
        for (name, value) in [
            // 2: the interface identifier is made from the secret and the network (RFC 7217), never from the address of
            // the card.
            ("addr_gen_mode", "2"),
            ("use_tempaddr", if privacy { "2" } else { "0" }),
            ("autoconf", flag(advertised)),
            ("accept_ra_defrtr", flag(advertised)),
            ("accept_ra_pinfo", flag(advertised)),
            ("accept_ra_mtu", flag(advertised)),
            ("accept_ra", flag(advertised)),
        ] {
            note(name, set(&place("ipv6", name), value));
        }
    }
    note("disable_ipv6", set(&place("ipv6", "disable_ipv6"), if off { "1" } else { "0" }));
}

/// Writes a value where it differs: some settings begin anew when they are written.
fn set(path: &Path, value: &str) -> io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|now| now.trim() == value) {
        return Ok(());
    }
    std::fs::write(path, value)
}

fn note(name: &str, result: io::Result<()>) {
    match result {
        // A link that has gone has no settings any more.
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => log::debug!("no setting {name}"),
        Err(error) => log::warn!("the kernel's setting {name} cannot be set: {error}"),
    }
}
