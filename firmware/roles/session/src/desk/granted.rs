//! What the desk does by the vendor's word: sessions by a signed grant, and whose keys count. It verifies nothing itself.

use super::{Desk, Names};
use crate::secret::Kept;
use drawbridge_bus::Reply;
use drawbridge_bus::approval::VendorKeyChange;
use drawbridge_bus::bridge::BridgeRequest;
use drawbridge_identity::grant::Clock;
use drawbridge_settings::FieldError;
use std::time::{Duration, SystemTime};

impl Names {
    /// What the clock says, as far as it can be believed.
    fn clock(&self) -> Clock {
        let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
        if self.clock_holds { Clock::About(now) } else { Clock::NotBefore(now) }
    }
}

impl Desk {
    /// Whether a grant allows a request now. The request was checked.
    pub(crate) fn approves(&self, text: &str, request: &BridgeRequest, names: &Names) -> Result<(), Reply> {
        let serial = self.identity.serial(&names.serial);
        match self.approvals.approve(text, request, serial, names.clock()) {
            Ok(_) => Ok(()),
            Err(why) => {
                let reply = why.reply();
                if let Reply::GrantRefused(fault) = &reply {
                    log::warn!("{}", fault.sentence);
                }
                Err(reply)
            }
        }
    }

    /// Lowers the bridge by a grant, and uses it up. `kept` is the request's secret, where the owner wants one beside the key.
    pub(crate) fn open_granted(
        &mut self,
        request: BridgeRequest,
        kept: Option<Kept>,
        text: &str,
        names: &Names,
    ) -> Reply {
        // All of it again: something else may have been opened, or used the grant, meanwhile.
        if let Err(errors) = self.check(&request) {
            return Reply::Invalid(errors);
        }
        let (serial, clock) = (self.identity.serial(&names.serial), names.clock());
        let approved = match self.approvals.approve(text, &request, serial, clock) {
            Ok(approved) => approved,
            Err(why) => return why.reply(),
        };
        if let Err(why) = self.approvals.take(&approved, clock) {
            return why.reply();
        }
        let reply = self.open(request, kept);
        if let (Reply::Opened(_), Some(bridge)) = (&reply, &mut self.bridge) {
            bridge.approved = Some(approved);
        }
        reply
    }

    /// Whether a text is a grant that could be used.
    pub(crate) fn check_grant(&self, text: &str, names: &Names) -> Reply {
        let open =
            self.bridge.as_ref().and_then(|bridge| bridge.approved.as_ref()).map(|approved| approved.by().id);
        let serial = self.identity.serial(&names.serial);
        match self.approvals.look(text, serial, names.clock(), open.as_ref()) {
            Ok(terms) => Reply::Grant(Box::new(terms)),
            Err(fault) => {
                log::warn!("{}", fault.sentence);
                Reply::GrantRefused(fault)
            }
        }
    }

    /// Whose word counts.
    pub(crate) fn vendor_keys(&self) -> Reply {
        Reply::VendorKeys(self.approvals.list())
    }

    /// Sets whose word counts.
    pub(crate) fn set_vendor_keys(&mut self, change: &VendorKeyChange) -> Reply {
        match self.approvals.set(change) {
            Ok(()) => self.vendor_keys(),
            Err(errors) => Reply::Invalid(errors),
        }
    }

    /// Whether a session may end in so many minutes: a grant bounds the whole of it, however often its end is set.
    pub(super) fn end_within_grant(&self, minutes: u32) -> Result<(), FieldError> {
        let Some((bridge, approved)) =
            self.bridge.as_ref().and_then(|one| Some((one, one.approved.as_ref()?)))
        else {
            return Ok(());
        };
        let most = Duration::from_mins(approved.minutes().into()).saturating_sub(bridge.opened.elapsed());
        let most = most.as_secs() / 60;
        if u64::from(minutes) <= most {
            return Ok(());
        }
        let wrong = "the grant that the session was opened by is for a shorter time";
        Err(FieldError::new("minutes", wrong, format!("at most {most} more minutes")))
    }
}
