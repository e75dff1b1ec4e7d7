//! Every rule, and that its sentence names the field.

use super::super::{BondMode, PortRole, Roles};
use super::*;

fn one(at: &str) -> Interface {
    Interface {
        name: "management".parse().unwrap(),
        at: Place::Port(at.parse().unwrap()),
        roles: Roles::from(PortRole::Management),
        ipv4: Ipv4::default(),
        ipv6: Ipv6::default(),
        mtu: None,
        dns: Vec::new(),
        routes: Vec::new(),
        enabled: true,
    }
}

fn port() -> Interface {
    one("pci-0000:00:02.0")
}

fn named(name: &str, interface: Interface) -> Interface {
    Interface { name: name.parse().unwrap(), ..interface }
}

fn vlan(name: &str, on: &str, id: u16) -> Interface {
    Interface {
        name: name.parse().unwrap(),
        at: Place::Vlan { on: on.parse().unwrap(), id: id.try_into().unwrap() },
        ..port()
    }
}

fn fixed(address: &str, router: Option<&str>) -> Interface {
    Interface {
        ipv4: Ipv4::Static {
            address: address.parse().unwrap(),
            router: router.map(|router| router.parse().unwrap()),
        },
        ..port()
    }
}

fn fixed6(addresses: &[&str], router: Option<&str>) -> Interface {
    Interface {
        ipv6: Ipv6::Static {
            addresses: addresses.iter().map(|address| address.parse().unwrap()).collect(),
            router: router.map(|router| router.parse().unwrap()),
        },
        ..port()
    }
}

fn routed(interface: Interface, routes: &[(&str, &str)]) -> Interface {
    let routes = routes
        .iter()
        .map(|(to, via)| Route { to: to.parse().unwrap(), via: via.parse().unwrap(), metric: None })
        .collect();
    Interface { routes, ..interface }
}

fn with(interfaces: Vec<Interface>) -> NetworkSettings {
    NetworkSettings { interfaces, ..NetworkSettings::default() }
}

/// The settings are refused for these fields, in this order, and for no other; each sentence says what is wrong.
#[track_caller]
fn refused(settings: &NetworkSettings, expected: &[(&str, &str)]) {
    let faults = settings.check().expect_err("these settings are wrong");
    let fields: Vec<&str> = faults.iter().map(|fault| fault.field.as_str()).collect();
    assert_eq!(fields, expected.iter().map(|(field, _)| *field).collect::<Vec<_>>(), "{faults:#?}");
    for (fault, (field, words)) in faults.iter().zip(expected) {
        let sentence = fault.to_string();
        assert!(sentence.starts_with(&format!("{field}: ")), "{sentence}");
        assert!(sentence.contains(words), "{sentence} does not say: {words}");
        assert!(!fault.right.is_empty() && !sentence.contains('\n'));
    }
}

#[track_caller]
fn accepted(settings: &NetworkSettings) {
    assert_eq!(settings.check(), Ok(()));
}

#[test]
fn the_defaults_and_a_full_example_are_right() {
    accepted(&NetworkSettings::default());
    let bond = Interface {
        name: "bond0".parse().unwrap(),
        at: Place::Bond {
            mode: BondMode::Lacp,
            members: vec!["pci-0000:00:03.0".parse().unwrap(), "52:54:00:12:34:56".parse().unwrap()],
        },
        ipv4: Ipv4::Off,
        ipv6: Ipv6::Off,
        mtu: Some(9000.try_into().unwrap()),
        ..port()
    };
    let outside = Interface {
        ipv4: Ipv4::Static {
            address: "198.51.100.7/24".parse().unwrap(),
            router: Some("198.51.100.1".parse().unwrap()),
        },
        ..routed(
            vlan("outside", "bond0", 42),
            &[("10.0.0.0/8", "198.51.100.2"), ("2001:db8:1::/48", "fe80::2")],
        )
    };
    accepted(&with(vec![port(), bond, outside, vlan("inside", "bond0", 43)]));
}

#[test]
fn lists_are_bounded_and_what_is_beyond_is_left_alone() {
    let settings = NetworkSettings {
        search: (0..7).map(|n| format!("d{n}.example").parse().unwrap()).collect(),
        time_servers: (0..9).map(|n| format!("192.0.2.{}", n + 1).parse().unwrap()).collect(),
        interfaces: vec![port(); 10_000],
        ..NetworkSettings::default()
    };
    let faults = settings.check().unwrap_err();
    for (field, words) in [
        ("search", "there are 7 search domains; at most 6"),
        ("time_servers", "there are 9 time servers; at most 8"),
        ("interfaces", "there are 10000 interfaces; at most 32"),
    ] {
        assert!(faults.iter().any(|fault| fault.to_string() == format!("{field}: {words}")), "{faults:?}");
    }
    assert!(faults.len() < 100, "{} faults", faults.len());

    let mut many = fixed6(&[], None);
    many.dns = (1..=5).map(|n| IpAddr::from([192, 0, 2, n])).collect();
    many.routes = (0..33)
        .map(|n| Route {
            to: format!("10.{n}.0.0/16").parse().unwrap(),
            via: "192.0.2.1".parse().unwrap(),
            metric: None,
        })
        .collect();
    refused(
        &with(vec![many]),
        &[
            ("interfaces[0].ipv6.static.addresses", "there are 0 addresses; 1 to 8"),
            ("interfaces[0].dns", "there are 5 name servers; at most 4"),
            ("interfaces[0].routes", "there are 33 routes; at most 32"),
        ],
    );
    let empty = Interface { at: Place::Bond { mode: BondMode::ActiveBackup, members: Vec::new() }, ..port() };
    refused(
        &with(vec![empty]),
        &[("interfaces[0].at.bond.members", "there are 0 ports in the bond; 1 to 8")],
    );
}

#[test]
fn all_interfaces_together_have_a_bounded_number_of_routes() {
    let interfaces = (0..5u8)
        .map(|n| {
            let mut interface = named(&format!("port{n}"), one(&format!("pci-0000:00:0{n}.0")));
            interface.routes = (0..32)
                .map(|m| Route {
                    to: format!("10.{m}.0.0/16").parse().unwrap(),
                    via: "192.0.2.1".parse().unwrap(),
                    metric: None,
                })
                .collect();
            interface
        })
        .collect();
    refused(&with(interfaces), &[("interfaces", "all interfaces together have 160 routes; at most 128")]);
}

#[test]
fn nothing_stands_twice_in_a_list() {
    let settings = NetworkSettings {
        search: vec!["example.com".parse().unwrap(), "EXAMPLE.com.".parse().unwrap()],
        time_servers: vec!["ntp.example.com".parse().unwrap(), "ntp.example.com".parse().unwrap()],
        interfaces: vec![Interface { dns: vec!["192.0.2.53".parse().unwrap(); 2], ..port() }],
        ..NetworkSettings::default()
    };
    refused(
        &settings,
        &[
            ("search[1]", "example.com stands at search[0] already"),
            ("time_servers[1]", "ntp.example.com stands at time_servers[0] already"),
            ("interfaces[0].dns[1]", "192.0.2.53 stands at interfaces[0].dns[0] already"),
        ],
    );
}

#[test]
fn a_server_has_the_address_of_a_host() {
    let settings = NetworkSettings {
        time_servers: ["0.0.0.0", "224.0.1.1", "fe80::1", "2001:db8::123"]
            .map(|address| address.parse().unwrap())
            .to_vec(),
        interfaces: vec![Interface {
            dns: ["127.0.0.53", "255.255.255.255", "ff02::fb", "fe80::53"]
                .map(|address| address.parse().unwrap())
                .to_vec(),
            ..port()
        }],
        ..NetworkSettings::default()
    };
    refused(
        &settings,
        &[
            ("time_servers[0]", "0.0.0.0 is no server's address"),
            ("time_servers[1]", "224.0.1.1 is no server's address"),
            ("time_servers[2]", "fe80::1 is link-local and says nothing about its port"),
            ("interfaces[0].dns[0]", "127.0.0.53 is no server's address"),
            ("interfaces[0].dns[1]", "255.255.255.255 is no server's address"),
            ("interfaces[0].dns[2]", "ff02::fb is no server's address"),
        ],
    );
}

#[test]
fn a_confirmation_is_waited_for_10_seconds_to_an_hour() {
    for (seconds, right) in [(9, false), (10, true), (3600, true), (3601, false)] {
        let settings = NetworkSettings { confirm_seconds: seconds, ..NetworkSettings::default() };
        if right {
            accepted(&settings);
        } else {
            refused(&settings, &[("confirm_seconds", "a whole number from 10 to 3600")]);
        }
    }
}

#[test]
fn names_and_ports_are_used_once() {
    let bond = Interface {
        at: Place::Bond {
            mode: BondMode::ActiveBackup,
            members: ["pci-0000:00:02.0", "pci-0000:00:05.0", "pci-0000:00:05.0"]
                .map(|key| key.parse().unwrap())
                .to_vec(),
        },
        ..named("bond0", port())
    };
    refused(
        &with(vec![port(), port(), bond]),
        &[
            ("interfaces[1].name", "interfaces[0] is called management too"),
            ("interfaces[1].at.port", "the port pci-0000:00:02.0 stands here twice"),
            (
                "interfaces[2].at.bond.members[0]",
                "the port pci-0000:00:02.0 is used by the interface management already",
            ),
            ("interfaces[2].at.bond.members[2]", "the port pci-0000:00:05.0 stands here twice"),
        ],
    );
}

#[test]
fn a_vlan_is_on_a_port_or_bond_that_is_there_and_once() {
    refused(
        &with(vec![
            port(),
            vlan("v1", "nowhere", 1),
            vlan("v2", "management", 2),
            vlan("v3", "v2", 2),
            vlan("v4", "management", 2),
            vlan("v5", "v5", 2),
        ]),
        &[
            ("interfaces[1].at.vlan.on", "there is no interface nowhere"),
            ("interfaces[3].at.vlan.on", "v2 is a VLAN itself"),
            ("interfaces[4].at.vlan.id", "the VLAN 2 on management is the interface v2 already"),
            ("interfaces[5].at.vlan.on", "v5 is a VLAN itself"),
        ],
    );
    let off = Interface { enabled: false, ..port() };
    refused(
        &with(vec![off.clone(), vlan("v1", "management", 1)]),
        &[("interfaces[1].at.vlan.on", "management is not enabled, and the VLAN on it is")],
    );
    accepted(&with(vec![off, Interface { enabled: false, ..vlan("v1", "management", 1) }]));
}

#[test]
fn an_mtu_fits_ipv6_and_what_carries_the_vlan() {
    let sized = |mtu: u16, interface| Interface { mtu: Some(mtu.try_into().unwrap()), ..interface };
    let without6 = |interface| Interface { ipv6: Ipv6::Off, ..interface };
    refused(&with(vec![sized(1279, port())]), &[("interfaces[0].mtu", "1279 is too small for IPv6")]);
    accepted(&with(vec![sized(1280, port())]));
    accepted(&with(vec![sized(576, without6(port()))]));
    // A VLAN has as much as what carries it, unless it says less.
    refused(
        &with(vec![sized(1000, without6(port())), vlan("v1", "management", 1)]),
        &[("interfaces[1].mtu", "1000 is too small for IPv6")],
    );
    refused(
        &with(vec![port(), sized(1501, vlan("v1", "management", 1))]),
        &[("interfaces[1].mtu", "1501 is more than the 1500 of management; at most 1500")],
    );
    accepted(&with(vec![sized(9000, port()), sized(9000, vlan("v1", "management", 1))]));
}

#[test]
fn a_static_ipv4_address_is_one_of_a_host() {
    for (address, words) in [
        ("192.0.2.0/24", "is the address of the network itself"),
        ("192.0.2.255/24", "is the broadcast address of its network"),
        ("224.0.0.1/24", "is no address that a host can have"),
        ("127.0.0.1/8", "is no address that a host can have"),
        ("0.0.0.0/0", "is no address that a host can have"),
        ("192.0.2.1/0", "is no address that a host can have"),
        ("255.255.255.255/32", "is no address that a host can have"),
    ] {
        refused(&with(vec![fixed(address, None)]), &[("interfaces[0].ipv4.static.address", words)]);
    }
    for address in ["192.0.2.0/31", "192.0.2.1/31", "192.0.2.7/32", "10.0.255.255/8"] {
        accepted(&with(vec![fixed(address, None)]));
    }
}

#[test]
fn a_router_is_a_neighbour_and_not_the_interface_itself() {
    for (router, words) in [
        ("192.0.2.10", "192.0.2.10 is the interface's own address; the address of a router in 192.0.2.0/24"),
        ("192.0.3.1", "192.0.3.1 is no host's address in the network of 192.0.2.10/24"),
        ("192.0.2.255", "192.0.2.255 is no host's address"),
        ("0.0.0.0", "0.0.0.0 is no host's address"),
    ] {
        let settings = with(vec![fixed("192.0.2.10/24", Some(router))]);
        refused(&settings, &[("interfaces[0].ipv4.static.router", words)]);
    }
    accepted(&with(vec![fixed("192.0.2.0/31", Some("192.0.2.1"))]));

    for (router, words) in [
        ("2001:db8::10", "2001:db8::10 is the interface's own address"),
        ("2001:db8:1::1", "2001:db8:1::1 is no host's address in a network of this interface"),
        ("ff02::2", "ff02::2 is no host's address"),
    ] {
        let settings = with(vec![fixed6(&["2001:db8::10/64"], Some(router))]);
        refused(&settings, &[("interfaces[0].ipv6.static.router", words)]);
    }
    for router in ["fe80::1", "2001:db8::1"] {
        accepted(&with(vec![fixed6(&["2001:db8::10/64"], Some(router))]));
    }
}

#[test]
fn static_ipv6_addresses_are_those_of_a_host_and_stand_once() {
    refused(
        &with(vec![fixed6(
            &[
                "2001:db8::10/64",
                "2001:db8::/64",
                "fe80::5/64",
                "::1/128",
                "ff02::1/16",
                "2001:db8::10/48",
                "::ffff:192.0.2.1/96",
            ],
            None,
        )]),
        &[
            ("interfaces[0].ipv6.static.addresses[1]", "is the address of the network itself"),
            ("interfaces[0].ipv6.static.addresses[2]", "is link-local, and such an address makes itself"),
            ("interfaces[0].ipv6.static.addresses[3]", "is no address that a host can have"),
            ("interfaces[0].ipv6.static.addresses[4]", "is no address that a host can have"),
            ("interfaces[0].ipv6.static.addresses[5]", "2001:db8::10 stands here twice"),
            ("interfaces[0].ipv6.static.addresses[6]", "is no address that a host can have"),
        ],
    );
}

#[test]
fn an_address_is_one_interfaces_and_networks_may_overlap() {
    let second =
        |address| Interface { at: one("pci-0000:00:03.0").at, ..named("second", fixed(address, None)) };
    refused(
        &with(vec![fixed("192.0.2.10/24", None), second("192.0.2.10/25")]),
        &[(
            "interfaces[1].ipv4.static.address",
            "192.0.2.10 is an address of the interface management already",
        )],
    );
    accepted(&with(vec![fixed("192.0.2.10/24", None), second("192.0.2.11/24")]));
}

#[test]
fn a_route_names_a_network_and_a_neighbour_of_the_same_family() {
    let here = fixed("192.0.2.10/24", Some("192.0.2.1"));
    for (to, via, field, words) in [
        ("10.0.0.1/8", "192.0.2.2", "to", "10.0.0.1/8 has bits beyond its prefix; 10.0.0.0/8"),
        ("127.0.0.0/8", "192.0.2.2", "to", "127.0.0.0/8 is not reached by a route"),
        ("224.0.0.0/4", "192.0.2.2", "to", "224.0.0.0/4 is not reached by a route"),
        (
            "0.0.0.0/0",
            "192.0.2.2",
            "to",
            "as the interface's router does already; no such route, or no router",
        ),
        (
            "10.0.0.0/8",
            "fe80::1",
            "via",
            "fe80::1 and 10.0.0.0/8 are not of the same family; an IPv4 address",
        ),
        ("2001:db8::/32", "192.0.2.2", "via", "are not of the same family; an IPv6 address"),
        ("10.0.0.0/8", "192.0.3.2", "via", "192.0.3.2 is in no network of this interface"),
        ("10.0.0.0/8", "192.0.2.255", "via", "192.0.2.255 is in no network of this interface"),
        ("10.0.0.0/8", "192.0.2.10", "via", "192.0.2.10 is the interface's own address"),
        ("10.0.0.0/8", "224.0.0.1", "via", "224.0.0.1 is no router's address"),
    ] {
        let field = format!("interfaces[0].routes[0].{field}");
        refused(&with(vec![routed(here.clone(), &[(to, via)])]), &[(&field, words)]);
    }
    accepted(&with(vec![routed(fixed("192.0.2.10/24", None), &[("0.0.0.0/0", "192.0.2.1")])]));
    refused(
        &with(vec![routed(here, &[("10.0.0.0/8", "192.0.2.2"), ("10.0.0.0/8", "192.0.2.3")])]),
        &[("interfaces[0].routes[1].to", "there is a route to 10.0.0.0/8 with the same metric already")],
    );
}

#[test]
fn a_gateway_is_judged_by_how_the_interface_gets_its_address() {
    let four = |ipv4| routed(Interface { ipv4, ..port() }, &[("10.0.0.0/8", "192.0.2.2")]);
    accepted(&with(vec![four(Ipv4::Dhcp { link_local_fallback: false })]));
    refused(
        &with(vec![four(Ipv4::Off)]),
        &[("interfaces[0].routes[0].via", "IPv4 is off on this interface")],
    );
    refused(&with(vec![four(Ipv4::LinkLocal)]), &[("interfaces[0].routes[0].via", "is in no network")]);
    accepted(&with(vec![routed(
        Interface { ipv4: Ipv4::LinkLocal, ..port() },
        &[("10.0.0.0/8", "169.254.1.1")],
    )]));

    let six = |ipv6, via| routed(Interface { ipv6, ..port() }, &[("2001:db8:1::/48", via)]);
    accepted(&with(vec![six(Ipv6::Auto { privacy: true }, "2001:db8::1")]));
    accepted(&with(vec![six(Ipv6::LinkLocal, "fe80::1")]));
    refused(
        &with(vec![six(Ipv6::LinkLocal, "2001:db8::1")]),
        &[("interfaces[0].routes[0].via", "is in no network")],
    );
    refused(&with(vec![six(Ipv6::Off, "fe80::1")]), &[("interfaces[0].routes[0].via", "IPv6 is off")]);
    let fixed = |router| fixed6(&["2001:db8::10/64"], router);
    accepted(&with(vec![routed(fixed(None), &[("::/0", "2001:db8::1"), ("2001:db8:1::/48", "fe80::1")])]));
    refused(
        &with(vec![routed(
            fixed(Some("fe80::1")),
            &[("::/0", "fe80::2"), ("2001:db8:1::/48", "2001:db8::10")],
        )]),
        &[
            ("interfaces[0].routes[0].to", "as the interface's router does already"),
            ("interfaces[0].routes[1].via", "2001:db8::10 is the interface's own address"),
        ],
    );
}
