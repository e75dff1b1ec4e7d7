//! Posts events to the array's log as one of its users, whose session it keeps while it is used; it posts nothing twice by
//! itself, and says when it does not know whether something was posted.

use crate::Array;
use crate::credentials::{Password, Token, UserName};
use crate::error::LoginError;
use crate::event::{CustomEvent, LoggedEvent, TooLong};
use crate::exchange::Line;
use crate::{LOGOUT, WHOLE};
use std::net::IpAddr;
use tokio::time::timeout;
use zeroize::Zeroizing;

/// So many events are asked for at once, at most: their answer has to fit its bound.
pub const PAGE: u32 = 20;

/// Why an event was not posted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PostError {
    /// It cannot be.
    #[error(transparent)]
    TooLong(#[from] TooLong),
    /// The array does not take it, or is not reached.
    #[error("{why}")]
    Array {
        /// Why.
        why: LoginError,
        /// Whether it may be in the array's log all the same.
        unsure: bool,
    },
}

/// Somebody who posts.
#[derive(Debug)]
pub struct Poster {
    array: Array,
    user: UserName,
    password: Password,
    session: Option<Token>,
    line: Option<Line>,
}

impl Poster {
    /// As this user. Nothing is dialled yet.
    pub fn new(array: Array, user: UserName, password: Password) -> Self {
        Self { array, user, password, session: None, line: None }
    }

    /// The array.
    pub fn array(&self) -> &Array {
        &self.array
    }

    /// Posts an event. `addresses` are those of the array's name. A session that is over is begun again, once; what wants
    /// approval is approved, because the appliance's owner has set that events are posted.
    pub async fn post(&mut self, addresses: &[IpAddr], event: &CustomEvent) -> Result<(), PostError> {
        let body = event.body()?;
        let mut is_sent = false;
        let posted = timeout(WHOLE, self.try_post(addresses, &body, &mut is_sent));
        let posted = posted.await.unwrap_or(Err(LoginError::Late(WHOLE)));
        posted.map_err(|why| {
            let unsure = is_sent
                && matches!(
                    why,
                    LoginError::Unreachable(_)
                        | LoginError::Fault { .. }
                        | LoginError::NotAnArray(_)
                        | LoginError::Late(_)
                );
            // Whatever it was, the next one begins on another line.
            self.line = None;
            PostError::Array { why, unsure }
        })
    }

    async fn try_post(
        &mut self,
        addresses: &[IpAddr],
        body: &[u8],
        is_sent: &mut bool,
    ) -> Result<(), LoginError> {
        let mut approved = false;
        let mut is_new = self.log_in(addresses).await?;
        loop {
            let Some(session) = self.session.clone() else { return Err(LoginError::UnknownSession) };
            let line = self.array.open(addresses, &mut self.line).await?;
            *is_sent = true;
            match line.post_event(&session, body.to_vec(), approved).await {
                Err(LoginError::UnknownSession) if !is_new => {
                    *is_sent = false;
                    self.session = None;
                    is_new = self.log_in(addresses).await?;
                }
                Err(LoginError::ApprovalRequired(_)) if !approved => approved = true,
                posted => return posted,
            }
        }
    }

    /// The events that stand in the array's log, the newest first, by pages of `size` (at most [`PAGE`]) from 1 on.
    pub async fn latest(
        &mut self,
        addresses: &[IpAddr],
        page: u32,
        size: u32,
    ) -> Result<Vec<LoggedEvent>, LoginError> {
        let latest = timeout(WHOLE, self.try_latest(addresses, page.max(1), size.clamp(1, PAGE)));
        let latest = latest.await.unwrap_or(Err(LoginError::Late(WHOLE)));
        if latest.is_err() {
            self.line = None;
        }
        latest
    }

    async fn try_latest(
        &mut self,
        addresses: &[IpAddr],
        page: u32,
        size: u32,
    ) -> Result<Vec<LoggedEvent>, LoginError> {
        let mut is_new = self.log_in(addresses).await?;
        loop {
            let Some(session) = self.session.clone() else { return Err(LoginError::UnknownSession) };
            let line = self.array.open(addresses, &mut self.line).await?;
            match line.events(&session, page, size).await {
                Err(LoginError::UnknownSession) if !is_new => {
                    self.session = None;
                    is_new = self.log_in(addresses).await?;
                }
                told => return told,
            }
        }
    }

    /// Begins a session where there is none; whether it did.
    async fn log_in(&mut self, addresses: &[IpAddr]) -> Result<bool, LoginError> {
        if self.session.is_some() {
            return Ok(false);
        }
        let Self { array, user, password, line, .. } = self;
        let (person, token) = array.try_login(addresses, user, password, line).await?;
        person?;
        self.session = token;
        // An array that lets somebody in and begins no session is none.
        if self.session.is_some() { Ok(true) } else { Err(LoginError::UnknownSession) }
    }

    /// Ends the session, so that none is left at the array.
    pub async fn close(&mut self, addresses: &[IpAddr]) {
        if let Some(token) = self.session.take() {
            let line = self.line.take();
            let ended = timeout(LOGOUT, self.array.end(addresses, &token, line)).await;
            if let Err(why) = ended.unwrap_or(Err(LoginError::Late(LOGOUT))) {
                log::debug!("the array's session of the audit ends by itself later: {why}");
            }
        }
    }
}

impl Line {
    async fn post_event(&mut self, token: &Token, body: Vec<u8>, approved: bool) -> Result<(), LoginError> {
        let path = if approved { "/api/rest/events/custom?approved=true" } else { "/api/rest/events/custom" };
        self.ask(hyper::Method::POST, path, Some(token), Some(Zeroizing::new(body))).await?.taken()
    }

    async fn events(&mut self, token: &Token, page: u32, size: u32) -> Result<Vec<LoggedEvent>, LoginError> {
        let path = format!("/api/rest/events?sort=-id&page={page}&page_size={size}");
        self.ask(hyper::Method::GET, &path, Some(token), None).await?.events()
    }
}
