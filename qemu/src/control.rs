//! The machine's second serial line, over which a guest that is built for it answers questions, a line each. It never knows
//! what the lines mean.

use crate::LabError;
use crate::serial::{Line, Pattern, Serial, SerialError};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The lab's end of the line. The guest's is `ttyS1`.
#[derive(Debug)]
pub struct Control {
    /// None for a machine that has no such line.
    line: Option<Serial>,
    /// One question at a time.
    turn: Mutex<()>,
}

impl Control {
    pub(crate) fn new(line: Option<Serial>) -> Self {
        Self { line, turn: Mutex::new(()) }
    }

    /// Sends a line and waits for the next whole line that the guest says; empty lines and the echo of a terminal that is
    /// not raw yet do not count. An answer that comes after the bound is lost, unless the next question is sent before.
    pub fn ask(&self, question: &str, within: Duration) -> Result<String, LabError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let line = self.line()?;
        line.look_from(line.end());
        self.tell(question)?;
        let answer = line.wait_for(|said: &str| !said.is_empty() && said != question, within);
        Ok(answer.map_err(|error| instead_of_an_answer(error, question))?.text)
    }

    /// Sends a line.
    pub fn tell(&self, line: &str) -> Result<(), LabError> {
        if line.contains('\n') {
            return Err(LabError::Description(format!(
                "{line:?} for its second serial line is not one line"
            )));
        }
        Ok(self.line()?.write(&format!("{line}\n"))?)
    }

    /// Waits for what the guest says by itself, such as that it is ready.
    pub fn wait_for(&self, pattern: impl Pattern, within: Duration) -> Result<Line, LabError> {
        Ok(self.line()?.wait_for(pattern, within)?)
    }

    /// All whole lines so far, with the time since the test began.
    pub fn lines(&self) -> Result<Vec<Line>, LabError> {
        Ok(self.line()?.lines())
    }

    fn line(&self) -> Result<&Serial, LabError> {
        self.line.as_ref().ok_or_else(|| {
            LabError::Description(
                "it has no second serial line: say second_serial() before it starts".to_owned(),
            )
        })
    }
}

/// An error that names the question.
fn instead_of_an_answer(mut error: SerialError, question: &str) -> SerialError {
    if let SerialError::TimedOut { wanted, .. } | SerialError::Ended { wanted, .. } = &mut error {
        *wanted = format!("an answer to {question:?}");
    }
    error
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serial::Copies;
    use std::io::{BufRead as _, BufReader, Write as _};
    use std::os::unix::net::UnixStream;
    use std::time::Instant;

    const SOON: Duration = Duration::from_secs(10);

    fn pair() -> (Control, UnixStream) {
        let (ours, theirs) = UnixStream::pair().unwrap();
        let copies = Copies { speaker: Some("the second serial line".to_owned()), ..Copies::default() };
        (Control::new(Some(Serial::start(ours, Instant::now(), copies).unwrap())), theirs)
    }

    #[test]
    fn each_question_gets_its_answer_and_an_echo_is_none() {
        let (control, guest) = pair();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut writer = guest.try_clone().unwrap();
                for question in BufReader::new(&guest).lines().take(2) {
                    let question = question.unwrap();
                    write!(writer, "{question}\r\n\r\n{{\"to\":{question}}}\r\n").unwrap();
                }
            });
            assert_eq!(control.ask("1", SOON).unwrap(), "{\"to\":1}");
            assert_eq!(control.ask("{\"two\":2}", SOON).unwrap(), "{\"to\":{\"two\":2}}");
        });
        assert_eq!(control.lines().unwrap().len(), 6);
    }

    #[test]
    fn silence_names_the_question() {
        let (control, guest) = pair();
        let late = control.ask("how are you", Duration::from_millis(10)).unwrap_err().to_string();
        assert!(late.contains("the second serial line did not say an answer to \"how are you\""), "{late}");
        assert!(control.ask("two\nlines", SOON).is_err());
        drop(guest);
        assert!(control.ask("still there", SOON).is_err());
        let none = Control::new(None).ask("anything", SOON).unwrap_err().to_string();
        assert!(none.contains("second_serial()"), "{none}");
    }
}
