//! Booting systems in turn, as often as time allows, so that what disturbs the machine meets all of them alike. A slow
//! boot is a figure, not a failure.

use crate::error::Result;
use crate::figures::Spread;
use crate::guest::{Guest, Mark};
use drawbridge_lab::seconds;
use std::path::Path;
use std::time::{Duration, Instant};

/// So many rounds are run.
const ROUNDS: usize = 5;
/// Fewer say little.
const ROUNDS_AT_LEAST: usize = 3;
/// Past this no further round begins.
const ENOUGH: Duration = Duration::from_mins(4);

/// What all boots of one system took.
#[derive(Clone, Debug)]
pub(crate) struct Boots {
    /// Until init's first line: wall time and processor time.
    pub(crate) first_line: Took,
    /// Until it served.
    pub(crate) service: Took,
    /// Blocks of code that the emulator had translated by then, in the middle one; nothing under KVM.
    pub(crate) translated: Option<u64>,
    /// How many there were.
    pub(crate) count: usize,
}

/// What one boot took.
#[derive(Clone, Copy, Debug)]
struct Boot {
    first_line: Mark,
    service: Mark,
    translated: Option<u64>,
}

/// Times of several boots until the same event.
#[derive(Clone, Debug)]
pub(crate) struct Took {
    /// On the clock.
    pub(crate) wall: Spread,
    /// Of QEMU's processor time.
    pub(crate) cpu: Spread,
}

/// Boots each of the systems once a round. One that fails takes no further part.
pub(crate) fn boots(guests: &[&Guest], disk: &Path, memory: u32) -> Vec<Result<Boots>> {
    let began = Instant::now();
    let mut marks: Vec<Result<Vec<Boot>>> = guests.iter().map(|_| Ok(Vec::new())).collect();
    for round in 0..ROUNDS {
        if round >= ROUNDS_AT_LEAST && began.elapsed() > ENOUGH {
            break;
        }
        eprintln!("bench: round {} of {ROUNDS}", round + 1);
        for (guest, marks) in guests.iter().zip(&mut marks) {
            if let Ok(so_far) = marks {
                match boot(guest, disk, memory) {
                    Ok(boot) => so_far.push(boot),
                    Err(error) => *marks = Err(error),
                }
            }
        }
    }
    marks.into_iter().map(|marks| marks.map(|marks| sum_up(&marks))).collect()
}

fn boot(guest: &Guest, disk: &Path, memory: u32) -> Result<Boot> {
    let running = guest.start(disk, memory)?;
    let boot = || {
        let first_line = running.first_line(guest, seconds(30))?;
        let service = running.serves(guest, seconds(30))?;
        // Last: the question takes processor time itself.
        Ok(Boot { first_line, service, translated: running.translated() })
    };
    boot().inspect_err(|_| running.keep())
}

fn sum_up(boots: &[Boot]) -> Boots {
    let took = |event: fn(&Boot) -> Mark| Took {
        wall: Spread::of(boots.iter().map(|boot| event(boot).wall)),
        cpu: Spread::of(boots.iter().map(|boot| event(boot).cpu)),
    };
    let mut translated: Vec<u64> = boots.iter().filter_map(|boot| boot.translated).collect();
    translated.sort_unstable();
    Boots {
        first_line: took(|boot| boot.first_line),
        service: took(|boot| boot.service),
        translated: translated.get(translated.len() / 2).copied(),
        count: boots.len(),
    }
}
