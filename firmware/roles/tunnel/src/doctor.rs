//! The path doctor: goes the way to the server once, with the dialler's own code, and tells each step as it happens. It never
//! keeps a connection, and never uses an enrolment token up.

use crate::control::{Greeting, Kind, Messages};
use crate::keep::sentence;
use crate::news::News;
use crate::role::Tunnel;
use crate::ssh::{Ssh, fingerprint, known_key, login_key};
use crate::trouble::Trouble;
use crate::way::Service;
use drawbridge_bus::bridge::{PathStep, StepResult, TunnelNews, TunnelOrders};
use drawbridge_bus::{ClockState, Port, SystemStatus};
use drawbridge_dial::{DialError, Stage, Step};
use drawbridge_settings::network::{InterfaceName, PortRole};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::Instant;

/// The whole test ends within this time; session waits a little longer.
const WITHIN: Duration = Duration::from_secs(150);
/// Titles of what was not reached when the dial ends before it.
const PROXY: &str = "The proxy";
const TLS: &str = "TLS with the server";
/// Titles of what comes after the dial.
const PIN: &str = "The pin";
const SSH: &str = "SSH with the server";
const LOGIN: &str = "Login at the server";
const MISSED: &str = "It was not reached.";

/// Runs the test, and ends.
pub(crate) async fn run(tunnel: Tunnel, news: News) {
    let mut doctor = Doctor { news, last: 0 };
    if tokio::time::timeout(WITHIN, Box::pin(doctor.examine(&tunnel))).await.is_err() {
        let step = doctor.begin("The test").await;
        let remedy = "Look at the last step: it takes too long.".to_owned();
        doctor.end(step, StepResult::Fail { remedy }, "It takes too long.".to_owned()).await;
    }
    doctor.news.tell(TunnelNews::TestOver).await;
}

/// A step that has begun.
struct Begun {
    number: u32,
    title: String,
    at: Instant,
}

struct Doctor {
    news: News,
    last: u32,
}

/// What was found: good, and the detail; or why not, and the remedy.
type Found = Result<String, (String, String)>;

impl Doctor {
    async fn begin(&mut self, title: &str) -> Begun {
        self.last += 1;
        let begun = Begun { number: self.last, title: title.to_owned(), at: Instant::now() };
        self.tell(&begun, StepResult::Running, String::new()).await;
        begun
    }

    async fn end(&self, step: Begun, result: StepResult, detail: String) {
        self.tell(&step, result, detail).await;
    }

    async fn tell(&self, step: &Begun, result: StepResult, detail: String) {
        let milliseconds = u32::try_from(step.at.elapsed().as_millis()).unwrap_or(u32::MAX);
        let step = PathStep { number: step.number, title: step.title.clone(), result, detail, milliseconds };
        self.news.tell(TunnelNews::Step(step)).await;
    }

    async fn found(&self, step: Begun, found: Found) -> bool {
        let good = found.is_ok();
        match found {
            Ok(detail) => self.end(step, StepResult::Pass, sentence(&detail)).await,
            Err((why, remedy)) => self.end(step, StepResult::Fail { remedy }, sentence(&why)).await,
        }
        good
    }

    async fn skip(&mut self, title: &str, why: &str) {
        let step = self.begin(title).await;
        self.end(step, StepResult::Skip, why.to_owned()).await;
    }

    async fn examine(&mut self, tunnel: &Tunnel) {
        let interface = tunnel.orders.path.interface.as_ref().map(InterfaceName::as_str);
        let step = self.begin("The cable").await;
        let ports = tunnel.asker.ports().await.map_err(|error| error.to_string());
        let ports = ports.map(|ports| outgoing(ports, interface));
        self.found(step, cable(&ports, interface)).await;
        let step = self.begin("The appliance's address").await;
        self.found(step, address(&ports)).await;
        let step = self.begin("The appliance's clock").await;
        let status = tunnel.asker.status().await;
        self.found(
            step,
            status.map_err(|error| (error.to_string(), String::new())).and_then(|status| clock(&status)),
        )
        .await;
        // What is wrong so far may not matter: only the way itself tells.
        Box::pin(self.go(tunnel)).await;
    }

    async fn go(&mut self, tunnel: &Tunnel) {
        let (way, orders) = (&tunnel.way, &*tunnel.orders);
        let dialled = self.dial(tunnel).await;
        let Some(dialled) = dialled else {
            for title in [PIN, SSH, LOGIN] {
                self.skip(title, MISSED).await;
            }
            return;
        };
        if way.is_pinned() {
            let step = self.begin(PIN).await;
            self.found(step, Ok("the server's certificate or key is the one that is pinned".to_owned()))
                .await;
        } else {
            self.skip(PIN, "None is set: the server is known by its certificate's issuer and name.").await;
        }
        let step = self.begin(SSH).await;
        let shaken = Box::pin(self.shake_hands(dialled, orders, tunnel.place.pace.silent_for)).await;
        let (found, ssh) = match shaken {
            Ok((ssh, detail)) => (Ok(detail), Some(ssh)),
            Err(trouble) => (Err((trouble.to_string(), trouble.remedy())), None),
        };
        self.found(step, found).await;
        let Some(mut ssh) = ssh else {
            self.skip(LOGIN, MISSED).await;
            return;
        };
        let step = self.begin(LOGIN).await;
        let found = log_in(&mut ssh, orders).await;
        self.found(step, found.map_err(|trouble| (trouble.to_string(), trouble.remedy()))).await;
        ssh.close().await;
    }

    /// Dials, and tells the dialler's steps.
    async fn dial(&mut self, tunnel: &Tunnel) -> Option<drawbridge_dial::Tunnel> {
        let (sender, mut steps) = mpsc::unbounded_channel();
        let observer = move |step: Step| drop(sender.send(step));
        let mut begun: Vec<(Stage, Begun)> = Vec::new();
        let way = std::sync::Arc::clone(&tunnel.way);
        // The observer goes with the future: then all steps are there.
        let mut dialling = tokio::spawn(async move { way.dial(Service::Control, &observer).await });
        let mut missed = vec![TLS];
        if tunnel.orders.path.proxy.is_some() {
            missed.insert(0, PROXY);
        }
        while let Some(step) = steps.recv().await {
            match step {
                Step::Begins(stage) => {
                    match &stage {
                        Stage::Proxy { .. } | Stage::ProxyTls(_) => missed.retain(|title| *title != PROXY),
                        Stage::Tls { .. } => missed.clear(),
                        _ => {}
                    }
                    let step = self.begin(&title(&stage)).await;
                    begun.push((stage, step));
                }
                Step::Ends { stage, result, .. } => {
                    if let Some(place) = begun.iter().position(|(one, _)| *one == stage) {
                        let (_, step) = begun.remove(place);
                        let found = result.map(|outcome| outcome.to_string()).map_err(|error| told(&error));
                        self.found(step, found).await;
                    }
                }
            }
        }
        for (_, step) in begun {
            self.end(step, StepResult::Skip, "Another address was faster.".to_owned()).await;
        }
        for title in missed {
            self.skip(title, MISSED).await;
        }
        match (&mut dialling).await {
            Ok(Ok(dialled)) => Some(dialled),
            // The step that has failed was told.
            Ok(Err(Trouble::Dial(_))) | Err(_) => None,
            Ok(Err(trouble)) => {
                let step = self.begin("The server's service").await;
                self.found(step, Err((trouble.to_string(), trouble.remedy()))).await;
                None
            }
        }
    }

    async fn shake_hands(
        &self,
        dialled: drawbridge_dial::Tunnel,
        orders: &TunnelOrders,
        silent_for: Duration,
    ) -> Result<(Ssh, String), Trouble> {
        let Kind::Messages = Kind::of(dialled.report.alpn.as_deref())?;
        let known = orders.server_key.as_deref().map(known_key).transpose()?;
        let is_known = known.is_some();
        let ssh = Ssh::shake_hands(dialled.stream, known, silent_for).await?;
        let key = ssh.server_key().map(|key| fingerprint(&key)).unwrap_or_default();
        let seen = if is_known { "it is the one that is known" } else { "it is seen for the first time" };
        Ok((ssh, format!("the server's host key is {key}: {seen}")))
    }
}

async fn log_in(ssh: &mut Ssh, orders: &TunnelOrders) -> Result<String, Trouble> {
    ssh.log_in(&orders.serial, login_key(&orders.login_key)).await?;
    let mut messages = Messages::new(ssh.open().await?);
    match messages.greet(orders).await.map_err(|trouble| ssh.explain(trouble))? {
        Greeting::Welcome(welcome) => Ok(format!("the server knows the appliance, as {}", welcome.system)),
        Greeting::Unenrolled if orders.path.enrolment.is_some() => {
            Ok("the server does not know the appliance yet, and will by the enrolment token, at Connect"
                .to_owned())
        }
        Greeting::Unenrolled => Err(Trouble::Unenrolled),
    }
}

fn title(stage: &Stage) -> String {
    let text = stage.to_string();
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_uppercase().chain(chars).collect())
}

fn told(error: &DialError) -> (String, String) {
    (error.failure.to_string(), error.remedy().to_owned())
}

/// The ports that a connection may leave by.
fn outgoing(ports: Vec<Port>, interface: Option<&str>) -> Vec<Port> {
    let fits = |port: &Port| match interface {
        Some(name) => port.interface == name,
        None => port.roles.iter().any(|role| matches!(role, PortRole::Uplink | PortRole::Management)),
    };
    ports.into_iter().filter(fits).collect()
}

fn cable(ports: &Result<Vec<Port>, String>, interface: Option<&str>) -> Found {
    let ports = ports.as_ref().map_err(|error| (error.clone(), String::new()))?;
    if ports.is_empty() {
        return Err(match interface {
            Some(name) => {
                let remedy = "Correct the interface of the path, or let the routes choose.".to_owned();
                (format!("there is no interface {name}"), remedy)
            }
            None => (
                "no port is there for connections to the server".to_owned(),
                "Give a port the role uplink or management.".to_owned(),
            ),
        });
    }
    let up: Vec<&str> =
        ports.iter().filter(|port| port.carrier).map(|port| port.interface.as_str()).collect();
    if up.is_empty() {
        let names: Vec<&str> = ports.iter().map(|port| port.interface.as_str()).collect();
        let remedy = "Put the cable in, and look at the other end's port.".to_owned();
        return Err((format!("no cable with a live other end is in: {}", names.join(", ")), remedy));
    }
    Ok(format!("a cable is in: {}", up.join(", ")))
}

fn address(ports: &Result<Vec<Port>, String>) -> Found {
    let ports = ports.as_ref().map_err(|error| (error.clone(), String::new()))?;
    let all = ports.iter().filter(|port| port.carrier).flat_map(|port| &port.addresses);
    let usable = all.filter(|(address, _)| match address {
        std::net::IpAddr::V4(address) => !address.is_link_local(),
        std::net::IpAddr::V6(address) => !address.is_unicast_link_local(),
    });
    let list: Vec<String> = usable.map(|(address, prefix)| format!("{address}/{prefix}")).collect();
    if list.is_empty() {
        let remedy = "Look at the DHCP server, or set an address for the port.".to_owned();
        return Err(("no port with a cable has an address that leads further".to_owned(), remedy));
    }
    Ok(list.join(", "))
}

/// Certificates are judged by it.
fn clock(status: &SystemStatus) -> Found {
    let doubtful = |what: &str| {
        let remedy = "Give the appliance a time server, or set the machine's clock.".to_owned();
        Err((format!("{what}: certificates may be judged wrongly"), remedy))
    };
    match &status.clock {
        ClockState::Synchronised { servers, .. } => Ok(format!("set by {}", servers.join(", "))),
        ClockState::Hardware => Ok("as the machine's own clock says; no time server was asked".to_owned()),
        ClockState::Floor { .. } => doubtful("the machine's clock was before the last known time"),
        ClockState::Ceiling { .. } => doubtful("the machine's clock was beyond any plausible time"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn port(interface: &str, carrier: bool, addresses: &[&str]) -> Port {
        Port {
            name: "eth0".to_owned(),
            interface: interface.to_owned(),
            roles: vec![PortRole::Uplink],
            mac: [2; 6],
            pci: String::new(),
            driver: String::new(),
            carrier,
            megabits: None,
            mtu: 1500,
            addresses: addresses.iter().map(|text| (text.parse().unwrap(), 24)).collect(),
            remarks: Vec::new(),
        }
    }

    #[test]
    fn a_missing_port_a_missing_cable_and_a_missing_address_are_told_apart() {
        let ports = |ports: Vec<Port>| Ok(ports);
        assert!(cable(&ports(Vec::new()), Some("office")).unwrap_err().0.contains("no interface office"));
        assert!(cable(&ports(vec![port("uplink", false, &[])]), None).unwrap_err().0.contains("no cable"));
        let bare = ports(vec![port("uplink", true, &["169.254.7.7", "fe80::1"])]);
        assert!(cable(&bare, None).is_ok() && address(&bare).is_err());
        assert_eq!(
            address(&ports(vec![port("uplink", true, &["192.0.2.5"])])),
            Ok("192.0.2.5/24".to_owned())
        );
        assert!(outgoing(vec![port("uplink", true, &[])], Some("office")).is_empty());
    }
}
