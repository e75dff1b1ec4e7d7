//! What becomes of the machine, taken from init and written down. It forgets nothing that is not on the disk, and makes nothing up.

use super::{Shared, connect};
use crate::audit;
use drawbridge_audit::event::{Draft, Health, Long, Name, Outcome, Part, What, Who};
use drawbridge_bus::client::{CallError, Client};
use drawbridge_bus::happened::{Happened, Health as Stands, Part as PartOf};
use drawbridge_bus::{Refusal, Reply, Request, Role};
use drawbridge_chain::Utc;
use std::path::Path;
use std::time::Duration;

/// How often is asked without a word of init's, and what waits for the disk is tried again.
const LOOK_EVERY: Duration = Duration::from_secs(30);
/// What could not be written down is tried again after so long, while there is more to take.
const AGAIN: Duration = Duration::from_secs(30);

/// Takes what has happened from init, and writes it down, until init is lost.
pub(super) async fn watch(shared: &Shared, sockets: &Path) -> CallError {
    // A connection of its own: a session's orders do not wait for the disk.
    let mut init = match connect(sockets, Role::Init).await {
        Ok(init) => init,
        Err(error) => return error,
    };
    let mut kept = 0;
    loop {
        let more = match take(shared, &mut init, &mut kept).await {
            Ok(more) => more,
            Err(error) => return error,
        };
        if !more {
            let _ = tokio::time::timeout(LOOK_EVERY, shared.happened.notified()).await;
        }
    }
}

/// Takes what there is; whether there may be more. What was taken is on the disk when this returns, and init may forget it.
async fn take(shared: &Shared, init: &mut Client, kept: &mut u64) -> Result<bool, CallError> {
    let Reply::Happened(happened, last) = init.call(Request::Happened { kept: *kept }).await? else {
        return Err(CallError::Refused(Role::Init, Refusal::NotMine));
    };
    let more = !happened.is_empty();
    let drafts = happened.iter().map(draft).collect();
    let mut written = shared.audit.write(|| drafts).await;
    // It is in memory now. Init keeps it meanwhile, for the next process of this role.
    while !written && more {
        tokio::time::sleep(AGAIN).await;
        written = shared.audit.write(Vec::new).await;
    }
    *kept = last;
    Ok(more)
}

/// It as an event.
fn draft(happened: &Happened) -> Draft {
    let what = match happened {
        Happened::Role { role, works, why } => What::Role {
            role: Name::of(role.name()),
            outcome: if *works { Outcome::Done } else { Outcome::Failed },
            why: Some(Long::of(why)),
        },
        Happened::Part { part, health, text } => What::Hardware {
            part: match part {
                PartOf::Disk => Part::Disk,
                PartOf::Data => Part::DataPartition,
                PartOf::Memory => Part::Memory,
                PartOf::Processor => Part::Processor,
                PartOf::Temperature => Part::Temperature,
                PartOf::Link => Part::Link,
            },
            health: match health {
                Stands::Well => Health::Well,
                Stands::Failing => Health::Failing,
                Stands::Failed => Health::Failed,
            },
            // The sentence that it becomes a part of has its own end.
            text: Long::of(text.strip_suffix('.').unwrap_or(text)),
        },
        Happened::Clock { from, to, servers } => {
            let what = What::ClockChanged { from: time(*from), to: time(*to) };
            let endpoint = (!servers.is_empty()).then(|| Name::of(&servers.join(", ")));
            return Draft { endpoint, ..Draft::new(what, Who::device()) };
        }
        Happened::Missed(events) => return audit::gap(*events),
    };
    Draft::new(what, Who::device())
}

/// A time of the clock; one before 1970 or beyond the year 9999 is the nearest that can be written.
fn time(millis: i64) -> Utc {
    Utc::default().after(Duration::from_millis(u64::try_from(millis).unwrap_or(0)))
}

#[cfg(test)]
mod tests;
