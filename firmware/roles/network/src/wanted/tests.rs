use super::*;

fn facts(index: u32, role: PortRole) -> Facts {
    Facts {
        index,
        name: format!("eth{index}"),
        roles: role.into(),
        own: vec![([10, 0, 1, 5].into(), 24, Some(3600))],
        learned: Vec::new(),
        router4: Some([10, 0, 1, 1].into()),
        routers6: Vec::new(),
        routes: Vec::new(),
        ipv6: true,
        advertised: false,
    }
}

fn default_routes(wanted: &Wanted, table: u32) -> Vec<&Route> {
    let of_v4 = |route: &&Route| route.table == table && route.to.1 == 0 && route.to.0.is_ipv4();
    let mut routes: Vec<_> = wanted.routes.iter().filter(of_v4).collect();
    routes.sort_by_key(|route| route.metric);
    routes
}

#[test]
fn what_comes_in_by_a_port_and_what_is_sent_from_it_is_looked_up_in_its_own_table() {
    let wanted = Wanted::of(&[facts(2, PortRole::Management)]);
    let table = table_of(2);
    let rules: Vec<_> = wanted.rules.iter().filter(|rule| !rule.v6).collect();
    assert_eq!(rules.len(), 3);
    assert!(rules.iter().all(|rule| rule.table == table));
    assert!(rules.iter().any(|rule| rule.select == Select::Mark(2)));
    assert!(rules.iter().any(|rule| rule.select == Select::Output("eth2".to_owned())));
    assert!(rules.iter().any(|rule| rule.select == Select::From([10, 0, 1, 5].into())));
    // Its own network, its router, and nothing beyond them.
    let near =
        wanted.routes.iter().find(|route| route.table == table && route.to == ([10, 0, 1, 0].into(), 24));
    assert_eq!(
        near.map(|route| (route.via, route.index, route.source)),
        Some((None, 2, Some([10, 0, 1, 5].into())))
    );
    let defaults = default_routes(&wanted, table);
    assert_eq!(defaults.len(), 2);
    assert_eq!(
        (defaults[0].via, defaults[0].source),
        (Some([10, 0, 1, 1].into()), Some([10, 0, 1, 5].into()))
    );
    assert_eq!((defaults[1].index, defaults[1].metric), (0, u32::MAX));
}

#[test]
fn a_port_without_a_router_never_answers_by_the_router_of_another() {
    let alone = Facts { router4: None, ..facts(3, PortRole::Array) };
    let wanted = Wanted::of(&[facts(2, PortRole::Uplink), alone]);
    let defaults = default_routes(&wanted, table_of(3));
    assert_eq!(defaults.len(), 1);
    assert_eq!(defaults[0].index, 0, "it leads nowhere");
}

#[test]
fn of_several_routers_the_uplink_s_is_the_first_in_the_main_table() {
    let wanted =
        Wanted::of(&[facts(2, PortRole::Array), facts(3, PortRole::Management), facts(4, PortRole::Uplink)]);
    let main = default_routes(&wanted, MAIN_TABLE);
    assert_eq!(main.iter().map(|route| route.index).collect::<Vec<_>>(), [4, 3, 2]);
}

#[test]
fn two_ports_with_the_same_address_keep_a_table_each() {
    let wanted = Wanted::of(&[facts(2, PortRole::Management), facts(3, PortRole::Management)]);
    for index in [2, 3] {
        assert!(wanted.addresses.iter().any(|address| address.index == index));
        assert_eq!(default_routes(&wanted, table_of(index))[0].index, index);
    }
}

#[test]
fn routers_that_advertise_themselves_stand_in_the_port_s_table_and_are_the_kernel_s_in_the_main_one() {
    let router: Ipv6Addr = "fe80::1".parse().unwrap();
    let learned = Facts {
        learned: vec![("2001:db8::5".parse().unwrap(), 64), ("fe80::5".parse().unwrap(), 64)],
        routers6: vec![router],
        advertised: true,
        ..facts(2, PortRole::Management)
    };
    let wanted = Wanted::of(&[learned]);
    let by_router: Vec<_> = wanted.routes.iter().filter(|route| route.via == Some(router.into())).collect();
    assert_eq!(by_router.iter().map(|route| route.table).collect::<Vec<_>>(), [table_of(2)]);
    // Addresses that the kernel set are not set again; the one that has a meaning elsewhere has its rule.
    assert!(wanted.addresses.iter().all(|address| address.address.is_ipv4()));
    let from = |text: &str| Select::From(text.parse().unwrap());
    assert!(wanted.rules.iter().any(|rule| rule.select == from("2001:db8::5") && rule.v6));
    assert!(!wanted.rules.iter().any(|rule| rule.select == from("fe80::5")));
}

#[test]
fn no_metric_is_zero_which_ipv6_takes_for_another() {
    let routes = vec![([192, 168, 0, 7].into(), 16, [10, 0, 1, 9].into(), Some(0))];
    let wanted = Wanted::of(&[Facts { routes, ..facts(2, PortRole::Management) }]);
    assert!(wanted.routes.iter().all(|route| route.metric > 0));
    assert!(
        wanted.routes.iter().any(|route| route.to == ([192, 168, 0, 0].into(), 16)),
        "without bits of a host"
    );
}

#[test]
fn a_link_without_ipv6_has_no_route_of_it() {
    let without = Facts { ipv6: false, ..facts(2, PortRole::Management) };
    let wanted = Wanted::of(&[without]);
    assert!(wanted.routes.iter().all(|route| route.to.0.is_ipv4() || route.index == 0));
}
