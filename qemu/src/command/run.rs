//! `lab run`: the appliance with a network at each port, and its console on 127.0.0.1. It reaches no real network.

use super::options::RunOptions;
use super::signals;
use super::state::{self, Freshness, State, StateError};
use drawbridge_lab::https::{self, Page};
use drawbridge_lab::net::{
    DhcpConfig, DhcpServer, EthernetAddress, Forward, Host, HostConfig, NetError, Network, NicPort,
};
use drawbridge_lab::{Disk, Firmware, Lab, LabError, Machine, Nic, Watchdog, kvm, seconds};
use std::io;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

/// The ports, each on a network of its own: 10.0.1.0/24, 10.0.2.0/24, 10.0.3.0/24. The first is the one with the console.
const PORTS: [(&str, u8); 3] = [("management", 1), ("uplink", 2), ("array", 3)];

/// The port of the appliance on which the console is (FEATURES A19).
const CONSOLE: u16 = 9000;

/// How long the appliance may take to end by itself.
const SHUTDOWN_SECONDS: u64 = 60;

/// How long it may take from its start until the console answers. UEFI under emulation takes a part of it.
const START_SECONDS: u64 = 60;

/// A pause between two tries to get the page.
const RETRY: Duration = Duration::from_millis(300);

/// Why it cannot run.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RunError {
    #[error(
        "{0} is missing. `drawbridge-image all --out DIR` makes the images, and qemu/run does so by itself"
    )]
    NoImage(PathBuf),
    #[error("cannot watch for Ctrl-C: {0}")]
    Signals(io::Error),
    #[error("cannot start a thread: {0}")]
    Thread(io::Error),
    #[error("cannot read {0}: {1}")]
    Read(PathBuf, io::Error),
    #[error("cannot read the kept disk: {0}")]
    State(#[from] StateError),
    #[error(transparent)]
    Lab(#[from] LabError),
    #[error(transparent)]
    Net(#[from] NetError),
    #[error("the appliance did not come up: {0}")]
    NotUp(String),
    #[error("the appliance ended by itself")]
    Ended,
    #[error(
        "the appliance did not end within {0:.0?} after its power button was pressed, and was switched off"
    )]
    NotDown(Duration),
    #[error(
        "another program listens on 127.0.0.1:{0}, where the console was to be reached. End it, or choose another port: \
         --port NUMBER"
    )]
    PortTaken(u16),
    #[error("the console answered with status {0}")]
    Status(u16),
}

/// Something that happens while it runs.
enum Happening {
    Interrupt,
    Ended,
    Up(Box<Page>),
    NotUp(String),
}

/// Runs until the person or the appliance ends it.
pub(crate) fn run(options: &RunOptions) -> Result<ExitCode, RunError> {
    let (tell, happenings) = mpsc::channel();
    let interrupt = tell.clone();
    let watched = signals::watch(move || {
        let _ = interrupt.send(Happening::Interrupt);
    });
    watched.map_err(RunError::Signals)?;

    let image = ["disk.img", "system.efi", "bzImage", "initramfs.zst", "cmdline"];
    if let Some(missing) = image.iter().map(|name| options.image.join(name)).find(|file| !file.is_file()) {
        return Err(RunError::NoImage(missing));
    }
    let lab = Lab::new("run");
    // By this name the appliance knows the board, and so what each of the three ports is for.
    let mut machine = Machine::builder()
        .memory(options.memory)
        .watchdog(Watchdog::I6300esb)
        .smbios_product("Drawbridge Lab 3");
    if !options.quiet {
        machine = machine.echo("  |");
    }
    let mut first = None;
    for (name, number) in PORTS {
        let (port, host, dhcp) = network(&lab, name, number)?;
        let nic = Nic::new(name, options.nic, &port);
        let mac = nic.mac();
        machine = machine.nic(nic);
        first.get_or_insert((host, dhcp, mac));
    }
    // The first port is there; with an empty table there would be nothing to run.
    let Some((gateway, dhcp, mac)) = first else { return Err(RunError::Ended) };
    let forward = Forward::start(options.port, &gateway, seconds(3)).map_err(|error| match error {
        NetError::Port(port, why) if why.kind() == io::ErrorKind::AddrInUse => RunError::PortTaken(port),
        other => other.into(),
    })?;
    let forward = Arc::new(forward);

    let state = state::prepare(&options.image, &options.state)?;
    let firmware = firmware(options, &state)?;
    machine = machine.firmware(firmware).disk(Disk::in_place(&state.disk));
    tell_what_starts(options, &state);
    let machine = Arc::new(machine.start(&lab)?);

    let (watched, ended) = (Arc::clone(&machine), tell.clone());
    spawn("machine", move || {
        // An hour, then it looks again: a wait without a bound does not exist.
        while watched.wait_for_exit(Duration::from_hours(1)).is_err() && watched.runs() {}
        let _ = ended.send(Happening::Ended);
    })?;
    let theirs = Arc::clone(&forward);
    spawn("console", move || {
        let happening = match wait_for_console(&dhcp, mac, &theirs) {
            Ok(page) => Happening::Up(Box::new(page)),
            Err(why) => Happening::NotUp(why),
        };
        let _ = tell.send(happening);
    })?;
    let outcome = accompany(options, &machine, &forward, &happenings);
    machine.kill();
    if outcome.is_err() {
        lab.keep();
    }
    outcome
}

/// A network with a router that gives out addresses, and a port for the appliance.
fn network(lab: &Lab, name: &str, number: u8) -> Result<(NicPort, Host, DhcpServer), RunError> {
    let network = Network::new(lab, name)?;
    let host = network.host(HostConfig::new(name).ipv4([10, 0, number, 1], 24));
    let dhcp = host.serve_dhcp(DhcpConfig::pool([10, 0, number, 100], 100));
    Ok((network.nic_port(name)?, host, dhcp))
}

fn firmware(options: &RunOptions, state: &State) -> Result<Firmware, RunError> {
    if options.direct || !Firmware::uefi_available() {
        let path = options.image.join("cmdline");
        let cmdline = std::fs::read_to_string(&path).map_err(|error| RunError::Read(path, error))?;
        let kernel = Firmware::kernel(options.image.join("bzImage"));
        return Ok(kernel.initrd(options.image.join("initramfs.zst")).cmdline(cmdline.trim()));
    }
    if !state.variables.exists() {
        Firmware::new_variables(&state.variables)?;
    }
    Ok(Firmware::uefi_with(&state.variables))
}

fn tell_what_starts(options: &RunOptions, state: &State) {
    let disk = match state.freshness {
        Freshness::Fresh => "a fresh disk",
        Freshness::Kept => "the disk of the last run",
        Freshness::Updated => "the disk of the last run with the new system on it",
    };
    println!("Starting the appliance from {disk} ({}).", state.disk.display());
    if !options.direct && !Firmware::uefi_available() {
        println!("There is no UEFI firmware here (package ovmf), so the kernel is started directly.");
    }
    if !kvm::works() {
        println!("This machine offers no KVM: the processor is emulated, which takes some times longer.");
    }
    for (name, number) in PORTS {
        println!("  {name}: 10.0.{number}.0/24, gateway and DHCP server 10.0.{number}.1");
    }
}

/// Waits for the appliance's lease, points the forwarded port there, and fetches the page.
fn wait_for_console(dhcp: &DhcpServer, mac: EthernetAddress, forward: &Forward) -> Result<Page, String> {
    let deadline = Instant::now() + seconds(START_SECONDS);
    let address = dhcp.wait_for_lease(mac, seconds(START_SECONDS)).map_err(|error| error.to_string())?;
    forward.set_target((address, CONSOLE));
    loop {
        match fetch(forward.address()) {
            Ok(page) => return Ok(page),
            Err(why) if Instant::now() >= deadline => {
                return Err(format!("it has the address {address}, but its console does not answer: {why}"));
            }
            // It has an address before its console listens. Nothing tells when that is, so it is asked again.
            Err(_) => std::thread::sleep(RETRY),
        }
    }
}

fn fetch(address: SocketAddr) -> Result<Page, String> {
    let limit = seconds(10);
    let stream = TcpStream::connect_timeout(&address, limit).map_err(|error| error.to_string())?;
    https::get(stream, &address.ip().to_string(), "/", limit).map_err(|error| error.to_string())
}

/// Tells the person what happens until the appliance has ended, or was told to.
fn accompany(
    options: &RunOptions,
    machine: &Machine,
    forward: &Forward,
    happenings: &mpsc::Receiver<Happening>,
) -> Result<ExitCode, RunError> {
    let mut verdict = Ok(ExitCode::SUCCESS);
    loop {
        match happenings.recv() {
            Ok(Happening::Up(page)) => {
                tell_where(&page, forward.address());
                if options.once {
                    if page.status != 200 {
                        verdict = Err(RunError::Status(page.status));
                    }
                    break;
                }
            }
            Ok(Happening::NotUp(why)) => {
                if options.once {
                    verdict = Err(RunError::NotUp(why));
                    break;
                }
                println!(
                    "The appliance's console has not answered so far: {why}\nIt is left running; Ctrl-C ends it."
                );
            }
            Ok(Happening::Interrupt) => break,
            Ok(Happening::Ended) if options.once => return Err(RunError::Ended),
            Ok(Happening::Ended) => {
                println!("The appliance has switched itself off.");
                return Ok(ExitCode::SUCCESS);
            }
            Err(mpsc::RecvError) => return Err(RunError::Ended),
        }
    }
    let code = shut_down(machine, happenings)?;
    verdict.map(|_| code)
}

fn tell_where(page: &Page, address: SocketAddr) {
    println!(
        "\nThe appliance is up. Open\n\n    https://{address}/\n\n\
         Its certificate is its own, so the browser warns. The SHA-256 fingerprint to compare:\n\n    {}\n\n\
         Ctrl-C shuts it down in order; a second Ctrl-C switches it off at once.\n",
        page.fingerprint()
    );
}

/// Presses the power button and waits for the end.
fn shut_down(machine: &Machine, happenings: &mpsc::Receiver<Happening>) -> Result<ExitCode, RunError> {
    println!("\nPressing the appliance's power button...");
    let limit = seconds(SHUTDOWN_SECONDS);
    let deadline = Instant::now() + limit;
    machine.qmp().system_powerdown().map_err(LabError::from)?;
    loop {
        match happenings.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(Happening::Ended) => {
                println!("The appliance has shut down.");
                return Ok(ExitCode::SUCCESS);
            }
            Ok(Happening::Interrupt) => {
                println!("Switching it off at once.");
                // As a shell tells of a program that Ctrl-C has ended.
                return Ok(ExitCode::from(130));
            }
            Ok(Happening::Up(_) | Happening::NotUp(_)) => {}
            Err(_) => return Err(RunError::NotDown(limit)),
        }
    }
}

fn spawn(name: &str, act: impl FnOnce() + Send + 'static) -> Result<(), RunError> {
    std::thread::Builder::new().name(name.into()).spawn(act).map(drop).map_err(RunError::Thread)
}
