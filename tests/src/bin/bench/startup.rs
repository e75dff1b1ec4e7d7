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
    /// How many there were.
    pub(crate) count: usize,
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
    let mut marks: Vec<Result<Vec<[Mark; 2]>>> = guests.iter().map(|_| Ok(Vec::new())).collect();
    for round in 0..ROUNDS {
        if round >= ROUNDS_AT_LEAST && began.elapsed() > ENOUGH {
            break;
        }
        eprintln!("bench: round {} of {ROUNDS}", round + 1);
        for (guest, marks) in guests.iter().zip(&mut marks) {
            if let Ok(so_far) = marks {
                match boot(guest, disk, memory) {
                    Ok(both) => so_far.push(both),
                    Err(error) => *marks = Err(error),
                }
            }
        }
    }
    marks.into_iter().map(|marks| marks.map(|marks| sum_up(&marks))).collect()
}

fn boot(guest: &Guest, disk: &Path, memory: u32) -> Result<[Mark; 2]> {
    let running = guest.start(disk, memory)?;
    let both = || Ok([running.first_line(guest, seconds(30))?, running.serves(guest, seconds(30))?]);
    both().inspect_err(|_| running.keep())
}

fn sum_up(marks: &[[Mark; 2]]) -> Boots {
    let took = |event: usize| Took {
        wall: Spread::of(marks.iter().map(|both| both[event].wall)),
        cpu: Spread::of(marks.iter().map(|both| both[event].cpu)),
    };
    Boots { first_line: took(0), service: took(1), count: marks.len() }
}
