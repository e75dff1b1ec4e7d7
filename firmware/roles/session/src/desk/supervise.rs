//! The desk's part in supervision: what the owner wants, what the SSH daemon and the shells ask. What follows is decided by
//! [`Supervision`]; this only finds whose it is, and ends the grant when a connection does not end.

use super::{Desk, LEAVE_WITHIN};
use crate::supervision::Supervision;
use crate::words;
use drawbridge_bus::supervise::Supervision as Wanted;
use drawbridge_bus::{Refusal, Reply};

impl Desk {
    /// Does what is due in the engineers' supervision, and writes down what has happened.
    pub(super) fn supervise_all(&mut self, now: u64) {
        let Some(bridge) = &mut self.bridge else { return };
        let (mut stays, mut news) = (None, Vec::new());
        for (connection, guest) in &mut bridge.visitors {
            let Some(supervision) = &mut guest.supervision else { continue };
            supervision.tick(now);
            for happened in supervision.news() {
                log::info!("{} from {}: {}", guest.name, guest.source, words::happened(&happened));
                news.push((*connection, happened));
            }
            if supervision.ends() {
                let since = *guest.ending.get_or_insert(now);
                if now >= since + LEAVE_WITHIN {
                    stays = Some(format!("the connection of {} does not end", guest.name));
                }
            }
        }
        let bridge = &*bridge;
        let told = news.iter().filter_map(|(connection, one)| Self::tell_happened(bridge, *connection, one));
        self.told.extend(told);
        if let Some(why) = stays {
            let id = bridge.id;
            self.failed(id, &why);
        }
    }

    fn supervision(&mut self, connection: u64) -> Option<&mut Supervision> {
        self.bridge.as_mut()?.visitors.get_mut(&connection)?.supervision.as_mut()
    }

    /// What the owner wants of an engineer's connection.
    pub(crate) fn supervise(&mut self, connection: u64, viewer: u64, by: &str, what: Wanted) -> Reply {
        let (now, by) = (self.now(), words::line(by));
        let Some(supervision) = self.supervision(connection) else { return Reply::Refused(Refusal::NotNow) };
        let taken = match what {
            Wanted::Watch => supervision.watch(viewer, &by, now),
            Wanted::Leave => {
                supervision.leave(viewer, now);
                Ok(())
            }
            Wanted::Pause => {
                supervision.pause(&by);
                Ok(())
            }
            Wanted::Resume => {
                supervision.resume(&by);
                Ok(())
            }
            Wanted::Message(text) => supervision.message(&by, &text),
            Wanted::End => {
                supervision.end(&by);
                Ok(())
            }
            Wanted::Judge { number, approved } => supervision.judge(number, approved, &by),
        };
        self.supervise_all(now);
        taken.map_or_else(|why| Reply::NotTaken(why.to_string()), |()| Reply::Done)
    }

    /// What the SSH daemon is to do with an engineer's connection.
    pub(crate) fn engineer_orders(&mut self, connection: u64) -> Reply {
        let now = self.now();
        self.supervise_all(now);
        match self.supervision(connection) {
            Some(supervision) => Reply::EngineerOrders(Box::new(supervision.orders(now))),
            None => Reply::Refused(Refusal::NotNow),
        }
    }

    /// A line that an engineer proposes.
    pub(crate) fn propose(&mut self, connection: u64, line: &str) -> Reply {
        let now = self.now();
        let Some(supervision) = self.supervision(connection) else { return Reply::Refused(Refusal::NotNow) };
        let proposed = supervision.propose(line, now);
        self.supervise_all(now);
        proposed.map_or_else(|why| Reply::NotTaken(why.to_string()), Reply::Proposed)
    }

    /// What became of it.
    pub(crate) fn judgement(&mut self, connection: u64, number: u64) -> Reply {
        let Some(supervision) = self.supervision(connection) else { return Reply::Refused(Refusal::NotNow) };
        supervision.judgement(number).map_or_else(|why| Reply::NotTaken(why.to_string()), Reply::Judgement)
    }

    /// He gives it up.
    pub(crate) fn withdraw(&mut self, connection: u64, number: u64) -> Reply {
        let Some(supervision) = self.supervision(connection) else { return Reply::Refused(Refusal::NotNow) };
        supervision.withdraw(number);
        Reply::Done
    }
}
