//! An appliance with a Remote Support Server on its uplink's network, and an engineer there with the stock `ssh`. It never
//! decides what is right.

use crate::{Image, Site, SitePlan};
use drawbridge_bus::bridge::{
    BridgePath, BridgeRequest, BridgeState, BridgeStatus, DeviceKeys, Link, PathStep, SecretText,
    Verification,
};
use drawbridge_bus::support::{GrantId, GrantRequest, Level, Proof, Recording, Scope, Target, USUAL_GRACE};
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_lab::net::{Host, HostConfig, Namespace, NamespaceConfig, Network, Program};
use drawbridge_lab::{Lab, NicModel, Vendor, within};
use std::ffi::OsStr;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

/// Where the server is.
pub const SERVER: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// Where the appliance's uplink is.
pub const UPLINK: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 10);

/// The appliance's settings, as [`SitePlan::settings`] has them.
pub const SETTINGS: &str = r#"{"interfaces": [
    {"name": "management", "at": {"port": "{management}"}, "roles": ["management"],
     "ipv4": {"static": {"address": "10.0.1.10/24"}}, "ipv6": "off"},
    {"name": "uplink", "at": {"port": "{uplink}"}, "roles": ["uplink"],
     "ipv4": {"static": {"address": "10.0.2.10/24"}}, "ipv6": "off"}]}"#;

/// The appliance and all that is around it.
pub struct Bridge {
    /// The appliance.
    pub site: Site,
    /// The server, with an engineer called anna.
    pub vendor: Vendor,
    /// Where the server, proxies and the engineer's `ssh` run: 10.0.2.2.
    pub outside: Namespace,
    /// The administrator's network, with a host.
    pub inside: (Network, Host),
    /// The uplink's network.
    pub uplink: Network,
    config: Option<PathBuf>,
}

impl Bridge {
    /// Boots the appliance, and starts the server.
    ///
    /// # Panics
    /// When the lab cannot, or something does not come up.
    pub fn boot(lab: &Lab, image: &Image) -> Self {
        Self::boot_with(lab, image, |plan| plan)
    }

    /// [`Bridge::boot`], with another plan.
    ///
    /// # Panics
    /// As there.
    pub fn boot_with(lab: &Lab, image: &Image, plan: impl FnOnce(SitePlan<'_>) -> SitePlan<'_>) -> Self {
        let (management, uplink) = (
            Network::new(lab, "management").expect("a network"),
            Network::new(lab, "uplink").expect("a network"),
        );
        let desk = management.host(HostConfig::new("desk").ipv4([10, 0, 1, 1], 24));
        let outside =
            uplink.namespace("outside", &NamespaceConfig::new().ipv4(SERVER, 24)).expect("a namespace");
        let program =
            Vendor::program().expect("the server's binary beside the tests: cargo build -p drawbridge-rss");
        let vendor = Vendor::new(&lab.folder().join("vendor"), &program, "anna").expect("a vendor");
        vendor.start(&outside).expect("the server starts");
        let ports =
            vec![("management", NicModel::VirtioNet, &management), ("uplink", NicModel::VirtioNet, &uplink)];
        let site = Site::boot(lab, image, plan(SitePlan::new(ports).settings(SETTINGS)));
        site.has("uplink", UPLINK);
        Self { site, vendor, outside, inside: (management, desk), uplink, config: None }
    }

    /// Asks the session role, as the console.
    ///
    /// # Panics
    /// When there is no answer.
    pub fn ask(&self, request: &Request) -> Reply {
        self.site.ask(Role::Session, request)
    }

    /// The direct way to the server, with an enrolment token.
    ///
    /// # Panics
    /// When the server makes none.
    pub fn path(&self) -> BridgePath {
        let token = self.vendor.token().expect("a token");
        BridgePath { enrolment: Some(secret(&token)), ..self.known_path() }
    }

    /// The direct way, for an appliance that is enrolled.
    ///
    /// # Panics
    /// When the server's certificate cannot be read.
    pub fn known_path(&self) -> BridgePath {
        let pin = self.vendor.certificate_pin().expect("the certificate");
        BridgePath {
            server: target(&SERVER.to_string(), 443),
            tls_name: Some("rss.lab".parse().expect("a name")),
            verification: Verification {
                built_in: false,
                uploaded: Vec::new(),
                key_pin: None,
                certificate_pin: Some(pin),
            },
            hops: Vec::new(),
            proxy: None,
            interface: None,
            enrolment: None,
        }
    }

    /// A secret that the appliance offers.
    ///
    /// # Panics
    /// When it offers none.
    pub fn offer(&self) -> String {
        match self.ask(&Request::OfferSecret) {
            Reply::Secret(secret) => secret.reveal().to_owned(),
            other => panic!("no secret: {other:?}"),
        }
    }

    /// Lowers the bridge.
    ///
    /// # Panics
    /// When it is refused.
    pub fn open(&self, grant: GrantRequest, secret: Option<&str>, path: BridgePath) -> GrantId {
        let request = BridgeRequest { grant, secret: secret.map(self::secret), path };
        match self.ask(&Request::OpenBridge(Box::new(request))) {
            Reply::Opened(id) => id,
            other => panic!("not opened: {other:?}"),
        }
    }

    /// Where the bridge stands.
    ///
    /// # Panics
    /// When it is not told.
    pub fn status(&self) -> BridgeStatus {
        match self.ask(&Request::Bridge) {
            Reply::Bridge(status) => *status,
            other => panic!("no status: {other:?}"),
        }
    }

    /// Waits until the bridge is as `wanted` says, and gives what it says.
    ///
    /// # Panics
    /// When it does not come to that in time.
    pub fn until<T>(&self, what: &str, wanted: impl Fn(&BridgeStatus) -> Option<T>) -> T {
        let end = Instant::now() + within(Duration::from_secs(30));
        loop {
            let status = self.status();
            if let Some(found) = wanted(&status) {
                return found;
            }
            assert!(
                Instant::now() < end,
                "not in time: {what}; it is {status:#?}\n{}",
                self.site.machine.serial().tail(30)
            );
            // Asking is waiting too: an answer takes tens of milliseconds over the serial line.
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Lowers the bridge by the direct way with a secret, and waits until the server knows the appliance. The secret.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn lower(&mut self, grant: GrantRequest) -> String {
        let secret = self.offer();
        let path = self.path();
        self.open(grant, Some(&secret), path);
        self.connected();
        secret
    }

    /// Waits until the server knows the appliance, and tells the engineer's `ssh` about both.
    ///
    /// # Panics
    /// When that does not come about.
    pub fn connected(&mut self) {
        let system = self.until("a control connection", |status| match &status.link {
            Link::Connected { system, .. } => Some(system.clone()),
            _ => None,
        });
        let config = self.vendor.ssh_config(SERVER.into(), 22, &system).expect("a configuration of ssh");
        self.config = Some(config);
    }

    /// Raises the bridge, and waits until nothing is left.
    ///
    /// # Panics
    /// When something is.
    pub fn raise(&self) {
        assert_eq!(self.ask(&Request::CloseBridge { by: "the test".to_owned() }), Reply::Done);
        self.until("nothing left", |status| (status.state == BridgeState::Closed).then_some(()));
    }

    /// The engineer's `ssh`, `sftp` or `scp` with these words, which answers the question for the secret.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn client<S: AsRef<OsStr>>(
        &self,
        program: &str,
        words: impl IntoIterator<Item = S>,
        secret: &str,
    ) -> Program {
        let mut command = Command::new(program);
        let config = self.config.as_ref().expect("the bridge was lowered before");
        command.arg("-F").arg(config).args(words);
        self.vendor.ask_pass(&mut command, secret).expect("a program that answers");
        self.outside.run_command(command).expect("a client")
    }

    /// A shell's script in which the engineer's clients are called with `-F "$CONFIG"`, and the question for the secret is
    /// answered.
    ///
    /// # Panics
    /// When it cannot be started.
    pub fn script(&self, script: &str, secret: &str) -> Program {
        let mut command = Command::new("bash");
        let config = self.config.as_ref().expect("the bridge was lowered before");
        command.args(["-c", script]).env("CONFIG", config);
        self.vendor.ask_pass(&mut command, secret).expect("a program that answers");
        self.outside.run_command(command).expect("a script")
    }

    /// What `ssh sa WORDS` printed, with its exit status.
    ///
    /// # Panics
    /// When it does not end in time.
    pub fn ssh<S: AsRef<OsStr>>(
        &self,
        words: impl IntoIterator<Item = S>,
        secret: &str,
    ) -> (String, Option<i32>) {
        let words = words.into_iter().map(|word| word.as_ref().to_owned()).collect::<Vec<_>>();
        let program = self.client(
            "ssh",
            [OsStr::new("-T"), OsStr::new("sa")].into_iter().map(OsStr::to_owned).chain(words),
            secret,
        );
        let status = program.wait(within(Duration::from_mins(1)));
        let status = status.unwrap_or_else(|error| {
            panic!("{error}\n{}\n{}", program.text(), self.site.machine.serial().tail(30))
        });
        (program.whole_text(), status.code())
    }

    /// Tests a way, and gives its steps when it is over.
    ///
    /// # Panics
    /// When it is refused, or does not end in time.
    pub fn test(&self, path: BridgePath) -> Vec<PathStep> {
        assert_eq!(self.ask(&Request::TestBridge(Box::new(path))), Reply::Done);
        let end = Instant::now() + within(Duration::from_mins(1));
        loop {
            match self.ask(&Request::TestSteps) {
                Reply::TestSteps { steps, over: true } => return steps,
                Reply::TestSteps { .. } if Instant::now() < end => {}
                other => panic!("the test does not end: {other:?}\n{}", self.site.machine.serial().tail(30)),
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// What the appliance is known by.
    ///
    /// # Panics
    /// When it is not told.
    pub fn keys(&self) -> DeviceKeys {
        match self.ask(&Request::DeviceKeys) {
            Reply::DeviceKeys(keys) => *keys,
            other => panic!("no keys: {other:?}"),
        }
    }
}

/// A secret on its way to the bus.
pub fn secret(text: &str) -> SecretText {
    SecretText::new(zeroize::Zeroizing::new(text.to_owned()))
}

/// A place.
///
/// # Panics
/// When the host is none.
pub fn target(host: &str, port: u16) -> Target {
    Target { host: host.parse().expect("a host"), port }
}

/// A grant with a shell, files, and forwards to these places; an hour, by a secret.
pub fn grant(targets: Vec<Target>) -> GrantRequest {
    GrantRequest {
        name: "case 4711".to_owned(),
        opener: "the owner".to_owned(),
        reason: "a disk that is slow".to_owned(),
        level: Level::Direct,
        recording: Recording::Strict,
        grace_seconds: USUAL_GRACE,
        scope: Scope { shell: true, files: true, forwards: !targets.is_empty(), targets },
        minutes: 60,
        proof: Proof::Secret,
        sources: Vec::new(),
    }
}
