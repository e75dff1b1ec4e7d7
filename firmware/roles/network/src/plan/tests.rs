use super::*;
use crate::arrange::{Step, steps};
use crate::ports::tests::port;
use drawbridge_settings::board::Board;

fn found(links: &[Link]) -> Vec<Found> {
    let ports = links.iter().filter(|link| link.kind == Kind::Port);
    ports
        .map(|link| Found {
            index: link.index,
            mac: MacAddress::try_from(link.permanent_mac).unwrap(),
            pci: format!("0000:0{}:00.0", link.index).parse().ok(),
        })
        .collect()
}

fn planned(json: &str, links: &[Link]) -> Vec<Planned> {
    let settings = NetworkSettings::parse_json(json.as_bytes()).unwrap();
    plan(&settings, Board::find("", ""), &found(links), links)
}

const BOND: &str = r#"{"interfaces": [
    {"name": "office", "at": {"vlan": {"on": "both", "id": 42}}, "roles": ["management"]},
    {"name": "both", "at": {"bond": {"mode": "active_backup", "members": ["pci-0000:01:00.0", "02:00:00:00:00:02"]}},
     "roles": ["array"], "ipv4": "off", "ipv6": "off", "mtu": 9000}]}"#;

/// The links after a step, as the kernel would have them.
fn after(mut links: Vec<Link>, step: &Step) -> Vec<Link> {
    let next = links.iter().map(|link| link.index).max().unwrap_or(0) + 1;
    let mut change = |index: u32, act: &mut dyn FnMut(&mut Link)| {
        links.iter_mut().filter(|link| link.index == index).for_each(act);
    };
    match step {
        Step::Remove(index) => links.retain(|link| link.index != *index),
        Step::MakeBond { name, mode } => links.push(Link {
            name: name.clone(),
            kind: Kind::Bond { mode: Some(*mode) },
            up: false,
            ..port(next)
        }),
        Step::MakeVlan { name, on, id } => links.push(Link {
            name: name.clone(),
            kind: Kind::Vlan { on: *on, id: *id },
            up: false,
            ..port(next)
        }),
        Step::Join { member, bond } => change(*member, &mut |link| link.bond = Some(*bond)),
        Step::Leave(member) => change(*member, &mut |link| link.bond = None),
        Step::SetMtu { index, mtu } => change(*index, &mut |link| link.mtu = *mtu),
        Step::SwitchOn(index) => change(*index, &mut |link| link.up = true),
        Step::SwitchOff(index) => change(*index, &mut |link| link.up = false),
    }
    links
}

/// Follows the plan to its end.
fn arranged(json: &str, mut links: Vec<Link>) -> Vec<Link> {
    for _ in 0..8 {
        let steps = steps(&planned(json, &links), &links);
        if steps.is_empty() {
            return links;
        }
        links = steps.iter().fold(links, after);
    }
    panic!("it never ends: {links:#?}");
}

#[test]
fn a_bond_with_a_vlan_on_it_is_made_and_unmade() {
    let links = arranged(BOND, vec![port(1), port(2), port(3)]);
    let bond = links.iter().find(|link| link.name == "both").unwrap();
    assert!(
        links.iter().filter(|link| [1, 2].contains(&link.index)).all(|link| link.bond == Some(bond.index))
    );
    let vlan = links.iter().find(|link| link.name == "office").unwrap();
    assert_eq!(vlan.kind, Kind::Vlan { on: bond.index, id: 42 });
    assert_eq!((bond.mtu, vlan.mtu), (9000, 9000), "a VLAN carries as much as what it is on");
    assert!(links.iter().all(|link| link.up));
    // Without settings nothing of it stays.
    let links = arranged("{}", links);
    assert_eq!(
        links.iter().map(|link| (link.index, link.bond)).collect::<Vec<_>>(),
        [(1, None), (2, None), (3, None)]
    );
}

#[test]
fn a_bond_of_another_mode_and_one_that_the_kernel_made_by_itself_are_replaced() {
    let stray = Link { name: "bond0".into(), kind: Kind::Bond { mode: None }, ..port(9) };
    let links = arranged(BOND, vec![port(1), port(2), stray]);
    assert!(links.iter().all(|link| link.name != "bond0"));
    let links = arranged(&BOND.replace("active_backup", "lacp"), links);
    let modes: Vec<_> = links
        .iter()
        .filter_map(|link| match link.kind {
            Kind::Bond { mode } => Some(mode),
            _ => None,
        })
        .collect();
    assert_eq!(modes, [Some(BondMode::Lacp)]);
}

#[test]
fn a_port_that_no_setting_names_has_the_board_s_default_and_one_that_is_not_there_waits() {
    let json = r#"{"interfaces": [
        {"name": "here", "at": {"port": "pci-0000:01:00.0"}, "roles": ["uplink"]},
        {"name": "later", "at": {"port": "pci-0000:05:00.0"}, "roles": ["management"]}]}"#;
    let links = vec![port(1), port(2)];
    let plan = planned(json, &links);
    let names: Vec<_> = plan.iter().map(|one| one.interface.name.to_string()).collect();
    assert_eq!(names, ["here", "p02-00-0"]);
    assert_eq!(plan[1].on, On::Port(2));
    let links = vec![port(1), port(2), port(5)];
    assert!(planned(json, &links).iter().any(|one| one.interface.name.as_str() == "later"));
}

#[test]
fn a_switched_off_interface_is_down_and_what_stands_on_it_is_not_made() {
    let json = r#"{"interfaces": [{"name": "off", "at": {"port": "pci-0000:01:00.0"}, "roles": ["uplink"],
        "enabled": false}]}"#;
    let links = arranged(json, vec![port(1)]);
    assert!(!links[0].up);
}

#[test]
fn no_packet_is_made_larger_than_the_card_takes() {
    let json = r#"{"interfaces": [{"name": "big", "at": {"port": "pci-0000:01:00.0"}, "roles": ["array"], "mtu": 9216}]}"#;
    let links = arranged(json, vec![Link { mtu_most: Some(4000), ..port(1) }]);
    assert_eq!(links[0].mtu, 4000);
}
