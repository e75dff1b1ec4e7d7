//! The status page: facts in, HTML out. Pure: it never asks anyone, and no fact reaches the page unescaped.

mod html;
mod words;

use crate::facts::Facts;
use drawbridge_bus::{Port, RoleState, RoleStatus, SystemStatus};
use html::Html;

/// The page's style sheet.
pub(crate) const STYLE: &str = include_str!("page/style.css");

pub(crate) use words::{checks, clock as clock_sentence};

/// The status page of an appliance that is called `name`. `now` is the system's clock, as text.
pub(crate) fn status(facts: &Facts, name: &str, fingerprint: &str, now: &str) -> String {
    let troubles = words::troubles(facts);
    let mut page = Html::default();
    page.raw(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<title>",
    );
    page.text(if troubles.is_empty() { "Drawbridge: all is well" } else { "Drawbridge: needs attention" });
    page.raw(
        "</title>\n<link rel=\"stylesheet\" href=\"/status.css\">\n</head>\n<body>\n\
         <header>\n<h1>Drawbridge</h1>\n<p>",
    );
    page.text(name);
    page.raw(": state of the system</p>\n</header>\n<main>\n");
    summary(&mut page, &troubles);
    system(&mut page, facts.status.as_ref(), now);
    if let Ok(status) = &facts.status {
        parts(&mut page, &status.roles);
    }
    ports(&mut page, facts.ports.as_deref());
    certificate(&mut page, fingerprint);
    page.raw(
        "</main>\n<footer>\n<p>This page is shown without a login, so it shows states only. \
         Log and failure records are on the machine&#39;s own screen and serial line.</p>\n\
         <p><a href=\"/status\">Show the state now</a> · <a href=\"/\">Log in</a></p>\n</footer>\n</body>\n</html>\n",
    );
    page.finish()
}

fn summary(page: &mut Html, troubles: &[String]) {
    if troubles.is_empty() {
        page.raw("<p class=\"summary good\"><strong>All is well.</strong> Every part is running.</p>\n");
        return;
    }
    page.raw("<section class=\"summary bad\" aria-labelledby=\"attention\">\n<h2 id=\"attention\">Needs attention</h2>\n<ul>\n");
    for trouble in troubles {
        page.raw("<li>");
        page.text(trouble);
        page.raw("</li>\n");
    }
    page.raw("</ul>\n</section>\n");
}

fn system(page: &mut Html, status: Result<&SystemStatus, &String>, now: &str) {
    page.raw("<section aria-labelledby=\"system\">\n<h2 id=\"system\">System</h2>\n<dl>\n");
    match status {
        Ok(status) => {
            entry(page, "Version", &status.version);
            entry(page, "Running for", &words::duration(status.uptime_seconds));
            entry(page, "Settings and records", &words::data(&status.data));
            entry(page, "Clock", &format!("{now}. {}", words::clock(&status.clock)));
            entry(page, "Memory", &words::memory(status.memory));
            entry(page, "Watchdog", &words::watchdogs(&status.watchdogs));
            entry(page, "Last failure", words::last_failure(status.last_failure.is_some()));
        }
        Err(why) => {
            entry(page, "Version", concat!(env!("CARGO_PKG_VERSION"), " (of this console)"));
            entry(page, "State", &format!("unknown: {why}"));
            entry(page, "Clock", now);
        }
    }
    page.raw("</dl>\n</section>\n");
}

fn parts(page: &mut Html, roles: &[RoleStatus]) {
    page.raw(
        "<section aria-labelledby=\"parts\">\n<h2 id=\"parts\">Parts</h2>\n<table>\n<thead>\n<tr>\
         <th scope=\"col\">Part</th><th scope=\"col\">State</th><th scope=\"col\">Starts</th></tr>\n</thead>\n<tbody>\n",
    );
    for role in roles {
        page.raw(match role.state {
            RoleState::Running => "<tr>",
            RoleState::Failed => "<tr class=\"bad\">",
            _ => "<tr class=\"waiting\">",
        });
        page.raw("<th scope=\"row\">");
        page.text(role.role);
        page.raw("</th><td>");
        page.text(words::role_state(&role.state));
        page.raw("</td><td>");
        page.text(role.starts);
        page.raw("</td></tr>\n");
    }
    page.raw("</tbody>\n</table>\n</section>\n");
}

fn ports(page: &mut Html, ports: Result<&[Port], &String>) {
    page.raw("<section aria-labelledby=\"ports\">\n<h2 id=\"ports\">Ports</h2>\n");
    match ports {
        Ok([]) => page.raw("<p>This machine has no Ethernet port.</p>\n"),
        Ok(ports) => {
            page.raw("<div class=\"ports\">\n");
            for port in ports {
                page.raw("<article>\n<h3>");
                page.text(&port.interface);
                page.raw("</h3>\n<dl>\n");
                entry(page, "For", &words::roles(&port.roles));
                entry(page, "Cable", &words::cable(port.carrier, port.megabits));
                entry(page, "Addresses", &words::addresses(&port.addresses));
                for remark in &port.remarks {
                    entry(page, "Note", remark);
                }
                entry(page, "Hardware address", &words::hexadecimal(&port.mac));
                if !port.driver.is_empty() {
                    entry(page, "Driver", &port.driver);
                }
                page.raw("</dl>\n</article>\n");
            }
            page.raw("</div>\n");
        }
        Err(why) => {
            page.raw("<p>Unknown: ");
            page.text(why);
            page.raw("</p>\n");
        }
    }
    page.raw("</section>\n");
}

fn certificate(page: &mut Html, fingerprint: &str) {
    page.raw(
        "<section aria-labelledby=\"certificate\">\n<h2 id=\"certificate\">Certificate</h2>\n\
         <p>The SHA-256 fingerprint of this page&#39;s certificate is shown on the machine&#39;s screen and serial \
         line, too: if your browser shows the same one, nobody is in between.</p>\n<p><code>",
    );
    page.text(fingerprint);
    page.raw("</code></p>\n</section>\n");
}

fn entry(page: &mut Html, term: &'static str, description: &str) {
    page.raw("<div><dt>");
    page.raw(term);
    page.raw("</dt><dd>");
    page.text(description);
    page.raw("</dd></div>\n");
}

#[cfg(test)]
mod tests {
    use super::*;
    use drawbridge_bus::{ClockState, DataState, Role};
    use drawbridge_settings::network::PortRole;

    fn role(role: Role, state: RoleState) -> RoleStatus {
        RoleStatus { role, state, pid: 9, starts: 3, memory_kib: 4096, last_end: "SECRET-END".to_owned() }
    }

    fn facts() -> Facts {
        Facts {
            status: Ok(SystemStatus {
                memory: (250_000, 200_000),
                version: "1.2.3".to_owned(),
                serial: "SECRET-SERIAL".to_owned(),
                host_name: "SECRET-NAME".to_owned(),
                uptime_seconds: 90_061,
                data: DataState::Disk { device: "vda3".to_owned(), fault: None },
                clock: ClockState::Hardware,
                watchdogs: vec!["i6300esb".to_owned()],
                last_failure: None,
                roles: vec![role(Role::Network, RoleState::Running), role(Role::Console, RoleState::Running)],
            }),
            ports: Ok(vec![Port {
                name: "eth0".to_owned(),
                interface: "office".to_owned(),
                roles: vec![PortRole::Management, PortRole::Uplink],
                pci: String::new(),
                megabits: Some(1000),
                mtu: 1500,
                remarks: vec!["10.0.1.5 by DHCP from 10.0.1.1".to_owned()],
                mac: [0x52, 0x54, 0, 1, 2, 3],
                driver: "e1000e".to_owned(),
                carrier: true,
                addresses: vec![("10.0.1.5".parse().unwrap(), 24)],
            }]),
        }
    }

    fn page(facts: &Facts) -> String {
        status(facts, "Support Appliance", "AB:CD", "2026-11-22T11:00:00Z")
    }

    #[test]
    fn a_healthy_system_says_so_and_shows_its_ports() {
        let page = page(&facts());
        for shown in [
            "All is well",
            "1.2.3",
            "vda3",
            "office",
            "management, uplink",
            "1000 Mbit/s",
            "by DHCP from 10.0.1.1",
            "i6300esb",
            "10.0.1.5/24",
            "52:54:00:01:02:03",
            "AB:CD",
        ] {
            assert!(page.contains(shown), "{shown}");
        }
        assert!(!page.contains("Needs attention"));
    }

    #[test]
    fn nothing_from_outside_reaches_the_page_as_markup() {
        let evil = "<script>alert(1)</script>\"'&\u{202e}\0";
        let mut facts = facts();
        let Ok(system) = &mut facts.status else { panic!() };
        system.version = evil.to_owned();
        system.watchdogs = vec![evil.to_owned()];
        system.data = DataState::Volatile { reason: evil.to_owned() };
        facts.ports.as_mut().unwrap()[0].interface = evil.to_owned();
        facts.ports.as_mut().unwrap()[0].remarks = vec![evil.to_owned()];
        facts.ports.as_mut().unwrap()[0].driver = evil.to_owned();
        let known = page(&facts);
        assert!(!known.contains("<script") && known.contains("&lt;script&gt;"));
        assert!(!known.contains('\u{202e}') && !known.contains('\0'));
        let unknown = page(&Facts { status: Err(evil.to_owned()), ports: Err(evil.to_owned()) });
        assert!(!unknown.contains("<script") && unknown.contains("Needs attention"));
    }

    #[test]
    fn what_fails_is_said_in_words() {
        let mut facts = facts();
        let Ok(system) = &mut facts.status else { panic!() };
        system.roles[0].state = RoleState::Failed;
        system.clock = ClockState::Ceiling { hardware: 4_070_908_800 };
        system.data = DataState::Volatile { reason: "There is no data partition.".to_owned() };
        let page = page(&facts);
        for said in ["Needs attention", "network has failed", "There is no data partition.", "hardware clock"]
        {
            assert!(page.contains(said), "{said}");
        }
    }

    #[test]
    fn a_stranger_sees_neither_log_nor_failure_record() {
        let mut facts = facts();
        facts.status.as_mut().unwrap().last_failure = Some("SECRET-PANIC at main.rs".to_owned());
        let page = page(&facts);
        assert!(!page.contains("SECRET") && !page.contains("main.rs"));
        assert!(page.contains("An earlier run ended in a failure"));
    }

    #[test]
    fn the_page_says_what_it_could_not_ask() {
        let mut facts = facts();
        facts.ports = Err("the network role did not answer in time".to_owned());
        let page = page(&facts);
        assert!(page.contains("Unknown: the network role did not answer in time"));
        assert!(page.contains("1.2.3"), "what is known is shown all the same");
    }
}
