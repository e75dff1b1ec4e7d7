//! The benchmarks of recordings: figures beside those of programs that do the like, measured in one run. A slow machine fails none
//! of them; only what does not work at all is an error.
//!
//! `cargo run --release -p drawbridge-recording --example bench [FOLDER]` needs 1.5 GB in that folder (the usual one for temporary
//! files), and the packages of `packages.txt`.

use drawbridge_chain::{DeviceKey, Expected, FolderTracks, Signature, Text, Verdict, verify};
use drawbridge_recording::{Clock, Facts, FolderStore, Guidance, Recorder, Screen, Size};
use nix::pty::{OpenptyResult, openpty};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeValLike as _;
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use std::error::Error;
use std::fs::File;
use std::io::{self, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

type Result<T> = std::result::Result<T, Box<dyn Error>>;

/// What is verified.
const GIGABYTE: u64 = 1_000_000_000;
/// What comes at once from a program.
const BURST: usize = 100_000_000;
/// Keys that are typed, one after the other.
const KEYS: u32 = 5_000;
/// Rounds of each, in turn. The median counts.
const ROUNDS: usize = 3;

fn main() -> Result<()> {
    let base = std::env::args_os().nth(1).map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::tempdir_in(base)?;
    verifying(folder.path())?;
    bursts(folder.path())?;
    typing(folder.path())?;
    an_hour(folder.path())?;
    screens()
}

struct Device(Ed25519KeyPair);

impl Device {
    fn new() -> Result<Self> {
        Ok(Self(Ed25519KeyPair::from_seed_unchecked(&[1; 32]).map_err(|error| error.to_string())?))
    }

    fn key(&self) -> Result<DeviceKey> {
        Ok(DeviceKey(self.0.public_key().as_ref().try_into()?))
    }

    fn begin(&self, path: &Path, began: Instant) -> Result<Recorder<FolderStore>> {
        let text = |text: &str| Text::of(text);
        let facts = Facts {
            id: text("bench"),
            serial: text("bench"),
            system: text("bench"),
            version: text("0"),
            session: Text::of("bench"),
            engineer: Text::of("nobody"),
            source: None,
            grant: 1,
            level: Guidance::Direct,
            login: Text::of("nobody"),
        };
        let clock = Clock::new(SystemTime::now(), Duration::ZERO);
        Ok(Recorder::create(FolderStore::create(path)?, facts, self.key()?, None, clock, began.elapsed())?)
    }

    fn end(&self, mut recorder: Recorder<FolderStore>, began: Instant) -> Result<()> {
        let end = recorder.finish(began.elapsed(), Text::of("end"))?;
        let signature = self.0.sign(&end.bytes());
        Ok(recorder.signed(&end, Signature(signature.as_ref().try_into()?))?)
    }
}

/// The time that a whole bundle of 1 GB takes, beside one hash of the same bytes.
fn verifying(folder: &Path) -> Result<()> {
    let device = Device::new()?;
    let path = folder.join("gigabyte");
    let began = Instant::now();
    let mut recorder = device.begin(&path, began)?;
    let terminal = recorder.terminal(began.elapsed(), Text::of("xterm"), Size::clamped(24, 80))?;
    let mut noise = Noise(1);
    let mut piece = vec![0; 32 * 1024];
    let mut written = 0;
    while written < GIGABYTE {
        noise.fill(&mut piece);
        recorder.output(terminal, began.elapsed(), &piece)?;
        written += u64::try_from(piece.len())?;
    }
    device.end(recorder, began)?;
    print("time to record 1 GB, with its seals", began.elapsed(), "");
    let key = Expected::Key(device.key()?);
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let began = Instant::now();
        let chain = BufReader::new(File::open(path.join("chain.jsonl"))?);
        let report = verify(chain, &mut FolderTracks::new(&path), &key)?;
        ours.push(began.elapsed());
        if !matches!(report.verdict, Verdict::Whole { .. }) {
            return Err("the bundle is not whole".into());
        }
        let began = Instant::now();
        run(Command::new("sha256sum").arg(path.join("terminal-1.ttyrec")).stdout(Stdio::null()))?;
        theirs.push(began.elapsed());
    }
    let (ours, theirs) = (median(ours), median(theirs));
    print("time to verify 1 GB", ours, &beside("sha256sum", theirs, ours));
    std::fs::remove_dir_all(path)?;
    Ok(())
}

/// The processor time of a program that writes 100 MB to a terminal and of what records it, beside `script` and `ttyrec`.
fn bursts(folder: &Path) -> Result<()> {
    let text = folder.join("burst");
    let mut noise = Noise(2);
    let mut out = io::BufWriter::new(File::create(&text)?);
    let mut line = [0; 80];
    for _ in 0..BURST / line.len() {
        noise.fill(&mut line);
        for byte in &mut line {
            *byte = b' ' + *byte % 95;
        }
        line[79] = b'\n';
        out.write_all(&line)?;
    }
    out.flush()?;
    drop(out);
    let mut costs = [Vec::new(), Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let before = used()?;
        ours(&folder.join(format!("bundle-{round}")), &text)?;
        costs[0].push(used()?.saturating_sub(before));
        let before = used()?;
        let command = format!("cat {}", text.display());
        let to = folder.join("script.out");
        let mut script = Command::new("script");
        run(script.args(["-q", "-c", &command]).arg(&to).stdin(Stdio::null()).stdout(Stdio::null()))?;
        costs[1].push(used()?.saturating_sub(before));
        let before = used()?;
        theirs(&command, &folder.join("theirs.ttyrec"))?;
        costs[2].push(used()?.saturating_sub(before));
    }
    let [ours, script, ttyrec] = costs.map(median);
    let remarks = [beside("script", script, ours), beside("ttyrec, shown too", ttyrec, ours)].join("; ");
    print("processor time to write and record 100 MB", ours, &remarks);
    Ok(())
}

/// `cat` on a terminal, recorded by us: read as a daemon reads it, and sealed.
fn ours(path: &Path, text: &Path) -> Result<()> {
    let device = Device::new()?;
    let began = Instant::now();
    let mut recorder = device.begin(path, began)?;
    let terminal = recorder.terminal(began.elapsed(), Text::of("xterm"), Size::clamped(24, 80))?;
    let OpenptyResult { master, slave } = openpty(None, None)?;
    let mut child = Command::new("cat").arg(text).stdin(Stdio::null()).stdout(slave).spawn()?;
    let (mut master, mut buffer) = (File::from(master), vec![0; 32 * 1024]);
    // The other end's last close is an error on this side (EIO).
    while let Ok(read @ 1..) = master.read(&mut buffer) {
        recorder.output(terminal, began.elapsed(), buffer.get(..read).unwrap_or_default())?;
    }
    child.wait()?;
    device.end(recorder, began)
}

/// The same by `ttyrec`, which wants a terminal of its own, and shows there what it records.
fn theirs(command: &str, to: &Path) -> Result<()> {
    let OpenptyResult { master, slave } = openpty(None, None)?;
    let mut ttyrec = Command::new("ttyrec");
    ttyrec.args(["-e", command]).arg(to).stdin(slave.try_clone()?).stdout(slave);
    let mut child = ttyrec.spawn()?;
    drop(ttyrec);
    let (mut master, mut buffer) = (File::from(master), vec![0; 32 * 1024]);
    while let Ok(1..) = master.read(&mut buffer) {}
    child.wait()?;
    Ok(())
}

/// What says that it is there, and then shows what is typed.
const ECHOES: &str = "echo ready; exec cat";
/// How often the appliance seals.
const SEAL_EVERY: Duration = Duration::from_millis(750);

/// The processor time that recording adds to a key and its echo: each is written down before the next is typed, as on the appliance.
fn typing(folder: &Path) -> Result<()> {
    let mut costs = [Vec::new(), Vec::new(), Vec::new(), Vec::new()];
    for round in 0..ROUNDS {
        let (script, ttyrec) = (folder.join("typed.out"), folder.join("typed.ttyrec"));
        let mut commands =
            [Command::new("sh"), Command::new("sh"), Command::new("script"), Command::new("ttyrec")];
        commands[0].args(["-c", ECHOES]);
        commands[1].args(["-c", ECHOES]);
        commands[2].args(["-q", "-f", "-c", ECHOES]).arg(&script);
        commands[3].args(["-e", ECHOES]).arg(&ttyrec);
        for (number, (command, costs)) in commands.into_iter().zip(&mut costs).enumerate() {
            let before = used()?;
            let ours = (number == 1).then(|| folder.join(format!("typed-{round}")));
            type_keys(command, ours.as_deref())?;
            costs.push(used()?.saturating_sub(before) / KEYS);
        }
    }
    let [bare, ours, script, ttyrec] = costs.map(median);
    let [ours, script, ttyrec] = [ours, script, ttyrec].map(|cost| cost.saturating_sub(bare));
    let remarks = [beside("script", script, ours), beside("ttyrec", ttyrec, ours)].join("; ");
    print("processor time that recording adds to a key", ours, &remarks);
    Ok(())
}

/// Types at a program on a terminal, each key when the one before was shown; recorded by us where there is a place for that.
fn type_keys(mut command: Command, bundle: Option<&Path>) -> Result<()> {
    let (device, began) = (Device::new()?, Instant::now());
    let mut recorder = bundle.map(|path| device.begin(path, began)).transpose()?;
    let size = Size::clamped(24, 80);
    let terminal = recorder
        .as_mut()
        .map(|recorder| recorder.terminal(began.elapsed(), Text::of("xterm"), size))
        .transpose()?;
    let OpenptyResult { master, slave } = openpty(None, None)?;
    let mut child = command.stdin(slave.try_clone()?).stdout(slave).stderr(Stdio::null()).spawn()?;
    drop(command);
    let (mut master, mut buffer) = (File::from(master), vec![0; 32 * 1024]);
    let mut sealed = Instant::now();
    let mut shows = |master: &mut File, wanted: &[u8], key: &[u8]| -> Result<()> {
        let mut seen = Vec::new();
        while !seen.windows(wanted.len()).any(|part| part == wanted) {
            let read = master.read(&mut buffer)?;
            let bytes = buffer.get(..read).unwrap_or_default();
            seen.extend_from_slice(bytes);
            if let (Some(recorder), Some(terminal)) = (&mut recorder, terminal) {
                let now = began.elapsed();
                if !key.is_empty() {
                    recorder.typed(terminal, now, key, false)?;
                }
                recorder.output(terminal, now, bytes)?;
                recorder.flush()?;
                if sealed.elapsed() >= SEAL_EVERY {
                    recorder.seal(began.elapsed())?;
                    sealed = Instant::now();
                }
            }
        }
        Ok(())
    };
    shows(&mut master, b"ready", b"")?;
    for number in 0..KEYS {
        // A line is repeated by the program.
        let (key, echo): (&[u8], &[u8]) = if number % 60 == 59 { (b"\r", b"x\r\n") } else { (b"x", b"x") };
        master.write_all(key)?;
        shows(&mut master, echo, key)?;
    }
    master.write_all(b"\r\x04")?;
    while let Ok(1..) = master.read(&mut [0; 4096]) {}
    child.wait()?;
    recorder.map_or(Ok(()), |recorder| device.end(recorder, began))
}

/// The bytes of an hour of work: each 20 s a line of 20 keys, and 1.5 kB of answer.
fn an_hour(folder: &Path) -> Result<()> {
    let (device, path) = (Device::new()?, folder.join("hour"));
    let mut recorder = device.begin(&path, Instant::now())?;
    let terminal = recorder.terminal(Duration::ZERO, Text::of("xterm"), Size::clamped(24, 80))?;
    let answer = "drwxr-xr-x 2 root root 4096 Nov 27 12:00 somewhere\r\n".repeat(28);
    for tenth in 0..36_000_u64 {
        let now = Duration::from_millis(tenth * 100);
        match tenth % 200 {
            key @ 0..=59 if key % 3 == 0 => {
                recorder.typed(terminal, now, b"x", false)?;
                recorder.output(terminal, now, b"x")?;
            }
            70 => recorder.output(terminal, now, answer.as_bytes())?,
            _ => {}
        }
        if tenth % 8 == 0 {
            recorder.seal(now)?;
        }
    }
    let end = recorder.finish(Duration::from_hours(1), Text::of("end"))?;
    let signature = device.0.sign(&end.bytes());
    recorder.signed(&end, Signature(signature.as_ref().try_into()?))?;
    let mut bytes = 0;
    for entry in std::fs::read_dir(&path)? {
        bytes += entry?.metadata()?.len();
    }
    println!("{:<45}  {} kB", "an hour: 180 lines, 1.5 kB of answer each", bytes / 1000);
    Ok(())
}

/// What the screen's model takes.
fn screens() -> Result<()> {
    let mut screen = Screen::new(Size::clamped(24, 80));
    let text = "\x1b[1;32manna@lab\x1b[0m:~$ ls -l\r\ntotal 8\r\ndrwxr-xr-x 2 root root 4096 caf\u{e9}\r\n"
        .repeat(150_000);
    let began = Instant::now();
    screen.output(text.as_bytes());
    let rate = f64::from(u32::try_from(text.len())?) / began.elapsed().as_secs_f64() / 1e6;
    println!("{:<45}  {rate:.0} MB/s", "output through the screen's model");
    let mut large = Screen::new(Size::clamped(500, 1000));
    let worst = "\x1b[65535b\x1b[H\x1b[65535Lx".repeat(2000);
    let began = Instant::now();
    large.output(worst.as_bytes());
    let each = began.elapsed() / u32::try_from(worst.len() / 1024)?;
    print("the same, 1 kB of the worst, 500 by 1000", each, "");
    Ok(())
}

/// Bytes that do not repeat.
struct Noise(u64);

impl Noise {
    fn fill(&mut self, bytes: &mut [u8]) {
        for part in bytes.chunks_mut(8) {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            for (to, from) in part.iter_mut().zip(self.0.to_le_bytes()) {
                *to = from;
            }
        }
    }
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status()?;
    if status.success() { Ok(()) } else { Err(format!("{command:?} ended with {status}").into()) }
}

/// The processor time of this process and of all that it waited for.
fn used() -> Result<Duration> {
    let mut micros = 0;
    for who in [UsageWho::RUSAGE_SELF, UsageWho::RUSAGE_CHILDREN] {
        let usage = getrusage(who)?;
        micros += usage.user_time().num_microseconds() + usage.system_time().num_microseconds();
    }
    Ok(Duration::from_micros(u64::try_from(micros)?))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn beside(peer: &str, theirs: Duration, ours: Duration) -> String {
    format!("{peer} {theirs:.2?}, ratio {:.2}", ours.as_secs_f64() / theirs.as_secs_f64())
}

fn print(name: &str, time: Duration, remarks: &str) {
    let remarks = if remarks.is_empty() { String::new() } else { format!("  ({remarks})") };
    println!("{name:<45}  {:<10}{remarks}", format!("{time:.2?}"));
}
