//! The level guided: a line is proposed, and runs when the owner says so. It never runs one itself, and asks for none that is not whole
//! and printable: session refuses those.

use crate::commands::Shell;
use crate::output::{Fault, flush, line, printable};
use drawbridge_bus::supervise::Judgement;
use drawbridge_bus::support::Level;
use drawbridge_bus::{Reply, Request, Role};
use std::time::Duration;
use tokio::signal::unix::Signal;

/// How often it is looked what became of a line.
const LOOK_EVERY: Duration = Duration::from_millis(300);

/// Whether lines are proposed here.
pub(crate) fn is_guided(shell: &Shell) -> bool {
    shell.scope.level == Level::Guided
}

/// Proposes a line, and waits for the owner's word; the error: it does not run.
pub(crate) async fn approve(shell: &Shell, text: &str, interrupts: Option<&mut Signal>) -> Result<(), Fault> {
    let (connection, text) = (shell.connection, text.trim().to_owned());
    let number = match shell.ask(Role::Session, Request::Propose { connection, line: text }).await? {
        Reply::Proposed(number) => number,
        Reply::NotTaken(why) => return Err(Fault::new(format!("the line cannot be proposed: {why}"))),
        _ => return Err(Fault::new("the appliance does not take proposals")),
    };
    line("Proposed: it runs when the owner lets it. Ctrl-C takes it back.")?;
    flush()?;
    let waits = judged(shell, number);
    let Some(interrupts) = interrupts else { return waits.await };
    tokio::select! {
        biased;
        _ = interrupts.recv() => {
            shell.ask(Role::Session, Request::Withdraw { connection, number }).await?;
            Err(Fault::Said(130, "taken back".to_owned()))
        }
        judged = waits => judged,
    }
}

async fn judged(shell: &Shell, number: u64) -> Result<(), Fault> {
    let connection = shell.connection;
    loop {
        match shell.ask(Role::Session, Request::Judgement { connection, number }).await? {
            Reply::Judgement(Judgement::Waiting) => tokio::time::sleep(LOOK_EVERY).await,
            Reply::Judgement(Judgement::Approved { by }) => {
                line(&format!("{} lets it run.", printable(&by)))?;
                return flush();
            }
            Reply::Judgement(Judgement::Refused { by }) => {
                return Err(Fault::new(format!("{} does not let it run", printable(&by))));
            }
            Reply::NotTaken(why) => return Err(Fault::new(format!("the line is not run: {why}"))),
            _ => return Err(Fault::new("the appliance does not say what became of the line")),
        }
    }
}
