//! The first bytes of a connection about recordings, on the server's side: the ticket, and the answer to it. It knows no ticket itself.

use crate::hub::Hub;
use crate::places::Place;
use crate::store::Record;
use drawbridge_wire::{Token, ticket};
use std::net::IpAddr;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _};
use tokio::time::timeout;

const TICKET_WITHIN: Duration = Duration::from_secs(10);

/// The token of the ticket that is shown; inside, none when it is no ticket. None when there is nobody left to be answered.
pub(super) async fn shown(stream: &mut (impl AsyncRead + Unpin), place: &Place) -> Option<Option<Token>> {
    tokio::select! {
        token = timeout(TICKET_WITHIN, ticket::read(stream)) => token.ok()?.ok(),
        () = place.is_lost() => None,
    }
}

/// The ticket is good. None when nobody takes the answer.
pub(super) async fn welcome(stream: &mut (impl AsyncWrite + Unpin)) -> Option<()> {
    answer(stream, ticket::WELCOME).await
}

/// The ticket is not good, for this reason, or there is no place.
pub(super) async fn turned_away(
    hub: &Hub,
    mut stream: impl AsyncWrite + Unpin,
    source: IpAddr,
    why: &'static str,
) {
    let result = format!("{why}, or too many are connected");
    let record =
        Record { source: source.to_string(), what: "ticket".to_owned(), result, ..Record::default() };
    hub.record_stranger(source, record).await;
    if answer(&mut stream, ticket::UNKNOWN).await.is_some() {
        let _ = timeout(TICKET_WITHIN, stream.shutdown()).await;
    }
}

async fn answer(stream: &mut (impl AsyncWrite + Unpin), byte: u8) -> Option<()> {
    let sent = timeout(TICKET_WITHIN, async {
        stream.write_u8(byte).await?;
        stream.flush().await
    });
    sent.await.ok()?.ok()
}
