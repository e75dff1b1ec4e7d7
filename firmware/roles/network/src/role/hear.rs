//! What clients, routers and the server of a technician's port have to say, taken to the port that it is about. It settles nothing: that
//! is the loop's.

use super::{AGAIN_AFTER, Network};
use crate::client::News;
use crate::dhcp_server::{self, ServerNews};
use crate::interface::{Running, Task, conflict};
use crate::rdnss::Advertised;
use drawbridge_settings::network::{Ipv4, Ipv6};
use std::time::Duration;
use tokio::time::Instant;

impl Network {
    /// What a client of a port has found.
    pub(super) fn hear(&mut self, client: u64, news: News) {
        // News that were under way when the carrier went are of no use: the client is not there any more.
        let is = |one: &Option<(Task, u64)>| one.as_ref().is_some_and(|(_, number)| *number == client);
        let from = |running: &&mut Running| is(&running.client) || is(&running.service_client);
        let Some(running) = self.interfaces.values_mut().find(from) else { return };
        let Some(link) = self.table.get(running.index).map(|entry| entry.link.to_string()) else { return };
        if is(&running.service_client) {
            if let Some(sentence) = running.hear_service(news) {
                log::warn!("{link}: {sentence}");
            }
            let again =
                Instant::now() + if running.service_client.is_some() { Duration::ZERO } else { AGAIN_AFTER };
            self.look_by(again);
            return;
        }
        match news {
            News::Leased(lease) => {
                if running.lease.as_ref().is_none_or(|(before, _)| before.differs_from(&lease)) {
                    log::info!("{link} has {lease}");
                }
                running.conflict = None;
                running.link_local = None;
                let seconds = u64::from(lease.seconds());
                let for_ever = lease.seconds() == u32::MAX;
                let until = (!for_ever).then(|| Instant::now() + Duration::from_secs(seconds));
                running.lease = Some((lease, until));
            }
            News::Lost => {
                if running.lease.take().is_some() {
                    log::warn!("{link}: the lease has ended or was taken back; it asks for another");
                }
                running.link_local = None;
                running.usable = false;
            }
            News::LinkLocal(address) => {
                log::info!("{link} has the link-local address {address}");
                running.link_local = Some(address);
            }
            News::Usable { .. } => {
                running.usable = true;
                running.conflict = None;
            }
            News::Conflict { address, mac, gave_up } => {
                // The administrator's address is tried again, and no other.
                let fixed = matches!(running.interface().ipv4, Ipv4::Static { .. });
                let sentence = conflict(address, mac, gave_up && !fixed);
                if running.conflict.as_ref() != Some(&sentence) {
                    log::warn!("{link}: {sentence}");
                }
                running.conflict = Some(sentence);
            }
            News::Failed(error) => {
                log::info!("{link}: the IPv4 client stopped: {error}");
                running.client = None;
                running.forget();
                self.look_by(Instant::now() + AGAIN_AFTER);
                return;
            }
        }
        self.look_now();
    }

    /// A router names name servers.
    pub(super) fn hear_router(&mut self, advertised: &Advertised) {
        let Some(running) = self.interfaces.get_mut(&advertised.index) else { return };
        let listens = matches!(running.interface().ipv6, Ipv6::Auto { .. }) && running.interface().enabled;
        if listens && running.advertised_dns.hear(Instant::now(), advertised) {
            self.look_soon();
        }
    }

    /// Name servers whose time is over are asked no more.
    pub(super) fn forget_name_servers(&mut self) {
        let now = Instant::now();
        // All of them: each forgets its own.
        let over =
            self.interfaces.values_mut().filter_map(|one| one.advertised_dns.expire(now).then_some(()));
        if over.count() > 0 {
            self.look_soon();
        }
    }

    /// What the server of a technician's port has to say.
    pub(super) fn hear_server(&mut self, index: u32, news: ServerNews) {
        let Some(running) = self.interfaces.get_mut(&index) else { return };
        let name = running.interface().name.clone();
        match news {
            ServerNews::Serving => {
                let address = dhcp_server::ADDRESS;
                log::info!(
                    "{name}: a technician's computer gets its address here, and finds the console at {address}"
                );
                running.service =
                    Some(format!("gives a technician's computer its address; this end is {address}"));
            }
            ServerNews::Silent { server } => {
                log::warn!("{name}: the DHCP server {server} serves this cable: this one stays silent");
                running.service = Some(format!("gives no addresses: the DHCP server {server} does"));
            }
            ServerNews::Given { address, mac } => {
                let mac = mac.map(|byte| format!("{byte:02x}")).join(":");
                log::info!("{name}: {mac} got the address {address}");
            }
            ServerNews::Failed(error) => {
                log::warn!("{name}: the DHCP server stopped: {error}");
                running.server = None;
                running.service = None;
                self.look_by(Instant::now() + AGAIN_AFTER);
                return;
            }
        }
        self.show();
    }
}
