//! The first bytes of an engineer's own connection, and of those for recordings: the appliance's ticket and the server's answer. It never keeps one.
//!
//! The appliance sends [`MAGIC`] and the token that it was given with the request, 36 bytes in all. The server answers with
//! one byte, [`WELCOME`] or [`UNKNOWN`]. After [`WELCOME`] both ends carry the engineer's bytes, or speak
//! [`crate::upload`] or [`crate::archive`]. A ticket for the one is none for the others.

use crate::token::Token;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};

/// What a ticket begins with.
pub const MAGIC: [u8; 4] = *b"DBS1";
/// How long a ticket is.
pub const BYTES: usize = MAGIC.len() + Token::BYTES;
/// The ticket is good: the engineer's bytes follow.
pub const WELCOME: u8 = b'+';
/// Nobody waits with this ticket: it was used, is too old, or was never given.
pub const UNKNOWN: u8 = b'-';

/// Why an appliance's ticket was not taken.
#[derive(Debug, thiserror::Error)]
pub enum TicketError {
    /// The server knows nobody with it.
    #[error("the server knows nobody who waits with this ticket")]
    Unknown,
    /// Neither answer.
    #[error("the server answers a ticket with the byte {0:#04x}")]
    Malformed(u8),
    /// The connection failed.
    #[error("the connection ended before the server answered: {0}")]
    Io(#[from] io::Error),
}

/// The appliance's part: shows the ticket and waits for the answer. Give it a time limit.
pub async fn present(
    stream: &mut (impl AsyncRead + AsyncWrite + Unpin),
    token: &Token,
) -> Result<(), TicketError> {
    let mut ticket = zeroize::Zeroizing::new([0; BYTES]);
    ticket[..MAGIC.len()].copy_from_slice(&MAGIC);
    ticket[MAGIC.len()..].copy_from_slice(token.bytes());
    stream.write_all(ticket.as_slice()).await?;
    stream.flush().await?;
    match stream.read_u8().await? {
        WELCOME => Ok(()),
        UNKNOWN => Err(TicketError::Unknown),
        other => Err(TicketError::Malformed(other)),
    }
}

/// The server's part: reads a ticket. None when what comes is none. Give it a time limit.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Token>> {
    let mut ticket = zeroize::Zeroizing::new([0; BYTES]);
    stream.read_exact(ticket.as_mut_slice()).await?;
    Ok(parse(&ticket))
}

/// The token of a ticket; none when it is no ticket.
pub fn parse(ticket: &[u8; BYTES]) -> Option<Token> {
    let (magic, token) = ticket.split_first_chunk::<4>()?;
    (*magic == MAGIC).then(|| token.try_into().ok().map(Token::from_bytes)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_ticket_that_is_shown_is_the_one_that_is_read_and_nothing_else_is() {
        let (mut ours, mut theirs) = tokio::io::duplex(64);
        let token = Token::random().unwrap();
        let server = async {
            let read = read(&mut theirs).await.unwrap();
            theirs.write_u8(UNKNOWN).await.unwrap();
            read
        };
        let (shown, read) = tokio::join!(present(&mut ours, &token), server);
        assert!(matches!(shown, Err(TicketError::Unknown)));
        assert_eq!(read, Some(token));
        assert_eq!(parse(b"GET / HTTP/1.1\r\nHost: rss.example.c\r"), None);
    }
}
