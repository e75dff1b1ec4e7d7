//! A thread for each recording: it takes what is to be kept, answers when the kernel has it, and seals it once a second. So no disk that
//! is slow with one recording delays another; and it waits for no signature.

use crate::live::{Film, Live, Seen};
use crate::signer::Signer;
use crate::sparing::Sparing;
use crate::tape::{Fault, Tape};
use drawbridge_bus::record::{Deed, RecordAsk, RecordedUse};
use drawbridge_chain::{DeviceKey, Signature, ToSign};
use drawbridge_recording::{FolderStore, Recipient, Store, sealed_file, terminal_file};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

/// The most that waits for a recording. The bus lets each connection wait for one answer, so that this is never reached.
const WAITING: usize = 256;
/// As many are taken at once before the file is written and all are answered.
const AT_ONCE: usize = 32;
/// How often what is new is sealed. Sealing takes time itself: together they are a second at most on a sound disk.
const SEAL_EVERY: Duration = Duration::from_millis(750);
/// How often what is sealed is signed while something happens, and how long a signature may take until it is asked for again.
const SIGN_EVERY: Duration = Duration::from_secs(10);

/// What is told when something is kept, or why it is not.
pub(crate) type Kept = Result<(), String>;
/// Who is told.
pub(crate) type Answer = oneshot::Sender<Kept>;

/// What a recording is told.
pub(crate) enum Job {
    /// What the connection does, but for its beginning and end.
    Record(RecordAsk),
    /// What a shell process of it has done.
    Deed(Deed),
    /// It ends, for this reason.
    End(String),
}

/// The way to a recording's thread. Dropped, the recording ends as it is, and somebody else has to close it.
pub(crate) struct Worker {
    jobs: SyncSender<(Job, Answer)>,
}

/// What a recording begins with.
pub(crate) struct Start {
    /// Its folder, which is not there yet.
    pub(crate) folder: PathBuf,
    pub(crate) live: Arc<Live>,
    pub(crate) key: DeviceKey,
    /// To whose key it is encrypted.
    pub(crate) recipient: Option<Recipient>,
    pub(crate) signer: Signer,
}

impl Worker {
    /// Begins a recording; `began` is told when its beginning is on the disk.
    pub(crate) fn start(start: Start, began: Answer) -> std::io::Result<Self> {
        let (jobs, waiting) = sync_channel(WAITING);
        std::thread::Builder::new()
            .name("recording".to_owned())
            .spawn(move || run(start, began, &waiting))?;
        Ok(Self { jobs })
    }

    /// Has this kept; what is received tells when it is. It never waits.
    pub(crate) fn ask(&self, job: Job) -> oneshot::Receiver<Kept> {
        let (answer, kept) = oneshot::channel();
        if let Err(error) = self.jobs.try_send((job, answer)) {
            let (mpsc::TrySendError::Full((_, answer)) | mpsc::TrySendError::Disconnected((_, answer))) =
                error;
            // Who asked is there: he is given the other end below.
            let _: Result<(), _> =
                answer.send(Err("the recording does not keep up, or has ended".to_owned()));
        }
        kept
    }
}

fn run(start: Start, began: Answer, waiting: &Receiver<(Job, Answer)>) {
    let live = Arc::clone(&start.live);
    let tape = FolderStore::create(&start.folder)
        .map_err(|error| format!("its folder could not be made: {error}"))
        .and_then(|store| {
            let recipient = start.recipient.as_ref();
            Tape::begin(Sparing(store), &live.id, &live.facts, start.key, recipient)
                .map_err(|fault| fault.to_string())
        });
    match tape {
        Ok(tape) => {
            if began.send(Ok(())).is_ok() {
                Recording::new(tape, start).run(waiting);
            }
        }
        Err(why) => {
            live.fail(&why);
            let _: Result<(), _> = began.send(Err(why));
        }
    }
}

/// What was asked for, and its signature when there is one.
type Signed = (ToSign, Option<Signature>);

struct Recording<S: Store> {
    tape: Tape<S>,
    folder: PathBuf,
    live: Arc<Live>,
    signer: Signer,
    seal_at: Instant,
    /// Nothing is asked for before then.
    sign_at: Instant,
    signatures: (mpsc::Sender<Signed>, Receiver<Signed>),
}

impl<S: Store> Recording<S> {
    fn new(tape: Tape<S>, start: Start) -> Self {
        let Start { folder, live, signer, .. } = start;
        let now = Instant::now();
        let (seal_at, sign_at) = (now + SEAL_EVERY, now);
        Self { tape, folder, live, signer, seal_at, sign_at, signatures: mpsc::channel() }
    }

    fn run(mut self, waiting: &Receiver<(Job, Answer)>) {
        loop {
            let within = self.seal_at.saturating_duration_since(Instant::now());
            match waiting.recv_timeout(within) {
                Ok(first) => {
                    if self.work(first, waiting) {
                        return;
                    }
                }
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if Instant::now() >= self.seal_at {
                if let Err(fault) = self.turn() {
                    self.failed(&fault);
                }
                self.seal_at = Instant::now() + SEAL_EVERY;
            }
        }
    }

    /// Does what waits, then answers all of it. True when it was the end.
    fn work(&mut self, first: (Job, Answer), waiting: &Receiver<(Job, Answer)>) -> bool {
        let mut answers = Vec::new();
        let mut next = Some(first);
        let mut is_over = false;
        while let Some((job, answer)) = next {
            is_over = matches!(job, Job::End(_));
            let kept = self.job(job);
            if let Err(fault) = &kept {
                self.failed(fault);
            }
            answers.push((answer, kept));
            next = if is_over || answers.len() >= AT_ONCE { None } else { waiting.try_recv().ok() };
        }
        let flushed = if is_over { Ok(()) } else { self.tape.flush() };
        if let Err(fault) = &flushed {
            self.failed(fault);
        }
        for (answer, kept) in answers {
            let kept = kept.and(flushed.clone()).map_err(|fault| match self.live.failed() {
                failed if failed.is_empty() => fault.to_string(),
                failed => failed,
            });
            // Who asked may have gone.
            let _: Result<(), _> = answer.send(kept);
        }
        // One that could not be ended is closed by somebody else, as it is on the disk.
        is_over
    }

    fn job(&mut self, job: Job) -> Result<(), Fault> {
        match job {
            Job::Record(ask) => {
                let was = Known::of(&ask);
                self.tape.take(ask)?;
                self.known(was);
                Ok(())
            }
            Job::Deed(deed) => self.tape.deed(deed),
            Job::End(reason) => {
                self.live.all_closed();
                self.tape.end(&reason)
            }
        }
    }

    /// Tells whoever looks on what has changed.
    fn known(&self, what: Known) {
        match what {
            Known::Opened(channel, command, size) => {
                if let Some(terminal) = self.tape.terminal(channel) {
                    let name = terminal_file(terminal.number());
                    let film = match self.tape.content_key() {
                        None => Film { path: self.folder.join(name), content: None },
                        Some(key) => Film {
                            path: self.folder.join(sealed_file(&name)),
                            content: Some((key.clone(), name)),
                        },
                    };
                    self.live.opened(channel, Seen { command, size, film });
                }
            }
            Known::Sized(channel, size) => self.live.sized(channel, size),
            Known::Closed(channel) => self.live.closed(channel),
            Known::Other => {}
        }
    }

    /// Once in a while: seals what is new, asks for a signature when it is time, and takes those that came.
    fn turn(&mut self) -> Result<(), Fault> {
        if self.tape.failure().is_some() {
            return Ok(());
        }
        self.tape.tick()?;
        while let Ok((of, signature)) = self.signatures.1.try_recv() {
            if let Some(signature) = signature
                && self.tape.signed(&of, signature)?
            {
                self.live.signed(self.tape.head());
            }
        }
        let now = Instant::now();
        if now >= self.sign_at
            && let Some(to_sign) = self.tape.mark()?
        {
            self.sign_at = now + SIGN_EVERY;
            let to_self = self.signatures.0.clone();
            let told = move |signature| {
                // The recording may have ended when it comes.
                let _: Result<(), _> = to_self.send((to_sign, signature));
            };
            self.signer.sign(to_sign, Box::new(told));
        }
        Ok(())
    }

    fn failed(&self, fault: &Fault) {
        match self.tape.failure() {
            Some(why) => {
                if self.live.fail(&format!("the recording could not be written ({why})")) {
                    log::error!("the recording {} has failed: {why}", self.live.id);
                }
            }
            None => log::warn!("the recording {} was asked for what is not kept: {fault}", self.live.id),
        }
    }
}

/// What whoever looks on has to know of an ask.
enum Known {
    Opened(u32, Option<String>, (u16, u16)),
    Sized(u32, (u16, u16)),
    Closed(u32),
    Other,
}

impl Known {
    fn of(ask: &RecordAsk) -> Self {
        match ask {
            RecordAsk::Open { channel, what: RecordedUse::Terminal { size, command } } => {
                Self::Opened(*channel, command.clone(), *size)
            }
            RecordAsk::Size { channel, size } => Self::Sized(*channel, *size),
            RecordAsk::Close { channel, .. } => Self::Closed(*channel),
            _ => Self::Other,
        }
    }
}
