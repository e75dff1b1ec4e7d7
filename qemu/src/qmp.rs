//! QEMU's monitor (QMP): commands with their replies, and events. It never guesses what an answer means.

mod message;

use message::{Answer, Message, parse};
use serde_json::{Map, Value, json};
use std::collections::VecDeque;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

pub use message::Event;

/// QEMU answers from its main loop. Under load that may take seconds, but a minute is a hang.
const ANSWER_WITHIN: Duration = Duration::from_mins(1);

/// QEMU's longest answers (whole schemas) have a few hundred kilobytes.
const LINE_LIMIT: u64 = 16 << 20;

/// Events nobody waits for are kept, up to this many.
const EVENTS_KEPT: usize = 10_000;

/// Why a command has no answer, or an event did not come.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// QEMU refused.
    #[error("QEMU refused {command}: {description} ({class})")]
    Refused {
        /// The command.
        command: String,
        /// The error class, such as `GenericError`.
        class: String,
        /// What QEMU says.
        description: String,
    },
    /// The monitor is gone.
    #[error("QEMU ended while {0} was waited for")]
    Ended(String),
    /// QEMU is silent.
    #[error("nothing came within {within:.1?} while {waited} was waited for. Events since: {events}")]
    TimedOut {
        /// What for.
        waited: String,
        /// The bound.
        within: Duration,
        /// The names of the events that came.
        events: String,
    },
    /// What came is not QMP.
    #[error("the other end does not speak QMP: {0}")]
    Malformed(String),
    /// The connection.
    #[error("cannot write to the monitor: {0}")]
    Write(std::io::Error),
}

impl QmpError {
    /// Whether QEMU is gone.
    pub fn is_end(&self) -> bool {
        matches!(self, Self::Ended(_))
    }
}

/// A connection to QEMU's monitor, ready for commands.
#[derive(Debug)]
pub struct Qmp {
    writer: Mutex<UnixStream>,
    shared: Arc<Shared>,
    next_id: AtomicU64,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    greeted: bool,
    replies: Vec<(u64, Answer)>,
    events: VecDeque<Event>,
    /// Why nothing more will come.
    end: Option<End>,
}

#[derive(Debug, Clone)]
enum End {
    Closed,
    Malformed(String),
}

impl Qmp {
    /// Waits for the greeting and negotiates (no capability is needed).
    pub fn start(stream: UnixStream, within: Duration) -> Result<Self, QmpError> {
        let reader = stream.try_clone().map_err(QmpError::Write)?;
        let shared = Arc::new(Shared::default());
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new()
            .name("qmp".into())
            .spawn(move || read_all(reader, &theirs))
            .map_err(QmpError::Write)?;
        let qmp = Self { writer: Mutex::new(stream), shared, next_id: AtomicU64::new(1) };
        qmp.wait("the greeting", within, |state| state.greeted.then_some(()))?;
        qmp.execute("qmp_capabilities", Value::Null)?;
        Ok(qmp)
    }

    /// Runs a command and returns what it returns. `arguments` is an object, or null for none.
    pub fn execute(&self, command: &str, arguments: Value) -> Result<Value, QmpError> {
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let mut line = Map::new();
        line.insert("execute".into(), command.into());
        line.insert("id".into(), id.into());
        if !arguments.is_null() {
            line.insert("arguments".into(), arguments);
        }
        let text = format!("{}\n", Value::Object(line));
        {
            let mut writer = self.writer.lock().unwrap_or_else(PoisonError::into_inner);
            // A write that fails because QEMU is gone is told by the reader's end, which says more.
            let written = writer.write_all(text.as_bytes());
            if let Err(error) = written
                && error.kind() != std::io::ErrorKind::BrokenPipe
            {
                return Err(QmpError::Write(error));
            }
        }
        let reply = self.wait(command, ANSWER_WITHIN, |state| {
            let place = state.replies.iter().position(|(of, _)| *of == id)?;
            Some(state.replies.swap_remove(place).1)
        })?;
        reply.map_err(|(class, description)| QmpError::Refused {
            command: command.to_owned(),
            class,
            description,
        })
    }

    /// Takes the first event of this name out of those that came since the start (or the last [`Qmp::forget_events`]),
    /// waiting for it when there is none yet.
    pub fn wait_for_event(&self, name: &str, within: Duration) -> Result<Event, QmpError> {
        self.wait_for_event_with(name, within, |_| true)
    }

    /// The same, for an event whose data fits.
    pub fn wait_for_event_with(
        &self,
        name: &str,
        within: Duration,
        fits: impl Fn(&Value) -> bool,
    ) -> Result<Event, QmpError> {
        self.wait(&format!("the event {name}"), within, |state| {
            let place = state.events.iter().position(|event| event.name == name && fits(&event.data))?;
            state.events.remove(place)
        })
    }

    /// Events that came until now no longer count.
    pub fn forget_events(&self) {
        self.shared.lock().events.clear();
    }

    /// The events that came and were not taken, oldest first.
    pub fn events(&self) -> Vec<Event> {
        self.shared.lock().events.iter().cloned().collect()
    }

    /// Resets the machine as its reset button does.
    pub fn system_reset(&self) -> Result<(), QmpError> {
        self.execute("system_reset", Value::Null).map(drop)
    }

    /// Presses the power button. The guest decides what follows.
    pub fn system_powerdown(&self) -> Result<(), QmpError> {
        self.execute("system_powerdown", Value::Null).map(drop)
    }

    /// Presses keys together, by QEMU's names (`ctrl`, `alt`, `delete`, `a`, `ret`).
    pub fn send_key(&self, keys: &[&str]) -> Result<(), QmpError> {
        let keys: Vec<Value> = keys.iter().map(|key| json!({"type": "qcode", "data": key})).collect();
        self.execute("send-key", json!({ "keys": keys })).map(drop)
    }

    /// Ends QEMU. The guest learns nothing of it.
    pub fn quit(&self) -> Result<(), QmpError> {
        match self.execute("quit", Value::Null) {
            // It may be gone before its answer is.
            Ok(_) | Err(QmpError::Ended(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Freezes the machine.
    pub fn stop(&self) -> Result<(), QmpError> {
        self.execute("stop", Value::Null).map(drop)
    }

    /// Lets a frozen machine go on.
    pub fn resume(&self) -> Result<(), QmpError> {
        self.execute("cont", Value::Null).map(drop)
    }

    /// The run state, such as `running`, `paused` or `shutdown`.
    pub fn status(&self) -> Result<String, QmpError> {
        let answer = self.execute("query-status", Value::Null)?;
        let status = answer.get("status").and_then(Value::as_str);
        status.map(str::to_owned).ok_or_else(|| QmpError::Malformed(answer.to_string()))
    }

    /// Sets the carrier of a network card (by the card's id).
    pub fn set_link(&self, id: &str, up: bool) -> Result<(), QmpError> {
        self.execute("set_link", json!({"name": id, "up": up})).map(drop)
    }

    /// Plugs a device in. `properties` has `driver`, `id`, `bus` and what the driver needs.
    pub fn device_add(&self, properties: Value) -> Result<(), QmpError> {
        self.execute("device_add", properties).map(drop)
    }

    /// Asks the guest to let a device go, and waits until it is unplugged.
    pub fn device_del(&self, id: &str, within: Duration) -> Result<(), QmpError> {
        self.execute("device_del", json!({ "id": id }))?;
        let is_it = |data: &Value| data.get("device").and_then(Value::as_str) == Some(id);
        self.wait_for_event_with("DEVICE_DELETED", within, is_it).map(drop)
    }

    /// Writes what the screen shows to a file: PNG when the name ends so, else PPM.
    pub fn screendump(&self, file: &Path) -> Result<(), QmpError> {
        let png = file.extension().is_some_and(|extension| extension.eq_ignore_ascii_case("png"));
        let format = if png { "png" } else { "ppm" };
        self.execute("screendump", json!({"filename": file, "format": format})).map(drop)
    }

    /// Raises a non-maskable interrupt.
    pub fn inject_nmi(&self) -> Result<(), QmpError> {
        self.execute("inject-nmi", Value::Null).map(drop)
    }

    /// Runs a command of the human monitor and returns its text.
    pub fn human(&self, line: &str) -> Result<String, QmpError> {
        let answer = self.execute("human-monitor-command", json!({ "command-line": line }))?;
        Ok(answer.as_str().unwrap_or_default().to_owned())
    }

    fn wait<T>(
        &self,
        waited: &str,
        within: Duration,
        mut take: impl FnMut(&mut State) -> Option<T>,
    ) -> Result<T, QmpError> {
        let deadline = crate::time::deadline(within);
        let mut state = self.shared.lock();
        loop {
            if let Some(found) = take(&mut state) {
                return Ok(found);
            }
            match &state.end {
                Some(End::Closed) => return Err(QmpError::Ended(waited.to_owned())),
                Some(End::Malformed(why)) => return Err(QmpError::Malformed(why.clone())),
                None => {}
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                let names: Vec<&str> = state.events.iter().map(|event| event.name.as_str()).collect();
                let events = if names.is_empty() { "none".to_owned() } else { names.join(", ") };
                return Err(QmpError::TimedOut { waited: waited.to_owned(), within, events });
            }
            (state, _) =
                self.shared.changed.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn read_all(stream: UnixStream, shared: &Shared) {
    use std::io::Read as _;
    let mut reader = BufReader::new(stream);
    let mut line = Vec::new();
    let end = loop {
        line.clear();
        match (&mut reader).take(LINE_LIMIT).read_until(b'\n', &mut line) {
            Ok(0) | Err(_) => break End::Closed,
            Ok(_) => {}
        }
        let message = match parse(&line) {
            Ok(message) => message,
            Err(why) => break End::Malformed(why),
        };
        let mut state = shared.lock();
        match message {
            Message::Greeting => state.greeted = true,
            Message::Reply { id, reply } => state.replies.push((id, reply)),
            Message::Event(event) => {
                if state.events.len() >= EVENTS_KEPT {
                    state.events.pop_front();
                }
                state.events.push_back(event);
            }
        }
        drop(state);
        shared.changed.notify_all();
    };
    shared.lock().end = Some(end);
    shared.changed.notify_all();
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read as _;

    const SOON: Duration = Duration::from_secs(10);

    /// The other end of a monitor: says its lines as they are asked for.
    fn monitor(script: &'static [&'static str]) -> UnixStream {
        let (ours, theirs) = UnixStream::pair().unwrap();
        std::thread::spawn(move || {
            let mut reader = BufReader::new(theirs.try_clone().unwrap());
            let mut theirs = theirs;
            for (index, line) in script.iter().enumerate() {
                if index > 0 && line.contains("\"id\"") {
                    let mut asked = String::new();
                    reader.read_line(&mut asked).unwrap();
                }
                writeln!(theirs, "{line}").unwrap();
            }
            let _ = reader.read_to_end(&mut Vec::new());
        });
        ours
    }

    #[test]
    fn events_between_command_and_reply_are_kept() {
        let qmp = Qmp::start(
            monitor(&[
                r#"{"QMP": {"version": {}, "capabilities": []}}"#,
                r#"{"return": {}, "id": 1}"#,
                r#"{"event": "RESET", "timestamp": {"seconds": 5, "microseconds": 500000}}"#,
                r#"{"return": {"status": "running"}, "id": 2}"#,
                r#"{"error": {"class": "GenericError", "desc": "no such device"}, "id": 3}"#,
            ]),
            SOON,
        )
        .unwrap();
        assert_eq!(qmp.status().unwrap(), "running");
        assert_eq!(qmp.wait_for_event("RESET", SOON).unwrap().name, "RESET");
        let refused = qmp.set_link("x", false).unwrap_err().to_string();
        assert_eq!(refused, "QEMU refused set_link: no such device (GenericError)");
        let late = qmp.wait_for_event("RESET", Duration::from_millis(20)).unwrap_err().to_string();
        assert!(late.contains("the event RESET"), "{late}");
    }

    #[test]
    fn a_monitor_that_ends_or_talks_nonsense_is_told_apart() {
        let (ours, theirs) = UnixStream::pair().unwrap();
        drop(theirs);
        assert!(matches!(Qmp::start(ours, SOON), Err(QmpError::Ended(_))));
        assert!(matches!(Qmp::start(monitor(&["SSH-2.0-x"]), SOON), Err(QmpError::Malformed(_))));
    }
}
