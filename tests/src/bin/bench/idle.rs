//! What systems do while nobody wants anything of them: a minute, all at the same time. It disturbs none of them meanwhile.

use crate::error::{BenchError, Result};
use crate::guest::{Guest, Running};
use drawbridge_lab::seconds;
use std::path::Path;
use std::time::Duration;

const MINUTE: Duration = Duration::from_mins(1);

/// How long after its start the appliance is taken for idle: it has served its page, announced its address and settled.
pub(crate) const SETTLED_AFTER: Duration = Duration::from_secs(20);

/// What a minute took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Idle {
    /// As the system counted.
    pub(crate) counted: Counted,
    /// QEMU's processor time.
    pub(crate) cpu: Duration,
}

/// What a system says of its idle minute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Memory that is not available any more, in KiB, of what the kernel left to be used.
    pub(crate) used: u64,
    /// What the kernel left, in KiB.
    pub(crate) total: u64,
    /// Context switches.
    pub(crate) switches: u64,
    /// Interrupts.
    pub(crate) interrupts: u64,
}

/// Watches the appliance and its peers. The appliance counts by itself, `start` after its start; the others when a line is
/// typed.
pub(crate) fn watch(
    appliance: &Guest,
    start: Duration,
    peers: &[&Guest],
    disk: &Path,
    memory: u32,
) -> Vec<Result<Idle>> {
    eprintln!("bench: starting {} systems for an idle minute", peers.len() + 1);
    let peers = peers.iter().map(|peer| begin(peer, disk, memory)).collect::<Vec<_>>();
    let mut all = vec![begin(appliance, disk, memory)];
    if let Ok((_, running)) = &all[0]
        && let Ok(now) = running.mark()
    {
        std::thread::sleep(start.saturating_sub(now.wall));
    }
    all.extend(peers);
    for (_, running) in all.iter().skip(1).flatten() {
        // One that cannot be typed to will not count, which is told below.
        let _ = running.machine.serial().write("\n");
    }
    eprintln!("bench: an idle minute");
    let cpu = |running: &Running| running.mark().map(|mark| mark.cpu);
    let before: Vec<_> = all.iter().map(|one| one.as_ref().ok().map(|(_, running)| cpu(running))).collect();
    std::thread::sleep(MINUTE);
    let after: Vec<_> = all.iter().map(|one| one.as_ref().ok().map(|(_, running)| cpu(running))).collect();
    let both = before.into_iter().zip(after);
    all.into_iter()
        .zip(both)
        .map(|(one, both)| {
            let (name, running) = one?;
            let cpu = match both {
                (Some(before), Some(after)) => after?.saturating_sub(before?),
                _ => Duration::ZERO,
            };
            let line = running.machine.serial().wait_for(whole_line, seconds(10));
            let line = line.inspect_err(|_| running.keep())?.text;
            let counted = parse(&line).ok_or(BenchError::NotCounted(name, line))?;
            Ok(Idle { counted, cpu })
        })
        .collect()
}

fn begin(guest: &Guest, disk: &Path, memory: u32) -> Result<(&'static str, Running)> {
    let running = guest.start(disk, memory)?;
    let up = || -> Result<_> {
        running.first_line(guest, seconds(30))?;
        running.serves(guest, seconds(30))
    };
    up().inspect_err(|_| running.keep())?;
    Ok((guest.name, running))
}

fn whole_line(line: &str) -> bool {
    parse(line).is_some()
}

/// Reads `idle: N of N KiB in use, N context switches and N interrupts in a minute`, whatever stands before it.
fn parse(line: &str) -> Option<Counted> {
    let (used, rest) = line.split_once(": idle: ")?.1.split_once(" of ")?;
    let (total, rest) = rest.split_once(" KiB in use, ")?;
    let (switches, rest) = rest.split_once(" context switches and ")?;
    let interrupts = rest.strip_suffix(" interrupts in a minute")?;
    Some(Counted {
        used: used.parse().ok()?,
        total: total.parse().ok()?,
        switches: switches.parse().ok()?,
        interrupts: interrupts.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_system_counted_is_read() {
        let line = "[   80.1] init: lab: idle: 9000 of 221000 KiB in use, 500 context switches and 900 interrupts in a minute";
        let counted = Counted { used: 9000, total: 221_000, switches: 500, interrupts: 900 };
        assert_eq!(parse(line), Some(counted));
        assert_eq!(parse("bench: idle: x of 1 KiB in use"), None);
    }
}
