//! The lines that are printed, each figure beside those of its peers and its goal. It measures nothing.

use crate::error::{BenchError, Result};
use crate::figures::{Spread, amounts, beside, goal, mebibytes, print, ratio};
use crate::guest::Guest;
use crate::idle::Idle;
use crate::lease_peers::LeasePeer;
use crate::machine;
use crate::network::Leases;
use crate::startup::{Boots, Took};
use drawbridge_image::sizes;
use std::path::Path;

/// The time to the status page, in times of the bare init's on the same kernel.
const STARTUP_GOAL: f64 = 1.5;

/// Something that every peer has a figure for, beside the peer's name.
pub(crate) type Beside<'peer, T> = [(&'peer Guest, T)];

/// What the figures are measured on.
pub(crate) fn machine() {
    print("machine", machine::accelerator(), &machine::remarks());
}

/// A peer by the name that the figures call it.
pub(crate) fn peer(guest: &Guest) {
    print(&format!("peer {}", guest.name), "is measured", std::slice::from_ref(&guest.what));
}

/// A peer that is not there.
pub(crate) fn no_peer(name: &str, why: &BenchError) {
    print(&format!("peer {name}"), "cannot be had here", &[why.to_string()]);
}

/// What is shipped, and what a machine loads.
pub(crate) fn sizes(system: &Path, appliance: &Guest, peers: &[&Guest]) -> Result<()> {
    let bytes = system.metadata().map_err(BenchError::file("look at", system))?.len();
    let limit = goal(mebibytes(sizes::GOAL), bytes <= sizes::GOAL);
    print("system file", mebibytes(bytes), &[limit]);
    let ours = appliance.size()?;
    let mut remarks = Vec::new();
    for peer in peers {
        let theirs = peer.size()?;
        remarks.push(beside(peer.name, mebibytes(theirs), amounts(ours, theirs)));
    }
    print("kernel and initramfs", mebibytes(ours), &remarks);
    Ok(())
}

/// How long boots take. The first of the peers is the bare init on the same kernel, which the goal is about.
pub(crate) fn startup(ours: &Boots, peers: &Beside<'_, Boots>) {
    let counts = peers.iter().map(|(peer, boots)| format!("{} {}", peer.name, boots.count));
    print("boots, in turn", ours.count, &counts.collect::<Vec<_>>());
    let first = |boots: &Boots| boots.first_line.clone();
    took("from start to init's first line", &first(ours), &[], peers, first);
    let served = |boots: &Boots| boots.service.clone();
    let within = |of: fn(&Took) -> std::time::Duration| {
        peers.first().map_or(String::new(), |(_, bare)| {
            goal(format!("ratio {STARTUP_GOAL}"), ratio(of(&ours.service), of(&bare.service)) <= STARTUP_GOAL)
        })
    };
    let goals = [within(|took| took.wall.median()), within(|took| took.cpu.median())];
    took("from start to the service", &served(ours), &goals, peers, served);
    if let Some(own) = ours.translated {
        let says = |blocks: u64| format!("{blocks} blocks");
        let compare = |(peer, boots): &(&Guest, Boots)| {
            let theirs = boots.translated.filter(|blocks| *blocks > 0)?;
            Some(beside(peer.name, says(theirs), amounts(own, theirs)))
        };
        let remarks: Vec<String> = peers.iter().filter_map(compare).collect();
        print("from start to the service, code translated", says(own), &remarks);
    }
}

fn took(
    name: &str,
    ours: &Took,
    goals: &[String],
    peers: &Beside<'_, Boots>,
    event: impl Fn(&Boots) -> Took,
) {
    for (kind, of) in
        [("wall", (|took: &Took| took.wall.clone()) as fn(&Took) -> _), ("CPU", |took| took.cpu.clone())]
    {
        let ours = of(ours);
        let compare = |(peer, boots): &(&Guest, Boots)| {
            let theirs = of(&event(boots));
            beside(peer.name, &theirs, ratio(ours.median(), theirs.median()))
        };
        let mut remarks: Vec<String> = peers.iter().map(compare).collect();
        remarks.extend(goals.get(usize::from(kind == "CPU")).cloned());
        print(&format!("{name}, {kind}"), &ours, &remarks);
    }
}

/// How soon a lease is there and used.
pub(crate) fn leases(ours: &Leases, peers: &[LeasePeer]) {
    for (peer, why) in peers.iter().filter_map(|peer| Some((peer, peer.leases.as_ref().err()?))) {
        missing("leases", peer.name, why);
    }
    let there: Vec<(&str, &Leases)> =
        peers.iter().filter_map(|peer| Some((peer.name, peer.leases.as_ref().ok()?))).collect();
    let counts = there.iter().map(|(name, leases)| format!("{name} {}", leases.count));
    let mut remarks: Vec<String> = counts.collect();
    remarks.push(format!(
        "\"here\" is natively on this host, from the program's start; the others are guests under {}, from carrier",
        machine::accelerator()
    ));
    print("leases, one after the other", ours.count, &remarks);
    let line = |name: &str, of: fn(&Leases) -> &Spread, more: &str| {
        let compare = |(peer, leases): &(&str, &Leases)| {
            beside(peer, of(leases), ratio(of(ours).median(), of(leases).median()))
        };
        let mut remarks: Vec<String> = there.iter().map(compare).collect();
        remarks.push(more.to_owned());
        print(name, of(ours), &remarks);
    };
    line("from carrier to the server's ACK", |leases| &leases.acked, "");
    let probes = "ours probes the address before it uses it (RFC 5227), the peers do not";
    line("from carrier to an answered ping", |leases| &leases.usable, probes);
    let probing = ours.probing.as_ref().map_or_else(
        || "no probe was seen".to_owned(),
        |probing| format!("ours probed for {probing}, from its first question to its announcement"),
    );
    line("from carrier to an answered ping, unprobed", |leases| &leases.unprobed, &probing);
    for (name, bound) in there.iter().filter_map(|(name, leases)| Some((name, leases.bound.as_ref()?))) {
        print(&format!("{name}, to its own word"), bound, &[]);
    }
}

/// What the network role holds of memory.
pub(crate) fn role_memory(kibibytes: Option<u64>) {
    match kibibytes {
        Some(held) => print("memory of the network role", mebibytes(held << 10), &[]),
        None => print("memory of the network role", "not told by this image", &[]),
    }
}

/// How long it takes back to the old address after a change that nobody could confirm, by where that is from.
pub(crate) fn cut_offs(all: &[(&str, (Spread, Option<Spread>))]) {
    for (from, (back, probing)) in all {
        let probed = probing.as_ref().map(|probing| format!("of that the address was probed for {probing}"));
        let since = "from the log's line that the time is over to an answered ping".to_owned();
        print(&format!("back after a cut-off, {from}"), back, &[since, probed.unwrap_or_default()]);
    }
}

/// The smallest memory that serves, and that of the bare init, if they are within the goal (in MiB).
pub(crate) fn least_memory(ours: Option<u32>, bare: Option<(&Guest, Option<u32>)>, limit: u32) {
    let says = |least: Option<u32>| {
        least.map_or_else(|| format!("more than {limit} MiB"), |mebibytes| format!("{mebibytes} MiB"))
    };
    let compare = |(peer, theirs): (&Guest, Option<u32>)| match (ours, theirs) {
        (Some(ours), Some(least)) => beside(peer.name, says(theirs), amounts(ours.into(), least.into())),
        _ => format!("{} {}", peer.name, says(theirs)),
    };
    let mut remarks: Vec<String> = bare.map(compare).into_iter().collect();
    remarks.push(goal(format!("{limit} MiB"), ours.is_some()));
    print("smallest memory that serves", says(ours), &remarks);
}

/// What an idle minute takes, of machines with so many MiB.
pub(crate) fn idle(ours: &Idle, peers: &Beside<'_, Idle>, memory: u32) {
    let all = u64::from(memory) << 10;
    let row = |name: &str, says: &dyn Fn(u64) -> String, of: &dyn Fn(&Idle) -> u64| {
        let own = of(ours);
        let compare = |(peer, idle): &(&Guest, Idle)| {
            let theirs = of(idle);
            beside(peer.name, says(theirs), amounts(own, theirs))
        };
        print(name, says(own), &peers.iter().map(compare).collect::<Vec<_>>());
    };
    let kibibytes = |amount: u64| mebibytes(amount << 10);
    row("idle: memory in use", &kibibytes, &|idle| idle.counted.used);
    // The kernel's image and its tables are no part of what it says that it has.
    let with_kernel = |idle: &Idle| all.saturating_sub(idle.counted.total - idle.counted.used);
    row("idle: memory in use, the kernel's own with it", &kibibytes, &with_kernel);
    row("idle: context switches in a minute", &|count| count.to_string(), &|idle| idle.counted.switches);
    row("idle: interrupts in a minute", &|count| count.to_string(), &|idle| idle.counted.interrupts);
    let seconds = |milliseconds: u64| format!("{:.2} s", amounts(milliseconds, 1000));
    let cpu = |idle: &Idle| u64::try_from(idle.cpu.as_millis()).unwrap_or(u64::MAX);
    row("idle: CPU in a minute, QEMU's own with it", &seconds, &cpu);
}

/// A figure that a peer does not give.
pub(crate) fn missing(figure: &str, name: &str, why: &BenchError) {
    print(figure, "not measured", &[format!("{name}: {why}")]);
}
