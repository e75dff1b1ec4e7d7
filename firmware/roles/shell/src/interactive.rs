//! One line, or line after line from a terminal or a pipe. It runs a command at a time, and none that the table does not have.

use crate::commands::Shell;
use crate::guided::{approve, is_guided};
use crate::output::{Fault, duration, flush, line, put};
use crate::words::split;
use drawbridge_bus::bridge::COMMAND_BYTES;
use drawbridge_bus::support::Recording;
use rustyline::error::ReadlineError;
use rustyline::history::MemHistory;
use rustyline::{Behavior, ColorMode, CompletionType, Config, Editor};
use std::io::{self, BufRead as _, IsTerminal as _, Read as _};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// How many lines are remembered.
const HISTORY: usize = 1_000;
/// The most names that are offered to complete a word.
const OFFERED_MOST: usize = 500;

/// The longest line that is read, in bytes.
const LINE_BYTES: u64 = COMMAND_BYTES as u64;

/// Runs one line, and gives its status.
pub(crate) async fn exec(mut shell: Shell, command: &str) -> u8 {
    if let Some(arguments) = scp(command) {
        let done = shell.tree().and_then(|tree| crate::scp::run(&tree, &shell.deeds, &arguments));
        return done.map_or_else(
            |fault| {
                fault.say();
                fault.status()
            },
            |()| 0,
        );
    }
    let status = run(&mut shell, command, None).await;
    shell.left.unwrap_or(status)
}

/// The arguments of `scp`, if that is what a line runs: it is of files, not of the command line.
pub(crate) fn scp(command: &str) -> Option<Vec<String>> {
    let mut words = split(command).ok()?;
    if words.first()? != "scp" {
        return None;
    }
    words.remove(0);
    Some(words)
}

/// Talks with the engineer until he leaves, and gives the status that he leaves with.
pub(crate) async fn converse(shell: Shell) -> u8 {
    if io::stdin().is_terminal() && io::stdout().is_terminal() {
        on_terminal(shell).await
    } else {
        on_pipe(shell).await
    }
}

/// Runs a line; an interrupt ends it where one is heard.
async fn run(shell: &mut Shell, text: &str, mut interrupts: Option<&mut Signal>) -> u8 {
    let words = match split(text) {
        Ok(words) => words,
        Err(error) => {
            Fault::usage(error.to_string()).say();
            return 2;
        }
    };
    // To leave is nobody's to allow.
    if is_guided(shell)
        && words.first().is_some_and(|word| word != "exit")
        && let Err(fault) = approve(shell, text, interrupts.as_deref_mut()).await
    {
        fault.say();
        return fault.status();
    }
    let done = match interrupts {
        None => shell.run(&words).await,
        Some(interrupts) => tokio::select! {
            biased;
            _ = interrupts.recv() => Err(Fault::Said(130, "interrupted".to_owned())),
            done = shell.run(&words) => done,
        },
    };
    match done.and_then(|()| flush()) {
        Ok(()) => 0,
        Err(fault) => {
            let _ = flush();
            fault.say();
            fault.status()
        }
    }
}

async fn on_pipe(mut shell: Shell) -> u8 {
    shell.reads_lines = true;
    let mut status = 0;
    loop {
        let mut text = Vec::new();
        // What follows the line is lines, too: no command takes it for its own input.
        match io::stdin().lock().take(LINE_BYTES + 1).read_until(b'\n', &mut text) {
            Ok(0) | Err(_) => return status,
            Ok(length) if length as u64 > LINE_BYTES => {
                Fault::usage(format!("the line is longer than {LINE_BYTES} bytes")).say();
                return 2;
            }
            Ok(_) => {}
        }
        let Ok(text) = String::from_utf8(text) else {
            Fault::usage("the line is no UTF-8").say();
            status = 2;
            continue;
        };
        status = run(&mut shell, &text, None).await;
        if let Some(left) = shell.left {
            return left;
        }
    }
}

async fn on_terminal(mut shell: Shell) -> u8 {
    // With a terminal of its own, the kernel tells of Ctrl-C, a change of the window, and the end of the connection.
    if let Err(error) = crate::terminal::own() {
        log::warn!("the terminal cannot be made this process's own: Ctrl-C will not end a command: {error}");
    }
    let Ok(mut interrupts) = signal(SignalKind::interrupt()) else { return on_pipe(shell).await };
    let Ok(mut editor) = editor(&shell) else { return on_pipe(shell).await };
    if greet(&shell).is_err() {
        return 1;
    }
    let prompt = format!("{}> ", crate::output::printable(&shell.scope.system));
    let mut status = 0;
    loop {
        match editor.readline(&prompt) {
            Ok(text) if text.len() as u64 > LINE_BYTES => {
                Fault::usage(format!("the line is longer than {LINE_BYTES} bytes")).say();
                status = 2;
            }
            Ok(text) => {
                if !text.trim().is_empty() {
                    // A line that is not remembered was run all the same.
                    let _ = editor.add_history_entry(text.as_str());
                }
                // What was interrupted while the line was typed is no command.
                while std::future::poll_fn(|context| match interrupts.poll_recv(context) {
                    std::task::Poll::Ready(Some(())) => std::task::Poll::Ready(true),
                    _ => std::task::Poll::Ready(false),
                })
                .await
                {}
                status = run(&mut shell, &text, Some(&mut interrupts)).await;
            }
            Err(ReadlineError::Interrupted | ReadlineError::Signal(_)) => status = 130,
            // Ctrl-D, or the terminal is gone.
            Err(ReadlineError::Eof) => {
                let _ = put(b"exit\n");
                return status;
            }
            Err(_) => return status,
        }
        if let Some(left) = shell.left {
            return left;
        }
    }
}

fn greet(shell: &Shell) -> Result<(), Fault> {
    line(&format!(
        "Support Appliance of {}: session {:?}, {} left.",
        shell.scope.system,
        shell.scope.grant,
        duration(shell.seconds_left())
    ))?;
    let recorded = match shell.scope.recording {
        Recording::Strict => "is recorded and may be watched",
        Recording::BreakGlass => "is recorded, unless you are told otherwise, and may be watched",
    };
    if is_guided(shell) {
        line("Each line is proposed to the owner, and runs when he lets it.")?;
    }
    line(&format!("What you do here {recorded}. \"help\" lists the commands; Ctrl-D leaves."))?;
    flush()
}

fn editor(shell: &Shell) -> rustyline::Result<Editor<Helper, MemHistory>> {
    let config = Config::builder()
        .max_history_size(HISTORY)?
        .history_ignore_space(true)
        .completion_type(CompletionType::List)
        .color_mode(ColorMode::Disabled)
        .behavior(Behavior::Stdio)
        .enable_signals(true)
        .build();
    let history = MemHistory::with_config(&config);
    let mut editor = Editor::with_history(config, history)?;
    let commands = shell.commands().map(|command| command.name).collect();
    let targets = shell.scope.scope.targets.iter().map(|target| target.host.to_string()).collect();
    let tree = if shell.scope.scope.files { crate::tree::Tree::open(&shell.place.files).ok() } else { None };
    editor.set_helper(Some(Helper { commands, targets, tree }));
    Ok(editor)
}

/// Completes commands, places and files.
struct Helper {
    commands: Vec<&'static str>,
    targets: Vec<String>,
    tree: Option<crate::tree::Tree>,
}

impl rustyline::completion::Completer for Helper {
    type Candidate = String;

    fn complete(
        &self,
        text: &str,
        at: usize,
        _: &rustyline::Context<'_>,
    ) -> rustyline::Result<(usize, Vec<String>)> {
        let before = text.get(..at).unwrap_or_default();
        let start = before.rfind([' ', '\t']).map_or(0, |space| space + 1);
        let (ahead, word) = before.split_at(start);
        let begins = |name: &&str| name.starts_with(word);
        let command = ahead.split_whitespace().next();
        let offered = match command {
            None | Some("help") => {
                self.commands.iter().copied().filter(begins).map(|name| format!("{name} ")).collect()
            }
            Some("tcp" | "tls" | "ssh" | "resolve") => {
                let mut names: Vec<String> = self
                    .targets
                    .iter()
                    .map(String::as_str)
                    .filter(begins)
                    .map(|name| format!("{name} "))
                    .collect();
                names.dedup();
                names
            }
            Some(_) => self.files(word),
        };
        Ok((start, offered))
    }
}

impl Helper {
    fn files(&self, word: &str) -> Vec<String> {
        let (folder, begun) = word.rsplit_once('/').map_or(("", word), |(folder, begun)| (folder, begun));
        let Some(tree) = &self.tree else { return Vec::new() };
        let Ok(path) = crate::path::SafePath::parse(folder.as_bytes()) else { return Vec::new() };
        let names = tree.names(&path).unwrap_or_default();
        let ahead = &word[..word.len() - begun.len()];
        names
            .into_iter()
            .filter_map(|name| String::from_utf8(name).ok())
            // A name that would have to be quoted, or made printable, is typed by hand.
            .filter(|name| name.starts_with(begun) && crate::words::quote(name) == *name)
            .take(OFFERED_MOST)
            .map(|name| {
                let folder = path.join(name.as_bytes()).is_some_and(|path| tree.is_folder(&path));
                format!("{ahead}{name}{}", if folder { "/" } else { " " })
            })
            .collect()
    }
}

impl rustyline::hint::Hinter for Helper {
    type Hint = String;
}
impl rustyline::highlight::Highlighter for Helper {}
impl rustyline::validate::Validator for Helper {}
impl rustyline::Helper for Helper {}
