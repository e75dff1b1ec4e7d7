//! A role's way to ask another: a connection with answers and events. It never decides what may be asked.

use crate::frame::{Decoder, Frame, FrameError, encode};
use crate::message::{Event, Refusal, Reply, Request};
use crate::role::Role;
use crate::{send_with, socket_path};
use std::os::fd::BorrowedFd;
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, Interest};
use tokio::net::UnixStream;

/// How long an answer may take. Roles answer from memory: one that needs longer hangs.
const ANSWER_WITHIN: Duration = Duration::from_secs(10);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum CallError {
    /// The other role is not there.
    #[error("the {0} role cannot be reached: {1}")]
    Unreachable(Role, std::io::Error),
    /// The other role closed the connection, or went away.
    #[error("the {0} role ended the connection")]
    Closed(Role),
    /// The other role does not answer.
    #[error("the {0} role did not answer in time")]
    TimedOut(Role),
    /// The other role sent something else.
    #[error("the {0} role sent what is no answer: {1}")]
    Malformed(Role, FrameError),
    /// The other role refused.
    #[error("the {0} role refused: {1}")]
    Refused(Role, Refusal),
}

/// A connection to a role. Dropped, it is closed.
#[derive(Debug)]
pub struct Client {
    role: Role,
    stream: UnixStream,
    decoder: Decoder,
    next_id: u32,
    events: std::collections::VecDeque<Event>,
}

impl Client {
    /// Connects to a role.
    pub async fn connect(role: Role) -> Result<Self, CallError> {
        let stream = UnixStream::connect(socket_path(role))
            .await
            .map_err(|error| CallError::Unreachable(role, error))?;
        Ok(Self::over(role, stream))
    }

    /// A client over a connection that is there already.
    pub fn over(role: Role, stream: UnixStream) -> Self {
        Self {
            role,
            stream,
            decoder: Decoder::default(),
            next_id: 1,
            events: std::collections::VecDeque::new(),
        }
    }

    /// Asks, and waits for the answer. A refusal is an error.
    pub async fn call(&mut self, request: Request) -> Result<Reply, CallError> {
        self.call_with(request, &[]).await
    }

    /// [`Self::call`], of a role that asks elsewhere first: within this time.
    pub async fn call_within(&mut self, request: Request, time: Duration) -> Result<Reply, CallError> {
        let role = self.role;
        tokio::time::timeout(time, self.call_unbounded(request, &[]))
            .await
            .map_err(|_| CallError::TimedOut(role))?
    }

    /// [`Self::call`] with descriptors (at most [`crate::DESCRIPTORS_MOST`]), of which the other role gets copies.
    pub async fn call_with(
        &mut self,
        request: Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Reply, CallError> {
        let role = self.role;
        tokio::time::timeout(ANSWER_WITHIN, self.call_unbounded(request, descriptors))
            .await
            .map_err(|_| CallError::TimedOut(role))?
    }

    async fn call_unbounded(
        &mut self,
        request: Request,
        descriptors: &[BorrowedFd<'_>],
    ) -> Result<Reply, CallError> {
        let asked = self.next_id;
        self.next_id = self.next_id.wrapping_add(1);
        let bytes = encode(&Frame::Request { id: asked, request })
            .map_err(|error| CallError::Malformed(self.role, error))?;
        let mut sent = 0;
        if !descriptors.is_empty() {
            // They come with the first of the bytes.
            let stream = &self.stream;
            let first = || send_with(stream, &bytes, descriptors);
            sent =
                stream.async_io(Interest::WRITABLE, first).await.map_err(|_| CallError::Closed(self.role))?;
        }
        self.stream.write_all(&bytes[sent..]).await.map_err(|_| CallError::Closed(self.role))?;
        loop {
            match self.read_frame().await? {
                Frame::Reply { id, reply: Reply::Refused(why) } if id == asked => {
                    return Err(CallError::Refused(self.role, why));
                }
                Frame::Reply { id, reply } if id == asked => return Ok(reply),
                // Events are few (one at the end of a role's life, one for each shell, one for what session asks after): the queue needs
                // no bound of its own.
                Frame::Event(event) => self.events.push_back(event),
                Frame::Reply { .. } | Frame::Request { .. } => {
                    return Err(CallError::Malformed(self.role, FrameError::Malformed));
                }
            }
        }
    }

    /// Waits for what the role says unasked. Cancel safe.
    pub async fn event(&mut self) -> Result<Event, CallError> {
        if let Some(event) = self.events.pop_front() {
            return Ok(event);
        }
        match self.read_frame().await? {
            Frame::Event(event) => Ok(event),
            _ => Err(CallError::Malformed(self.role, FrameError::Malformed)),
        }
    }

    async fn read_frame(&mut self) -> Result<Frame, CallError> {
        let mut buffer = [0; 4096];
        loop {
            if let Some(frame) =
                self.decoder.next_frame().map_err(|error| CallError::Malformed(self.role, error))?
            {
                return Ok(frame);
            }
            match self.stream.read(&mut buffer).await {
                Ok(0) | Err(_) => return Err(CallError::Closed(self.role)),
                Ok(length) => self.decoder.push(&buffer[..length]),
            }
        }
    }
}
