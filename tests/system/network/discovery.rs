//! How people find the appliance on a cable: by mDNS, as another implementation (zeroconf for Python) sees it.

use drawbridge_lab::net::{DhcpConfig, HostConfig, Namespace, NamespaceConfig, Network};
use drawbridge_lab::{Lab, NicModel, seconds};
use drawbridge_tests::{Image, Site, SitePlan};
use std::net::Ipv4Addr;

/// Looks for consoles by the IP version and from the own address that its arguments say, and tells of each what it is.
const FINDER: &str = r#"
import sys, time
from zeroconf import IPVersion, ServiceBrowser, ServiceListener, Zeroconf
version = IPVersion.V4Only if sys.argv[1] == "4" else IPVersion.V6Only
z = Zeroconf(interfaces=[sys.argv[2]], ip_version=version)
class Seen(ServiceListener):
    def add_service(self, z, kind, name):
        info = z.get_service_info(kind, name, 20000)
        if info is None:
            print("unresolved", name, flush=True)
            return
        where = ",".join(sorted(info.parsed_addresses()))
        print("found", name, info.server, where, info.port, flush=True)
    def update_service(self, *_): pass
    def remove_service(self, *_): pass
ServiceBrowser(z, "_drawbridge._tcp.local.", Seen())
time.sleep(600)
"#;

#[test]
fn the_console_is_found_by_mdns_on_the_technician_s_cable_and_over_ipv6() {
    let lab = Lab::new("mdns");
    let image = Image::here();
    let (cable, office) = (Network::new(&lab, "service").unwrap(), Network::new(&lab, "office").unwrap());
    let desk = office.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
    let _dhcp = desk.serve_dhcp(DhcpConfig::pool([10, 0, 1, 100], 50));
    let laptop = cable.namespace("laptop", &NamespaceConfig::new().ipv4([169, 254, 7, 7], 16)).unwrap();
    let own = [0x2001, 0xdb8, 1, 0, 0, 0, 0, 2];
    let reader = office.namespace("reader", &NamespaceConfig::new().ipv6(own, 64)).unwrap();
    let settings = r#"{"host_name": "sa-lid", "interfaces": [
        {"name": "service", "at": {"port": "{service}"}, "roles": ["service"], "ipv4": "link_local"},
        {"name": "office", "at": {"port": "{office}"}, "roles": ["management"],
         "ipv6": {"static": {"addresses": ["2001:db8:1::20/64"]}}}]}"#;
    let ports = vec![("service", NicModel::VirtioNet, &cable), ("office", NicModel::VirtioNet, &office)];
    let site = Site::boot(&lab, &image, SitePlan::new(ports).settings(settings));
    site.has("service", Ipv4Addr::new(169, 254, 100, 1));
    // By the kernel's own word.
    // It may have said so before the bus answered.
    site.look_again();
    site.says("the host is named sa-lid");
    let office_address = site.address("office");

    let look = |on: &Namespace, version: &str, interface: &str| {
        let script = on.write("finder.py", FINDER).unwrap();
        on.run("/usr/bin/python3", [script.to_str().unwrap(), version, interface]).unwrap()
    };
    let by_cable = look(&laptop, "4", "169.254.7.7");
    let by_ipv6 = look(&reader, "6", "2001:db8:1::2");
    let found = by_cable.wait_for("found ", seconds(30)).unwrap().text;
    assert!(found.contains(" sa-lid.local. 169.254.100.1"), "{found}");
    assert!(found.ends_with(" 9000"), "{found}");
    let found = by_ipv6.wait_for("found ", seconds(30)).unwrap().text;
    assert!(found.contains(" sa-lid.local. "), "{found}");
    for address in ["2001:db8:1::20".to_owned(), office_address.to_string()] {
        assert!(found.contains(&address), "{found} should tell {address} too");
    }
    assert!(found.ends_with(" 9000"), "{found}");
    // What is on one cable is not told on the other.
    assert!(!found.contains("169.254.100.1"), "{found}");
    drop((by_cable, by_ipv6));
}
