//! What one engineer's client says, and what is answered: proofs, channels, requests. Session decides; nothing here outlives
//! the connection.

use crate::algorithms;
use crate::channel::{self, Ends, Track};
use crate::forward;
use crate::inbox::Inbox;
use crate::line::Line;
use crate::listen::Daemon;
use crate::orders;
use crate::proof::{Permits, Shown, is_label};
use crate::scope;
use crate::shells::{self, Wanted};
use crate::tap::Tap;
use crate::terminal::{self, Size};
use drawbridge_bus::bridge::{
    COMMAND_BYTES, EngineerAsk, EngineerUse, SECRET_BYTES, SecretText, ShellId, ShellJob, ShellOrder, Verdict,
};
use drawbridge_bus::record::{RecordAsk, RecordedEnd, RecordedUse, RecordingFacts};
use drawbridge_bus::relay::Caller;
use drawbridge_bus::support::Recording;
use russh::keys::Certificate;
use russh::server::{
    Auth, ChannelOpenHandle, Handler, Msg, PublicKeyOffer, Response, Session, VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, ChannelWriteHalf, Pty, Sig};
use std::borrow::Cow;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{SystemTime, UNIX_EPOCH};
use tokio::io::unix::AsyncFd;
use tokio::net::unix::pipe;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::task::JoinHandle;
use zeroize::Zeroizing;

/// Channels that a connection may open in its life, and all that are there together in theirs. Of each that we closed first the
/// transport keeps 4 kB until the connection ends.
const OPENED_MOST: usize = 2_000;
const ALL_OPENED_MOST: usize = 6_000;

/// The exit status of a channel whose use was refused.
const REFUSED: u32 = 1;

/// The forced command by which a certificate allows files only, as sshd(8) has it.
const FILES_ONLY: &str = "internal-sftp";

const PROMPT: &[(Cow<'static, str>, bool)] = &[(Cow::Borrowed("RSS Secret: "), false)];

/// One engineer.
pub(crate) struct Guest {
    daemon: Arc<Daemon>,
    line: Arc<Line>,
    tap: Arc<Tap>,
    caller: Caller,
    /// The name that he logs in by. Fixed with the first proof.
    user: Option<String>,
    /// A key was shown, and the secret is wanted too.
    key_was_shown: bool,
    permits: Permits,
    /// Why the last proof was refused, for the next question.
    why: String,
    rooms: HashMap<ChannelId, Room>,
    opened: usize,
    /// Asks what the owner orders, while he is in.
    followed: Option<JoinHandle<()>>,
}

/// A channel.
enum Room {
    /// A session channel on which nothing runs yet.
    Empty(Box<Empty>),
    /// One on which something has been started.
    Busy(Busy),
}

struct Empty {
    channel: ChannelWriteHalf<Msg>,
    place: OwnedSemaphorePermit,
    terminal: Option<Wish>,
    language: Option<String>,
}

/// The terminal that was asked for.
struct Wish {
    ours: OwnedFd,
    theirs: OwnedFd,
    kind: Option<String>,
    size: Size,
}

struct Busy {
    inbox: Arc<Inbox>,
    /// Dropped, it ends the channel's tasks.
    closed: oneshot::Sender<()>,
    terminal: Option<Arc<AsyncFd<OwnedFd>>>,
    shell: Option<ShellId>,
    /// Its number in the recording, where that is known here.
    number: u32,
}

impl Guest {
    pub(crate) fn new(daemon: Arc<Daemon>, line: Arc<Line>, tap: Arc<Tap>, caller: Caller) -> Self {
        Self {
            daemon,
            line,
            tap,
            caller,
            user: None,
            key_was_shown: false,
            permits: Permits::ALL,
            why: String::new(),
            rooms: HashMap::new(),
            opened: 0,
            followed: None,
        }
    }

    /// Whether he may go on under this name.
    fn takes_name(&mut self, user: &str) -> bool {
        if !is_label(user) {
            self.line.end("Log in by a name of at most 64 printable characters.");
            return false;
        }
        match &self.user {
            // Half a proof is nobody else's (RFC 4252, section 5).
            Some(before) if before != user && self.key_was_shown => {
                self.line.end("The name was changed half-way. Log in again.");
                false
            }
            Some(before) if before == user => true,
            _ => {
                self.user = Some(user.to_owned());
                true
            }
        }
    }

    fn reject(&self) -> Auth {
        Auth::Reject {
            proceed_with_methods: Some(algorithms::methods(&self.daemon.orders, self.key_was_shown)),
            partial_success: false,
        }
    }

    /// What follows from session's word on a proof.
    fn judged(&mut self, verdict: Verdict) -> Auth {
        match verdict {
            Verdict::Yes => Auth::Accept,
            Verdict::SecretToo => {
                self.key_was_shown = true;
                Auth::Reject {
                    proceed_with_methods: Some(algorithms::methods(&self.daemon.orders, true)),
                    partial_success: true,
                }
            }
            Verdict::No { why, cut } => {
                if cut {
                    self.line.end(why.clone());
                }
                self.why = why;
                self.reject()
            }
        }
    }

    /// Whether a secret would help him now.
    fn wants_secret(&self) -> bool {
        self.daemon.orders.secret && (self.daemon.orders.keys.is_empty() || self.key_was_shown)
    }

    async fn secret(&mut self, user: &str, secret: Zeroizing<String>) -> Auth {
        if !self.takes_name(user) || !self.wants_secret() {
            return self.reject();
        }
        if secret.len() > SECRET_BYTES {
            return self.reject();
        }
        let ask = EngineerAsk::Secret(SecretText::new(secret));
        let verdict = self.daemon.session.engineer(self.line.number, ask).await;
        self.judged(verdict)
    }

    async fn key(&mut self, number: u16, permits: Permits) -> Auth {
        self.permits = permits;
        let verdict = self.daemon.session.engineer(self.line.number, EngineerAsk::Key(number)).await;
        self.judged(verdict)
    }

    /// A place for one more channel.
    fn place(&mut self) -> Option<OwnedSemaphorePermit> {
        self.rooms.retain(|_, room| !matches!(room, Room::Busy(busy) if busy.closed.is_closed()));
        if self.opened >= OPENED_MOST || self.daemon.opened.load(Ordering::Relaxed) >= ALL_OPENED_MOST {
            return None;
        }
        let place = Arc::clone(&self.line.channels).try_acquire_owned().ok()?;
        self.opened += 1;
        self.daemon.opened.fetch_add(1, Ordering::Relaxed);
        Some(place)
    }

    /// Starts what a session channel is for.
    async fn start(
        &mut self,
        id: ChannelId,
        job: ShellJob,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let room = match self.rooms.remove(&id) {
            Some(Room::Empty(room)) => *room,
            other => {
                self.rooms.extend(other.map(|room| (id, room)));
                return session.channel_failure(id);
            }
        };
        let job = match &self.permits.command {
            None => job,
            Some(only) if only == FILES_ONLY => ShellJob::Sftp,
            Some(only) => ShellJob::Exec(only.clone()),
        };
        let what = if is_files(&job) { EngineerUse::Files } else { EngineerUse::Shell };
        let verdict = self.daemon.session.engineer(self.line.number, EngineerAsk::May(what)).await;
        let why = match verdict {
            Verdict::Yes => match self.launch(id, job, room).await {
                Ok(busy) => {
                    self.rooms.insert(id, Room::Busy(busy));
                    self.line.touch();
                    session.channel_success(id)?;
                    if let Some(notice) = self.tap.notice() {
                        session.extended_data(id, 1, format!("{notice}\r\n").into_bytes())?;
                    }
                    return Ok(());
                }
                Err(why) => {
                    log::error!("a shell for {} cannot be started: {why}", self.line.who);
                    format!("The appliance cannot start this: {why}.")
                }
            },
            Verdict::SecretToo => "This may not be done.".to_owned(),
            Verdict::No { why, cut } => {
                if cut {
                    self.line.end(why.clone());
                }
                why
            }
        };
        // Said where a person sees it; a refusal of the request would be a number.
        session.channel_success(id)?;
        session.extended_data(id, 1, format!("{why}\r\n").into_bytes())?;
        session.exit_status_request(id, REFUSED)?;
        session.eof(id)?;
        session.close(id)
    }

    async fn launch(&self, id: ChannelId, job: ShellJob, room: Empty) -> Result<Busy, String> {
        let Empty { channel, place, terminal, language } = room;
        // Files are no text: a terminal would change them.
        let terminal = terminal.filter(|_| !is_files(&job));
        let what = recorded(&job, terminal.as_ref());
        if let Some(why) = self.line.orders.forbids(&what) {
            return Err(why.to_owned());
        }
        let files = is_files(&job);
        let mut order = ShellOrder { connection: self.line.number, job, terminal: None, language };
        let (ends, descriptors, ours) = if let Some(Wish { ours, theirs, kind, .. }) = terminal {
            order.terminal = kind;
            let ours = Arc::new(terminal::watch(ours).map_err(|error| error.to_string())?);
            (Ends::Terminal(Arc::clone(&ours)), vec![theirs], Some(ours))
        } else {
            let (ends, descriptors) = pipes().map_err(|error| error.to_string())?;
            (ends, descriptors, None)
        };
        let number = self.tap.open(what).await.map_err(|_| "it cannot be recorded".to_owned())?;
        let shell = match shells::start(&self.daemon.shells, order, descriptors).await {
            Ok(shell) => shell,
            Err(why) => {
                // Nothing passes on this channel, whether its end is kept or not.
                let _ = self.tap.close(number, RecordedEnd::Cut).await;
                return Err(why);
            }
        };
        let (closed, is_closed) = oneshot::channel();
        let inbox = Inbox::new(Arc::clone(&self.line));
        let busy = Busy { inbox: Arc::clone(&inbox), closed, terminal: ours, shell: Some(shell.id), number };
        log::debug!("channel {id} of {} has process {:?}", self.line.who, shell.id);
        tokio::spawn(channel::run(channel::Job {
            line: Arc::clone(&self.line),
            track: Track { tap: Arc::clone(&self.tap), number, files },
            channel,
            ends,
            inbox,
            shell,
            shells: self.daemon.shells.clone(),
            closed: is_closed,
            place,
        }));
        Ok(busy)
    }

    /// Ends a channel whose reader stands still.
    fn cut_channel(&mut self, id: ChannelId, session: &mut Session) -> Result<(), russh::Error> {
        log::warn!("a channel of {} is closed: what was sent on it is not read", self.line.who);
        self.rooms.remove(&id);
        session.close(id)
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.daemon.opened.fetch_sub(self.opened, Ordering::Relaxed);
        if let Some(followed) = &self.followed {
            followed.abort();
        }
    }
}

/// Our ends of three pipes, and the shell's.
fn pipes() -> std::io::Result<(Ends, Vec<OwnedFd>)> {
    let (input, their_input) = pipe::pipe()?;
    let (their_output, output) = pipe::pipe()?;
    let (their_errors, errors) = pipe::pipe()?;
    let theirs = vec![
        their_input.into_blocking_fd()?,
        their_output.into_blocking_fd()?,
        their_errors.into_blocking_fd()?,
    ];
    Ok((Ends::Pipes { input, output, errors }, theirs))
}

/// Whether a job is of files only.
fn is_files(job: &ShellJob) -> bool {
    match job {
        ShellJob::Sftp => true,
        ShellJob::Exec(command) => is_scp(command),
        ShellJob::Interactive => false,
    }
}

/// What the recording says of a job.
fn recorded(job: &ShellJob, terminal: Option<&Wish>) -> RecordedUse {
    let command = match job {
        ShellJob::Sftp => return RecordedUse::Files { scp: None },
        ShellJob::Exec(command) if is_scp(command) => {
            return RecordedUse::Files { scp: Some(command.clone()) };
        }
        ShellJob::Exec(command) => Some(command.clone()),
        ShellJob::Interactive => None,
    };
    match terminal {
        Some(wish) => RecordedUse::Terminal { size: terminal::cells(wish.size), command },
        None => RecordedUse::Command(command),
    }
}

/// Whether a command is a client's that copies files in the old way.
fn is_scp(command: &str) -> bool {
    command.split_ascii_whitespace().next() == Some("scp")
}

/// A word that may go into a shell's environment.
fn word(text: &str) -> Option<String> {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+@".contains(&byte);
    ((1..=64).contains(&text.len()) && text.bytes().all(fits)).then(|| text.to_owned())
}

impl Handler for Guest {
    type Error = russh::Error;

    async fn authentication_banner(&mut self) -> Result<Option<String>, Self::Error> {
        let recorded = match self.daemon.orders.recording {
            Recording::Strict => "and all that is done here is recorded",
            Recording::BreakGlass => "and all that is done here is recorded, unless you are told otherwise",
        };
        Ok(Some(format!(
            "Support Appliance {}. Who comes here, from where and for how long, is logged, {recorded}.\r\n",
            self.daemon.orders.name
        )))
    }

    async fn auth_none(&mut self, user: &str) -> Result<Auth, Self::Error> {
        self.takes_name(user);
        Ok(self.reject())
    }

    async fn auth_password(&mut self, user: &str, password: &str) -> Result<Auth, Self::Error> {
        Ok(self.secret(user, Zeroizing::new(password.to_owned())).await)
    }

    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _submethods: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        let Some(mut response) = response else {
            if !self.takes_name(user) || !self.wants_secret() {
                return Ok(self.reject());
            }
            return Ok(Auth::Partial {
                name: Cow::Borrowed(""),
                instructions: Cow::Owned(self.why.clone()),
                prompts: Cow::Borrowed(PROMPT),
            });
        };
        let Some(secret) = response.next().and_then(|bytes| String::from_utf8(bytes.to_vec()).ok()) else {
            return Ok(self.reject());
        };
        Ok(self.secret(user, Zeroizing::new(secret)).await)
    }

    async fn auth_publickey_offered(
        &mut self,
        user: &str,
        offer: PublicKeyOffer<'_>,
    ) -> Result<Auth, Self::Error> {
        let helps = self.takes_name(user)
            && !self.key_was_shown
            && algorithms::is_known(offer.algorithm)
            && self.daemon.keys.may_help(offer.public_key.key_data());
        Ok(if helps { Auth::Accept } else { self.reject() })
    }

    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        if !self.takes_name(user) || self.key_was_shown {
            return Ok(self.reject());
        }
        match self.daemon.keys.number(key.public_key.key_data()) {
            Some(number) => Ok(self.key(number, Permits::ALL).await),
            None => Ok(self.reject()),
        }
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
    ) -> Result<Auth, Self::Error> {
        if !self.takes_name(user) || self.key_was_shown {
            return Ok(self.reject());
        }
        let shown = Shown {
            user,
            system: &self.daemon.orders.name,
            source: self.caller.source,
            now: SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |now| now.as_secs()),
        };
        match self.daemon.keys.certificate(certificate, shown) {
            Ok((number, permits)) => Ok(self.key(number, permits).await),
            Err(fault) => {
                log::warn!("a certificate of {} is not taken: {fault}", self.line.who);
                Ok(self.reject())
            }
        }
    }

    async fn auth_succeeded(&mut self, _session: &mut Session) -> Result<(), Self::Error> {
        log::info!("{} is in, as {:?}", self.line.who, self.user.as_deref().unwrap_or_default());
        self.line.came_in();
        let followed = orders::follow(Arc::clone(&self.daemon), Arc::clone(&self.line));
        self.followed = Some(tokio::spawn(followed));
        let orders = &self.daemon.orders;
        let facts = RecordingFacts {
            grant: (orders.grant, orders.title.clone()),
            level: orders.level,
            engineer: self.caller.name.clone(),
            login: self.user.clone().unwrap_or_default(),
            source: self.caller.source,
            system: (orders.name.clone(), orders.serial.clone()),
        };
        // Nothing else that he says is looked at before. When it cannot be kept, the tap has the connection ended, and says why.
        let _ = self.tap.begin(facts).await;
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(place) = self.place() else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let id = channel.id();
        // The half that is dropped is the transport's own queue, in which a channel would hold up the others.
        let (_, channel) = channel.split();
        let empty = Empty { channel, place, terminal: None, language: None };
        self.rooms.insert(id, Room::Empty(Box::new(empty)));
        reply.accept().await;
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        _originator: &str,
        _originator_port: u32,
        reply: ChannelOpenHandle,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        let scope = &self.daemon.orders.scope;
        let allowed = scope.forwards && self.permits.forwards && self.permits.command.is_none();
        let Some(target) = scope::target(scope, host, port).filter(|_| allowed).cloned() else {
            log::warn!(
                "{} wants a connection to {}, which the grant does not open",
                self.line.who,
                drawbridge_bus::logger::clean(&format!(
                    "{}:{port}",
                    host.chars().take(80).collect::<String>()
                ))
            );
            let reason = "the grant does not open this".to_owned();
            reply.reject(ChannelOpenFailure::Other { code: 1, reason }).await;
            return Ok(());
        };
        let Some(place) = self.place() else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        let id = channel.id();
        let (_, channel) = channel.split();
        let (closed, is_closed) = oneshot::channel();
        let inbox = Inbox::new(Arc::clone(&self.line));
        let busy = Busy { inbox: Arc::clone(&inbox), closed, terminal: None, shell: None, number: 0 };
        self.rooms.insert(id, Room::Busy(busy));
        tokio::spawn(forward::run(forward::Job {
            daemon: Arc::clone(&self.daemon),
            line: Arc::clone(&self.line),
            tap: Arc::clone(&self.tap),
            target,
            channel,
            reply,
            inbox,
            closed: is_closed,
            place,
        }));
        Ok(())
    }

    async fn channel_close(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        self.rooms.remove(&id);
        Ok(())
    }

    async fn channel_eof(&mut self, id: ChannelId, _session: &mut Session) -> Result<(), Self::Error> {
        if let Some(Room::Busy(busy)) = self.rooms.get(&id) {
            busy.inbox.end();
        }
        Ok(())
    }

    async fn data(&mut self, id: ChannelId, data: &[u8], session: &mut Session) -> Result<(), Self::Error> {
        self.line.touch();
        if let Some(Room::Busy(busy)) = self.rooms.get(&id)
            && busy.inbox.put(data).await.is_err()
        {
            return self.cut_channel(id, session);
        }
        Ok(())
    }

    async fn pty_request(
        &mut self,
        id: ChannelId,
        kind: &str,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        modes: &[(Pty, u32)],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let allowed = self.permits.terminal;
        if let Some(Room::Empty(room)) = self.rooms.get_mut(&id)
            && allowed
            && room.terminal.is_none()
        {
            let size = Size { columns, rows, width, height };
            match terminal::make(size, modes) {
                Ok((ours, theirs)) => {
                    room.terminal = Some(Wish { ours, theirs, kind: word(kind), size });
                    return session.channel_success(id);
                }
                Err(error) => log::error!("a terminal cannot be made: {error}"),
            }
        }
        session.channel_failure(id)
    }

    async fn window_change_request(
        &mut self,
        id: ChannelId,
        columns: u32,
        rows: u32,
        width: u32,
        height: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let size = Size { columns, rows, width, height };
        let resized = match self.rooms.get_mut(&id) {
            Some(Room::Busy(Busy { terminal: Some(ours), number, .. })) => {
                let ask = RecordAsk::Size { channel: *number, size: terminal::cells(size) };
                if self.tap.keep(ask).await.is_err() {
                    return session.channel_failure(id);
                }
                terminal::resize(ours.get_ref(), size)
            }
            Some(Room::Empty(room)) => room.terminal.as_mut().map_or(Ok(()), |wish| {
                wish.size = size;
                terminal::resize(&wish.ours, size)
            }),
            _ => return session.channel_failure(id),
        };
        if resized.is_ok() { session.channel_success(id) } else { session.channel_failure(id) }
    }

    async fn env_request(
        &mut self,
        id: ChannelId,
        name: &str,
        value: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        let is_language = name == "LANG" || name.starts_with("LC_");
        if let Some(Room::Empty(room)) = self.rooms.get_mut(&id)
            && is_language
            && let Some(value) = word(value)
        {
            if name == "LANG" || room.language.is_none() {
                room.language = Some(value);
            }
            return session.channel_success(id);
        }
        session.channel_failure(id)
    }

    async fn shell_request(&mut self, id: ChannelId, session: &mut Session) -> Result<(), Self::Error> {
        self.start(id, ShellJob::Interactive, session).await
    }

    async fn exec_request(
        &mut self,
        id: ChannelId,
        command: &[u8],
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        match std::str::from_utf8(command) {
            Ok(command) if command.len() <= COMMAND_BYTES && !command.contains('\0') => {
                self.start(id, ShellJob::Exec(command.to_owned()), session).await
            }
            _ => session.channel_failure(id),
        }
    }

    async fn subsystem_request(
        &mut self,
        id: ChannelId,
        name: &str,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        if name == "sftp" {
            self.start(id, ShellJob::Sftp, session).await
        } else {
            session.channel_failure(id)
        }
    }

    async fn x11_request(
        &mut self,
        id: ChannelId,
        _single: bool,
        _protocol: &str,
        _cookie: &str,
        _screen: u32,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        session.channel_failure(id)
    }

    async fn signal(
        &mut self,
        id: ChannelId,
        signal: Sig,
        _session: &mut Session,
    ) -> Result<(), Self::Error> {
        if let Some(Room::Busy(Busy { shell: Some(shell), .. })) = self.rooms.get(&id)
            && let Some(signal) = channel::signal_of(&signal)
            && self.line.orders.hold().is_none()
        {
            // More of them than init takes are too many.
            let _: Result<(), _> = self.daemon.shells.try_send(Wanted::Signal(*shell, signal));
        }
        Ok(())
    }
}
