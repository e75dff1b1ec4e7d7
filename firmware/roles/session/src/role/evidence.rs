//! What the role answers of the audit and of who is told, and how the courier is kept running. It decides nothing of a session.

use super::{Shared, connect, run_role};
use drawbridge_bus::client::CallError;
use drawbridge_bus::client::Client;
use drawbridge_bus::notify::CourierSystem;
use drawbridge_bus::{Refusal, Reply, Request, Role};
use std::path::Path;
use std::time::Duration;

/// How often it is looked whether the courier is still heard of.
const LOOK_EVERY: Duration = Duration::from_secs(30);

/// What another role tells, or asks of the audit.
pub(super) async fn answer(shared: &Shared, caller: Role, request: Request) -> Reply {
    let audit = &shared.audit;
    match request {
        Request::Tell(text) => audit.tell(caller, &text).await,
        Request::AuditAfter { after, most, wait } => audit.after(after, most, wait, &shared.woken).await,
        Request::AuditPage { filter, before, most } => audit.page(&filter, before, most).await,
        Request::AuditState => audit.state().await,
        Request::AuditFiles => audit.files().await,
        Request::AuditPart { file, offset, most } => audit.part(&file, offset, most).await,
        Request::AuditVerify => audit.verify().await,
        Request::Notices => shared.notices().status(),
        Request::SetNotices(change) => {
            let reply = shared.notices().set(&change, audit.last());
            changed(shared);
            reply
        }
        Request::TestNotices(test) => {
            let reply = shared.notices().test(*test);
            changed(shared);
            reply
        }
        Request::NoticeSteps => shared.notices().steps(),
        Request::CourierOrders { first } => {
            let names = shared.names();
            let serial = shared.desk().serial(&names);
            let system = CourierSystem {
                name: names.host,
                serial,
                version: names.version,
                vendor: shared.vendor.clone(),
            };
            shared.notices().orders(system, first)
        }
        Request::CourierNews(news) => shared.notices().news(news),
        _ => Reply::Refused(Refusal::NotMine),
    }
}

/// The courier hears of it, or is started.
fn changed(shared: &Shared) {
    shared.woken.notify_waiters();
    shared.courier.notify_one();
}

/// Writes down what the desk and the settings have told; whether it is on the disk.
pub(super) async fn write(shared: &Shared) -> bool {
    let take = || {
        let mut told = shared.desk().told();
        told.extend(shared.notices().told());
        told
    };
    shared.audit.write(take).await
}

/// Signs the audit, and keeps the courier running while there is somebody to be told. Ends when init is lost.
pub(super) async fn tend(shared: &Shared, sockets: &Path) -> CallError {
    let sign = shared.audit.sign(|| shared.notices().settled_by_all());
    tokio::select! {
        () = sign => CallError::Refused(Role::Session, Refusal::NotNow),
        error = keep_courier(shared, sockets) => error,
    }
}

async fn keep_courier(shared: &Shared, sockets: &Path) -> CallError {
    loop {
        if shared.notices().misses_courier() {
            // A connection of its own: a start may take a while, and a session's orders do not wait for it.
            let started = async {
                let mut init: Client = connect(sockets, Role::Init).await?;
                shared.notices().starts_courier();
                run_role(Role::Courier, &mut init).await
            };
            match started.await {
                Ok(true) => {}
                // One that is there already, and was slow to ask.
                Ok(false) => log::debug!("the courier is not started now"),
                Err(error) => return error,
            }
        }
        let _ = tokio::time::timeout(LOOK_EVERY, shared.courier.notified()).await;
    }
}
