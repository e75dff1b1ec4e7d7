//! A child process that never outlives its owner: started, waited for, measured, killed.

use crate::LabError;
use std::os::fd::OwnedFd;
use std::process::{Child, Command, ExitStatus};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError, mpsc};
use std::time::Duration;

/// A running program. Dropped, it is killed; when the lab itself dies, however that comes, the kernel kills it.
#[derive(Debug)]
pub struct Process {
    id: u32,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    /// The child until it is reaped, then how it ended. Who signals holds the lock, so no signal can reach a stranger
    /// that got the number later.
    child: Mutex<Life>,
    ended: Condvar,
}

#[derive(Debug)]
enum Life {
    Running(Child),
    Ended(ExitStatus),
    Lost(String),
}

type Order = (Command, Vec<OwnedFd>, mpsc::Sender<std::io::Result<Child>>);

/// The thread that starts every child. The kernel's parent-death signal follows the starting thread, and a test's threads
/// come and go.
fn starter() -> &'static Mutex<mpsc::Sender<Order>> {
    static STARTER: OnceLock<Mutex<mpsc::Sender<Order>>> = OnceLock::new();
    STARTER.get_or_init(|| {
        let (orders, inbox) = mpsc::channel::<Order>();
        let run = move || {
            for (mut command, keep, answer) in inbox {
                crate::sys::bind_to_this_process(&mut command, keep);
                // Who no longer listens has lost interest in the child: dropping the handle here would leave it running.
                if let Err(mpsc::SendError(Ok(mut child))) = answer.send(command.spawn()) {
                    let _ = child.kill();
                    let _ = child.wait();
                }
            }
        };
        // Without the thread every start fails with a sentence that says so.
        let _ = std::thread::Builder::new().name("starter".into()).spawn(run);
        Mutex::new(orders)
    })
}

impl Process {
    /// Starts a program in a process group of its own (a Ctrl-C at the terminal is for the lab alone). The descriptors
    /// are inherited under their numbers.
    pub fn start(mut command: Command, keep: Vec<OwnedFd>) -> Result<Self, LabError> {
        use std::os::unix::process::CommandExt as _;
        command.process_group(0);
        let program = command.get_program().to_string_lossy().into_owned();
        let (answer, result) = mpsc::channel();
        let gone = || std::io::Error::other("the lab's starter thread is gone");
        let started = starter()
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .send((command, keep, answer))
            .map_err(|_| gone())
            .and_then(|()| result.recv().map_err(|_| gone())?);
        let child = started.map_err(|source| LabError::Start { program, source })?;
        let id = child.id();
        let state = Arc::new(State { child: Mutex::new(Life::Running(child)), ended: Condvar::new() });
        let watched = Arc::clone(&state);
        std::thread::Builder::new()
            .name(format!("wait-{id}"))
            .spawn(move || watch(id, &watched))
            .map_err(|error| LabError::System("start a thread", error))?;
        Ok(Self { id, state })
    }

    /// Its process number.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// How it ended, if it has.
    pub fn status(&self) -> Option<ExitStatus> {
        match &*self.state.lock() {
            Life::Ended(status) => Some(*status),
            Life::Running(_) | Life::Lost(_) => None,
        }
    }

    /// Whether it still runs.
    pub fn runs(&self) -> bool {
        matches!(*self.state.lock(), Life::Running(_))
    }

    /// Waits for its end.
    pub fn wait(&self, within: Duration) -> Result<ExitStatus, LabError> {
        let running = |life: &mut Life| matches!(life, Life::Running(_));
        let (life, _) = self
            .state
            .ended
            .wait_timeout_while(self.state.lock(), within, running)
            .unwrap_or_else(PoisonError::into_inner);
        match &*life {
            Life::Ended(status) => Ok(*status),
            Life::Running(_) => Err(LabError::MachineRuns(within)),
            Life::Lost(why) => {
                Err(LabError::System("wait for a process", std::io::Error::other(why.clone())))
            }
        }
    }

    /// Ends it at once (SIGKILL), with what it has started itself, and waits until it is gone.
    pub fn kill(&self) {
        if let Life::Running(child) = &mut *self.state.lock() {
            // Its group has its number ([`Process::start`]), as long as it is not reaped.
            let group = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
            let _ = nix::sys::signal::killpg(group, nix::sys::signal::Signal::SIGKILL);
            let _ = child.kill();
        }
        // A killed process is gone soon, unless it hangs in the kernel: then waiting longer would help nobody.
        let _ = self.wait(Duration::from_secs(10));
    }

    /// Sends it a signal, if it still runs.
    pub fn signal(&self, signal: nix::sys::signal::Signal) -> Result<(), LabError> {
        if let Life::Running(child) = &*self.state.lock() {
            let pid = nix::unistd::Pid::from_raw(i32::try_from(child.id()).unwrap_or(i32::MAX));
            nix::sys::signal::kill(pid, signal)
                .map_err(|error| LabError::System("send a signal", error.into()))?;
        }
        Ok(())
    }

    /// The processor time that it has used, in user and kernel mode, all threads.
    pub fn cpu_time(&self) -> Result<Duration, LabError> {
        Self::cpu_time_of(self.id)
    }

    /// The same of any process.
    pub fn cpu_time_of(id: u32) -> Result<Duration, LabError> {
        let path = format!("/proc/{id}/stat");
        let text = std::fs::read_to_string(&path).map_err(LabError::file("read", path))?;
        cpu_time(&text, ticks_per_second())
            .ok_or_else(|| LabError::System("measure a process", std::io::Error::other("its stat is odd")))
    }

    /// The memory that it holds now, in bytes. For QEMU this is the guest's touched memory and its own.
    pub fn resident_memory(&self) -> Result<u64, LabError> {
        Self::resident_memory_of(self.id)
    }

    /// The same of any process.
    pub fn resident_memory_of(id: u32) -> Result<u64, LabError> {
        let path = format!("/proc/{id}/status");
        let text = std::fs::read_to_string(&path).map_err(LabError::file("read", path))?;
        resident_memory(&text)
            .ok_or_else(|| LabError::System("measure a process", std::io::Error::other("its status is odd")))
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

impl State {
    fn lock(&self) -> MutexGuard<'_, Life> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits for the end without reaping, then reaps under the lock.
fn watch(id: u32, state: &State) {
    use nix::sys::wait::{Id, WaitPidFlag, waitid};
    let pid = nix::unistd::Pid::from_raw(i32::try_from(id).unwrap_or(i32::MAX));
    let waited = loop {
        match waitid(Id::Pid(pid), WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT) {
            Err(nix::errno::Errno::EINTR) => {}
            other => break other,
        }
    };
    let mut life = state.lock();
    let end = match (&mut *life, waited) {
        (Life::Running(child), Ok(_)) => match child.wait() {
            Ok(status) => Life::Ended(status),
            Err(error) => Life::Lost(error.to_string()),
        },
        (_, Err(error)) => Life::Lost(error.to_string()),
        (Life::Ended(_) | Life::Lost(_), Ok(_)) => return,
    };
    *life = end;
    drop(life);
    state.ended.notify_all();
}

fn ticks_per_second() -> u64 {
    let ticks = nix::unistd::sysconf(nix::unistd::SysconfVar::CLK_TCK).ok().flatten();
    ticks.and_then(|count| u64::try_from(count).ok()).filter(|count| *count > 0).unwrap_or(100)
}

/// Fields 14 and 15 of `/proc/PID/stat` (proc(5)). The name in field 2 may hold spaces and parentheses: fields are
/// counted from the last one.
fn cpu_time(stat: &str, ticks_per_second: u64) -> Option<Duration> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(Duration::from_millis(user.checked_add(system)?.checked_mul(1000)? / ticks_per_second))
}

fn resident_memory(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kilobytes: u64 = line.split_whitespace().next()?.parse().ok()?;
    kilobytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_found_behind_a_name_with_spaces_and_parentheses() {
        let stat = "42 (a ) (b) S 1 42 42 0 -1 4194560 1 2 3 4 150 50 0 0 20 0 1 0 5 6 7";
        assert_eq!(cpu_time(stat, 100), Some(Duration::from_secs(2)));
        assert_eq!(cpu_time("nothing", 100), None);
    }

    #[test]
    fn a_dropped_process_is_gone() {
        let process = Process::start(sleeping(), vec![]).unwrap();
        let id = process.id();
        assert!(process.resident_memory().unwrap() > 0);
        assert!(process.runs());
        drop(process);
        assert!(!std::path::Path::new(&format!("/proc/{id}")).exists());
    }

    #[test]
    fn a_process_outlives_the_thread_that_asked_for_it() {
        let process = std::thread::spawn(|| Process::start(sleeping(), vec![]).unwrap()).join().unwrap();
        assert!(process.wait(Duration::from_millis(200)).is_err(), "it was killed with the thread");
    }

    #[test]
    fn the_end_of_a_process_is_told_with_its_status() {
        let mut command = Command::new("sh");
        command.args(["-c", "exit 7"]);
        let process = Process::start(command, vec![]).unwrap();
        assert_eq!(process.wait(Duration::from_secs(10)).unwrap().code(), Some(7));
        assert!(!process.runs());
    }

    fn sleeping() -> Command {
        let mut command = Command::new("sleep");
        command.arg("60");
        command
    }
}
