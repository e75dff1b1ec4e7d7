//! Names, and the places that the scope opens. It connects to no other place.

use super::Shell;
use crate::output::{Done, Fault, line};
use drawbridge_bus::support::Target;
use drawbridge_bus::{Reply, Request, Role};
use drawbridge_diagnose::{Probe, Step, Tools, Verdict};
use drawbridge_settings::network::Host;
use std::net::IpAddr;

pub(super) async fn resolve(shell: &Shell, name: &str) -> Done {
    let host: Host = name.parse().map_err(|error| Fault::usage(format!("{error}")))?;
    addresses(shell, &host).await?.iter().try_for_each(|address| line(&address.to_string()))
}

/// The addresses of a host, by the network role.
pub(super) async fn addresses(shell: &Shell, host: &Host) -> Result<Vec<IpAddr>, Fault> {
    if let Host::Address(address) = host {
        return Ok(vec![*address]);
    }
    let request = Request::Resolve { name: host.to_string(), interface: None };
    match shell.ask(Role::Network, request).await? {
        Reply::Addresses(addresses) if !addresses.is_empty() => Ok(addresses),
        Reply::Unresolved(why) => Err(Fault::new(why)),
        _ => Err(Fault::new(format!("no address is known for {host}"))),
    }
}

/// The place of the scope that this is; what is none is refused before anything leaves the appliance.
pub(super) fn target(shell: &Shell, host: &str, port: Option<u16>) -> Result<Target, Fault> {
    let wanted: Host = host.parse().map_err(|error| Fault::usage(format!("{error}")))?;
    let named = wanted.to_string();
    let same = |target: &&Target| target.host.to_string().eq_ignore_ascii_case(&named);
    let open = &shell.scope.scope.targets;
    open.iter().filter(same).find(|target| port.is_none_or(|port| target.port == port)).cloned().ok_or_else(
        || {
            let place = port.map_or_else(|| named.clone(), |port| format!("{named} port {port}"));
            Fault::new(format!("this session does not open {place}: \"targets\" lists what it opens"))
        },
    )
}

/// A TCP port as it is typed.
pub(super) fn port(text: &str) -> Result<u16, Fault> {
    text.parse()
        .ok()
        .filter(|port| *port != 0)
        .ok_or_else(|| Fault::usage("a port is a number from 1 to 65535"))
}

pub(super) async fn tcp(shell: &Shell, host: &str, typed: &str) -> Done {
    let target = target(shell, host, Some(port(typed)?))?;
    let mut last = Err(Fault::Status(1));
    for address in addresses(shell, &target.host).await? {
        last = probe(Probe::Tcp { to: address.to_string(), port: target.port }).await;
        if !matches!(last, Err(Fault::Status(_))) {
            break;
        }
    }
    last
}

pub(super) async fn tls(shell: &Shell, host: &str, typed: &str) -> Done {
    let target = target(shell, host, Some(port(typed)?))?;
    let mut last = Err(Fault::Status(1));
    for address in addresses(shell, &target.host).await? {
        let server_name = Some(target.host.to_string());
        last = probe(Probe::Tls { to: address.to_string(), port: target.port, server_name }).await;
        if !matches!(last, Err(Fault::Status(_))) {
            break;
        }
    }
    last
}

/// Where a host of the scope is, for what asks a host and no port of it: its first address.
async fn host(shell: &Shell, typed: &str) -> Result<String, Fault> {
    let target = target(shell, typed, None)?;
    let addresses = addresses(shell, &target.host).await?;
    let first = addresses.first().ok_or_else(|| Fault::new(format!("no address is known for {typed}")))?;
    Ok(first.to_string())
}

pub(super) async fn ping(shell: &Shell, to: &str, count: &str) -> Done {
    let count = count.parse().ok().filter(|count| (1..=100).contains(count));
    let count = count.ok_or_else(|| Fault::usage("a count is a number from 1 to 100"))?;
    let to = host(shell, to).await?;
    probe(Probe::Ping { to, count, interval_milliseconds: 500, size: 56 }).await
}

pub(super) async fn trace(shell: &Shell, to: &str) -> Done {
    let to = host(shell, to).await?;
    probe(Probe::Route { to, hops: 30, tries: 1 }).await
}

pub(super) async fn mtu(shell: &Shell, to: &str) -> Done {
    let to = host(shell, to).await?;
    probe(Probe::Mtu { to }).await
}

/// Tells each step of a probe; its end is the command's.
async fn probe(probe: Probe) -> Done {
    let mut running = probe.start(None, &Tools::default());
    while let Some(step) = running.next().await {
        line(&step.to_string())?;
        if let Step::Done(verdict) = step {
            return match verdict {
                Verdict::Tcp { accepted: true }
                | Verdict::Tls { .. }
                | Verdict::Route { reached: true, .. }
                | Verdict::Mtu { .. } => Ok(()),
                Verdict::Ping { received, .. } if received > 0 => Ok(()),
                _ => Err(Fault::Status(1)),
            };
        }
    }
    Err(Fault::new("the probe has ended without a result: try it again"))
}
