//! The settings' forms: as text, as JSON, on the bus.

use super::*;
use crate::fault::FieldError;
use serde_json::json;

/// The example of the module's documentation and what else there is.
fn example() -> serde_json::Value {
    json!({
        "host_name": "support-1",
        "search": ["example.com"],
        "time_servers": ["192.0.2.123", "ntp.example.com", "2001:db8::123"],
        "confirm_seconds": 90,
        "interfaces": [
            { "name": "bond0", "at": {"bond": {"mode": "lacp", "members": ["pci-0000:00:03.0", "52:54:00:12:34:56"]}},
              "roles": ["uplink"], "ipv4": "off", "ipv6": "off", "mtu": 9000 },
            { "name": "outside", "at": {"vlan": {"on": "bond0", "id": 42}}, "roles": ["uplink"],
              "ipv4": {"static": {"address": "198.51.100.7/24", "router": "198.51.100.1"}},
              "ipv6": {"auto": {"privacy": true}}, "dns": ["198.51.100.53", "2001:db8::53"],
              "routes": [{"to": "10.0.0.0/8", "via": "198.51.100.2"}, {"to": "10.0.0.0/8", "via": "198.51.100.3", "metric": 7}] },
            { "name": "management", "at": {"port": "pci-0000:00:02.0"}, "roles": ["array", "management"],
              "ipv6": {"static": {"addresses": ["2001:db8:5::10/64"], "router": "fe80::1"}} },
            { "name": "laptop", "at": {"port": "52:54:00:12:34:57"}, "roles": ["service"], "ipv4": "link_local",
              "ipv6": "link_local", "enabled": false },
            { "name": "spare", "at": {"bond": {"mode": "active_backup", "members": ["pci-10000:01:00.0"]}},
              "roles": ["array"], "ipv4": {"dhcp": {"link_local_fallback": false}} }
        ]
    })
}

fn parse(value: &serde_json::Value) -> Result<NetworkSettings, Vec<FieldError>> {
    NetworkSettings::parse_json(value.to_string().as_bytes())
}

/// The example with one value changed, by JSON pointer.
fn changed(pointer: &str, to: serde_json::Value) -> serde_json::Value {
    let mut value = example();
    *value.pointer_mut(pointer).unwrap() = to;
    value
}

#[test]
fn the_example_is_read_and_means_what_it_says() {
    let settings = parse(&example()).unwrap();
    assert_eq!(settings.interfaces.len(), 5);
    let [bond, outside, management, laptop, spare] = &settings.interfaces[..] else { panic!() };
    assert_eq!(bond.at.ports().len(), 2);
    assert_eq!(bond.ipv4, Ipv4::Off);
    assert_eq!(outside.at, Place::Vlan { on: bond.name.clone(), id: 42.try_into().unwrap() });
    assert_eq!(outside.routes[1].metric, Some(7));
    assert_eq!(management.roles.to_string(), "management, array");
    assert_eq!(management.ipv4, Ipv4::Dhcp { link_local_fallback: true });
    assert!(!laptop.enabled && laptop.roles.only(PortRole::Service));
    assert_eq!(spare.ipv6, Ipv6::Auto { privacy: false });
    assert_eq!(settings.interface_at("52:54:00:12:34:56".parse().unwrap()), Some(bond));
    assert_eq!(settings.interface_at("pci-0000:00:09.0".parse().unwrap()), None);
    assert_eq!(settings.interface(&laptop.name), Some(laptop));
    assert_eq!(parse(&json!({})), Ok(NetworkSettings::default()));
}

#[test]
fn json_and_the_bus_give_back_what_was_put_in() {
    for settings in [NetworkSettings::default(), parse(&example()).unwrap()] {
        let json = serde_json::to_vec(&settings).unwrap();
        assert_eq!(NetworkSettings::parse_json(&json), Ok(settings.clone()));
        let bytes = postcard::to_allocvec(&settings).unwrap();
        assert_eq!(postcard::from_bytes::<NetworkSettings>(&bytes), Ok(settings));
        for end in 0..bytes.len() {
            assert!(postcard::from_bytes::<NetworkSettings>(&bytes[..end]).is_err(), "cut off at {end}");
        }
    }
    let error = FieldError::new("a.b", "is wrong", "is right");
    let bytes = postcard::to_allocvec(&error).unwrap();
    assert_eq!(postcard::from_bytes::<FieldError>(&bytes), Ok(error));
}

#[test]
fn the_bus_cannot_bring_a_value_that_is_wrong_in_itself() {
    // What the types would refuse, written as a stranger could write it.
    assert!(postcard::from_bytes::<Mtu>(&postcard::to_allocvec(&500u16).unwrap()).is_err());
    assert!(postcard::from_bytes::<VlanId>(&postcard::to_allocvec(&4095u16).unwrap()).is_err());
    assert!(postcard::from_bytes::<InterfaceName>(&postcard::to_allocvec("../eth0").unwrap()).is_err());
    assert!(postcard::from_bytes::<Ipv4Net>(&postcard::to_allocvec("192.0.2.1/33").unwrap()).is_err());
    assert!(postcard::from_bytes::<Roles>(&postcard::to_allocvec::<[PortRole; 0]>(&[]).unwrap()).is_err());
}

#[test]
fn the_longest_settings_that_are_right_can_be_read_again() {
    let label = "a".repeat(61);
    let domain = |n: usize| format!("{n:02}{label}.{label}.{label}.{label}");
    let address = |n: usize, m: usize| format!("2001:db8:1111:2222:3333:4444:{n:x}:{m:x}");
    let interfaces: Vec<_> = (0..INTERFACES_MOST)
        .map(|n| {
            let routes: Vec<_> = (0..ROUTES_IN_ALL_MOST / INTERFACES_MOST)
                .map(|m| json!({"to": format!("{}/128", address(m + 1, 0xffff)), "via": address(n, 0xff00 + m), "metric": u32::MAX}))
                .collect();
            let members: Vec<_> =
                (0..MEMBERS_MOST).map(|m| format!("pci-ffffff{n:02x}:ff:1f.{m}")).collect();
            json!({
                "name": format!("interface-{n:05}"), "at": {"bond": {"mode": "active_backup", "members": members}},
                "roles": ["management", "uplink", "array", "service"],
                "ipv4": {"static": {"address": format!("198.51.{n}.200/24"), "router": format!("198.51.{n}.100")}},
                "ipv6": {"static": {
                    "addresses": (0..IPV6_ADDRESSES_MOST).map(|m| format!("{}/64", address(n, 0xfff0 + m))).collect::<Vec<_>>(),
                    "router": address(n, 0xfffe),
                }},
                "mtu": 9216, "dns": (0..DNS_MOST).map(|m| address(n, 0xee00 + m)).collect::<Vec<_>>(), "routes": routes,
                "enabled": false,
            })
        })
        .collect();
    let settings: NetworkSettings = serde_json::from_value(json!({
        "host_name": "h".repeat(63),
        "search": (0..SEARCH_MOST).map(domain).collect::<Vec<_>>(),
        "time_servers": (0..TIME_SERVERS_MOST).map(domain).collect::<Vec<_>>(),
        "confirm_seconds": 3600, "interfaces": interfaces,
    }))
    .unwrap();
    assert_eq!(settings.check(), Ok(()));
    let pretty = serde_json::to_vec_pretty(&settings).unwrap();
    let json = serde_json::to_vec(&settings).unwrap();
    assert!(json.len() <= JSON_BYTES_MOST, "{} bytes", json.len());
    assert!(pretty.len() + 256 <= crate::store::FILE_BYTES_MOST, "{} bytes", pretty.len());
    assert_eq!(NetworkSettings::parse_json(&json), Ok(settings));
}

/// Values of a wrong type: where in the example, the value as JSON, and what is said.
const WRONG_TYPES: &[(&str, &str, &str)] = &[
    ("/host_name", "5", "host_name: invalid type: integer `5`; text in quotes"),
    ("/host_name", r#""a_b""#, "host_name: “a_b” is no host name; up to 63 letters"),
    ("/search/0", r#""-x""#, "search[0]: “-x” is no domain name; labels of letters"),
    (
        "/time_servers/1",
        r#""1.2.3""#,
        "time_servers[1]: “1.2.3” is neither a host's name nor an address; a name as",
    ),
    (
        "/confirm_seconds",
        "-1",
        "confirm_seconds: invalid value: integer `-1`; a whole number from 0 to 65535",
    ),
    ("/confirm_seconds", r#""60""#, "confirm_seconds: invalid type: string \"60\"; a whole number"),
    ("/interfaces", "{}", "interfaces: invalid type: map; a list in square brackets"),
    (
        "/interfaces/0/name",
        r#""Eth 0""#,
        "interfaces[0].name: “Eth 0” is no name of an interface; 1 to 15 small",
    ),
    ("/interfaces/0/name", r#""lo""#, "interfaces[0].name: the name “lo” means something else"),
    (
        "/interfaces/0/at",
        r#"{"slot": 1}"#,
        "interfaces[0].at: unknown variant `slot`; one of `port`, `bond`, `vlan`",
    ),
    (
        "/interfaces/0/at/bond/mode",
        r#""fast""#,
        "interfaces[0].at.bond.mode: unknown variant `fast`; `active_backup` or `lacp`",
    ),
    (
        "/interfaces/0/at/bond/members/1",
        r#""eth0""#,
        "interfaces[0].at.bond.members[1]: “eth0” names no port; its hardware address as",
    ),
    ("/interfaces/0/roles", "[]", "interfaces[0].roles: no role is named; one or more of management"),
    (
        "/interfaces/0/roles/0",
        r#""admin""#,
        "unknown variant `admin`; one of `management`, `uplink`, `array`, `service`",
    ),
    (
        "/interfaces/0/mtu",
        "100",
        "interfaces[0].mtu: 100 is no size of a packet; a whole number from 576 to 9216",
    ),
    (
        "/interfaces/0/mtu",
        "70000",
        "interfaces[0].mtu: invalid value: integer `70000`; a whole number from 576 to 9216",
    ),
    (
        "/interfaces/1/at/vlan/id",
        "0",
        "interfaces[1].at.vlan.id: 0 is no number of a VLAN; a whole number from 1 to 4094",
    ),
    (
        "/interfaces/1/at/vlan/id",
        r#""a""#,
        "interfaces[1].at.vlan.id: invalid type: string \"a\"; a whole number from 1 to 4094",
    ),
    (
        "/interfaces/1/ipv4/static/address",
        r#""1.2.3.4""#,
        "interfaces[1].ipv4.static.address: “1.2.3.4” is no address with a prefix; an IPv4",
    ),
    (
        "/interfaces/1/ipv4/static/address",
        r#""1.2.3.4/33""#,
        "interfaces[1].ipv4.static.address: /33 is longer than an address",
    ),
    (
        "/interfaces/1/ipv4/static/router",
        r#""router""#,
        "interfaces[1].ipv4.static.router: this is no IPv4 address; an IPv4 address as",
    ),
    (
        "/interfaces/1/ipv4/static",
        "{}",
        "interfaces[1].ipv4.static: the field `address` is missing; with the field `address`",
    ),
    (
        "/interfaces/1/ipv4",
        r#""dhcp""#,
        "interfaces[1].ipv4.dhcp: this choice stands alone; an object with its fields, as {\"dhcp\": {}}",
    ),
    (
        "/interfaces/1/ipv6/auto",
        r#"{"quick": 1}"#,
        "interfaces[1].ipv6.auto.quick: unknown field `quick`; `privacy`",
    ),
    (
        "/interfaces/1/ipv4",
        r#"{"off": {}}"#,
        "interfaces[1].ipv4.off: invalid type: map; the word alone in quotes",
    ),
    ("/interfaces/1/ipv4", "5", "interfaces[1].ipv4: "),
    ("/interfaces/1/ipv4", "{}", "interfaces[1].ipv4: "),
    ("/interfaces/1", "5", "interfaces[1]: invalid type: integer `5`; an object in curly brackets"),
    ("/interfaces/1/dns/0", r#""1.2.3""#, "interfaces[1].dns[0]: this is no address; an address as"),
    (
        "/interfaces/1/routes/0/to",
        r#""10/8""#,
        "interfaces[1].routes[0].to: “10/8” is no network; an address and the length",
    ),
    (
        "/interfaces/3/enabled",
        r#""yes""#,
        "interfaces[3].enabled: invalid type: string \"yes\"; true or false",
    ),
];

#[test]
fn a_value_of_a_wrong_type_is_named_with_what_would_be_right() {
    for (pointer, to, sentence) in WRONG_TYPES {
        let to = serde_json::from_str(to).unwrap();
        let faults = parse(&changed(pointer, to)).unwrap_err();
        assert_eq!(faults.len(), 1, "{faults:?}");
        let said = faults[0].to_string();
        assert!(said.contains(sentence), "{said}\ndoes not say\n{sentence}");
    }
}

#[test]
fn broken_rules_are_named_all_at_once() {
    let mut value = changed("/confirm_seconds", json!(5));
    value["interfaces"][1]["ipv4"]["static"]["router"] = json!("192.0.2.1");
    value["interfaces"][2]["name"] = json!("bond0");
    let fields: Vec<_> = parse(&value).unwrap_err().into_iter().map(|fault| fault.field).collect();
    assert_eq!(fields, ["confirm_seconds", "interfaces[1].ipv4.static.router", "interfaces[2].name"]);
}

#[test]
fn what_is_no_settings_at_all_is_refused_in_one_short_sentence() {
    let long = vec![b' '; JSON_BYTES_MOST + 1];
    let deep = "[".repeat(JSON_BYTES_MOST);
    let key = format!(r#"{{"{}": 1}}"#, "k\u{1b}".repeat(5000).replace('\u{1b}', "\\u001b"));
    let name = format!(r#"{{"host_name": "{}"}}"#, "x; ".repeat(5000));
    for (bytes, words) in [
        (&b""[..], "EOF while parsing a value (line 1, column 0); JSON"),
        (b"{\"host_name\": \"a\"", "EOF while parsing an object"),
        (b"{} {}", "trailing characters; one JSON object and nothing after it"),
        (b"null", "invalid type: null; an object in curly brackets"),
        (b"\xff\xfe", "expected value"),
        (&long, "at most 65536 bytes"),
        (deep.as_bytes(), ""),
        (key.as_bytes(), "unknown field"),
        (name.as_bytes(), "is no host name; up to 63 letters"),
    ] {
        let faults = NetworkSettings::parse_json(bytes).unwrap_err();
        assert_eq!(faults.len(), 1);
        let said = faults[0].to_string();
        assert!(said.contains(words), "{said} does not say {words}");
        assert!(said.chars().count() < 600 && !said.chars().any(char::is_control), "{said:?}");
    }
}

#[test]
fn names_are_those_of_rfc_1123() {
    for right in ["a", "support-1", "SUPPORT-1", "1a", &"a".repeat(63)] {
        let name: HostName = right.parse().unwrap();
        assert_eq!(name.as_str(), right.to_ascii_lowercase());
    }
    for wrong in ["", "-a", "a-", "a.b", "a_b", "ä", "a b", "123", &"a".repeat(64)] {
        assert!(wrong.parse::<HostName>().is_err(), "{wrong}");
    }
    let label = "a".repeat(63);
    let longest = [label.as_str(), &label, &label, &"a".repeat(61)].join(".");
    for right in ["example", "Example.COM.", "1.example", "3com.example", &longest] {
        let name: DomainName = right.parse().unwrap();
        assert_eq!(name.as_str(), right.trim_end_matches('.').to_ascii_lowercase());
    }
    for wrong in [
        "",
        ".",
        "a..b",
        ".a",
        "a.b..",
        "1.2.3",
        "192.0.2.300",
        "a.-b",
        "a b",
        &format!("{longest}a"),
        &format!("{label}a.b"),
    ] {
        assert!(wrong.parse::<DomainName>().is_err(), "{wrong}");
    }
    assert_eq!("192.0.2.1".parse(), Ok(Host::Address("192.0.2.1".parse().unwrap())));
    assert_eq!("2001:DB8::1".parse::<Host>().unwrap().to_string(), "2001:db8::1");
    assert_eq!("ntp.example.com".parse(), Ok(Host::Name("ntp.example.com".parse().unwrap())));
    for wrong in ["192.0.2.256", "fe80::1%eth0", "[::1]", "host:123", ""] {
        assert!(wrong.parse::<Host>().is_err(), "{wrong}");
    }
    for right in ["a", "bond0", "management", "abcdefghijklmno"] {
        assert_eq!(right.parse::<InterfaceName>().unwrap().as_str(), right);
    }
    for wrong in ["", "0a", "-a", "A", "a.b", "a/b", "all", "default", "lo", "abcdefghijklmnop"] {
        assert!(wrong.parse::<InterfaceName>().is_err(), "{wrong}");
    }
}

#[test]
fn ports_are_known_by_address_or_place() {
    for (text, again) in [
        ("52:54:00:AB:cd:ef", "52:54:00:ab:cd:ef"),
        ("52-54-00-ab-cd-ef", "52:54:00:ab:cd:ef"),
        ("pci-0000:00:1F.7", "pci-0000:00:1f.7"),
        ("pci-10000:e1:00.0", "pci-10000:e1:00.0"),
        ("pci-00000000:00:02.0", "pci-0000:00:02.0"),
    ] {
        let key: PortKey = text.parse().unwrap();
        assert_eq!(key.to_string(), again);
        assert_eq!(again.parse(), Ok(key));
    }
    for wrong in [
        "",
        "eth0",
        "52:54:00:ab:cd",
        "52:54:00:ab:cd:ef:00",
        "52:54-00:ab:cd:ef",
        "+2:54:00:ab:cd:ef",
        "00:00:00:00:00:00",
        "01:00:5e:00:00:01",
        "ff:ff:ff:ff:ff:ff",
        "pci-",
        "pci-00:02.0",
        "pci-0000:00:20.0",
        "pci-0000:00:02.8",
        "pci-000:00:02.0",
        "pci-0000:0:02.0",
        "pci-000000000:00:02.0",
        "0000:00:02.0",
        "pci-0000:00:02.é",
    ] {
        assert!(wrong.parse::<PortKey>().is_err(), "{wrong}");
    }
    assert!(MacAddress::try_from([0; 6]).is_err());
    assert_eq!(MacAddress::try_from([2, 0, 0, 0, 0, 1]).unwrap().bytes(), [2, 0, 0, 0, 0, 1]);
}

#[test]
fn networks_know_their_first_and_last_address() {
    for (text, network, last) in [
        ("192.0.2.10/24", "192.0.2.0", "192.0.2.255"),
        ("192.0.2.10/32", "192.0.2.10", "192.0.2.10"),
        ("192.0.2.10/31", "192.0.2.10", "192.0.2.11"),
        ("192.0.2.10/0", "0.0.0.0", "255.255.255.255"),
    ] {
        let net: Ipv4Net = text.parse().unwrap();
        assert_eq!(
            (net.network().to_string(), net.last().to_string()),
            (network.to_owned(), last.to_owned())
        );
        assert_eq!(net.to_string(), text);
        assert!(net.contains(net.network()) && net.contains(net.last()));
    }
    let net: Ipv6Net = "2001:db8::10/64".parse().unwrap();
    assert_eq!(net.last().to_string(), "2001:db8::ffff:ffff:ffff:ffff");
    assert!(!net.contains("2001:db8:0:1::".parse().unwrap()));
    assert!("::/0".parse::<Ipv6Net>().unwrap().contains(net.last()));
    assert_eq!("2001:db8::10/64".parse::<IpNet>().unwrap().network().to_string(), "2001:db8::/64");
    assert!(!"0.0.0.0/0".parse::<IpNet>().unwrap().contains("::1".parse().unwrap()));
    for wrong in [
        "",
        "/",
        "192.0.2.1",
        "192.0.2.1/",
        "192.0.2.1/33",
        "192.0.2.1/+1",
        "192.0.2.1/0024",
        "::/129",
        "1.2.3/8",
        "x/8",
    ] {
        assert!(wrong.parse::<IpNet>().is_err(), "{wrong}");
    }
}
