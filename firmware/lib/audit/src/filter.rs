//! Which events somebody wants: by code, severity, time, who, grant or text; it never reads a file.

use crate::entry::Entry;
use crate::event::{Code, Name, Severity, WhoKind};
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// What is asked for. What is not set holds for every event.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Filter {
    /// Only these codes, when there are any.
    pub codes: BTreeSet<Code>,
    /// None of these.
    pub not: BTreeSet<Code>,
    /// As bad as this, or worse.
    pub severity: Option<Severity>,
    /// These, however bad they are.
    pub also: BTreeSet<Code>,
    /// From this time on, in milliseconds since 1970.
    pub from_ms: Option<u64>,
    /// Before this time, in milliseconds since 1970.
    pub before_ms: Option<u64>,
    /// Put down to such a person.
    pub kind: Option<WhoKind>,
    /// Put down to somebody whose name has this in it, in any case of letters.
    pub who: Option<Name>,
    /// Under this grant.
    pub grant: Option<u64>,
    /// With this in the sentence or the code, in any case of letters.
    pub text: Option<Name>,
}

impl Filter {
    /// Only these codes.
    pub fn only(codes: impl IntoIterator<Item = Code>) -> Self {
        Self { codes: codes.into_iter().collect(), ..Self::default() }
    }

    /// As bad as this, or worse.
    pub fn at_least(severity: Severity) -> Self {
        Self { severity: Some(severity), ..Self::default() }
    }

    /// Whether it is wanted. Of an event of newer software, what is not known holds, so that none is lost.
    pub fn wants(&self, entry: &Entry) -> bool {
        let millis = entry.time().millis();
        let also = entry.event().is_some_and(|event| self.also.contains(&event.code()));
        if (self.severity.is_some_and(|least| entry.severity() < least) && !also)
            || self.from_ms.is_some_and(|from| millis < from)
            || self.before_ms.is_some_and(|before| millis >= before)
        {
            return false;
        }
        if let Some(event) = entry.event() {
            let code = event.code();
            if !self.codes.is_empty() && !self.codes.contains(&code)
                || self.not.contains(&code)
                || self.kind.is_some_and(|kind| event.who.kind != kind)
                || self.who.as_ref().is_some_and(|who| !has(event.who.name.as_str(), who.as_str()))
                || self.grant.is_some_and(|grant| event.grant != Some(grant))
            {
                return false;
            }
        }
        self.text
            .as_ref()
            .is_none_or(|text| has(entry.code(), text.as_str()) || has(&entry.summary(), text.as_str()))
    }
}

fn has(text: &str, part: &str) -> bool {
    text.to_lowercase().contains(&part.to_lowercase())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::tests::stamp;
    use crate::event::{Draft, Event, What, Who};

    fn entry(what: What, name: &str, grant: Option<u64>) -> Entry {
        let draft = Draft { grant, ..Draft::new(what, Who::new(WhoKind::Owner, name)) };
        Entry::Event(Box::new(Event::new(1, stamp(500), draft)))
    }

    #[test]
    fn an_event_is_wanted_when_all_that_is_asked_for_holds() {
        let opened = entry(What::Paused { session: Name::of("Spring") }, "Anna", Some(4));
        let at = stamp(500).time.millis();
        let name = |text: &str| Some(Name::of(text));
        let all = Filter {
            codes: [Code::Paused, Code::Resumed].into(),
            not: [Code::Login].into(),
            severity: Some(Severity::Info),
            also: BTreeSet::new(),
            from_ms: Some(at),
            before_ms: Some(at + 1),
            kind: Some(WhoKind::Owner),
            who: name("ann"),
            grant: Some(4),
            text: name("SPRING"),
        };
        assert!(Filter::default().wants(&opened) && all.wants(&opened));
        let bad = Filter::at_least(Severity::Error);
        assert!(!bad.wants(&opened));
        assert!(Filter { also: [Code::Paused].into(), ..bad }.wants(&opened));
        for other in [
            Filter { codes: [Code::Resumed].into(), ..all.clone() },
            Filter { not: [Code::Paused].into(), ..all.clone() },
            Filter { severity: Some(Severity::Notice), ..all.clone() },
            Filter { from_ms: Some(at + 1), ..all.clone() },
            Filter { before_ms: Some(at), ..all.clone() },
            Filter { kind: Some(WhoKind::Engineer), ..all.clone() },
            Filter { who: name("eva"), ..all.clone() },
            Filter { grant: Some(5), ..all.clone() },
            Filter { text: name("autumn"), ..all.clone() },
        ] {
            assert!(!other.wants(&opened), "{other:?}");
        }
        assert!(Filter { text: name("paused"), ..Filter::default() }.wants(&opened), "the code counts");
    }

    #[test]
    fn what_is_no_filter_is_refused() {
        assert!(serde_json::from_str::<Filter>(r#"{"codes":["LOGIN"],"severity":"warning"}"#).is_ok());
        for wrong in [r#"{"code":"LOGIN"}"#, r#"{"codes":["WHAT"]}"#, r#"{"who":""}"#, r#"{"grant":-1}"#] {
            assert!(serde_json::from_str::<Filter>(wrong).is_err(), "{wrong}");
        }
    }
}
