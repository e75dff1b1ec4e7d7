//! How one engineer is supervised: who watches, whether what he types goes on, what he proposes. Pure: it is told the time and what
//! happens, and never sees a byte of what he does.

use drawbridge_bus::supervise::{
    EngineerOrders, Hold, Judgement, LINE_BYTES, MESSAGE_MOST, MESSAGES_MOST, Proposal, Supervised,
    WATCH_WITHIN, WATCHERS_MOST,
};
use drawbridge_bus::support::Level;
use std::collections::{BTreeMap, VecDeque};

/// Why something is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotTaken {
    /// There are as many as can be.
    #[error("there are too many already")]
    Many,
    /// It is too long, or not one printable line.
    #[error("this is empty, too long, or has control characters in it")]
    Text,
    /// Another line waits, or none.
    #[error("no such line waits")]
    Other,
    /// Lines are proposed at the level guided only.
    #[error("lines are proposed at the level guided only")]
    Level,
}

/// What has happened, to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happened {
    /// Somebody watches.
    Watches(String),
    /// He does no longer.
    Left(String),
    /// He has paused it.
    Paused(String),
    /// He lets it go on.
    Resumed(String),
    /// He has sent this to the screen.
    Told(String, String),
    /// Nobody watches who should: it waits.
    Frozen,
    /// Somebody watches again.
    Thawed,
    /// This line was proposed.
    Proposed(String),
    /// It runs, by his word.
    Approved(String, String),
    /// It does not, by his word.
    Refused(String, String),
}

/// One engineer's supervision.
#[derive(Debug)]
pub struct Supervision {
    level: Level,
    /// For so long nobody need watch at the level watched, in milliseconds.
    grace: u64,
    /// By the number of the viewer's page: his name, and when he said last that he watches.
    watchers: BTreeMap<u64, (String, u64)>,
    paused: Option<String>,
    /// Since when nobody watches.
    alone_since: Option<u64>,
    messages: VecDeque<String>,
    proposals: u64,
    /// The line that waits, since when; and what became of it.
    proposal: Option<(String, u64, Judgement)>,
    end: Option<String>,
    news: Vec<Happened>,
}

impl Supervision {
    /// Of an engineer who has just come in.
    pub fn new(level: Level, grace: u64, now: u64) -> Self {
        Self {
            level,
            grace,
            watchers: BTreeMap::new(),
            paused: None,
            alone_since: (level != Level::Direct).then_some(now),
            messages: VecDeque::new(),
            proposals: 0,
            proposal: None,
            end: None,
            news: Vec::new(),
        }
    }

    /// What has happened since the last call.
    pub fn news(&mut self) -> Vec<Happened> {
        std::mem::take(&mut self.news)
    }

    /// When something is due next.
    pub fn next(&self) -> Option<u64> {
        let gone = self.watchers.values().map(|(_, last)| last + WATCH_WITHIN + 1).min();
        let end = self.alone_since.filter(|_| self.end.is_none()).map(|since| since + self.grace);
        gone.into_iter().chain(end).min()
    }

    /// Does what is due.
    pub fn tick(&mut self, now: u64) {
        let gone: Vec<u64> = (self.watchers.iter())
            .filter(|(_, (_, last))| now > last + WATCH_WITHIN)
            .map(|(viewer, _)| *viewer)
            .collect();
        for viewer in gone {
            self.leave(viewer, now);
        }
        if self.alone_since.is_some_and(|since| now >= since + self.grace) && self.end.is_none() {
            self.end = Some("Nobody was watching, and the owner wants this session watched.".to_owned());
        }
    }

    /// How many pages watch.
    pub fn watchers(&self) -> usize {
        self.watchers.len()
    }

    /// Somebody's page says that he watches.
    pub fn watch(&mut self, viewer: u64, by: &str, now: u64) -> Result<(), NotTaken> {
        if let Some((_, last)) = self.watchers.get_mut(&viewer) {
            *last = now;
            return Ok(());
        }
        if self.watchers.len() >= WATCHERS_MOST {
            return Err(NotTaken::Many);
        }
        let known = self.watchers.values().any(|(name, _)| name == by);
        self.watchers.insert(viewer, (by.to_owned(), now));
        if !known {
            self.news.push(Happened::Watches(by.to_owned()));
            self.say(format!("{by} is watching."));
        }
        if self.alone_since.take().is_some() {
            self.news.push(Happened::Thawed);
        }
        Ok(())
    }

    /// His page is closed, or has not been heard of.
    pub fn leave(&mut self, viewer: u64, now: u64) {
        let Some((name, _)) = self.watchers.remove(&viewer) else { return };
        if !self.watchers.values().any(|(other, _)| *other == name) {
            self.say(format!("{name} is not watching any more."));
            self.news.push(Happened::Left(name));
        }
        if self.watchers.is_empty() && self.level != Level::Direct {
            self.alone_since = Some(now);
            self.news.push(Happened::Frozen);
        }
    }

    /// What he types waits.
    pub fn pause(&mut self, by: &str) {
        if self.paused.is_none() {
            self.paused = Some(by.to_owned());
            self.news.push(Happened::Paused(by.to_owned()));
        }
    }

    /// It goes on.
    pub fn resume(&mut self, by: &str) {
        if self.paused.take().is_some() {
            self.news.push(Happened::Resumed(by.to_owned()));
            self.say(format!("{by} lets the session go on."));
        }
    }

    /// A line for his screen.
    pub fn message(&mut self, by: &str, text: &str) -> Result<(), NotTaken> {
        let text = text.trim();
        if text.is_empty() || text.chars().count() > MESSAGE_MOST || text.chars().any(char::is_control) {
            return Err(NotTaken::Text);
        }
        if self.messages.len() >= MESSAGES_MOST {
            return Err(NotTaken::Many);
        }
        self.messages.push_back(format!("{by}: {text}"));
        self.news.push(Happened::Told(by.to_owned(), text.to_owned()));
        Ok(())
    }

    /// It ends, by somebody's word.
    pub fn end(&mut self, by: &str) {
        self.end.get_or_insert(format!("{by} has ended your connection."));
    }

    /// Whether it is to end.
    pub fn ends(&self) -> bool {
        self.end.is_some()
    }

    /// He proposes a line. The number by which it is asked about.
    pub fn propose(&mut self, line: &str, now: u64) -> Result<u64, NotTaken> {
        if self.level != Level::Guided {
            return Err(NotTaken::Level);
        }
        let line = line.trim();
        if line.is_empty() || line.len() > LINE_BYTES || line.chars().any(misleads) {
            return Err(NotTaken::Text);
        }
        if self.proposal.as_ref().is_some_and(|(_, _, judgement)| *judgement == Judgement::Waiting) {
            return Err(NotTaken::Many);
        }
        self.proposals += 1;
        self.proposal = Some((line.to_owned(), now, Judgement::Waiting));
        self.news.push(Happened::Proposed(line.to_owned()));
        Ok(self.proposals)
    }

    /// What became of the line that was proposed last. A judgement is told once: what is approved runs once.
    pub fn judgement(&mut self, number: u64) -> Result<Judgement, NotTaken> {
        let last = self.proposals;
        let Some((_, _, judgement)) = self.proposal.as_ref().filter(|_| number == last) else {
            return Err(NotTaken::Other);
        };
        let judgement = judgement.clone();
        if judgement != Judgement::Waiting {
            self.proposal = None;
        }
        Ok(judgement)
    }

    /// He gives the line up.
    pub fn withdraw(&mut self, number: u64) {
        if number == self.proposals {
            self.proposal = None;
        }
    }

    /// The owner's word on the line that waits. Only on the very line that he was shown.
    pub fn judge(&mut self, number: u64, approved: bool, by: &str) -> Result<(), NotTaken> {
        let last = self.proposals;
        match &mut self.proposal {
            Some((line, _, judgement)) if number == last && *judgement == Judgement::Waiting => {
                let (by, line) = (by.to_owned(), line.clone());
                if approved {
                    *judgement = Judgement::Approved { by: by.clone() };
                    self.news.push(Happened::Approved(by, line));
                } else {
                    *judgement = Judgement::Refused { by: by.clone() };
                    self.news.push(Happened::Refused(by, line));
                }
                Ok(())
            }
            _ => Err(NotTaken::Other),
        }
    }

    fn hold(&self, now: u64) -> Option<Hold> {
        if let Some(by) = &self.paused {
            return Some(Hold::Paused { by: by.clone() });
        }
        let since = self.alone_since?;
        let left = (since + self.grace).saturating_sub(now).div_ceil(1_000);
        Some(Hold::Unwatched { seconds: u32::try_from(left).unwrap_or(u32::MAX) })
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.watchers.values().map(|(name, _)| name.clone()).collect();
        names.sort();
        names.dedup();
        names
    }

    /// For the pages.
    pub fn shown(&self, now: u64) -> Supervised {
        let waiting = self.proposal.as_ref().filter(|(_, _, judgement)| *judgement == Judgement::Waiting);
        Supervised {
            watchers: self.names(),
            hold: self.hold(now),
            proposal: waiting.map(|(line, since, _)| Proposal {
                number: self.proposals,
                line: line.clone(),
                seconds: now.saturating_sub(*since) / 1_000,
            }),
        }
    }

    /// For the SSH daemon: messages are told once.
    pub fn orders(&mut self, now: u64) -> EngineerOrders {
        EngineerOrders {
            hold: self.hold(now),
            messages: self.messages.drain(..).collect(),
            watchers: self.names(),
            end: self.end.clone(),
        }
    }

    fn say(&mut self, text: String) {
        // Who comes and goes is of less weight than what somebody writes.
        if self.messages.len() < MESSAGES_MOST {
            self.messages.push_back(text);
        }
    }
}

/// Whether a character could make a line look like another: controls, and those that are not seen or turn the direction (Unicode
/// Standard Annex 9, section 2).
fn misleads(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: u64 = 60_000;

    fn held(supervision: &mut Supervision, now: u64) -> bool {
        supervision.tick(now);
        supervision.orders(now).hold.is_some()
    }

    #[test]
    fn at_the_level_watched_nothing_goes_on_while_nobody_watches() {
        let mut watched = Supervision::new(Level::Watched, GRACE, 0);
        assert!(held(&mut watched, 0));
        watched.watch(1, "anna", 1_000).unwrap();
        assert!(!held(&mut watched, 2_000));
        assert_eq!(watched.news(), [Happened::Watches("anna".to_owned()), Happened::Thawed]);
        // Her page says nothing more: the connection broke.
        assert!(!held(&mut watched, 1_000 + WATCH_WITHIN));
        assert!(held(&mut watched, 1_001 + WATCH_WITHIN));
        assert_eq!(watched.news(), [Happened::Left("anna".to_owned()), Happened::Frozen]);
        assert_eq!(watched.orders(2_000 + WATCH_WITHIN).end, None);
        watched.tick(1_001 + WATCH_WITHIN + GRACE);
        assert!(watched.orders(1_001 + WATCH_WITHIN + GRACE).end.is_some());
    }

    #[test]
    fn of_two_who_watch_one_may_leave() {
        let mut watched = Supervision::new(Level::Watched, GRACE, 0);
        watched.watch(1, "anna", 0).unwrap();
        watched.watch(2, "anna", 0).unwrap();
        watched.watch(3, "otto", 0).unwrap();
        watched.leave(3, 100);
        watched.leave(1, 100);
        assert!(!held(&mut watched, 200));
        assert_eq!(watched.shown(200).watchers, ["anna"]);
        watched.leave(2, 300);
        assert!(held(&mut watched, 300));
    }

    #[test]
    fn at_the_level_direct_nobody_need_watch_and_a_pause_holds_all_the_same() {
        let mut direct = Supervision::new(Level::Direct, GRACE, 0);
        assert!(!held(&mut direct, GRACE * 2));
        direct.watch(1, "anna", GRACE * 2).unwrap();
        direct.leave(1, GRACE * 2);
        assert!(!held(&mut direct, GRACE * 2));
        direct.pause("anna");
        direct.pause("otto");
        assert_eq!(direct.orders(GRACE * 2).hold, Some(Hold::Paused { by: "anna".to_owned() }));
        assert!(held(&mut direct, GRACE * 20));
        assert_eq!(direct.orders(GRACE * 20).end, None);
        direct.resume("otto");
        assert!(!held(&mut direct, GRACE * 20));
    }

    #[test]
    fn a_message_is_told_once_and_is_one_printable_line() {
        let mut direct = Supervision::new(Level::Direct, GRACE, 0);
        direct.message("anna", "please wait").unwrap();
        for wrong in ["", " ", "a\nb", "\u{1b}[2J", &"x".repeat(MESSAGE_MOST + 1)] {
            assert_eq!(direct.message("anna", wrong), Err(NotTaken::Text), "{wrong:?}");
        }
        assert_eq!(direct.orders(0).messages, ["anna: please wait"]);
        assert!(direct.orders(0).messages.is_empty());
        for _ in 0..MESSAGES_MOST {
            direct.message("anna", "x").unwrap();
        }
        assert_eq!(direct.message("anna", "x"), Err(NotTaken::Many));
    }

    #[test]
    fn only_the_line_that_was_shown_runs_and_it_runs_once() {
        let mut guided = Supervision::new(Level::Guided, GRACE, 0);
        guided.watch(1, "anna", 0).unwrap();
        let first = guided.propose("status", 0).unwrap();
        assert_eq!(guided.propose("reboot", 0), Err(NotTaken::Many));
        assert_eq!(guided.judgement(first), Ok(Judgement::Waiting));
        // He takes it back and proposes another; the owner's word on the first is none on the second.
        guided.withdraw(first);
        let second = guided.propose("rm -r /", 10).unwrap();
        assert_eq!(guided.judge(first, true, "anna"), Err(NotTaken::Other));
        assert_eq!(guided.judgement(second), Ok(Judgement::Waiting));
        guided.judge(second, false, "anna").unwrap();
        assert_eq!(guided.judge(second, true, "anna"), Err(NotTaken::Other));
        assert_eq!(guided.judgement(second), Ok(Judgement::Refused { by: "anna".to_owned() }));
        let third = guided.propose("status", 20).unwrap();
        guided.judge(third, true, "anna").unwrap();
        assert_eq!(guided.judgement(third), Ok(Judgement::Approved { by: "anna".to_owned() }));
        assert_eq!(guided.judgement(third), Err(NotTaken::Other));
    }

    #[test]
    fn a_line_is_proposed_at_the_level_guided_only_and_hides_nothing() {
        assert_eq!(Supervision::new(Level::Direct, GRACE, 0).propose("x", 0), Err(NotTaken::Level));
        let mut guided = Supervision::new(Level::Guided, GRACE, 0);
        for wrong in ["", "a\rb", "a\u{8}b", "\u{1b}[8m", "status\u{202e}toober", &"x".repeat(LINE_BYTES + 1)]
        {
            assert_eq!(guided.propose(wrong, 0), Err(NotTaken::Text), "{wrong:?}");
        }
    }
}
