//! The world beyond the uplink: the vendor's Remote Support Server, and the customer's proxy as the only way to it. No frame
//! of it leaves this machine; the server's SSH port alone is reached from here, at 127.0.0.1.
//!
//! ```text
//!   appliance ── uplink, 10.0.2.0/24 ── 10.0.2.3 tinyproxy 203.0.113.3 ── internet ── 203.0.113.10 rss ◄── 127.0.0.1:PORT
//! ```

use drawbridge_bus::bridge::{BridgePath, ProxyPath, ProxyProtocol, SecretText, Verification};
use drawbridge_bus::support::Target;
use drawbridge_lab::net::{Forward, Host, HostConfig, Namespace, NamespaceConfig, Network, Program};
use drawbridge_lab::{Lab, LabError, Vendor, seconds, vendor};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use zeroize::Zeroizing;

/// Where the server is (RFC 5737: addresses that nobody has).
const SERVER: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 10);
/// Where the proxy is, on the uplink's network, and its port.
pub(crate) const PROXY: (Ipv4Addr, u16) = (Ipv4Addr::new(10, 0, 2, 3), 3128);
/// The engineer's name at the server.
const ENGINEER: &str = "anna";

/// Whether the way goes through the proxy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    /// As it works.
    Proxy,
    /// As it cannot: nothing but the proxy leads out.
    Direct,
}

/// The world out there, while it runs.
pub(crate) struct Outside {
    vendor: Vendor,
    forward: Forward,
    // Held for as long as they are to run.
    _proxy: (Namespace, Program),
    _server: Namespace,
    _internet: (Network, Host),
}

impl Outside {
    /// Starts it. What the server keeps is in `folder`, so that it knows the appliance the next time.
    pub(crate) fn start(lab: &Lab, uplink: &Network, folder: &Path, port: u16) -> Result<Self, LabError> {
        let program = Vendor::program().ok_or_else(|| {
            LabError::Unexpected(
                "the server's binary is not beside the lab's; `cargo build -p drawbridge-rss` makes it"
                    .to_owned(),
            )
        })?;
        let internet = Network::new(lab, "internet")?;
        let here = internet.host(HostConfig::new("here").ipv4([203, 0, 113, 1], 24));
        let forward = Forward::start(port, &here, seconds(5))?;
        forward.set_target((SERVER, vendor::SSH_PORT));

        let server = internet.namespace("server", &NamespaceConfig::new().ipv4(SERVER, 24))?;
        let vendor = Vendor::new(folder, &program, ENGINEER)?;
        vendor.start(&server)?;

        let proxy = uplink.namespace("proxy", &NamespaceConfig::new().ipv4(PROXY.0, 24))?;
        proxy.connect(&internet, "eth1", &NamespaceConfig::new().ipv4([203, 0, 113, 3], 24))?;
        let text = format!(
            "Port {}\nTimeout 600\nMaxClients 50\nAllow 10.0.2.0/24\nConnectPort {}\nLogLevel Info\n",
            PROXY.1,
            vendor::TLS_PORT
        );
        let config = proxy.write("tinyproxy.conf", &text)?;
        let program = proxy.run("tinyproxy", ["-d".as_ref(), "-c".as_ref(), config.as_os_str()])?;
        program.wait_for("Accepting connections", seconds(20))?;
        Ok(Self { vendor, forward, _proxy: (proxy, program), _server: server, _internet: (internet, here) })
    }

    /// Where this machine reaches the server's SSH port.
    pub(crate) fn ssh_address(&self) -> SocketAddr {
        self.forward.address()
    }

    /// The vendor.
    pub(crate) fn vendor(&self) -> &Vendor {
        &self.vendor
    }

    /// The appliance's way to the server, with a fresh enrolment token.
    pub(crate) fn path(&self, way: Way) -> Result<BridgePath, LabError> {
        let token = Zeroizing::new(self.vendor.token()?);
        let proxy = ProxyPath {
            protocol: ProxyProtocol::Http,
            address: target(PROXY.0, PROXY.1)?,
            hops: Vec::new(),
            user: None,
            password: None,
            verification: Verification::default(),
        };
        let name = vendor::SERVER_NAME.parse().map_err(|_| wrong(vendor::SERVER_NAME))?;
        Ok(BridgePath {
            server: target(SERVER, vendor::TLS_PORT)?,
            tls_name: Some(name),
            verification: Verification {
                built_in: false,
                uploaded: Vec::new(),
                key_pin: None,
                certificate_pin: Some(self.vendor.certificate_pin()?),
            },
            hops: Vec::new(),
            proxy: (way == Way::Proxy).then_some(proxy),
            interface: None,
            enrolment: Some(SecretText::new(token)),
        })
    }

    /// Writes the configuration of the engineer's `ssh` for this system; its path.
    pub(crate) fn ssh_config(&self, system: &str) -> Result<PathBuf, LabError> {
        let address = self.ssh_address();
        let path = self.vendor.ssh_config(address.ip(), address.port(), system)?;
        std::path::absolute(&path).map_err(LabError::file("find", &path))
    }

    /// Ends the server in order, so that it loses no record.
    pub(crate) fn stop(&self) -> Result<(), LabError> {
        self.vendor.stop()
    }
}

fn target(address: Ipv4Addr, port: u16) -> Result<Target, LabError> {
    let text = address.to_string();
    Ok(Target { host: text.parse().map_err(|_| wrong(&text))?, port })
}

fn wrong(host: &str) -> LabError {
    LabError::Unexpected(format!("{host:?} is no host"))
}
