//! The few commands that the server itself answers to an engineer. They only show, and only what he may see.

use crate::Trouble;
use crate::access::{self, Admitted};
use crate::clock::shown;
use crate::hub::Hub;
use crate::store::System;
use russh::server::Msg;
use russh::{Channel, ChannelMsg};
use std::fmt::Write as _;
use std::time::Duration;
use tokio::sync::oneshot;
use tokio::time::timeout;

/// He takes the answer within so long.
const TAKEN_WITHIN: Duration = Duration::from_mins(1);
const STDERR: u32 = 1;

const HELP: &str = "\
This is a Drawbridge Remote Support Server. It has no shell.

  ssh -J SERVER SYSTEM               to a system, by its name or serial number
  ssh SERVER systems                 your systems: name, serial number, connected since, from
  ssh SERVER known-hosts [SYSTEM]    lines for your known_hosts file
  ssh SERVER help                    this text
";

/// Waits for a channel's command and answers it. What comes otherwise is read and forgotten.
pub(super) async fn serve(
    hub: &Hub,
    who: &Admitted,
    mut channel: Channel<Msg>,
    mut asked: oneshot::Receiver<String>,
) {
    loop {
        tokio::select! {
            biased;
            command = &mut asked => {
                if let Ok(command) = command {
                    answer(hub, who, &command, channel).await;
                }
                return;
            }
            message = channel.wait() => {
                if matches!(message, None | Some(ChannelMsg::Close)) {
                    return;
                }
            }
        }
    }
}

/// Answers a command, and ends its channel.
async fn answer(hub: &Hub, who: &Admitted, command: &str, channel: Channel<Msg>) {
    let words: Vec<&str> = command.split_whitespace().collect();
    let answer = match words.as_slice() {
        [] | ["help"] => Ok(HELP.to_owned()),
        ["systems"] => visible(hub, who).await.map(|systems| list(hub, &systems)),
        ["known-hosts"] => {
            visible(hub, who).await.map(|systems| systems.iter().map(System::known_host).collect())
        }
        ["known-hosts", name] => visible(hub, who).await.and_then(|systems| {
            let is_it = |system: &&System| {
                system.name.eq_ignore_ascii_case(name) || system.serial.eq_ignore_ascii_case(name)
            };
            let found = systems.iter().find(is_it).map(System::known_host);
            found.ok_or_else(|| Trouble::new("no such system, or not allowed"))
        }),
        _ => Err(Trouble::new("this command is not known here: ssh SERVER help")),
    };
    let (mut read, channel) = channel.split();
    let say = async {
        let status = match answer {
            Ok(text) => {
                channel.data_bytes(text.into_bytes()).await?;
                0
            }
            Err(trouble) => {
                channel.extended_data_bytes(STDERR, format!("{trouble}\n").into_bytes()).await?;
                1
            }
        };
        channel.exit_status(status).await?;
        channel.eof().await
    };
    // What he sends meanwhile is nobody's. It is taken all the same: a full queue would stop his other channels.
    let forget = async { while !matches!(read.wait().await, None | Some(ChannelMsg::Close)) {} };
    let _ = timeout(TAKEN_WITHIN, async {
        tokio::select! {
            said = say => said.is_ok(),
            () = forget => false,
        }
    })
    .await;
    drop(read);
    let _ = timeout(TAKEN_WITHIN, channel.close()).await;
}

async fn visible(hub: &Hub, who: &Admitted) -> Result<Vec<System>, Trouble> {
    let who = who.clone();
    hub.ask(move |store| {
        let engineers = store.engineers()?;
        let mut systems = store.systems()?;
        systems.retain(|system| access::may_see(&engineers, &who, &system.name, &system.serial));
        Ok(systems)
    })
    .await
}

fn list(hub: &Hub, systems: &[System]) -> String {
    let mut text = String::new();
    for system in systems {
        let (since, from) =
            hub.connected(&system.serial).map_or(("-".to_owned(), "-".to_owned()), |connected| {
                (shown(connected.since), connected.source.to_string())
            });
        // Writing to a text does not fail.
        let _ = writeln!(text, "{} {} {since} {from}", system.name, system.serial);
    }
    text
}
