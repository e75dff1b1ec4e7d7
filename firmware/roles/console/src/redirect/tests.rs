//! Where the redirect leads: cases, and what a client cannot do.

use super::*;
use std::net::Ipv4Addr;

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 1, 5));

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn names() -> Names {
    let certificate =
        ["sa.example.com", "*.example.org", "a b", "192.0.2.7", "SA.local", "1.2"].map(str::to_owned);
    let ports = ["10.0.1.5", "2001:db8::5", "fe80::1", "169.254.100.1"].map(address);
    Names::new("sa-010203", &certificate, &ports)
}

fn leads(host: &str) -> String {
    location(Some(host.as_bytes()), HERE, &names(), 9000)
}

#[test]
fn a_client_is_sent_to_the_address_at_which_it_came_in() {
    assert_eq!(location(None, HERE, &names(), 9000), "https://10.0.1.5:9000/");
    let there = |local| location(None, address(local), &Names::default(), 9000);
    assert_eq!(there("2001:db8::9"), "https://[2001:db8::9]:9000/");
    assert_eq!(there("::ffff:10.0.1.5"), "https://10.0.1.5:9000/");
    assert_eq!(there("169.254.100.1"), "https://169.254.100.1:9000/");
}

#[test]
fn one_of_its_own_names_chooses_that_name_in_its_own_spelling() {
    for (host, own) in [
        ("sa.example.com:8000", "sa.example.com"),
        ("SA.Example.COM.", "sa.example.com"),
        ("Sa.local:8000", "sa.local"),
        ("sa-010203.local:", "sa-010203.local"),
        ("192.0.2.7:8000", "192.0.2.7"),
        ("169.254.100.1", "169.254.100.1"),
        ("[2001:DB8:0::5]:8000", "[2001:db8::5]"),
        ("[::ffff:192.0.2.7]", "192.0.2.7"),
    ] {
        assert_eq!(leads(host), format!("https://{own}:9000/"), "{host}");
    }
}

#[test]
fn any_other_host_changes_nothing() {
    for host in [
        "",
        ":",
        "evil.example",
        "sa.example.com.evil.example",
        "evil.example#sa.example.com",
        "x@sa.example.com",
        "sa.example.com@evil.example",
        "sa.example.com:80:80",
        "sa.example.com:8000/x",
        "sa.example.com..",
        " sa.example.com",
        "sa.example.com\r\nX: y",
        "sa.example.com\0",
        "*.example.org",
        "x.example.org",
        "a b",
        "1.2",
        "[2001:db8::5",
        "2001:db8::5",
        "[2001:db8::5%25eth0]",
        "[fe80::1]",
        "[fe80::1%eth0]",
        "[192.0.2.7]",
        "192.0.2.007",
        "0xc0000207",
        "3221225991",
        "xn--sa.example.com",
        "ſa.example.com",
        "sa.exam\u{200b}ple.com",
    ] {
        assert_eq!(leads(host), "https://10.0.1.5:9000/", "{host:?}");
    }
    assert_eq!(location(Some(b"\xff\xfe"), HERE, &names(), 9000), "https://10.0.1.5:9000/");
}

#[test]
fn where_an_address_means_nothing_in_a_url_a_name_or_another_address_is_used() {
    let link_local = address("fe80::1");
    assert_eq!(location(Some(b"[fe80::1]"), link_local, &names(), 9000), "https://sa-010203.local:9000/");
    let nameless = Names::new("", &[], &[address("2001:db8::5"), address("10.0.1.5"), link_local]);
    assert_eq!(location(None, link_local, &nameless, 9000), "https://10.0.1.5:9000/");
    assert_eq!(location(None, link_local, &Names::default(), 9000), "https://[fe80::1]:9000/");
}

#[test]
fn what_could_not_stand_in_a_url_is_no_name_whoever_put_it_into_the_certificate() {
    let long = format!("{}.example", "x".repeat(64));
    for odd in
        ["", ".", "a..b", "-a", "a-", "a_b", "a/b", "a\r\nb", "a:b", "a@b", "é.example", "127.1", &long]
    {
        assert_eq!(Names::new("", &[odd.to_owned()], &[]).hosts, Vec::<String>::new(), "{odd:?}");
    }
    assert_eq!(Names::new("a b", &[], &[]).local, None);
    let odd = ["0.0.0.0", "::", "224.0.0.1", "ff02::1"].map(address);
    assert_eq!(Names::new("", &[], &odd).addresses, Vec::<IpAddr>::new());
}
