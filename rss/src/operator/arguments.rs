//! Reads the command line; it does nothing else.

use super::{
    Answer, Command, Engineers, Evidence, Form, MOST_MINUTES, NewGrant, NewKey, Pace, Sessions, Systems,
    Which,
};
use crate::clock::now;
use crate::store::{ENGINEER, Engineer, NewToken, ROLES};
use lexopt::prelude::{Long, Short, Value, ValueExt as _};
use std::path::PathBuf;

const MINUTES: u32 = 15;
const MOST_DAYS: u32 = 10 * 366;
/// How long a grant waits for its use, when nothing is said, and at most.
const GRANT_DAYS: u32 = 1;
const MOST_GRANT_DAYS: u32 = 366;
/// How fast a recording is played at most, and how slow.
const MOST_SPEED: f64 = 100.0;
/// How long a pause is while it is played, in seconds, when nothing is said, and at most.
const MAX_IDLE: f64 = 3600.0;
const MOST_IDLE: f64 = 86_400.0;

/// Everything that can stand on a command line; what fits which command is looked at in the end.
#[derive(Default)]
#[expect(clippy::struct_excessive_bools, reason = "one for each switch of the command line")]
struct Given {
    config: Option<PathBuf>,
    words: Vec<String>,
    serial: Option<String>,
    name: Option<String>,
    address: Option<String>,
    minutes: Option<u32>,
    key: Option<PathBuf>,
    is_authority: bool,
    systems: Option<Vec<String>>,
    from: Option<Vec<String>>,
    days: Option<u32>,
    after_hours: Option<u32>,
    role: Option<String>,
    who: Option<String>,
    reason: Option<String>,
    case: Option<String>,
    engineer: Option<PathBuf>,
    targets: Option<Vec<String>>,
    shell: bool,
    files: bool,
    forwards: bool,
    system: Option<String>,
    text: Option<String>,
    json: bool,
    terminal: Option<u32>,
    speed: Option<f64>,
    max_idle: Option<f64>,
    cast: bool,
    ttyrec: bool,
    all: bool,
}

/// Reads it.
pub fn read(mut parser: lexopt::Parser) -> Result<Command, lexopt::Error> {
    let mut given = Given::default();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("help") | Short('h') => return Ok(Command::Help),
            Long("config") => given.config = Some(parser.value()?.into()),
            Long("serial") => given.serial = Some(parser.value()?.string()?),
            Long("name") => given.name = Some(parser.value()?.string()?),
            Long("address") => given.address = Some(parser.value()?.string()?),
            Long("minutes") => given.minutes = Some(parser.value()?.parse()?),
            Long("key") => given.key = Some(parser.value()?.into()),
            Long("authority") => given.is_authority = true,
            Long("systems") => given.systems = Some(list(&parser.value()?.string()?)),
            Long("from") => given.from = Some(list(&parser.value()?.string()?)),
            Long("role") => given.role = Some(parser.value()?.string()?),
            Long("who") => given.who = Some(parser.value()?.string()?),
            Long("reason") => given.reason = Some(parser.value()?.string()?),
            Long("case") => given.case = Some(parser.value()?.string()?),
            Long("engineer") => given.engineer = Some(parser.value()?.into()),
            Long("target") => {
                given.targets.get_or_insert_default().extend(list(&parser.value()?.string()?));
            }
            Long("shell") => given.shell = true,
            Long("files") => given.files = true,
            Long("forwards") => given.forwards = true,
            Long("system") => given.system = Some(parser.value()?.string()?),
            Long("text") => given.text = Some(parser.value()?.string()?),
            Long("json") => given.json = true,
            Long("terminal") => given.terminal = Some(parser.value()?.parse()?),
            Long("speed") => given.speed = Some(parser.value()?.parse()?),
            Long("max-idle") => given.max_idle = Some(parser.value()?.parse()?),
            Long("cast") => given.cast = true,
            Long("ttyrec") => given.ttyrec = true,
            Long("all") => given.all = true,
            Long("days") => given.days = Some(parser.value()?.parse()?),
            Long("after-hours") => given.after_hours = Some(parser.value()?.parse()?),
            Value(word) => given.words.push(word.string()?),
            other => return Err(other.unexpected()),
        }
    }
    given.command()
}

fn list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|one| !one.is_empty()).map(str::to_owned).collect()
}

fn which(text: &str) -> Result<Which, lexopt::Error> {
    Which::parse(text).ok_or_else(|| {
        format!("{text:?} is no recording's name: take one that rss sessions list has, or SYSTEM/NAME").into()
    })
}

fn evidence(system: &str, words: &[&str]) -> Result<Evidence, lexopt::Error> {
    let system = system.to_owned();
    Ok(match words {
        [] => Evidence::List(system),
        ["accept", print] => Evidence::Accept(system, (*print).to_owned()),
        ["forget", print] => Evidence::Forget(system, (*print).to_owned()),
        _ => return Err(format!("systems evidence {system} {} is not known", words.join(" ")).into()),
    })
}

impl Given {
    fn command(mut self) -> Result<Command, lexopt::Error> {
        let words = std::mem::take(&mut self.words);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let Some((&verb, rest)) = words.split_first() else {
            return Err("say what is wanted, such as serve".into());
        };
        let Some(config) = self.config.take() else {
            return Err("say which settings file, with --config FILE".into());
        };
        let command = match (verb, rest) {
            ("serve", []) => Command::Serve(config),
            ("enrol", []) => Command::Enrol(config, self.token()?),
            ("systems", [] | ["list"]) => Command::Systems(config, Systems::List),
            ("systems", ["known-hosts"]) => Command::Systems(config, Systems::KnownHosts),
            ("systems", ["remove", serial]) => {
                Command::Systems(config, Systems::Remove((*serial).to_owned()))
            }
            ("systems", ["rename", serial, name]) => {
                Command::Systems(config, Systems::Rename((*serial).to_owned(), (*name).to_owned()))
            }
            ("systems", ["evidence", system, rest @ ..]) => {
                Command::Evidence(config, evidence(system, rest)?)
            }
            ("sessions", rest) => Command::Sessions(config, self.sessions(rest)?),
            ("engineers", [] | ["list"]) => Command::Engineers(config, Engineers::List),
            ("engineers", ["add", name]) => Command::Engineers(config, self.engineer(name)?),
            ("engineers", ["remove", name]) => {
                Command::Engineers(config, Engineers::Remove((*name).to_owned()))
            }
            ("engineers", ["disable", name]) => {
                Command::Engineers(config, Engineers::Disable((*name).to_owned()))
            }
            ("audit", []) => Command::Audit(config),
            ("key", [file]) => Command::Key(config, NewKey { file: file.into(), name: self.name.take() }),
            // A challenge that was pasted without quotes comes as several words where its dashes were lost.
            ("respond", challenge) => Command::Respond(config, self.answer(challenge)?),
            ("grant", []) => Command::Grant(config, self.grant()?),
            _ => return Err(format!("{} is not known", words.join(" ")).into()),
        };
        self.must_be_used_up()?;
        Ok(command)
    }

    fn token(&mut self) -> Result<NewToken, lexopt::Error> {
        let minutes = self.minutes.take().unwrap_or(MINUTES);
        if !(1..=MOST_MINUTES).contains(&minutes) {
            return Err(format!("--minutes is from 1 to {MOST_MINUTES}").into());
        }
        Ok(NewToken {
            serial: self.serial.take(),
            name: self.name.take(),
            address: self.address.take(),
            minutes,
        })
    }

    fn engineer(&mut self, name: &str) -> Result<Engineers, lexopt::Error> {
        let Some(key) = self.key.take() else { return Err("say which public key, with --key FILE".into()) };
        let ends = match self.days.take() {
            Some(days) if (1..=MOST_DAYS).contains(&days) => Some(now() + i64::from(days) * 24 * 3600),
            Some(_) => return Err(format!("--days is from 1 to {MOST_DAYS}").into()),
            None => None,
        };
        let role = self.role.take().unwrap_or_else(|| ENGINEER.to_owned());
        if !ROLES.contains(&role.as_str()) {
            return Err(format!("--role is one of {}", ROLES.join(", ")).into());
        }
        let engineer = Engineer {
            name: name.to_owned(),
            key: String::new(),
            is_authority: std::mem::take(&mut self.is_authority),
            role,
            systems: self.systems.take().unwrap_or_default(),
            sources: self.from.take().unwrap_or_default(),
            ends,
            disabled: false,
        };
        Ok(Engineers::Add(engineer, key))
    }

    fn sessions(&mut self, words: &[&str]) -> Result<Sessions, lexopt::Error> {
        Ok(match words {
            [] | ["list"] => Sessions::List {
                system: self.system.take(),
                text: self.text.take(),
                json: std::mem::take(&mut self.json),
            },
            ["show", which] => {
                Sessions::Show { which: self::which(which)?, json: std::mem::take(&mut self.json) }
            }
            ["play", which] => Sessions::Play { which: self::which(which)?, pace: self.pace()? },
            ["export", which, to @ ..] if to.len() < 2 => Sessions::Export {
                which: self::which(which)?,
                form: self.form()?,
                to: to.first().map(PathBuf::from),
            },
            ["verify"] if std::mem::take(&mut self.all) => Sessions::Verify(None),
            ["verify", which] => Sessions::Verify(Some(self::which(which)?)),
            ["remove", which] => Sessions::Remove(self::which(which)?),
            _ => return Err(format!("sessions {} is not known", words.join(" ")).into()),
        })
    }

    fn pace(&mut self) -> Result<Pace, lexopt::Error> {
        let speed = self.speed.take().unwrap_or(1.0);
        if !(MOST_SPEED.recip()..=MOST_SPEED).contains(&speed) {
            return Err(format!("--speed is from {} to {MOST_SPEED}", MOST_SPEED.recip()).into());
        }
        let idle = self.max_idle.take().unwrap_or(MAX_IDLE);
        if !(0.0..=MOST_IDLE).contains(&idle) {
            return Err(format!("--max-idle is from 0 to {MOST_IDLE}, in seconds").into());
        }
        let max_idle = std::time::Duration::from_secs_f64(idle);
        Ok(Pace { terminal: self.terminal.take(), speed, max_idle })
    }

    fn form(&mut self) -> Result<Form, lexopt::Error> {
        Ok(match (std::mem::take(&mut self.cast), std::mem::take(&mut self.ttyrec)) {
            (false, false) => Form::Tar,
            (true, false) => Form::Cast(self.terminal.take()),
            (false, true) => Form::Ttyrec(self.terminal.take()),
            (true, true) => return Err("say --cast or --ttyrec, not both".into()),
        })
    }

    fn signing_key(&mut self) -> Result<PathBuf, lexopt::Error> {
        self.key.take().ok_or_else(|| "say which signing key, with --key FILE".into())
    }

    fn answer(&mut self, challenge: &[&str]) -> Result<Answer, lexopt::Error> {
        Ok(Answer {
            key: self.signing_key()?,
            challenge: (!challenge.is_empty()).then(|| challenge.join(" ")),
            who: self.who.take(),
            reason: self.reason.take(),
            minutes: self.minutes.take(),
        })
    }

    fn grant(&mut self) -> Result<NewGrant, lexopt::Error> {
        let days = self.days.take().unwrap_or(GRANT_DAYS);
        if !(1..=MOST_GRANT_DAYS).contains(&days) {
            return Err(format!("--days is from 1 to {MOST_GRANT_DAYS}").into());
        }
        let after_hours = self.after_hours.take().unwrap_or(0);
        if after_hours > MOST_GRANT_DAYS * 24 {
            return Err(format!("--after-hours is from 0 to {}", MOST_GRANT_DAYS * 24).into());
        }
        Ok(NewGrant {
            key: self.signing_key()?,
            engineer: self.engineer.take().ok_or("say whose public key, with --engineer FILE")?,
            case: self.case.take().ok_or("say for which case, with --case CASE")?,
            serial: self.serial.take().ok_or("say for which system, with --serial SERIAL")?,
            targets: self.targets.take().unwrap_or_default(),
            shell: std::mem::take(&mut self.shell),
            files: std::mem::take(&mut self.files),
            forwards: std::mem::take(&mut self.forwards),
            minutes: self.minutes.take().ok_or("say how long the session may last, with --minutes N")?,
            after_hours,
            days,
        })
    }

    /// An option that does not belong to the command is a mistake that must not pass: `--from` on the wrong line, say.
    fn must_be_used_up(&self) -> Result<(), lexopt::Error> {
        let left = [
            ("--serial", self.serial.is_some()),
            ("--name", self.name.is_some()),
            ("--address", self.address.is_some()),
            ("--minutes", self.minutes.is_some()),
            ("--key", self.key.is_some()),
            ("--authority", self.is_authority),
            ("--systems", self.systems.is_some()),
            ("--from", self.from.is_some()),
            ("--days", self.days.is_some()),
            ("--after-hours", self.after_hours.is_some()),
            ("--role", self.role.is_some()),
            ("--who", self.who.is_some()),
            ("--reason", self.reason.is_some()),
            ("--case", self.case.is_some()),
            ("--engineer", self.engineer.is_some()),
            ("--target", self.targets.is_some()),
            ("--shell", self.shell),
            ("--files", self.files),
            ("--forwards", self.forwards),
            ("--system", self.system.is_some()),
            ("--text", self.text.is_some()),
            ("--json", self.json),
            ("--terminal", self.terminal.is_some()),
            ("--speed", self.speed.is_some()),
            ("--max-idle", self.max_idle.is_some()),
            ("--cast", self.cast),
            ("--ttyrec", self.ttyrec),
            ("--all", self.all),
        ];
        match left.into_iter().find(|(_, is_left)| *is_left) {
            Some((option, _)) => Err(format!("{option} does not belong to this command").into()),
            None => Ok(()),
        }
    }
}
