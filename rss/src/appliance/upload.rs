//! Whether a system may hand over recordings now, by the key that signs them and by how many others do; and whether it may have some
//! back. It takes and gives none.

use super::control::Control;
use crate::hub::NoTicket;
use crate::store::KeyWord;
use crate::trouble::complain;
use drawbridge_chain::DeviceKey;
use drawbridge_wire::{Line, RequestId, ToAppliance, Token};

/// So often it may ask from one ping to the next.
const MOST_ASKED: u32 = 20;

impl Control {
    /// A ticket, or why there is none. It was asked for so many times since the last ping.
    pub(super) async fn upload(
        &self,
        connection: u64,
        request: RequestId,
        key: &str,
        times: u32,
    ) -> ToAppliance {
        match self.admit(connection, key, times).await {
            Ok(token) => ToAppliance::Upload { request, token },
            Err((why, remedy)) => {
                ToAppliance::NoUpload { request, why: Line::of(&why), remedy: Line::of(&remedy) }
            }
        }
    }

    /// A ticket by which it asks for recordings, or why there is none. It was asked for so many times since the last ping.
    pub(super) fn archive(&self, connection: u64, request: RequestId, times: u32) -> ToAppliance {
        let ticket = if times > MOST_ASKED {
            Err("the appliance asks too often")
        } else {
            self.hub.admit_fetch(connection, &self.serial, &self.login_key).map_err(|why| match why {
                NoTicket::Tickets => "the appliance has asked for tickets that it has not used",
                NoTicket::Busy => "as many recordings are being fetched as the server gives at once",
                NoTicket::Random => "the server's kernel gives no random numbers",
            })
        };
        match ticket {
            Ok(token) => ToAppliance::Archive { request, token },
            Err(why) => {
                let remedy = Line::of("Try again in a minute.");
                ToAppliance::NoArchive { request, why: Line::of(why), remedy }
            }
        }
    }

    async fn admit(&self, connection: u64, key: &str, times: u32) -> Result<Token, (String, String)> {
        let again = "The appliance tries again by itself.".to_owned();
        if times > MOST_ASKED {
            return Err(("the appliance asks too often".to_owned(), again));
        }
        let Ok(key) = DeviceKey::parse_ssh(key) else {
            let remedy = "Report this to the vendor.".to_owned();
            return Err(("the key by which it signs recordings is no Ed25519 key".to_owned(), remedy));
        };
        let (serial, text) = (self.serial.clone(), key.to_ssh());
        let word = self.hub.ask(move |store| store.evidence_key(&serial, &text)).await;
        match word {
            Ok(KeyWord::Known) => {}
            Ok(KeyWord::First) => {
                let result = format!("{key} is the key by which its recordings are known, from now on");
                self.hub.record(self.record("evidence key", &result)).await;
            }
            Ok(KeyWord::Other { is_new }) => {
                if is_new {
                    let result = format!("{key} is another key than its recordings are known by: refused");
                    self.hub.record(self.record("evidence key", &result)).await;
                }
                let why = "the server knows this system's recordings by another key".to_owned();
                let remedy = format!(
                    "If the appliance's keys were made anew, the server's operator accepts it: rss systems evidence {} accept {key}",
                    self.serial
                );
                return Err((why, remedy));
            }
            Err(error) => {
                complain(&format!("the key of {}'s recordings could not be looked up: {error}", self.serial));
                return Err(("the server's store does not answer".to_owned(), again));
            }
        }
        self.hub.admit_upload(connection, &self.serial, &self.login_key).map_err(|why| {
            let why = match why {
                NoTicket::Tickets => "the appliance has asked for tickets that it has not used",
                NoTicket::Busy => "as many appliances hand over recordings as the server takes at once",
                NoTicket::Random => "the server's kernel gives no random numbers",
            };
            (why.to_owned(), again)
        })
    }
}
