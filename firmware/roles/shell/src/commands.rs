//! The commands: their table, and what every one of them knows. It runs nothing that is not in the table.

mod files;
pub(crate) use files::date;
mod reach;
mod ssh;
mod system;

use crate::deeds::Deeds;
use crate::output::{Done, Fault, columns, duration, line, put};
use crate::role::{Place, connect};
use crate::tree::{Tree, why};
use crate::words::nearest;
use drawbridge_bus::bridge::ShellScope;
use drawbridge_bus::support::Level;
use drawbridge_bus::{Reply, Request, Role};
use std::io::IsTerminal as _;
use std::time::Instant;

/// A command's line in the table.
pub(crate) struct Command {
    pub(crate) name: &'static str,
    /// What follows the name.
    arguments: &'static str,
    about: &'static str,
    /// Whether it needs the grant's folder.
    files: bool,
}

const fn command(name: &'static str, arguments: &'static str, about: &'static str) -> Command {
    Command { name, arguments, about, files: false }
}

const fn of_files(name: &'static str, arguments: &'static str, about: &'static str) -> Command {
    Command { name, arguments, about, files: true }
}

/// Every command, in the order of `help`.
const COMMANDS: &[Command] = &[
    command("help", "[COMMAND]", "what there is, or one command in full"),
    command("status", "", "version, uptime, clock, data partition, memory and processes of the appliance"),
    command("network", "", "ports with link and addresses, name servers, and what is wrong with them"),
    command(
        "logs",
        "[-f] [-n LINES] [TEXT]",
        "the appliance's log: its last lines, or the last with this text in them; with -f also those to come",
    ),
    command("resolve", "NAME", "the addresses of a name, by the appliance's name servers"),
    command(
        "tcp",
        "HOST PORT",
        "whether a place of this session's takes a TCP connection, and whether it speaks first",
    ),
    command("tls", "HOST PORT", "what a place of this session's answers to a TLS handshake"),
    command(
        "ping",
        "HOST [COUNT]",
        "whether a place of this session's answers echo requests (4), and how fast",
    ),
    command("trace", "HOST", "the routers on the way to a place of this session's"),
    command("mtu", "HOST", "the largest packet that gets to a place of this session's and back whole"),
    command(
        "ssh",
        "[-p PORT] [USER@]HOST [COMMAND]",
        "a shell, or one command, on a place of this session's",
    ),
    command("targets", "", "the places of the array that this session opens"),
    command("whoami", "", "who you are here, by which grant, and for how long still"),
    of_files("ls", "[-l] [PATH]...", "names in the session's folder; with -l kind, size and time"),
    of_files("cat", "FILE...", "what is in files; on a terminal with control characters made visible"),
    of_files("cp", "FROM TO", "copies a file"),
    of_files("mv", "FROM TO", "renames or moves a file or folder"),
    of_files("rm", "[-r] PATH...", "removes files; with -r folders and all in them"),
    of_files("mkdir", "[-p] PATH...", "makes folders; with -p those above them, too"),
    of_files("df", "", "how much can still be written"),
    of_files("sha256sum", "FILE...", "SHA-256 of files"),
    command("echo", "[WORD]...", "says its words"),
    command("terminal", "", "columns and rows of your terminal"),
    command("clear", "", "clears the screen"),
    command("exit", "[STATUS]", "ends the command line"),
];

/// What every command knows.
#[derive(Debug)]
pub(crate) struct Shell {
    pub(crate) place: Place,
    pub(crate) scope: ShellScope,
    /// The engineer's connection.
    pub(crate) connection: u64,
    /// Where it is said what is done.
    pub(crate) deeds: Deeds,
    since: Instant,
    /// Whether output goes to a terminal.
    pub(crate) terminal: bool,
    /// Whether its input is lines to run: no command reads it.
    pub(crate) reads_lines: bool,
    /// The status that the command line is to end with.
    pub(crate) left: Option<u8>,
    tree: Option<Tree>,
}

impl Shell {
    pub(crate) fn new(place: Place, scope: ShellScope, connection: u64, deeds: Deeds) -> Self {
        let terminal = std::io::stdout().is_terminal();
        // What would be typed into a command has not been approved.
        let reads_lines = scope.level == Level::Guided;
        Self {
            place,
            scope,
            connection,
            deeds,
            since: Instant::now(),
            terminal,
            reads_lines,
            left: None,
            tree: None,
        }
    }

    /// Seconds until the grant ends.
    pub(crate) fn seconds_left(&self) -> u64 {
        self.scope.seconds_left.saturating_sub(self.since.elapsed().as_secs())
    }

    /// The grant's folder.
    pub(crate) fn tree(&mut self) -> Result<Tree, Fault> {
        if !self.scope.scope.files {
            return Err(Fault::new("this session opens no files"));
        }
        if let Some(tree) = &self.tree {
            return Ok(tree.clone());
        }
        let tree = Tree::open(&self.place.files)
            .map_err(|error| Fault::new(format!("the session's folder cannot be opened: {}", why(error))))?;
        Ok(self.tree.insert(tree).clone())
    }

    /// Asks another role.
    pub(crate) async fn ask(&self, role: Role, request: Request) -> Result<Reply, Fault> {
        let told = |error| Fault::new(format!("the appliance does not say: {error}"));
        let mut client = connect(&self.place.sockets, role).await.map_err(told)?;
        client.call(request).await.map_err(told)
    }

    /// Commands that this session can use.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &'static Command> + use<> {
        let files = self.scope.scope.files;
        COMMANDS.iter().filter(move |command| files || !command.files)
    }

    /// Runs a line's words.
    pub(crate) async fn run(&mut self, words: &[String]) -> Done {
        let Some((name, arguments)) = words.split_first() else { return Ok(()) };
        if !COMMANDS.iter().any(|command| command.name == name) {
            return Err(Fault::Said(127, self.unknown(name)));
        }
        match (name.as_str(), arguments) {
            (
                "help" | "status" | "network" | "targets" | "whoami" | "df" | "terminal" | "clear",
                [_, _, ..],
            )
            | ("status" | "network" | "targets" | "whoami" | "df" | "terminal" | "clear", [_])
            | ("resolve", [] | [_, _, ..]) => Err(misused(name)),
            ("help", []) => self.help(),
            ("help", [about, ..]) => self.help_on(about),
            ("status", _) => system::status(self).await,
            ("network", _) => system::network(self).await,
            ("logs", arguments) => system::logs(self, arguments).await,
            ("resolve", [name, ..]) => reach::resolve(self, name).await,
            ("tcp", [host, port]) => reach::tcp(self, host, port).await,
            ("tls", [host, port]) => reach::tls(self, host, port).await,
            ("ping", [host]) => reach::ping(self, host, "4").await,
            ("ping", [host, count]) => reach::ping(self, host, count).await,
            ("trace", [host]) => reach::trace(self, host).await,
            ("mtu", [host]) => reach::mtu(self, host).await,
            ("ssh", arguments) => ssh::run(self, arguments).await,
            ("targets", _) => self.targets(),
            ("whoami", _) => self.whoami(),
            ("echo", words) => line(&words.join(" ")),
            ("terminal", _) => terminal(),
            ("clear", _) => put(b"\x1b[H\x1b[2J\x1b[3J"),
            ("exit", []) => {
                self.left = Some(0);
                Ok(())
            }
            ("exit", [status]) => {
                let status =
                    status.parse().map_err(|_| Fault::usage("a status is a number from 0 to 255"))?;
                self.left = Some(status);
                Ok(())
            }
            (name, arguments) => match files::run(self, name, arguments).await {
                Some(done) => done,
                None => Err(misused(name)),
            },
        }
    }

    fn unknown(&self, name: &str) -> String {
        let short: String = name.chars().take(64).collect();
        match nearest(name, self.commands().map(|command| command.name)) {
            Some(near) => format!("there is no command {short:?}: did you mean {near:?}?"),
            None => format!("there is no command {short:?}: \"help\" lists those that there are"),
        }
    }

    fn help(&self) -> Done {
        let row = |command: &Command| {
            vec![
                format!("{} {}", command.name, command.arguments).trim_end().to_owned(),
                command.about.to_owned(),
            ]
        };
        columns(&self.commands().map(row).collect::<Vec<_>>())?;
        line("")?;
        line(
            "Words are quoted as in a shell; there are no variables, patterns, pipes or redirections. Ctrl-C ends a command.",
        )?;
        if self.scope.scope.files {
            line("Files go in and out by sftp and scp, with this session's folder as their root.")?;
        }
        Ok(())
    }

    fn help_on(&self, name: &str) -> Done {
        match self.commands().find(|command| command.name == name) {
            Some(command) => {
                line(format!("{} {}", command.name, command.arguments).trim_end())?;
                line(&format!("    {}", command.about))
            }
            None => Err(Fault::new(self.unknown(name))),
        }
    }

    fn targets(&self) -> Done {
        if self.scope.scope.targets.is_empty() {
            return line("This session opens no place of the array.");
        }
        self.scope
            .scope
            .targets
            .iter()
            .try_for_each(|target| line(&format!("{} {}", target.host, target.port)))
    }

    fn whoami(&self) -> Done {
        let scope = &self.scope;
        let what: Vec<&str> = [
            (scope.scope.shell, "command line"),
            (scope.scope.files, "files"),
            (scope.scope.forwards, "forwards"),
        ]
        .into_iter()
        .filter_map(|(open, name)| open.then_some(name))
        .collect();
        columns(&[
            vec!["engineer".to_owned(), scope.engineer.clone()],
            vec!["system".to_owned(), scope.system.clone()],
            vec!["session".to_owned(), scope.grant.clone()],
            vec!["open".to_owned(), what.join(", ")],
            vec!["time left".to_owned(), duration(self.seconds_left())],
        ])
    }
}

/// How a command is used, as a fault.
pub(crate) fn misused(name: &str) -> Fault {
    let arguments =
        COMMANDS.iter().find(|command| command.name == name).map_or("", |command| command.arguments);
    Fault::usage(format!("it is used so: {name} {arguments}").trim_end().to_owned())
}

fn terminal() -> Done {
    match crate::terminal::window() {
        Some((columns, rows)) => line(&format!("{columns} x {rows}")),
        None => Err(Fault::new("there is no terminal: ask for one, as with ssh -t")),
    }
}
