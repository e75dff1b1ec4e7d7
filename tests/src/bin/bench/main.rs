//! The benchmarks: figures of the appliance beside those of its peers, measured in one run. A slow machine fails none of
//! them; only what does not work at all is an error.
//!
//! Each figure is one line, `name  value  (peer, ratio, goal)`. Times are medians, with the smallest and the largest behind.
//! With the argument `system`, `network`, `console` or `live` it measures that part alone.

mod bare;
mod console;
mod debian;
mod dropbear;
mod error;
mod figures;
mod guest;
mod idle;
mod lease_peers;
mod live;
mod machine;
mod memory;
mod network;
mod report;
mod startup;
mod tool;
mod web;

use crate::debian::Packages;
use crate::error::{BenchError, Result};
use crate::guest::{Guest, Service};
use drawbridge_image::names;
use drawbridge_lab::Lab;
use drawbridge_tests::Image;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

/// The memory of every machine, in MiB, where the figure is not memory.
const MEMORY: u32 = 256;

/// The range in which the smallest memory is looked for, in MiB. Its upper end is the goal.
const MEMORY_RANGE: [u32; 2] = [32, 64];

/// The distribution's kernels for all machines and for virtual ones, the one of our own series first.
const KERNELS: [&str; 2] = ["linux-image-6.12-amd64", "linux-image-amd64"];
const CLOUD_KERNELS: [&str; 2] = ["linux-image-6.12-cloud-amd64", "linux-image-cloud-amd64"];

/// Their command line: the same console and the same warnings as ours, and an end at once when the kernel panics.
const PEER_COMMAND_LINE: &str = "console=tty0 console=ttyS0,115200 loglevel=5 panic=-1";

fn main() -> ExitCode {
    let began = Instant::now();
    match run() {
        Ok(()) => {
            eprintln!("bench: took {} s", began.elapsed().as_secs());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("Error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<()> {
    let part = std::env::args().nth(1);
    match part.as_deref() {
        None | Some("network" | "system" | "live") => {}
        Some("console") => {
            report::machine();
            return console::measure();
        }
        Some(unknown) => return Err(BenchError::NoPart(unknown.to_owned())),
    }
    let image = Image::here();
    report::machine();
    if part.as_deref() == Some("live") {
        return live::measure(&image);
    }
    if part.as_deref() != Some("network") {
        system(&image)?;
    }
    if part.as_deref() == Some("system") {
        return Ok(());
    }
    network::measure(&image, &Packages::at(folder())?)?;
    if part.is_none() {
        console::measure()?;
        // Its browser is there only where the pages were tested before.
        if let Err(why) = live::measure(&image) {
            report::missing("a key until it is seen", "another browser", &why);
        }
    }
    Ok(())
}

/// The system as a whole.
fn system(image: &Image) -> Result<()> {
    // It holds the peers' files for as long as they run.
    let lab = Lab::new("bench");
    let disk = image.file(names::DISK);
    let appliance = appliance(image, names::INITRAMFS, "");
    let peers = peers(&lab, image)?;
    let peers: Vec<&Guest> = peers.iter().collect();
    for peer in &peers {
        report::peer(peer);
    }
    report::sizes(&image.file(names::SYSTEM), &appliance, &peers)?;

    let mut all = vec![&appliance];
    all.extend(&peers);
    let mut boots = startup::boots(&all, &disk, MEMORY);
    let ours = boots.remove(0)?;
    let theirs = told("from start on", &peers, boots);
    report::startup(&ours, &theirs);

    let least = |guest, usual| memory::least(guest, &disk, MEMORY_RANGE, usual);
    let own = least(&appliance, ours.service.wall.median());
    let bare = theirs.first().map(|(bare, boots)| (*bare, least(bare, boots.service.wall.median())));
    report::least_memory(own, bare, MEMORY_RANGE[1]);

    let settled = ours.service.wall.median() * 2 + idle::SETTLED_AFTER;
    let request = format!(" drawbridge.lab=measure@{}", settled.as_secs());
    let counting = self::appliance(image, names::INITRAMFS_LAB, &request);
    let mut minutes = idle::watch(&counting, settled, &peers, &disk, MEMORY);
    let ours = minutes.remove(0)?;
    report::idle(&ours, &told("idle", &peers, minutes), MEMORY);
    Ok(())
}

/// What the peers gave, each beside its own; and a line for each that gave nothing.
fn told<'peer, T>(figure: &str, peers: &[&'peer Guest], given: Vec<Result<T>>) -> Vec<(&'peer Guest, T)> {
    let both = peers.iter().zip(given);
    both.filter_map(|(peer, given)| {
        given.map(|given| (*peer, given)).inspect_err(|why| report::missing(figure, peer.name, why)).ok()
    })
    .collect()
}

/// The appliance with the shipped root file system, or with the lab's and a request.
fn appliance(image: &Image, initramfs: &str, request: &str) -> Guest {
    Guest {
        name: "drawbridge",
        what: "the appliance".to_owned(),
        kernel: image.file(names::KERNEL),
        initramfs: image.file(initramfs),
        command_line: image.command_line() + request,
        first_line: "Drawbridge ",
        announcement: "The console is at https://",
        service: Service::Page,
    }
}

/// The peers: the kernel's share alone comes first and always; the others as far as this distribution has them.
fn peers(lab: &Lab, image: &Image) -> Result<Vec<Guest>> {
    let init = lab.file("bare.zst");
    bare::pack(lab, &init)?;
    let kernel = image.file(names::KERNEL);
    let what = "an init of one line on the appliance's own kernel";
    let mut peers = vec![bare::guest("bare", what.to_owned(), &kernel, &init, image.command_line())];

    let packages = Packages::at(folder())?;
    let debian = || {
        let kernel = packages.kernel(&KERNELS)?;
        let what = format!("the same init on the distribution's kernel {}", kernel.version);
        Ok(bare::guest("debian", what, &kernel.image, &init, PEER_COMMAND_LINE.to_owned()))
    };
    let dropbear = || {
        let kernel = packages.kernel(&CLOUD_KERNELS)?;
        dropbear::guest(&packages, &kernel, lab.folder(), PEER_COMMAND_LINE)
    };
    for (name, peer) in [("debian", debian()), ("dropbear", dropbear())] {
        match peer {
            Ok(peer) => peers.push(peer),
            Err(why) => report::no_peer(name, &why),
        }
    }
    Ok(peers)
}

/// Where the distribution's packages stay from run to run: in cargo's target folder, known by the tag that it puts there.
fn folder() -> PathBuf {
    let program = std::env::current_exe().unwrap_or_default();
    let target = program.ancestors().find(|folder| folder.join("CACHEDIR.TAG").is_file());
    target.map_or_else(std::env::temp_dir, PathBuf::from).join("bench")
}
