//! The calls of the network: what there is, what is set, and a change that is to be confirmed. The network role decides.

use super::answer::{json, nothing, parse};
use super::browser::Person;
use super::problem::{Problem, unexpected};
use super::told::{self, By};
use super::{Api, Done};
use drawbridge_bus::network::{ChangeId, NetworkStatus, PendingChange};
use drawbridge_bus::{Port, Reply, Request, Role};
use drawbridge_settings::network::NetworkSettings;
use hyper::StatusCode;
use serde_json::{Value, json};

/// The network as it is.
pub(crate) async fn status(api: &Api) -> Result<Value, Problem> {
    match api.ask(Role::Network, Request::Network).await? {
        Reply::Network(status) => Ok(status_json(&status)),
        other => Err(unexpected(&other)),
    }
}

/// What is set.
pub(crate) async fn settings(api: &Api) -> Result<Value, Problem> {
    match api.ask(Role::Network, Request::NetworkSettings).await? {
        Reply::NetworkSettings(settings) => serde_json::to_value(settings).map_err(|error| {
            log::error!("settings cannot be written as JSON: {error}");
            unexpected(&Reply::Done)
        }),
        other => Err(unexpected(&other)),
    }
}

/// Makes a change, which is taken back by itself unless it is confirmed.
pub(crate) async fn change(api: &Api, person: &Person, body: &[u8]) -> Done {
    let settings: NetworkSettings = parse(body)?;
    settings.check().map_err(Problem::invalid)?;
    let (old, new) = (self::settings(api).await.ok(), serde_json::to_value(&settings).ok());
    match api.ask(Role::Network, Request::ChangeNetwork(Box::new(settings))).await? {
        Reply::Pending(pending) => {
            log::info!("{} has changed the network; it is to be confirmed", person.name);
            let (old, new) =
                old.zip(new).and_then(|(old, new)| told::differences(&old, &new)).unwrap_or_default();
            *api.changing() = Some(told::Waiting { id: pending.id, old, new });
            Ok(json(StatusCode::ACCEPTED, &pending_json(pending)))
        }
        other => Err(unexpected(&other)),
    }
}

/// The change stays.
pub(crate) async fn confirm(api: &Api, by: &By<'_>, id: &str) -> Done {
    let id = change_id(id)?;
    decided(api, Request::ConfirmNetwork(id)).await.inspect(|_| {
        log::info!("{} has confirmed the change of the network", by.person.name);
        let waited = api.changing().take().filter(|waiting| waiting.id == id);
        let (old, new) = waited.map(|waiting| (waiting.old, waiting.new)).unwrap_or_default();
        api.tell(by.did(told::changed("network", &old, &new)));
    })
}

/// The change is taken back.
pub(crate) async fn revert(api: &Api, person: &Person, id: &str) -> Done {
    decided(api, Request::RevertNetwork(change_id(id)?)).await.inspect(|_| {
        log::info!("{} has taken the change of the network back", person.name);
    })
}

async fn decided(api: &Api, request: Request) -> Done {
    match api.ask(Role::Network, request).await? {
        Reply::Done => Ok(nothing(StatusCode::NO_CONTENT)),
        other => Err(unexpected(&other)),
    }
}

/// 16 hexadecimal digits: a number that JavaScript would round.
fn change_id(text: &str) -> Result<ChangeId, Problem> {
    let digits = text.len() == 16 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    let id = digits.then(|| u64::from_str_radix(text, 16).ok()).flatten();
    id.map(ChangeId).ok_or_else(Problem::not_found)
}

fn pending_json(pending: PendingChange) -> Value {
    json!({ "id": format!("{:016x}", pending.id.0), "seconds": pending.seconds })
}

fn status_json(status: &NetworkStatus) -> Value {
    json!({
        "host_name": status.host_name,
        "ports": status.ports.iter().map(port_json).collect::<Vec<_>>(),
        "pending": status.pending.map(pending_json),
        "name_servers": status.name_servers.iter()
            .map(|(address, interface)| json!({ "address": address.to_string(), "interface": interface }))
            .collect::<Vec<_>>(),
        "time_servers": status.time_servers,
        "remarks": status.remarks,
    })
}

fn port_json(port: &Port) -> Value {
    let mac: Vec<String> = port.mac.iter().map(|byte| format!("{byte:02x}")).collect();
    json!({
        "name": port.interface,
        "kernel_name": port.name,
        "roles": port.roles.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "mac": mac.join(":"),
        "pci": port.pci,
        "driver": port.driver,
        "carrier": port.carrier,
        "megabits": port.megabits,
        "mtu": port.mtu,
        "addresses": port.addresses.iter().map(|(address, bits)| format!("{address}/{bits}")).collect::<Vec<_>>(),
        "remarks": port.remarks,
    })
}
