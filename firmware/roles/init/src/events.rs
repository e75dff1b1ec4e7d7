//! The event loop: one thread, one place where anything is waited for. It never blocks anywhere else.

use crate::boot::Booted;
use crate::bridge::{self, Shells};
use crate::bus::{Asked, Bus};
use crate::news::News;
use crate::roles::{Supervised, Tokens};
use crate::screen::Screen;
use crate::shutdown::{self, Shutdown, Stage};
use crate::supervision::Due;
use crate::symptom::Symptom;
use crate::{buttons, clock, data, fatal, logs, watchdog};
use drawbridge_bus::message::TIME_SERVERS_MOST;
use drawbridge_bus::{
    Announcement, ClockCorrection, ClockState, DataState, Event, Power, Refusal, Reply, Request, Role,
    RoleState, SystemStatus, server,
};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use nix::errno::Errno;
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use nix::sys::wait::{Id, WaitPidFlag, WaitStatus, waitid};
use std::fs::File;
use std::io::ErrorKind;
use std::os::fd::AsRawFd as _;
use std::time::Duration;

const SIGNALS: Token = Token(0);
const KERNEL_LOG: Token = Token(1);
const BUS: Token = Token(2);
#[cfg(feature = "lab")]
const LAB: Tokens = Tokens { exit: Token(3), log: Token(4) };
const BUTTONS: usize = 10;
const EXITS: usize = 100;
const LOGS: usize = 200;
const SHELLS: usize = 300;
const CONNECTIONS: usize = 1000;

/// How often the small things are looked at: the data partition's health, and every [`SAVE_EVERY`] the clock.
const LOOK_EVERY: u64 = 60_000;
const SAVE_EVERY: u64 = 3_600_000;

struct Init {
    poll: Poll,
    signals: SignalFd,
    kernel_log: Option<File>,
    buttons: Vec<File>,
    watchdogs: watchdog::Watchdogs,
    roles: Vec<Supervised>,
    shells: Shells,
    bus: Option<Bus>,
    screen: Screen,
    news: News,
    shutdown: Option<Shutdown>,
    clock: ClockState,
    data: DataState,
    last_failure: Option<String>,
    feed_at: u64,
    look_at: u64,
    save_at: u64,
    #[cfg(feature = "lab")]
    lab: crate::lab::Lab,
}

/// Runs until the machine ends.
pub(crate) fn run(booted: Booted) -> ! {
    let mut init = match Init::new(booted) {
        Ok(init) => init,
        Err(error) => fatal(&format!("the event loop cannot be set up: {error}")),
    };
    let mut events = Events::with_capacity(128);
    loop {
        init.act();
        match init.poll.poll(&mut events, Some(init.idle_time())) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => fatal(&format!("the event loop cannot wait: {error}")),
        }
        for event in &events {
            init.happened(event.token());
        }
    }
}

impl Init {
    fn new(booted: Booted) -> std::io::Result<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        let mut mask = SigSet::empty();
        for signal in [Signal::SIGCHLD, Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGPIPE] {
            mask.add(signal);
        }
        mask.thread_block()?;
        let signals = SignalFd::with_flags(&mask, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?;
        registry.register(&mut SourceFd(&signals.as_raw_fd()), SIGNALS, Interest::READABLE)?;
        // Ctrl-Alt-Del is an orderly restart: the kernel sends INT to init.
        if let Err(error) = nix::sys::reboot::set_cad_enabled(false) {
            log::warn!("ctrl-alt-del restarts without order: {error}");
        }
        if let Some(kernel_log) = &booted.kernel_log {
            registry.register(&mut SourceFd(&kernel_log.as_raw_fd()), KERNEL_LOG, Interest::READABLE)?;
        }
        let buttons = buttons::open();
        for (number, button) in buttons.iter().enumerate().take(EXITS - BUTTONS) {
            registry.register(
                &mut SourceFd(&button.as_raw_fd()),
                Token(BUTTONS + number),
                Interest::READABLE,
            )?;
        }
        let bus = Bus::new(registry, BUS, CONNECTIONS);
        let bus = bus.map_err(|error| log::error!("the bus cannot be set up: {error}")).ok();
        let tokens = |number| Tokens { exit: Token(EXITS + number), log: Token(LOGS + number) };
        let roles = Role::ALL
            .into_iter()
            .enumerate()
            .filter_map(|(number, role)| Supervised::new(role, tokens(number)))
            .collect();
        let now = clock::since_boot();
        let mut news = News::default();
        news.clock_found(&booted.clock, clock::now_millis());
        let mut init = Self {
            signals,
            kernel_log: booted.kernel_log,
            buttons,
            watchdogs: booted.watchdogs,
            roles,
            shells: Shells::new(SHELLS),
            bus,
            screen: Screen::default(),
            news,
            shutdown: None,
            clock: booted.clock,
            data: booted.data,
            #[cfg(feature = "lab")]
            lab: crate::lab::Lab::from_command_line(booted.last_failure.is_some()),
            last_failure: booted.last_failure,
            feed_at: now,
            // At once: a file system that had errors before has them still.
            look_at: now,
            save_at: now + SAVE_EVERY,
            poll,
        };
        init.heard_of_kernel(&booted.symptoms);
        Ok(init)
    }

    /// Does what is due by the clock.
    fn act(&mut self) {
        let now = clock::since_boot();
        if now >= self.feed_at {
            self.watchdogs.feed();
            self.feed_at = now + watchdog::FEED_EVERY;
        }
        if now >= self.look_at {
            self.look_at = now + LOOK_EVERY;
            self.look_at_data();
        }
        if now >= self.save_at {
            self.save_at = now + SAVE_EVERY;
            if let Err(error) = clock::save(&data::own_folder()) {
                log::warn!("the time could not be kept: {error}");
            }
        }
        for role in &mut self.roles {
            match role.supervision.due(now) {
                Some(Due::Start) => role.start(self.poll.registry()),
                Some(Due::Kill) => {
                    log::error!("the {} role does not come up, and is ended", role.role);
                    role.kill();
                }
                None => {}
            }
        }
        #[cfg(feature = "lab")]
        self.lab.act(now, &self.roles, LAB, self.poll.registry());
        self.note_news(now);
        self.go_on_shutting_down(now);
    }

    /// Notes what has become of the roles, and lets session know when something is to be written down. What ends with the machine is
    /// no news.
    fn note_news(&mut self, now: u64) {
        if self.shutdown.is_some() {
            return;
        }
        for role in &self.roles {
            self.news.role(now, role.role, &role.supervision, role.last_end());
        }
        if self.news.act(now)
            && let Some(bus) = &mut self.bus
        {
            bus.tell(Role::Session, &Event::Happened);
        }
    }

    /// Notes what the kernel says of the machine.
    fn heard_of_kernel(&mut self, said: &[(Symptom, String)]) {
        let now = clock::since_boot();
        for (symptom, text) in said {
            if self.news.kernel(now, symptom, text, &self.data) {
                self.look_at = now;
            }
        }
    }

    /// The time until something is due.
    fn idle_time(&self) -> Duration {
        let roles = self.roles.iter().filter_map(|role| role.supervision.deadline());
        let shutdown = self.shutdown.as_ref().map(|shutdown| shutdown.until);
        let news = self.shutdown.is_none().then(|| self.news.deadline());
        let own = self.feed_at.min(self.look_at).min(self.save_at);
        let mut next = roles.chain(shutdown).chain(news).fold(own, u64::min);
        #[cfg(feature = "lab")]
        {
            next = next.min(self.lab.deadline());
        }
        // One more than the difference: the clock's milliseconds are cut off, and waking too early is a turn for nothing.
        next = next.saturating_sub(clock::since_boot()).saturating_add(1);
        Duration::from_millis(next)
    }

    fn happened(&mut self, token: Token) {
        match token {
            SIGNALS => self.take_signals(),
            KERNEL_LOG => {
                if let Some(kernel_log) = &mut self.kernel_log {
                    let said = logs::read_kernel(kernel_log);
                    // Edge-triggered: what one turn did not read is asked for again.
                    let fd = kernel_log.as_raw_fd();
                    let _ =
                        self.poll.registry().reregister(&mut SourceFd(&fd), KERNEL_LOG, Interest::READABLE);
                    self.heard_of_kernel(&said);
                }
            }
            BUS => {
                if let Some(bus) = &mut self.bus {
                    bus.accept(self.poll.registry());
                }
            }
            #[cfg(feature = "lab")]
            token if token == LAB.exit => self.reap(),
            #[cfg(feature = "lab")]
            token if token == LAB.log => self.lab.hear(),
            Token(number) if (BUTTONS..EXITS).contains(&number) => {
                if self.buttons.get_mut(number - BUTTONS).is_some_and(buttons::pressed) {
                    self.end(Power::Off, "The power button was pressed.");
                }
            }
            Token(number) if (EXITS..LOGS).contains(&number) => self.reap(),
            Token(number) if (SHELLS..CONNECTIONS).contains(&number) => {
                if self.shells.hear(token, self.poll.registry()) {
                    self.reap();
                }
            }
            Token(number) if (LOGS..SHELLS).contains(&number) => {
                let role = Role::ALL.get(number - LOGS).copied();
                if let Some(role) = self.roles.iter_mut().find(|one| Some(one.role) == role) {
                    role.hear(self.poll.registry());
                }
            }
            token => {
                let asked = self.bus.as_mut().map(|bus| bus.turn(token, self.poll.registry()));
                for mut asked in asked.unwrap_or_default() {
                    self.answer(&mut asked);
                }
            }
        }
    }

    fn take_signals(&mut self) {
        while let Ok(Some(info)) = self.signals.read_signal() {
            match i32::try_from(info.ssi_signo).map(Signal::try_from) {
                Ok(Ok(Signal::SIGCHLD)) => self.reap(),
                // Only the kernel can send it: no role may signal another process.
                Ok(Ok(Signal::SIGINT)) => self.end(Power::Reboot, "Ctrl-Alt-Del was pressed."),
                _ => {}
            }
        }
    }

    /// Takes every process that has ended: the one place where anything is waited for, orphans included.
    fn reap(&mut self) {
        loop {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOHANG;
            let status = match waitid(Id::All, flags) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => return,
                Ok(status) => status,
                Err(Errno::EINTR) => continue,
                Err(error) => {
                    log::error!("cannot look for ended processes: {error}");
                    return;
                }
            };
            let Some(pid) = status.pid().map(|pid| pid.as_raw().unsigned_abs()) else { return };
            let of_role =
                |role: &&mut Supervised| role.process.as_ref().is_some_and(|process| process.pid == pid);
            if let Some(role) = self.roles.iter_mut().find(of_role) {
                role.reaped(status, self.poll.registry());
                match role.role {
                    // Their channels are gone.
                    Role::Sshd => bridge::end_shells(),
                    // Nobody is left who could say when it ends.
                    Role::Session => self.end_bridge(),
                    _ => {}
                }
                continue;
            }
            if let Some((id, end)) = self.shells.reaped(pid, status, self.poll.registry()) {
                if let Some(bus) = &mut self.bus {
                    bus.tell(Role::Sshd, &Event::ShellEnded(id, end));
                }
                continue;
            }
            #[cfg(feature = "lab")]
            if self.lab.reaped(pid, status, self.poll.registry()) {
                continue;
            }
            log::warn!("an orphan, process {pid}, {}", crate::roles::sentence(status));
        }
    }

    fn answer(&mut self, asked: &mut Asked) {
        let reply = match server::verdict(asked.caller, Role::Init, &asked.request) {
            Err(refusal) => Reply::Refused(refusal),
            Ok(()) => self.reply_to(asked),
        };
        if let Some(bus) = &mut self.bus {
            bus.reply(asked, reply);
        }
    }

    fn reply_to(&mut self, asked: &mut Asked) -> Reply {
        match &asked.request {
            Request::Ready => {
                if let Some(role) = self.roles.iter_mut().find(|role| role.role == asked.caller) {
                    role.supervision.ready();
                }
                let now = clock::since_boot();
                let mut first = self.roles.iter().filter(|role| role.is_first());
                if first.all(|role| role.supervision.state(now) == RoleState::Running) {
                    for role in &mut self.roles {
                        role.supervision.turn(now);
                    }
                }
                if let Some(bus) = &mut self.bus {
                    bus.listens(asked);
                }
                log::info!("the {} role serves", asked.caller);
                Reply::Done
            }
            Request::Announce(announcement) => {
                let of = match announcement {
                    Announcement::CertificateFingerprint(_) | Announcement::SetupCode(_) => Role::Console,
                    Announcement::Ports(_) => Role::Network,
                };
                if of != asked.caller {
                    return Reply::Refused(Refusal::Forbidden);
                }
                if let (Announcement::Ports(ports), None) = (announcement, &self.shutdown) {
                    self.news.ports(clock::since_boot(), ports);
                }
                self.screen.announced(announcement.clone());
                Reply::Done
            }
            Request::Status => Reply::Status(Box::new(self.status())),
            Request::Happened { kept } => {
                let (happened, last) = self.news.take(*kept);
                Reply::Happened(happened, last)
            }
            Request::Log { after, most } => Reply::Log(logs::after(*after, *most)),
            Request::Power(power) => {
                self.end(*power, &format!("The {} role asked for it.", asked.caller));
                Reply::Done
            }
            Request::CorrectClock(correction) => self.correct_clock(correction),
            Request::HostName(name) => match nix::unistd::sethostname(name.as_str()) {
                Ok(()) => {
                    // What the kernel says, not what it was told.
                    match nix::unistd::gethostname() {
                        Ok(now) => log::info!("the host is named {}", now.display()),
                        Err(error) => log::warn!("the host's name cannot be read back: {error}"),
                    }
                    Reply::Done
                }
                Err(error) => {
                    log::warn!("the host cannot be named {name}: {error}");
                    Reply::Refused(Refusal::NotNow)
                }
            },
            Request::Run(role) => self.run_on_demand(*role),
            Request::EndBridge => {
                self.end_bridge();
                Reply::Done
            }
            Request::ReloadService => {
                log::info!(
                    "the {} role asked for the remote-support service to be started anew",
                    asked.caller
                );
                self.end_bridge();
                for role in self.roles.iter_mut().filter(|one| one.role == Role::Session) {
                    role.supervision.ends_by_order();
                    role.kill();
                }
                Reply::Done
            }
            Request::Leftovers => {
                // What could not be emptied in one go.
                bridge::empty_folder();
                let left = bridge::leftovers();
                #[cfg(feature = "lab")]
                let left = self.lab.leave(left);
                Reply::Leftovers(left)
            }
            Request::StartShell(order) => {
                let descriptors = std::mem::take(&mut asked.descriptors);
                if self.shutdown.is_some() {
                    return Reply::Refused(Refusal::NotNow);
                }
                match self.shells.start(order, descriptors, self.poll.registry()) {
                    Ok(id) => Reply::ShellStarted(id),
                    Err(error) => {
                        log::warn!("a shell could not be started: {error}");
                        Reply::Refused(Refusal::NotNow)
                    }
                }
            }
            Request::SignalShell(id, signal) => {
                self.shells.signal(*id, *signal);
                Reply::Done
            }
            _ => Reply::Refused(Refusal::NotMine),
        }
    }

    fn end_bridge(&mut self) {
        bridge::end_shells();
        self.roles.iter_mut().for_each(Supervised::rest);
        bridge::empty_folder();
    }

    fn run_on_demand(&mut self, role: Role) -> Reply {
        if self.shutdown.is_some() {
            return Reply::Refused(Refusal::NotNow);
        }
        let found = self.roles.iter_mut().find(|one| one.role == role);
        if found.is_some_and(Supervised::wake) { Reply::Done } else { Reply::Refused(Refusal::NotNow) }
    }

    fn correct_clock(&mut self, correction: &ClockCorrection) -> Reply {
        let before = clock::now_millis();
        match clock::correct_by_network(correction) {
            Ok(state) => {
                // Each correction of a running clock is small and no news; one that sets it is.
                let news = !matches!(self.clock, ClockState::Synchronised { .. }) || clock::sets(correction);
                self.clock = state;
                if clock::sets(correction) {
                    let most = correction.servers.len().min(TIME_SERVERS_MOST);
                    self.news.clock_set(before, clock::now_millis(), &correction.servers[..most]);
                }
                if news {
                    log::info!("{}", clock::sentence(&self.clock));
                    if let Err(error) = clock::save(&data::own_folder()) {
                        log::warn!("the time could not be kept: {error}");
                    }
                }
                Reply::Done
            }
            Err(error) => {
                log::warn!("{error}");
                Reply::Refused(Refusal::NotNow)
            }
        }
    }

    fn status(&self) -> SystemStatus {
        SystemStatus {
            version: crate::VERSION.to_owned(),
            serial: bridge::serial_number(),
            host_name: nix::unistd::gethostname()
                .map_or_else(|_| String::new(), |name| name.display().to_string()),
            uptime_seconds: clock::since_boot() / 1000,
            data: self.data.clone(),
            clock: self.clock.clone(),
            memory: crate::memory::now(),
            watchdogs: self.watchdogs.names(),
            last_failure: self.last_failure.clone(),
            roles: self.roles.iter().map(Supervised::status).collect(),
        }
    }

    fn look_at_data(&mut self) {
        if let DataState::Disk { device, fault } = &mut self.data {
            let found = data::fault(device);
            if found != *fault
                && let Some(sentence) = &found
            {
                log::error!("{sentence}");
            }
            *fault = found;
        }
        self.news.data(clock::since_boot(), &self.data);
    }

    /// Begins the orderly end, once.
    fn end(&mut self, power: Power, why: &str) {
        if self.shutdown.is_some() {
            return;
        }
        log::info!("{why} Everything is ended in order.");
        self.shutdown = Some(Shutdown::new(power, clock::since_boot()));
        bridge::end_shells();
        for role in &mut self.roles {
            role.supervision.stop(role.process.is_some());
            if let Some(bus) = &mut self.bus {
                bus.tell(role.role, &Event::Stop { seconds: shutdown::ASK_SECONDS });
            }
        }
    }

    fn go_on_shutting_down(&mut self, now: u64) {
        let left = self.roles.iter().any(|role| role.process.is_some()) || !self.shells.is_empty();
        let Some(shutdown) = &mut self.shutdown else { return };
        let power = shutdown.power;
        match shutdown.advance(now, left) {
            Some(Stage::Terminated) => {
                for (role, process) in
                    self.roles.iter().filter_map(|role| Some((role.role, role.process.as_ref()?)))
                {
                    log::warn!("the {role} role has not ended when asked; TERM is sent");
                    process.signal(Signal::SIGTERM);
                }
            }
            Some(Stage::Killed) => {
                for role in self.roles.iter().filter(|role| role.process.is_some()) {
                    log::warn!("the {} role has not ended by TERM; KILL is sent", role.role);
                    role.kill();
                }
            }
            Some(Stage::Over) => shutdown::finish(power, &self.data),
            Some(Stage::Asked) | None => {}
        }
    }
}
