//! What becomes of the machine itself is written down by the appliance: a role that died, a clock that was not believed, a cable that
//! was pulled; each once, and again when it works.

use crate::events::events;
use drawbridge_lab::net::Network;
use drawbridge_lab::{Lab, NicModel, within};
use drawbridge_tests::{Image, Site, SitePlan};
use serde_json::Value;
use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

const SETTINGS: &str = r#"{"interfaces": [
    {"name": "management", "at": {"port": "{management}"}, "roles": ["management"],
     "ipv4": {"static": {"address": "10.0.2.20/24"}}, "ipv6": "off"},
    {"name": "uplink", "at": {"port": "{uplink}"}, "roles": ["uplink"],
     "ipv4": {"static": {"address": "10.0.3.20/24"}}, "ipv6": "off"}]}"#;

/// Longer than a part must be well before it is told, and some.
const SOON: Duration = Duration::from_mins(3);

/// Waits until so many events are as wanted, and gives them.
fn until(site: &Site, what: &str, count: usize, wanted: impl Fn(&Value) -> bool) -> Vec<Value> {
    let end = Instant::now() + within(SOON);
    loop {
        let all = events(site);
        let found: Vec<Value> = all.iter().filter(|event| wanted(&event["what"])).cloned().collect();
        if found.len() >= count {
            return found;
        }
        assert!(Instant::now() < end, "{what}: {all:#?}\n{}", site.machine.serial().tail(30));
        // Nobody tells the lab of it.
        std::thread::sleep(Duration::from_millis(500));
    }
}

#[test]
fn a_role_that_died_a_clock_that_was_set_and_a_cable_that_was_pulled_are_told_once_and_again_when_they_work()
{
    let lab = Lab::new("happened");
    let (management, outside) =
        (Network::new(&lab, "management").unwrap(), Network::new(&lab, "outside").unwrap());
    let ports =
        vec![("management", NicModel::VirtioNet, &management), ("uplink", NicModel::VirtioNet, &outside)];
    let plan =
        SitePlan { clock: Some("2001-09-09T12:00:00"), faults: "kill:recorder@2", ..SitePlan::new(ports) };
    let site = Site::boot(&lab, &Image::here(), plan.settings(SETTINGS));
    site.has("uplink", Ipv4Addr::new(10, 0, 3, 20));

    let clock = until(&site, "the clock", 1, |what| what["code"] == "CLOCK_CHANGED");
    assert!(clock[0]["what"]["from"].as_str().unwrap().starts_with("2001-09-09T"), "{clock:#?}");

    let is_recorder = |what: &Value| what["code"] == "ROLE" && what["role"] == "recorder";
    let died = until(&site, "the role's death and its return", 2, is_recorder);
    let outcomes: Vec<_> = died.iter().map(|event| event["what"]["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["failed", "done"]);
    assert!(died[0]["what"]["why"].as_str().unwrap().contains("SIGKILL"), "{died:#?}");
    assert_eq!((died[0]["severity"].as_str(), died[1]["severity"].as_str()), (Some("error"), Some("notice")));

    let is_link = |what: &Value| what["code"] == "HARDWARE" && what["part"] == "link";
    site.machine.set_link("uplink", false).unwrap();
    let down = until(&site, "the link that is down", 1, is_link);
    assert_eq!(down[0]["what"]["health"], "failed", "{down:#?}");
    assert!(down[0]["what"]["text"].as_str().unwrap().starts_with("uplink (uplink)"), "{down:#?}");
    site.machine.set_link("uplink", true).unwrap();
    let up = until(&site, "the link that is up again", 2, is_link);
    assert_eq!(up[1]["what"]["health"], "well", "{up:#?}");

    // Nothing else was told, and nothing twice.
    let about = |what: &Value| ["ROLE", "HARDWARE", "CLOCK_CHANGED"].iter().any(|code| what["code"] == *code);
    let all = events(&site);
    assert_eq!(all.iter().filter(|event| about(&event["what"])).count(), 5, "{all:#?}");
}
