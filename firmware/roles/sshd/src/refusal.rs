//! The last word to an engineer who does not get as far as SSH: why his connection ends. It tells nothing else and takes nothing in.

use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The version that the daemon shows.
pub(crate) const VERSION: &str = "SSH-2.0-Drawbridge";
/// How long it is waited until he has it.
const WITHIN: Duration = Duration::from_secs(3);
/// The longest reason, in bytes.
const REASON_BYTES: usize = 512;
/// What a client sends meanwhile, its version and its first packet, is at most so long.
const CLIENT_BYTES: u64 = 64 * 1024;
/// Something in the application (RFC 4253, section 11.1).
const BY_APPLICATION: u32 = 11;

/// Ends a connection that has not begun: the version, and a disconnection before any key is agreed upon, as RFC 4253 allows it in
/// section 11.1. Clients show its reason.
pub(crate) async fn refuse(mut stream: TcpStream, why: &str) {
    let talk = async {
        stream.write_all(&message(why)).await?;
        stream.shutdown().await?;
        // What he has sent is read, or the connection would be reset under his last answer.
        let mut rest = stream.take(CLIENT_BYTES);
        tokio::io::copy(&mut rest, &mut tokio::io::sink()).await
    };
    // Who has gone or waits hears nothing.
    let _ = timeout(WITHIN, talk).await;
}

fn message(why: &str) -> Vec<u8> {
    let mut reason = String::new();
    for char in why.chars().map(|char| if char.is_control() { ' ' } else { char }) {
        if reason.len() + char.len_utf8() > REASON_BYTES {
            break;
        }
        reason.push(char);
    }
    // SSH_MSG_DISCONNECT: its number, the code, the reason, and no language.
    let mut payload = vec![1];
    payload.extend(BY_APPLICATION.to_be_bytes());
    payload.extend(length(reason.len()).to_be_bytes());
    payload.extend(reason.as_bytes());
    payload.extend([0; 4]);
    // A packet without a key is a multiple of 8 bytes, with 4 of padding at least (section 6).
    let padding = 4 + (8 - (4 + 1 + payload.len() + 4) % 8) % 8;
    let mut bytes = format!("{VERSION}\r\n").into_bytes();
    bytes.extend(length(1 + payload.len() + padding).to_be_bytes());
    bytes.push(u8::try_from(padding).unwrap_or(u8::MAX));
    bytes.extend(payload);
    bytes.resize(bytes.len() + padding, 0);
    bytes
}

/// It is a few hundred.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disconnection_is_a_packet_as_the_standard_has_it_whatever_the_reason() {
        for why in ["", "closed", "a\r\nb\u{1b}", &"x".repeat(600), &"\u{e4}".repeat(300)] {
            let bytes = message(why);
            let packet = &bytes[VERSION.len() + 2..];
            assert!(packet.len().is_multiple_of(8) && packet.len() >= 16, "{}", packet.len());
            let word = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap()) as usize;
            assert_eq!(word(0) + 4, packet.len());
            let padding = usize::from(packet[4]);
            assert!((4..12).contains(&padding));
            assert_eq!((packet[5], word(6)), (1, 11));
            let reason = std::str::from_utf8(&packet[14..14 + word(10)]).unwrap();
            assert!(reason.len() <= REASON_BYTES && !reason.contains(char::is_control), "{reason:?}");
            assert_eq!(14 + reason.len() + 4 + padding, packet.len());
        }
    }
}
