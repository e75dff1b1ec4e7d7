//! What the kernel has after the filter was set, as the program `nft` reads it.

mod common;

use common::{in_a_namespace, run};
use drawbridge_filter::{Filter, FilterError, MAX_PORTS, MAX_TALKED_TO, Policy, PortPolicy};
use std::net::{IpAddr, Ipv6Addr};

fn quiet(index: u32) -> PortPolicy {
    PortPolicy { name: format!("eth{index}"), index, uplink: true, ..PortPolicy::default() }
}

/// The rules in a listing of nft's: the lines of its chains but for their heads.
fn rules(listing: &str) -> Vec<String> {
    let mut rules = Vec::new();
    let mut place = None;
    let mut table = "";
    for line in listing.lines() {
        let words: Vec<_> = line.split_whitespace().collect();
        match words.as_slice() {
            ["table", family, ..] => table = family,
            ["chain", name, "{"] => place = Some(format!("{table} {name}: ")),
            ["}"] => place = None,
            ["type", ..] | [] => {}
            // Newer ones say `check` where the port itself is not asked for.
            words => rules.extend(
                place
                    .as_ref()
                    .map(|place| place.clone() + &words.join(" ").replace("check missing", "oif missing")),
            ),
        }
    }
    rules.sort();
    rules
}

#[test]
fn nft_reads_the_rules_as_they_are_logged() {
    in_a_namespace("nft_reads_the_rules_as_they_are_logged", || {
        let policy = Policy { ports: vec![quiet(7)] };
        let mut filter = Filter::open().unwrap();
        filter.apply(&policy).unwrap();
        let listing = run("nft list ruleset");
        println!("{listing}");
        let mut logged: Vec<_> = policy.lines().into_iter().filter(|line| !line.starts_with('@')).collect();
        logged.sort();
        assert_eq!(rules(&listing), logged);
        // Each chain of the kernel's drops what has come to its end, but is never asked for that.
        assert_eq!(listing.matches("policy drop").count(), listing.matches("hook ").count());
    });
}

#[test]
fn a_port_stands_in_the_sets_of_its_roles_and_in_no_other() {
    in_a_namespace("a_port_stands_in_the_sets_of_its_roles_and_in_no_other", || {
        let port = |index| PortPolicy { index, ..PortPolicy::default() };
        let mut filter = Filter::open().unwrap();
        let ports = vec![
            port(10),
            PortPolicy { uplink: true, ..port(11) },
            PortPolicy { uplink: true, array: true, ..port(12) },
            PortPolicy { management: true, uplink: true, ..port(13) },
            PortPolicy { service: true, ..port(14) },
        ];
        // Twice: as the first setting of all, and as a change.
        for ports in [ports.clone(), Vec::new(), ports] {
            let expected = |text: &'static str| if ports.is_empty() { "" } else { text };
            filter.apply(&Policy { ports: ports.clone() }).unwrap();
            for (set, members) in [
                ("inet drawbridge known", expected("11 12 13 14")),
                ("inet drawbridge answering", expected("12 13 14")),
                ("inet drawbridge managing", expected("13 14")),
                ("inet drawbridge service", expected("14")),
                ("inet drawbridge quiet", expected("11")),
                ("arp drawbridge answering", expected("12 13 14")),
                ("arp drawbridge quiet", expected("11")),
            ] {
                assert_eq!(elements(set), members, "{set}");
            }
            assert_eq!(elements("inet drawbridge doors"), "22 8000 9000");
        }
    });
}

#[test]
fn whom_a_quiet_port_talks_to_is_kept_per_port_and_forgotten_with_it() {
    in_a_namespace("whom_a_quiet_port_talks_to_is_kept_per_port_and_forgotten_with_it", || {
        let hosts = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<IpAddr>>();
        let both = || (elements("arp drawbridge talked_to"), elements("inet drawbridge talked_to"));
        let mut filter = Filter::open().unwrap();
        // Said before the first policy, it holds from that on.
        filter.set_talked_to(7, &hosts(&["10.0.0.1", "fe80::1"])).unwrap();
        filter.apply(&Policy { ports: vec![quiet(7), quiet(8)] }).unwrap();
        assert_eq!(both(), ("7.10.0.0.1".to_owned(), "7.fe80::1".to_owned()));
        filter.set_talked_to(8, &hosts(&["10.0.0.1", "10.0.0.2", "0.0.0.0", "::"])).unwrap();
        assert_eq!(both(), ("7.10.0.0.1 8.10.0.0.1 8.10.0.0.2".to_owned(), "7.fe80::1".to_owned()));
        filter.set_talked_to(7, &hosts(&["10.0.0.3"])).unwrap();
        assert_eq!(both(), ("7.10.0.0.3 8.10.0.0.1 8.10.0.0.2".to_owned(), String::new()));
        filter.apply(&Policy { ports: vec![quiet(8)] }).unwrap();
        filter.apply(&Policy { ports: vec![quiet(7), quiet(8)] }).unwrap();
        assert_eq!(both().0, "8.10.0.0.1 8.10.0.0.2");
    });
}

#[test]
fn the_largest_policy_fits_into_one_transaction() {
    in_a_namespace("the_largest_policy_fits_into_one_transaction", || {
        let indices = 2..2 + u32::try_from(MAX_PORTS).unwrap();
        let mut filter = Filter::open().unwrap();
        for index in indices.clone() {
            let hosts = 0..u16::try_from(MAX_TALKED_TO).unwrap();
            let hosts: Vec<_> =
                hosts.map(|host| Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, host + 1).into()).collect();
            assert_eq!(filter.set_talked_to(index, &hosts).unwrap(), 0);
        }
        let policy = Policy { ports: indices.map(quiet).collect() };
        filter.apply(&policy).unwrap();
        filter.apply(&policy).unwrap();
        assert_eq!(elements("inet drawbridge talked_to").split(' ').count(), MAX_PORTS * MAX_TALKED_TO);
    });
}

#[test]
fn rules_that_somebody_has_taken_away_are_put_back_with_the_next_change() {
    in_a_namespace("rules_that_somebody_has_taken_away_are_put_back_with_the_next_change", || {
        let policy = Policy { ports: vec![quiet(7)] };
        let mut filter = Filter::open().unwrap();
        filter.apply(&policy).unwrap();
        let whole = run("nft -s list ruleset");
        run("nft delete table inet drawbridge");
        filter.apply(&policy).unwrap();
        assert_eq!(run("nft -s list ruleset"), whole);
        // And so is a whole set, or a member, with a change that does not concern it.
        for taken in ["table arp drawbridge", "element inet drawbridge quiet { 7 }"] {
            run(&format!("nft delete {taken}"));
            filter.set_talked_to(7, &["10.0.0.1".parse().unwrap()]).unwrap();
            filter.set_talked_to(7, &[]).unwrap();
            assert_eq!(run("nft -s list ruleset"), whole);
        }
        // Another one's leftovers under the same name are replaced as well.
        run("nft flush ruleset");
        run("nft add table inet drawbridge");
        run("nft add chain inet drawbridge input { type filter hook input priority 5 ; }");
        Filter::open().unwrap().apply(&policy).unwrap();
        assert_eq!(run("nft -s list ruleset"), whole);
    });
}

#[test]
fn a_refusal_says_what_was_refused_and_changes_nothing() {
    in_a_namespace("a_refusal_says_what_was_refused_and_changes_nothing", || {
        let mut filter = Filter::open().unwrap();
        filter.apply(&Policy { ports: vec![quiet(7)] }).unwrap();
        let before = run("nft -s list ruleset");
        let loopback = PortPolicy { name: "lo".to_owned(), ..quiet(1) };
        let error = filter.apply(&Policy { ports: vec![loopback] }).unwrap_err();
        assert!(error.to_string().contains("names lo (index 1)"), "{error}");
        // The kernel asks for the right to it with each transaction; this takes it from the calling thread only.
        caps::drop(None, caps::CapSet::Effective, caps::Capability::CAP_NET_ADMIN).unwrap();
        let error = filter.apply(&Policy::default()).unwrap_err();
        assert!(matches!(error, FilterError::Refused { .. }), "{error:?}");
        assert!(error.to_string().contains("refuses the transaction: Operation not permitted"), "{error}");
        caps::raise(None, caps::CapSet::Effective, caps::Capability::CAP_NET_ADMIN).unwrap();
        assert_eq!(run("nft -s list ruleset"), before);
        // And the filter is of use as before.
        filter.apply(&Policy::default()).unwrap();
    });
}

/// The members of a set, in order, a port and an address joined by a dot.
fn elements(set: &str) -> String {
    let listing = run(&format!("nft -n list set {set}"));
    let Some((_, rest)) = listing.split_once("elements = {") else { return String::new() };
    let (inside, _) = rest.split_once('}').expect("the end of the set");
    let mut members: Vec<_> =
        inside.split(',').map(|one| one.replace(" . ", ".").replace('"', "").trim().to_owned()).collect();
    members.sort_by_key(|member| (member.parse::<u32>().unwrap_or(0), member.clone()));
    members.join(" ")
}
