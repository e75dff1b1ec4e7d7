//! What the tap costs, printed and never judged: bulk output, and a keystroke to its answer, by stock `ssh`, with a recorder that answers at
//! once and, beside it, unrecorded. `cargo bench -p drawbridge-sshd`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot set its stage has failed; it prints"
)]

#[path = "../tests/common/mod.rs"]
mod common;

use common::recorder::Recorder;
use common::{Daemon, SECRET, Setup};
use drawbridge_bus::support::Recording;
use std::io::{Read as _, Write as _};
use std::process::Stdio;
use std::time::{Duration, Instant};

const BYTES: u64 = 100_000_000;
const KEYS: usize = 2_000;
const TIMES: usize = 3;

fn main() {
    common::be_the_role();
    for _ in 0..TIMES {
        for (name, recorder) in [("recorded", Some(Recorder::that_forgets())), ("unrecorded", None)] {
            let daemon =
                Daemon::start(Setup { recording: Recording::BreakGlass, recorder, ..Setup::default() });
            let (seconds, cpu) = bulk(&daemon);
            let (half, most) = keys(&daemon);
            println!(
                "{name:>10}: {BYTES} bytes out in {seconds:.2} s ({:.0} MB/s), {:.2} s of the daemon's processor; a key and its answer \
                 {} us (half of {KEYS}), {} us (99 of 100)",
                100.0 / seconds,
                cpu,
                half.as_micros(),
                most.as_micros()
            );
        }
    }
}

/// Seconds that a whole output takes, without the login, and the daemon's share of the processor.
fn bulk(daemon: &Daemon) -> (f64, f64) {
    let command = format!("echo; read go; head -c {BYTES} /dev/zero");
    let mut child = daemon
        .ssh(SECRET)
        .arg(command)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut out = child.stdout.take().unwrap();
    let mut buffer = vec![0; 256 * 1024];
    out.read_exact(&mut buffer[..1]).unwrap();
    let before = daemon.processor();
    let began = Instant::now();
    child.stdin.as_mut().unwrap().write_all(b"go\n").unwrap();
    let mut count = 0;
    while let Ok(length @ 1..) = out.read(&mut buffer) {
        count += length as u64;
    }
    assert_eq!(count, BYTES);
    let took = began.elapsed().as_secs_f64();
    child.wait().unwrap();
    (took, daemon.processor() - before)
}

/// From a byte to the same byte back, through `cat`: half of them took no longer than this, and 99 of 100 no longer than that.
fn keys(daemon: &Daemon) -> (Duration, Duration) {
    let mut child = daemon
        .ssh(SECRET)
        .arg("exec cat")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut to, mut from) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut times: Vec<Duration> = (0..KEYS)
        .map(|_| {
            let began = Instant::now();
            to.write_all(b"x").unwrap();
            from.read_exact(&mut [0]).unwrap();
            began.elapsed()
        })
        .collect();
    drop(to);
    child.wait().unwrap();
    times.sort_unstable();
    (times[KEYS / 2], times[KEYS * 99 / 100])
}
