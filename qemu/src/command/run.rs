//! `lab run`: the appliance with a network at each port, and its console on 127.0.0.1. It reaches no real network.

use super::bridge::Scene;
use super::inside::{ADMINISTRATOR, ARRAY, Inside};
use super::options::{End, RunOptions};
use super::orders::{self, Orders};
use super::outside::{Outside, PROXY};
use super::signals;
use super::state::{self, Freshness, State, StateError};
use super::tour::{self, TourError};
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
        "another program listens on 127.0.0.1:{0}, which the lab wants for itself. End it, or choose another port: {1} NUMBER"
    )]
    PortTaken(u16, &'static str),
    #[error("the console answered with status {0}")]
    Status(u16),
    #[error("there is no UEFI firmware here: install the package ovmf, or leave --uefi out")]
    NoUefi,
    #[error("the tour ended early: {0}")]
    Tour(#[from] TourError),
}

/// Something that happens while it runs.
enum Happening {
    Interrupt,
    Ended,
    Up(Box<Page>),
    NotUp(String),
    Toured(Result<(), TourError>),
}

/// Runs until the person or the appliance ends it.
pub(crate) fn run(options: &RunOptions) -> Result<ExitCode, RunError> {
    let (tell, happenings) = mpsc::channel();
    let interrupt = tell.clone();
    let watched = signals::watch(move || {
        let _ = interrupt.send(Happening::Interrupt);
    });
    watched.map_err(RunError::Signals)?;

    let image = ["disk.img", "system.efi", "bzImage", "initramfs-lab.zst", "cmdline"];
    if let Some(missing) = image.iter().map(|name| options.image.join(name)).find(|file| !file.is_file()) {
        return Err(RunError::NoImage(missing));
    }
    if options.uefi && !Firmware::uefi_available() {
        return Err(RunError::NoUefi);
    }
    let lab = Arc::new(Lab::new("run"));
    // By this name the appliance knows the board, and so what each of the three ports is for.
    let mut machine = Machine::builder()
        .memory(options.memory)
        .watchdog(Watchdog::I6300esb)
        .smbios_product("Drawbridge Lab 3");
    if !options.uefi {
        machine = machine.second_serial();
    }
    if !options.quiet {
        machine = machine.echo("  |");
    }
    let (mut first, mut networks) = (None, Vec::new());
    for (name, number) in PORTS {
        let (network, port, host, dhcp) = network(&lab, name, number)?;
        networks.push(network);
        let nic = Nic::new(name, options.nic, &port);
        let mac = nic.mac();
        machine = machine.nic(nic);
        first.get_or_insert((host, dhcp, mac));
    }
    // The first port is there; with an empty table there would be nothing to run.
    let Some((gateway, dhcp, mac)) = first else { return Err(RunError::Ended) };
    let forward = Forward::start(options.port, &gateway, seconds(3)).map_err(|error| match error {
        NetError::Port(port, why) if why.kind() == io::ErrorKind::AddrInUse => {
            RunError::PortTaken(port, "--port")
        }
        other => other.into(),
    })?;
    let forward = Arc::new(forward);

    let state = state::prepare(&options.image, &options.state)?;
    let firmware = firmware(options, &state)?;
    machine = machine.firmware(firmware).disk(Disk::in_place(&state.disk));
    tell_what_starts(&state);
    let inside = match networks.get(2) {
        Some(network) => {
            println!("  beside it: a storage array at {ARRAY}, whose users may log in at the console");
            Some(Inside::start(network, &options.state.join("array"))?)
        }
        None => None,
    };
    let outside = match networks.get(1).filter(|_| !options.uefi) {
        Some(uplink) => Some(Arc::new(outside(options, &lab, uplink)?)),
        None => None,
    };
    let machine = Arc::new(machine.start(&lab)?);

    let (watched, ended) = (Arc::clone(&machine), tell.clone());
    spawn("machine", move || {
        // An hour, then it looks again: a wait without a bound does not exist.
        while watched.wait_for_exit(Duration::from_hours(1)).is_err() && watched.runs() {}
        let _ = ended.send(Happening::Ended);
    })?;
    let (theirs, theirs_tell) = (Arc::clone(&forward), tell.clone());
    spawn("console", move || {
        let happening = match wait_for_console(&dhcp, mac, &theirs) {
            Ok(page) => Happening::Up(Box::new(page)),
            Err(why) => Happening::NotUp(why),
        };
        let _ = theirs_tell.send(happening);
    })?;
    if let Some(outside) = &outside {
        let orders = Orders::listen(lab.folder(), &options.state)?;
        let (machine, outside) = (Arc::clone(&machine), Arc::clone(outside));
        spawn("orders", move || {
            orders.serve(|order, say| Scene::new(&machine, &outside).obey(order, say));
        })?;
    }
    let begin_tour = || {
        let Some(outside) = outside.as_ref().map(Arc::clone) else { return Ok(()) };
        let (machine, lab, tell) = (Arc::clone(&machine), Arc::clone(&lab), tell.clone());
        spawn("tour", move || {
            let say = &mut |line: &str| println!("{line}");
            let _ = tell.send(Happening::Toured(tour::show(Scene::new(&machine, &outside), &lab, say)));
        })
    };
    let beside = Beside { outside: outside.as_deref(), inside: inside.as_ref() };
    let outcome = accompany(options, &machine, &forward, &beside, &happenings, begin_tour);
    machine.kill();
    if let Some(outside) = &outside {
        orders::forget(&options.state);
        outside.stop()?;
    }
    if outcome.is_err() {
        lab.keep();
    }
    outcome
}

/// What runs beside the appliance.
struct Beside<'a> {
    outside: Option<&'a Outside>,
    inside: Option<&'a Inside>,
}

/// A network with a router that gives out addresses, and a port for the appliance.
fn network(lab: &Lab, name: &str, number: u8) -> Result<(Network, NicPort, Host, DhcpServer), RunError> {
    let network = Network::new(lab, name)?;
    let host = network.host(HostConfig::new(name).ipv4([10, 0, number, 1], 24));
    let dhcp = host.serve_dhcp(DhcpConfig::pool([10, 0, number, 100], 100));
    let port = network.nic_port(name)?;
    Ok((network, port, host, dhcp))
}

/// The server and the proxy, and what the person is told of them.
fn outside(options: &RunOptions, lab: &Lab, uplink: &Network) -> Result<Outside, RunError> {
    let outside = Outside::start(lab, uplink, &options.state.join("vendor"), options.ssh_port);
    let outside = outside.map_err(|error| match error {
        LabError::Net(NetError::Port(port, why)) if why.kind() == io::ErrorKind::AddrInUse => {
            RunError::PortTaken(port, "--ssh-port")
        }
        other => other.into(),
    })?;
    let (address, port) = PROXY;
    println!("  beyond the uplink: a Remote Support Server, to which the proxy {address}:{port} alone leads");
    Ok(outside)
}

/// The kernel and the lab's initramfs: the appliance's system, which answers questions over a serial line besides.
fn firmware(options: &RunOptions, state: &State) -> Result<Firmware, RunError> {
    if !options.uefi {
        let path = options.image.join("cmdline");
        let cmdline = std::fs::read_to_string(&path).map_err(|error| RunError::Read(path, error))?;
        let cmdline = format!("{} drawbridge.lab=bus", cmdline.trim());
        let kernel = Firmware::kernel(options.image.join("bzImage"));
        return Ok(kernel.initrd(options.image.join("initramfs-lab.zst")).cmdline(&cmdline));
    }
    if !state.variables.exists() {
        Firmware::new_variables(&state.variables)?;
    }
    Ok(Firmware::uefi_with(&state.variables))
}

fn tell_what_starts(state: &State) {
    let disk = match state.freshness {
        Freshness::Fresh => "a fresh disk",
        Freshness::Kept => "the disk of the last run",
        Freshness::Updated => "the disk of the last run with the new system on it",
    };
    println!("Starting the appliance from {disk} ({}).", state.disk.display());
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
    https::get(stream, &address.ip().to_string(), "/status", limit).map_err(|error| error.to_string())
}

/// Tells the person what happens until the appliance has ended, or was told to.
fn accompany(
    options: &RunOptions,
    machine: &Machine,
    forward: &Forward,
    beside: &Beside<'_>,
    happenings: &mpsc::Receiver<Happening>,
    begin_tour: impl Fn() -> Result<(), RunError>,
) -> Result<ExitCode, RunError> {
    let mut verdict = Ok(ExitCode::SUCCESS);
    loop {
        match happenings.recv() {
            Ok(Happening::Up(page)) => {
                tell_where(&page, forward.address());
                if let Some(inside) = beside.inside.filter(|_| options.end == End::WhenTold) {
                    tell_how_to_log_in(inside, machine, forward.address(), options)?;
                }
                if let Some(outside) = beside.outside.filter(|_| options.end == End::WhenTold) {
                    tell_how_to_get_in(outside, &options.state);
                }
                println!("Ctrl-C shuts it down in order; a second Ctrl-C switches it off at once.\n");
                if options.end == End::AfterTour {
                    begin_tour()?;
                }
                if options.end == End::OnceUp {
                    if page.status != 200 {
                        verdict = Err(RunError::Status(page.status));
                    }
                    break;
                }
            }
            Ok(Happening::NotUp(why)) => {
                if options.end != End::WhenTold {
                    verdict = Err(RunError::NotUp(why));
                    break;
                }
                println!(
                    "The appliance's console has not answered so far: {why}\nIt is left running; Ctrl-C ends it."
                );
            }
            Ok(Happening::Toured(outcome)) => {
                verdict = outcome.map(|()| ExitCode::SUCCESS).map_err(RunError::Tour);
                break;
            }
            Ok(Happening::Interrupt) => {
                // A tour that was broken off has not shown what it was to show.
                if options.end == End::AfterTour {
                    verdict = Ok(ExitCode::from(130));
                }
                break;
            }
            Ok(Happening::Ended) if options.end != End::WhenTold => return Err(RunError::Ended),
            Ok(Happening::Ended) => {
                println!("The appliance has switched itself off.");
                return Ok(ExitCode::SUCCESS);
            }
            Err(mpsc::RecvError) => return Err(RunError::Ended),
        }
    }
    let code = shut_down(machine, happenings)?;
    verdict.map(|verdict| if code == ExitCode::SUCCESS { verdict } else { code })
}

fn tell_where(page: &Page, address: SocketAddr) {
    println!(
        "\nThe appliance is up. Open\n\n    https://{address}/\n\n\
         Its certificate is its own, so the browser warns. The SHA-256 fingerprint to compare:\n\n    {}\n",
        page.fingerprint()
    );
}

fn tell_how_to_log_in(
    inside: &Inside,
    machine: &Machine,
    console: SocketAddr,
    options: &RunOptions,
) -> Result<(), LabError> {
    println!(
        "Log in as {ADMINISTRATOR}, with the password {}. That user is the array's, and so is otto, who may only look.\n",
        inside.password()
    );
    if let Some(code) = Inside::setup_code(machine) {
        println!(
            "The first login asks which array it is: {ARRAY}, and wants the set-up code {code}, which stands on the serial line. \
             The array's certificate has the SHA-256 fingerprint\n\n    {}\n",
            inside.fingerprint()
        );
    }
    println!("The array does what it is told: qemu/array down, qemu/array up, qemu/array --help.\n");
    inside.write_facts(&options.state, &format!("https://{console}"), machine)
}

fn tell_how_to_get_in(outside: &Outside, state: &std::path::Path) {
    let address = outside.ssh_address();
    println!(
        "To let an engineer in, lower the bridge on the console's page Connection. From another terminal:\n\n    \
         qemu/bridge way         what to type there: the server, its certificate, the proxy, a token\n    \
         qemu/bridge engineer    the ssh line that gets in, once it is connected\n    \
         qemu/bridge open        does all of it without the console, and so do status, test and close\n\n\
         The Remote Support Server's SSH is at {address}; what it keeps is in {}.\n",
        state.join("vendor").display()
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
            Ok(Happening::Up(_) | Happening::NotUp(_) | Happening::Toured(_)) => {}
            Err(_) => return Err(RunError::NotDown(limit)),
        }
    }
}

fn spawn(name: &str, act: impl FnOnce() + Send + 'static) -> Result<(), RunError> {
    std::thread::Builder::new().name(name.into()).spawn(act).map(drop).map_err(RunError::Thread)
}
