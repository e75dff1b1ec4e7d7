//! What a person asks of the bridge, and what he is told. It decides nothing: the appliance does.

use super::options::Order;
use super::outside::{Outside, Way};
use drawbridge_bus::bridge::{BridgePath, BridgeState, BridgeStatus, Link, PathStep, SecretText, StepResult};
use drawbridge_bus::support::{GrantRequest, Level, Proof, Recording, Scope, Target, USUAL_GRACE};
use drawbridge_lab::owner::Owner;
use drawbridge_lab::{LabError, Machine};
use std::path::{Path, PathBuf};

/// Where lines go that a person reads.
pub(crate) type Say<'a> = &'a mut dyn FnMut(&str);

/// A session that an engineer can come into.
pub(crate) struct Opened {
    pub(crate) secret: SecretText,
    pub(crate) ssh_config: PathBuf,
}

/// The appliance and the world around it.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) owner: Owner<'a>,
    pub(crate) outside: &'a Outside,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(machine: &'a Machine, outside: &'a Outside) -> Self {
        Self { owner: Owner::of(machine), outside }
    }

    /// Does what was asked, and tells of it. Whether it went well.
    pub(crate) fn obey(self, order: &Order, say: Say<'_>) -> Result<bool, LabError> {
        match order {
            Order::Open { minutes, name, direct } => {
                let status = self.owner.status()?;
                if status.state != BridgeState::Closed {
                    tell_status(&status, say);
                    say("A bridge that is not up cannot be lowered. `close` raises it.");
                    return Ok(false);
                }
                let Some(opened) = self.open(grant(name, *minutes), way(*direct), say)? else {
                    return Ok(false);
                };
                say("");
                say("The secret, which the owner tells the engineer by another way:");
                say("");
                say(&format!("    {}", opened.secret.reveal()));
                say("");
                say("The engineer gets in by:");
                say("");
                say(&format!("    {}", ssh_line(&opened.ssh_config)));
                Ok(true)
            }
            Order::Status => {
                tell_status(&self.owner.status()?, say);
                Ok(true)
            }
            Order::Test { direct } => self.test(way(*direct), say),
            Order::Way { direct } => {
                tell_way(&self.outside.path(way(*direct))?, say);
                Ok(true)
            }
            Order::Engineer => {
                let Link::Connected { system, .. } = self.owner.status()?.link else {
                    say(
                        "The server does not know the appliance now: lower the bridge, and wait until it is connected.",
                    );
                    return Ok(false);
                };
                say(&ssh_line(&self.outside.ssh_config(&system)?));
                say(&format!("SSH_ASKPASS={}", self.outside.vendor().answerer()?.display()));
                Ok(true)
            }
            Order::Close => {
                self.owner.close("the person at the lab")?;
                say("The bridge is up: nothing of the session is left.");
                Ok(true)
            }
        }
    }

    /// Lowers the bridge, and waits until the server knows the appliance. None when the server could not be reached: then
    /// the bridge is raised again.
    pub(crate) fn open(
        self,
        grant: GrantRequest,
        way: Way,
        say: Say<'_>,
    ) -> Result<Option<Opened>, LabError> {
        let secret = self.owner.offer()?;
        self.owner.open(grant, Some(secret.clone()), self.outside.path(way)?)?;
        say("The bridge is lowered. Connecting to the Remote Support Server...");
        let mut fails = 0;
        let tries = self.owner.until("a connection", |status| match &status.link {
            Link::Connected { system, .. } => Some(Some(system.clone())),
            Link::Waiting { why, remedy } => {
                fails += 1;
                (fails == 1).then(|| {
                    say(&format!("  {why}"));
                    if !remedy.is_empty() {
                        say(&format!("  {remedy}"));
                    }
                });
                (fails > 50).then_some(None)
            }
            _ => None,
        });
        match tries {
            Ok(Some(system)) => {
                say(&format!("Connected: the server knows the appliance as {system}."));
                let ssh_config = self.outside.ssh_config(&system)?;
                Ok(Some(Opened { secret, ssh_config }))
            }
            Ok(None) => {
                say("The server cannot be reached. The bridge is raised again.");
                self.owner.close("the lab, as the server cannot be reached")?;
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// Tests the way, step by step.
    pub(crate) fn test(self, way: Way, say: Say<'_>) -> Result<bool, LabError> {
        self.owner.test(self.outside.path(way)?, |step| tell_step(step, say))
    }
}

/// A grant with everything that the lab can show.
pub(crate) fn grant(name: &str, minutes: u32) -> GrantRequest {
    GrantRequest {
        name: name.to_owned(),
        opener: "the person at the lab".to_owned(),
        reason: "to see how it works".to_owned(),
        level: Level::Direct,
        recording: Recording::Strict,
        grace_seconds: USUAL_GRACE,
        scope: Scope { shell: true, files: true, forwards: false, targets: Vec::new() },
        minutes,
        proof: Proof::Secret,
        sources: Vec::new(),
    }
}

/// The line that gets an engineer in.
pub(crate) fn ssh_line(config: &Path) -> String {
    let text = config.display().to_string();
    let is_plain = text.chars().all(|char| char.is_ascii_alphanumeric() || "/._-+".contains(char));
    if is_plain {
        format!("ssh -F {text} sa")
    } else {
        format!("ssh -F '{}' sa", text.replace('\'', "'\\''"))
    }
}

fn way(direct: bool) -> Way {
    if direct { Way::Direct } else { Way::Proxy }
}

/// A line for each field of the page, as `NAME: VALUE`.
fn tell_way(path: &BridgePath, say: Say<'_>) {
    let place = |target: &Target| format!("{}:{}", target.host, target.port);
    say(&format!("Server: {}", place(&path.server)));
    if let Some(name) = &path.tls_name {
        say(&format!("TLS name: {name}"));
    }
    if let Some(pin) = path.verification.certificate_pin {
        let pairs: Vec<String> = pin.iter().map(|byte| format!("{byte:02X}")).collect();
        say(&format!("Certificate: {}", pairs.join(":")));
    }
    if let Some(proxy) = &path.proxy {
        say(&format!("Proxy: {}", place(&proxy.address)));
    }
    if let Some(token) = &path.enrolment {
        say(&format!("Token: {}", token.reveal()));
    }
}

fn tell_step(step: &PathStep, say: Say<'_>) {
    let word = match &step.result {
        StepResult::Pass => "PASS",
        StepResult::Fail { .. } => "FAIL",
        StepResult::Skip => "SKIP",
        StepResult::Running => return,
    };
    say(&format!("  {word}  {}: {} ({} ms)", step.title, step.detail, step.milliseconds));
    if let StepResult::Fail { remedy } = &step.result {
        say(&format!("        {remedy}"));
    }
}

fn tell_status(status: &BridgeStatus, say: Say<'_>) {
    let state = match &status.state {
        BridgeState::Closed => "The bridge is up: nothing is open.",
        BridgeState::Opening => "The bridge is being lowered.",
        BridgeState::Open => "The bridge is lowered.",
        BridgeState::Closing => "The bridge is being raised.",
        BridgeState::FailedToClose(_) => "FAILED TO CLOSE: something is left, and the uplink is down.",
    };
    say(state);
    if let Some((_, grant)) = &status.grant {
        say(&format!("  session: {}, opened by {}", grant.name, grant.opener));
        match &status.link {
            Link::Connected { system, .. } => say(&format!("  the server knows the appliance as {system}")),
            Link::Waiting { why, remedy } => {
                say(&format!("  {why}"));
                if !remedy.is_empty() {
                    say(&format!("  {remedy}"));
                }
            }
            Link::Connecting => say("  the server is being dialled"),
            Link::Down => say("  there is no connection to the server"),
        }
    }
    if let Some(seconds) = status.seconds_left {
        say(&format!("  it ends by itself in {} min {} s", seconds / 60, seconds % 60));
    }
    if status.burned {
        say("  the secret was tried wrong too often and opens nothing any more");
    }
    for visitor in &status.visitors {
        say(&format!("  in: {} from {}, for {} s", visitor.name, visitor.source, visitor.seconds));
    }
    if status.grant.is_none() && !status.last_end.is_empty() {
        say(&format!("  the last session: {}", status.last_end));
    }
}
