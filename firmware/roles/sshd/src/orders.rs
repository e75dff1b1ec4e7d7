//! What the owner orders of an engineer's connection while it is there: that what he types waits, lines for his screen, an end. Session
//! decides; this asks it now and then, and has it done.

use crate::line::Line;
use crate::listen::Daemon;
use drawbridge_bus::record::RecordedUse;
use drawbridge_bus::supervise::{EngineerOrders, Hold, LOOK_EVERY};
use drawbridge_bus::support::Level;
use drawbridge_bus::{Reply, Request};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;

/// Lines for an engineer's screens that are kept for a terminal which is opened later.
const LINES_KEPT: usize = 8;

/// What is ordered just now.
#[derive(Debug)]
pub(crate) struct Orders {
    level: Level,
    /// Why what he sends waits; none: it goes on.
    hold: watch::Sender<Option<Hold>>,
    /// Lines for his screens, with the number of the last one.
    lines: Mutex<(u64, VecDeque<String>)>,
    news: watch::Sender<u64>,
}

impl Orders {
    /// At the levels at which somebody must watch, it waits until session says otherwise.
    pub(crate) fn new(level: Level) -> Self {
        let hold = (level != Level::Direct).then_some(Hold::Unwatched { seconds: 0 });
        Self {
            level,
            hold: watch::Sender::new(hold),
            lines: Mutex::new((0, VecDeque::new())),
            news: watch::Sender::new(0),
        }
    }

    /// Is over when what he sends may go on.
    pub(crate) async fn may_go_on(&self) {
        // The sender is here.
        let _ = self.hold.subscribe().wait_for(Option::is_none).await;
    }

    /// Why what he sends waits.
    pub(crate) fn hold(&self) -> Option<Hold> {
        self.hold.borrow().clone()
    }

    /// Why something cannot be begun just now; a sentence without its full stop.
    pub(crate) fn forbids(&self, what: &RecordedUse) -> Option<&'static str> {
        let is_files = matches!(what, RecordedUse::Files { .. } | RecordedUse::Forward(_));
        if self.level == Level::Guided && is_files {
            return Some(
                "at the level guided there are no files and no forwards: propose lines on the command line",
            );
        }
        // A command line does nothing before something is typed.
        let waits_by_itself = matches!(
            what,
            RecordedUse::Terminal { command: None, .. }
                | RecordedUse::Command(None)
                | RecordedUse::Files { scp: None }
        );
        match self.hold() {
            Some(_) if waits_by_itself => None,
            Some(Hold::Paused { .. }) => Some("the owner has paused the session"),
            Some(Hold::Unwatched { .. }) => {
                Some("nobody is watching: ask the owner to open the page Live of his console")
            }
            None => None,
        }
    }

    /// The lines for his screen behind this number, and the number of the last one.
    pub(crate) fn lines_after(&self, number: u64) -> (u64, Vec<String>) {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let new = usize::try_from(lines.0.saturating_sub(number)).unwrap_or(usize::MAX).min(lines.1.len());
        (lines.0, lines.1.iter().skip(lines.1.len() - new).cloned().collect())
    }

    /// Changes when there is a line more.
    pub(crate) fn news(&self) -> watch::Receiver<u64> {
        self.news.subscribe()
    }

    fn say(&self, text: String) {
        let number = {
            let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
            if lines.1.len() >= LINES_KEPT {
                lines.1.pop_front();
            }
            lines.1.push_back(text);
            lines.0 += 1;
            lines.0
        };
        self.news.send_replace(number);
    }

    /// Takes what session orders.
    fn take(&self, orders: EngineerOrders) {
        for message in orders.messages {
            self.say(message);
        }
        let before = self.hold();
        let is_news = match (&before, &orders.hold) {
            // The seconds run; who has paused it may be another.
            (Some(Hold::Unwatched { .. }), Some(Hold::Unwatched { .. })) => {
                before == Some(Hold::Unwatched { seconds: 0 })
            }
            (before, now) => before != now,
        };
        if is_news {
            self.say(match &orders.hold {
                Some(hold) => format!("{hold}."),
                None => "What you type is taken again.".to_owned(),
            });
        }
        self.hold.send_replace(orders.hold);
    }
}

/// Asks session as long as the connection is there.
pub(crate) async fn follow(daemon: Arc<Daemon>, line: Arc<Line>) {
    let must_be_watched = daemon.orders.level != Level::Direct;
    let mut unheard = false;
    loop {
        match daemon.session.ask(Request::EngineerOrders { connection: line.number }).await {
            Ok(Reply::EngineerOrders(mut orders)) => {
                unheard = false;
                let end = orders.end.take();
                line.orders.take(*orders);
                if let Some(why) = end {
                    line.end(why);
                    return;
                }
            }
            // Nobody can be asked: where somebody must watch, nobody is known to.
            answer => {
                if !std::mem::replace(&mut unheard, true) {
                    log::warn!("session does not say what is ordered of {}: {answer:?}", line.who);
                }
                if must_be_watched && line.orders.hold().is_none() {
                    let hold = Some(Hold::Unwatched { seconds: 0 });
                    line.orders.take(EngineerOrders { hold, ..EngineerOrders::default() });
                }
            }
        }
        tokio::time::sleep(Duration::from_millis(LOOK_EVERY)).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn held(hold: Option<Hold>) -> EngineerOrders {
        EngineerOrders { hold, ..EngineerOrders::default() }
    }

    #[tokio::test]
    async fn what_is_to_be_watched_waits_until_session_says_otherwise() {
        assert!(Orders::new(Level::Direct).hold().is_none());
        let orders = Orders::new(Level::Watched);
        assert!(orders.hold().is_some());
        orders.take(held(None));
        orders.may_go_on().await;
    }

    #[test]
    fn nothing_begins_that_would_go_on_by_itself_while_it_is_held() {
        let (line, one) = (RecordedUse::Command(None), RecordedUse::Command(Some("status".to_owned())));
        let files = RecordedUse::Files { scp: None };
        let orders = Orders::new(Level::Watched);
        assert!(orders.forbids(&line).is_none() && orders.forbids(&one).is_some());
        orders.take(held(None));
        assert!(orders.forbids(&one).is_none() && orders.forbids(&files).is_none());
        let guided = Orders::new(Level::Guided);
        guided.take(held(None));
        assert!(guided.forbids(&files).is_some() && guided.forbids(&one).is_none());
    }

    #[test]
    fn a_hold_is_told_once_and_its_end_too() {
        let orders = Orders::new(Level::Watched);
        for seconds in [60, 59, 58] {
            orders.take(held(Some(Hold::Unwatched { seconds })));
        }
        orders.take(held(None));
        orders.take(held(None));
        orders.take(held(Some(Hold::Paused { by: "anna".to_owned() })));
        let (last, lines) = orders.lines_after(0);
        assert_eq!((last, lines.len()), (3, 3), "{lines:?}");
        assert!(lines[0].starts_with("nobody is watching") && lines[2].starts_with("anna has paused"));
        assert_eq!(orders.lines_after(2).1, lines[2..]);
        assert_eq!(orders.lines_after(3), (3, Vec::new()));
    }

    #[test]
    fn of_many_lines_the_last_are_kept() {
        let orders = Orders::new(Level::Direct);
        for number in 0..20 {
            let messages = vec![number.to_string()];
            orders.take(EngineerOrders { messages, ..EngineerOrders::default() });
        }
        let (last, lines) = orders.lines_after(0);
        assert_eq!((last, lines.len()), (20, LINES_KEPT));
        assert_eq!(lines[LINES_KEPT - 1], "19");
    }
}
