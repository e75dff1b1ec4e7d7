//! What an appliance's owner asks of it, over the lab's line to the bus; until there is a console, this is his way. It never
//! decides what is right.
//!
//! The machine must run the lab's initramfs with `drawbridge.lab=bus`, and have a second serial line.

use crate::{LabError, Machine, seconds, within};
use drawbridge_bus::bridge::{
    BridgePath, BridgeRequest, BridgeState, BridgeStatus, PathStep, SecretText, StepResult,
};
use drawbridge_bus::support::GrantRequest;
use drawbridge_bus::{Reply, Request, Role};
use std::time::{Duration, Instant};
use zeroize::Zeroizing;

/// How long an answer may take.
const ANSWER_SECONDS: u64 = 60;
/// How long the bridge may take to come to the state that is waited for.
const STATE_SECONDS: u64 = 60;
/// A pause between two looks. An answer takes tens of milliseconds over the serial line, which is waiting too.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// The owner of a machine.
#[derive(Debug, Clone, Copy)]
pub struct Owner<'m> {
    machine: &'m Machine,
}

impl<'m> Owner<'m> {
    /// Of this machine.
    pub fn of(machine: &'m Machine) -> Self {
        Self { machine }
    }

    /// Waits until questions are answered.
    pub fn ready(self) -> Result<(), LabError> {
        self.machine.serial().wait_for("questions to the bus are answered", seconds(ANSWER_SECONDS))?;
        Ok(())
    }

    /// Asks a role on the bus, as the console.
    pub fn ask(self, to: Role, request: &Request) -> Result<Reply, LabError> {
        let question = serde_json::json!({ "to": to, "request": request }).to_string();
        let question = Zeroizing::new(question);
        let answer = self.machine.control().ask(&question, seconds(ANSWER_SECONDS))?;
        let wrong = |why: String| LabError::Unexpected(format!("the answer of {to}: {why}"));
        let answer: serde_json::Value =
            serde_json::from_str(&answer).map_err(|error| wrong(error.to_string()))?;
        let reply = answer.get("reply").ok_or_else(|| wrong(answer.to_string()))?;
        serde_json::from_value(reply.clone()).map_err(|error| wrong(error.to_string()))
    }

    fn session(self, request: &Request) -> Result<Reply, LabError> {
        match self.ask(Role::Session, request)? {
            Reply::Invalid(errors) => {
                let errors = errors.iter().map(ToString::to_string).collect::<Vec<_>>();
                Err(LabError::Unexpected(errors.join("; ")))
            }
            reply => Ok(reply),
        }
    }

    /// A secret that the appliance offers.
    pub fn offer(self) -> Result<SecretText, LabError> {
        match self.session(&Request::OfferSecret)? {
            Reply::Secret(secret) => Ok(secret),
            other => Err(unexpected("a secret", &other)),
        }
    }

    /// Lowers the bridge. Whether the server knows the appliance then shows in [`Owner::status`].
    pub fn open(
        self,
        grant: GrantRequest,
        secret: Option<SecretText>,
        path: BridgePath,
    ) -> Result<(), LabError> {
        match self.session(&Request::OpenBridge(Box::new(BridgeRequest { grant, secret, path })))? {
            Reply::Opened(_) => Ok(()),
            other => Err(unexpected("an open bridge", &other)),
        }
    }

    /// Where the bridge stands.
    pub fn status(self) -> Result<BridgeStatus, LabError> {
        match self.session(&Request::Bridge)? {
            Reply::Bridge(status) => Ok(*status),
            other => Err(unexpected("the bridge's state", &other)),
        }
    }

    /// Waits until the bridge is as `wanted` says, and gives what it says. Every status on the way is shown to it.
    pub fn until<T>(
        self,
        what: &str,
        mut wanted: impl FnMut(&BridgeStatus) -> Option<T>,
    ) -> Result<T, LabError> {
        let end = Instant::now() + within(Duration::from_secs(STATE_SECONDS));
        loop {
            let status = self.status()?;
            if let Some(found) = wanted(&status) {
                return Ok(found);
            }
            if Instant::now() >= end {
                let text = format!("{what} did not come about within {STATE_SECONDS} s; it is {status:?}");
                return Err(LabError::Unexpected(text));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    /// Raises the bridge, and waits until nothing is left.
    pub fn close(self, by: &str) -> Result<(), LabError> {
        match self.session(&Request::CloseBridge { by: by.to_owned() })? {
            Reply::Done => {}
            other => return Err(unexpected("an order that is taken", &other)),
        }
        let end = self.until("the end", |status| match &status.state {
            BridgeState::Closed => Some(Ok(())),
            BridgeState::FailedToClose(left) => Some(Err(format!("FAILED TO CLOSE: {left:?}"))),
            _ => None,
        })?;
        end.map_err(LabError::Unexpected)
    }

    /// Tests a way; `tell` hears each step when it is over. Whether none failed.
    pub fn test(self, path: BridgePath, mut tell: impl FnMut(&PathStep)) -> Result<bool, LabError> {
        match self.session(&Request::TestBridge(Box::new(path)))? {
            Reply::Done => {}
            other => return Err(unexpected("a test that begins", &other)),
        }
        let end = Instant::now() + within(Duration::from_secs(2 * STATE_SECONDS));
        let mut told = 0;
        loop {
            let (steps, over) = match self.session(&Request::TestSteps)? {
                Reply::TestSteps { steps, over } => (steps, over),
                other => return Err(unexpected("the test's steps", &other)),
            };
            while let Some(step) = steps.get(told).filter(|step| step.result != StepResult::Running) {
                tell(step);
                told += 1;
            }
            if over {
                return Ok(!steps.iter().any(|step| matches!(step.result, StepResult::Fail { .. })));
            }
            if Instant::now() >= end {
                return Err(LabError::Unexpected("the test of the way does not end".to_owned()));
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }
}

fn unexpected(wanted: &str, reply: &Reply) -> LabError {
    LabError::Unexpected(format!("the appliance was asked for {wanted} and answered {reply:?}"))
}
