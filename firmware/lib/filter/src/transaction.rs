//! From tables to one transaction of the kernel's. It never sends it.

use crate::kernel::{COUNTER, MADE_BY_PACKETS, attribute, message, shown_as, verdict};
use crate::message::{Batch, Finished};
use crate::policy::{Policy, TalkedTo, members};
use crate::rule::Set;
use crate::rules::{ADVERTISED, BARRED, Chain, DOORS, SHARED, TABLE, TALKED_TO, Table, tables};

/// Elements in one message: an attribute has at most 64 KiB.
const ELEMENTS_AT_ONCE: usize = 512;

/// Ports that the kernel remembers at once for a limit on each: far more than there are, since one that was plugged in anew
/// is another.
const REMEMBERED_MOST: u32 = 1024;
/// How long it remembers one that is silent, in milliseconds: all that is limited may come again long before.
const REMEMBERED_FOR: u64 = 3_600_000;

/// Both tables from nothing, in the place of whatever has their name.
pub(crate) fn anew(first: u32, policy: &Policy, talked_to: &TalkedTo) -> Finished {
    let mut batch = Batch::begin(first);
    for table in tables() {
        // There must be one to delete.
        for kind in [message::NEW_TABLE, message::DELETE_TABLE, message::NEW_TABLE] {
            let flags = if kind == message::NEW_TABLE { libc::NLM_F_CREATE } else { 0 };
            batch.add(kind, table.family, flags, format!("the table {}", table.shown), |out| {
                out.text(attribute::TABLE_NAME, TABLE);
            });
        }
        for counter in table.counters {
            let label = format!("the counter {}", counter.0);
            batch.add(message::NEW_OBJECT, table.family, libc::NLM_F_CREATE, label, |out| {
                out.text(attribute::OBJECT_TABLE, TABLE);
                out.text(attribute::OBJECT_NAME, counter.0);
                out.number(attribute::OBJECT_TYPE, COUNTER);
                out.nest(attribute::OBJECT_DATA, |_| {});
            });
        }
        for (&set, id) in table.sets.iter().zip(1..) {
            new_set(&mut batch, &table, set, id);
            let keys = members(table.family, set, policy, talked_to);
            fill(&mut batch, message::NEW_ELEMENTS, &table, set, &keys);
        }
        for chain in &table.chains {
            new_chain(&mut batch, &table, chain);
        }
        for chain in &table.chains {
            new_rules(&mut batch, &table, chain);
        }
    }
    batch.end()
}

/// From one state of the sets to another, in tables that are there. Who stays in a set never leaves it, not even for a moment.
///
/// The kernel says `ENOENT` if the tables are not as they are believed to be.
pub(crate) fn change(first: u32, from: (&Policy, &TalkedTo), to: (&Policy, &TalkedTo)) -> Finished {
    let mut batch = Batch::begin(first);
    for table in tables() {
        // What packets have made is theirs: whoever floods a port must not be forgotten.
        for &set in table.sets.iter().filter(|set| **set != ADVERTISED) {
            let was = members(table.family, set, from.0, from.1);
            let is = members(table.family, set, to.0, to.1);
            if is.is_empty() {
                // Also when it was empty: so each set is touched, and that one is missing comes to light.
                elements(&mut batch, message::DELETE_ELEMENTS, &table, set, &[]);
            } else {
                let gone: Vec<_> = was.into_iter().filter(|key| !is.contains(key)).collect();
                fill(&mut batch, message::DELETE_ELEMENTS, &table, set, &gone);
                // Those that are in it already are no error.
                fill(&mut batch, message::NEW_ELEMENTS, &table, set, &is);
            }
        }
    }
    batch.end()
}

fn new_set(batch: &mut Batch, table: &Table, set: Set, id: u32) {
    let (key_type, length) = match set {
        DOORS => (shown_as::SERVICE, 2),
        TALKED_TO if i32::from(table.family) == libc::NFPROTO_ARP => (shown_as::PORT_AND_IPV4, 8),
        TALKED_TO => (shown_as::PORT_AND_IPV6, 20),
        SHARED => (shown_as::PORT_AND_IPV4, 8),
        BARRED => (shown_as::PORT_AND_USER, 8),
        _ => (shown_as::PORT, 4),
    };
    let label = format!("the set {} {}", table.shown, set.0);
    batch.add(message::NEW_SET, table.family, libc::NLM_F_CREATE, label, |out| {
        out.text(attribute::SET_TABLE, TABLE);
        out.text(attribute::SET_NAME, set.0);
        out.number(attribute::SET_KEY_TYPE, key_type);
        out.number(attribute::SET_KEY_LENGTH, length);
        if set == ADVERTISED {
            out.number(attribute::SET_FLAGS, MADE_BY_PACKETS);
            out.nest(attribute::SET_SIZES, |out| out.number(attribute::SIZES_MOST, REMEMBERED_MOST));
            out.long_number(attribute::SET_TIMEOUT, REMEMBERED_FOR);
        }
        // Another name for it within the transaction, which the kernel wants to have.
        out.number(attribute::SET_ID, id);
        out.bytes(attribute::SET_NOTES, &shown_as::order(key_type));
    });
}

fn fill(batch: &mut Batch, kind: u16, table: &Table, set: Set, keys: &[Vec<u8>]) {
    for keys in keys.chunks(ELEMENTS_AT_ONCE) {
        elements(batch, kind, table, set, keys);
    }
}

/// Adds elements or deletes them; none to delete is all of them.
fn elements(batch: &mut Batch, kind: u16, table: &Table, set: Set, keys: &[Vec<u8>]) {
    let flags = if kind == message::NEW_ELEMENTS { libc::NLM_F_CREATE } else { 0 };
    let label = format!("the members of {} {}", table.shown, set.0);
    batch.add(kind, table.family, flags, label, |out| {
        out.text(attribute::ELEMENTS_TABLE, TABLE);
        out.text(attribute::ELEMENTS_SET, set.0);
        if keys.is_empty() {
            return;
        }
        out.nest(attribute::ELEMENTS_LIST, |out| {
            for key in keys {
                out.nest(attribute::LIST_ELEMENT, |out| {
                    out.nest(attribute::ELEMENT_KEY, |out| out.bytes(attribute::DATA_VALUE, key));
                });
            }
        });
    });
}

fn new_chain(batch: &mut Batch, table: &Table, chain: &Chain) {
    let label = format!("the chain {} {}", table.shown, chain.name);
    batch.add(message::NEW_CHAIN, table.family, libc::NLM_F_CREATE, label, |out| {
        out.text(attribute::CHAIN_TABLE, TABLE);
        out.text(attribute::CHAIN_NAME, chain.name);
        if let Some((hook, priority)) = chain.hook {
            out.text(attribute::CHAIN_TYPE, "filter");
            out.nest(attribute::CHAIN_HOOK, |out| {
                out.number(attribute::HOOK_NUMBER, hook);
                out.number(attribute::HOOK_PRIORITY, priority.cast_unsigned());
            });
            out.number(attribute::CHAIN_POLICY, verdict::DROP.cast_unsigned());
        }
    });
}

fn new_rules(batch: &mut Batch, table: &Table, chain: &Chain) {
    for rule in &chain.rules {
        let label = format!("the rule of {} {}: {}", table.shown, chain.name, rule.text);
        let flags = libc::NLM_F_CREATE | libc::NLM_F_APPEND;
        batch.add(message::NEW_RULE, table.family, flags, label, |out| {
            out.text(attribute::RULE_TABLE, TABLE);
            out.text(attribute::RULE_CHAIN, chain.name);
            out.nest(attribute::RULE_EXPRESSIONS, |out| rule.write(out));
        });
    }
}
