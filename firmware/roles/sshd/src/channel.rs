//! A session channel while its shell process runs: bytes both ways, the end both ways. It never says what runs.

use crate::inbox::Inbox;
use crate::line::Line;
use crate::shells::{Shell, Wanted};
use crate::tap::{Frozen, PIECE, Tap};
use crate::terminal;
use drawbridge_bus::bridge::{ShellEnd, ShellId, ShellSignal};
use drawbridge_bus::logger::clean;
use drawbridge_bus::record::{RecordAsk, RecordedEnd};
use russh::server::Msg;
use russh::{ChannelWriteHalf, Sig};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::timeout;

/// Extended data of this kind is what a process writes to its errors (RFC 4254, section 5.2).
const ERRORS: u32 = 1;

/// From the hang-up, a shell process has so long to end by itself.
const HANGUP_WITHIN: Duration = Duration::from_secs(2);
/// And from the kill.
const KILL_WITHIN: Duration = Duration::from_secs(5);

/// Our ends of what a shell process reads and writes.
#[derive(Debug)]
pub(crate) enum Ends {
    Terminal(Arc<AsyncFd<OwnedFd>>),
    Pipes { input: pipe::Sender, output: pipe::Receiver, errors: pipe::Receiver },
}

/// A channel with its process.
#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) line: Arc<Line>,
    pub(crate) track: Track,
    pub(crate) channel: ChannelWriteHalf<Msg>,
    pub(crate) ends: Ends,
    pub(crate) inbox: Arc<Inbox>,
    pub(crate) shell: Shell,
    pub(crate) shells: mpsc::Sender<Wanted>,
    /// Comes, or is dropped, when the client has closed the channel.
    pub(crate) closed: oneshot::Receiver<()>,
    /// The channel's place among those of its connection.
    pub(crate) place: OwnedSemaphorePermit,
}

/// A channel's part of the recording.
#[derive(Clone, Debug)]
pub(crate) struct Track {
    pub(crate) tap: Arc<Tap>,
    /// Its number there.
    pub(crate) number: u32,
    /// Whether it carries files: what they are is the shell's to say, and only what is written to the errors is text.
    pub(crate) files: bool,
}

impl Track {
    /// Has what the process has written kept.
    async fn output(&self, errors: bool, bytes: &[u8]) -> Result<(), Frozen> {
        if self.files && !errors {
            return self.tap.may_pass();
        }
        let ask = RecordAsk::Output { channel: self.number, errors, bytes: bytes.to_vec() };
        self.tap.keep(ask).await
    }

    /// Has what the engineer has sent kept.
    async fn typed(&self, echo: bool, bytes: &[u8]) -> Result<(), Frozen> {
        if self.files {
            return self.tap.may_pass();
        }
        self.tap.keep(RecordAsk::Typed { channel: self.number, echo, bytes: bytes.to_vec() }).await
    }
}

/// Carries bytes until the process has ended or the channel is closed; then sees to it that both are.
pub(crate) async fn run(job: Job) {
    let Job { line, track, channel, ends, inbox, shell: Shell { id, mut end }, shells, mut closed, place } =
        job;
    let (input, carried) = match ends {
        Ends::Terminal(ours) => {
            let output = Arc::clone(&ours);
            (Input::Terminal(ours), Carried::Terminal(output))
        }
        Ends::Pipes { input, output, errors } => (Input::Pipe(input), Carried::Pipes(output, errors)),
    };
    let typed = tokio::spawn(feed(input, Arc::clone(&inbox), track.clone(), Arc::clone(&line)));
    let out = Out { line: &line, channel: &channel, track: &track };
    let whole = async {
        out.carry(carried).await.ok()?;
        Some((&mut end).await.unwrap_or(ShellEnd::Exited(u8::MAX)))
    };
    // None: the channel was closed, or nothing may pass any more.
    let ended = tokio::select! {
        ended = whole => ended,
        _ = &mut closed => None,
    };
    // The process's input is closed with this, and its terminal.
    typed.abort();
    inbox.shut();
    let _ = typed.await;
    let recorded = match ended {
        Some(ShellEnd::Exited(status)) => RecordedEnd::Exited(status),
        Some(ShellEnd::Signalled(number)) => RecordedEnd::Signalled(number),
        None => {
            // One that carries files ends with its input, and has something to tell of what was cut.
            let tells = track.files && track.tap.may_pass().is_ok();
            if !tells || timeout(HANGUP_WITHIN, &mut end).await.is_err() {
                hang_up(&shells, id, end).await;
            }
            RecordedEnd::Cut
        }
    };
    let kept = track.tap.close(track.number, recorded).await;
    if let (Some(end), Ok(())) = (ended, kept) {
        tokio::select! {
            () = tell_end(&line, &channel, end) => {}
            _ = &mut closed => {}
        }
    }
    drop(place);
}

async fn hang_up(shells: &mpsc::Sender<Wanted>, id: ShellId, mut end: oneshot::Receiver<ShellEnd>) {
    for (signal, within) in [(ShellSignal::Hangup, HANGUP_WITHIN), (ShellSignal::Kill, KILL_WITHIN)] {
        if shells.send(Wanted::Signal(id, signal)).await.is_err() || timeout(within, &mut end).await.is_ok() {
            return;
        }
    }
}

enum Input {
    Terminal(Arc<AsyncFd<OwnedFd>>),
    Pipe(pipe::Sender),
}

/// What the client sends, to the process.
async fn feed(mut input: Input, inbox: Arc<Inbox>, track: Track, line: Arc<Line>) {
    while let Some(bytes) = inbox.take(PIECE).await {
        // While the owner holds it, nothing of it is said, kept or done.
        line.orders.may_go_on().await;
        // As it is at this moment: what is typed ahead of a question for a password is masked or not by the state in which it is given
        // to the process.
        let echo = match &input {
            Input::Terminal(ours) => terminal::echoes(&**ours),
            Input::Pipe(_) => true,
        };
        if track.typed(echo, &bytes).await.is_err() {
            inbox.shut();
            return;
        }
        let written = match &mut input {
            Input::Terminal(ours) => terminal::write_all(ours, &bytes).await,
            Input::Pipe(pipe) => pipe.write_all(&bytes).await,
        };
        if written.is_err() {
            // It has closed its input: what still comes is thrown away.
            inbox.shut();
            return;
        }
    }
    if let Input::Terminal(ours) = input {
        let end = [terminal::end_of_input(&*ours)];
        let _ = terminal::write_all(&ours, &end).await;
    }
}

enum Carried {
    Terminal(Arc<AsyncFd<OwnedFd>>),
    Pipes(pipe::Receiver, pipe::Receiver),
}

/// Where the process's output goes.
struct Out<'a> {
    line: &'a Line,
    channel: &'a ChannelWriteHalf<Msg>,
    track: &'a Track,
}

impl Out<'_> {
    /// What the process writes, to the client, until it has closed all of it, or the client is gone.
    async fn carry(&self, carried: Carried) -> Result<(), Frozen> {
        match carried {
            Carried::Terminal(ours) => {
                let mut buffer = vec![0; PIECE];
                let mut news = self.line.orders.news();
                let mut told = *news.borrow_and_update();
                if let Some(hold) = self.line.orders.hold() {
                    self.notice(&format!("{hold}.")).await?;
                }
                loop {
                    let count = tokio::select! {
                        read = terminal::read(&ours, &mut buffer) => match read {
                            Ok(count @ 1..) => count,
                            _ => return Ok(()),
                        },
                        Ok(()) = news.changed() => {
                            let (last, lines) = self.line.orders.lines_after(told);
                            told = last;
                            for text in lines {
                                self.notice(&text).await?;
                            }
                            continue;
                        }
                    };
                    if !self.pass(None, &buffer[..count]).await? {
                        return Ok(());
                    }
                }
            }
            Carried::Pipes(output, errors) => {
                tokio::try_join!(self.carry_pipe(output, None), self.carry_pipe(errors, Some(ERRORS)))?;
                Ok(())
            }
        }
    }

    async fn carry_pipe(&self, mut pipe: impl AsyncRead + Unpin, kind: Option<u32>) -> Result<(), Frozen> {
        let mut buffer = vec![0; PIECE];
        while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
            if !self.pass(kind, &buffer[..count]).await? {
                break;
            }
        }
        Ok(())
    }

    /// A line of the owner's on the engineer's terminal, which is kept as what is shown there.
    async fn notice(&self, text: &str) -> Result<(), Frozen> {
        let text = format!("\r\n-- {} --\r\n", clean(text));
        self.pass(None, text.as_bytes()).await.map(drop)
    }

    /// One piece, once it is kept; false: the client is gone.
    async fn pass(&self, kind: Option<u32>, bytes: &[u8]) -> Result<bool, Frozen> {
        self.line.touch();
        self.track.output(kind.is_some(), bytes).await?;
        if let Some(notice) = self.track.tap.notice() {
            let notice = format!("\r\n{notice}\r\n").into_bytes();
            // Who is gone does not hear it.
            let _ = self.channel.extended_data_bytes(ERRORS, notice).await;
        }
        let sent = match kind {
            None => self.channel.data_bytes(bytes.to_vec()).await,
            Some(kind) => self.channel.extended_data_bytes(kind, bytes.to_vec()).await,
        };
        Ok(sent.is_ok())
    }
}

/// The end, as RFC 4254, section 6.10 has it, and the channel's. A connection that is gone has nobody to tell.
async fn tell_end(line: &Line, channel: &ChannelWriteHalf<Msg>, end: ShellEnd) {
    let _ = channel.eof().await;
    match end {
        ShellEnd::Exited(status) => drop(channel.exit_status(status.into()).await),
        ShellEnd::Signalled(number) => {
            if let Some(handle) = line.handle() {
                let (id, name) = (channel.id(), signal_name(number));
                let _ = handle.exit_signal_request(id, name, false, String::new(), String::new()).await;
            }
        }
    }
    let _ = channel.close().await;
}

fn signal_name(number: u8) -> Sig {
    match i32::from(number) {
        libc::SIGHUP => Sig::HUP,
        libc::SIGINT => Sig::INT,
        libc::SIGQUIT => Sig::QUIT,
        libc::SIGILL => Sig::ILL,
        libc::SIGABRT => Sig::ABRT,
        libc::SIGFPE => Sig::FPE,
        libc::SIGKILL => Sig::KILL,
        libc::SIGSEGV => Sig::SEGV,
        libc::SIGPIPE => Sig::PIPE,
        libc::SIGALRM => Sig::ALRM,
        libc::SIGTERM => Sig::TERM,
        libc::SIGUSR1 => Sig::USR1,
        // RFC 4254, section 6.10: further names are of this form.
        libc::SIGSYS => Sig::Custom("SYS@drawbridge".to_owned()),
        other => Sig::Custom(format!("{other}@drawbridge")),
    }
}

/// What a client's signal means to a shell process; none for what it is not to get.
pub(crate) fn signal_of(signal: &Sig) -> Option<ShellSignal> {
    match signal {
        Sig::HUP => Some(ShellSignal::Hangup),
        Sig::INT => Some(ShellSignal::Interrupt),
        Sig::TERM => Some(ShellSignal::Terminate),
        Sig::KILL => Some(ShellSignal::Kill),
        _ => None,
    }
}
