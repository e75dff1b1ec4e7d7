//! Public keys as OpenSSH writes them (RFC 4253, section 6.6; sshd(8), `AUTHORIZED_KEYS FILE FORMAT`): the device's own, and
//! whether an engineer's is one. It never verifies a signature.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use drawbridge_bus::bridge::SecretBytes;
use ring::digest::{SHA256, digest};
use ring::signature::{Ed25519KeyPair, KeyPair as _};

/// Kinds of keys that let an engineer in. Of RSA there is no implementation without open advisories.
const KINDS: [&str; 4] = ["ssh-ed25519", "ecdsa-sha2-nistp256", "ecdsa-sha2-nistp384", "ecdsa-sha2-nistp521"];

/// Why a line is no key that can be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A private key.
    #[error("this is a private key, which nobody else should see")]
    Private,
    /// No key at all.
    #[error("this is no public key")]
    Malformed,
    /// Of a kind that is not taken.
    #[error("this kind of key is not taken here")]
    Kind,
}

/// An Ed25519 key's public half, made of its seed, as OpenSSH writes it without a comment. None when the seed is none.
pub fn public_line(seed: &SecretBytes) -> Option<String> {
    let pair = Ed25519KeyPair::from_seed_unchecked(seed.reveal()).ok()?;
    let mut blob = Vec::new();
    for part in [b"ssh-ed25519".as_slice(), pair.public_key().as_ref()] {
        blob.extend_from_slice(&u32::try_from(part.len()).ok()?.to_be_bytes());
        blob.extend_from_slice(part);
    }
    Some(format!("ssh-ed25519 {}", STANDARD.encode(blob)))
}

/// A key's fingerprint as OpenSSH writes it: `SHA256:…`. Empty when the line is no key.
pub fn fingerprint(line: &str) -> String {
    let Some(Ok(blob)) = line.split_ascii_whitespace().nth(1).map(|text| STANDARD.decode(text)) else {
        return String::new();
    };
    format!("SHA256:{}", STANDARD_NO_PAD.encode(digest(&SHA256, &blob)))
}

/// Whether the line is a public key that can let an engineer in: `KIND BASE64 [COMMENT]`, without options in front.
pub fn check(line: &str) -> Result<(), KeyError> {
    if line.contains("PRIVATE KEY") {
        return Err(KeyError::Private);
    }
    let mut words = line.split_ascii_whitespace();
    let (Some(kind), Some(body)) = (words.next(), words.next()) else { return Err(KeyError::Malformed) };
    let blob = STANDARD.decode(body).map_err(|_| KeyError::Malformed)?;
    let (length, rest) = blob.split_first_chunk::<4>().ok_or(KeyError::Malformed)?;
    let length = usize::try_from(u32::from_be_bytes(*length)).unwrap_or(usize::MAX);
    // What the blob says of itself is what counts.
    if rest.get(..length) != Some(kind.as_bytes()) {
        return Err(KeyError::Malformed);
    }
    if KINDS.contains(&kind) { Ok(()) } else { Err(KeyError::Kind) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_key_and_its_fingerprint_are_written_as_openssh_writes_them() {
        // RFC 8032, section 7.1, test 1.
        let seed = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60";
        let public = "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a";
        let bytes = |text: &str| -> Vec<u8> {
            (0..32).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
        };
        let line = public_line(&SecretBytes::new(bytes(seed).try_into().unwrap())).unwrap();
        let blob = STANDARD.decode(line.strip_prefix("ssh-ed25519 ").unwrap()).unwrap();
        assert_eq!(blob[blob.len() - 32..], bytes(public));
        assert_eq!(check(&line), Ok(()));
        // The stock tool's word for it.
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.pub");
        std::fs::write(&file, format!("{line} sa\n")).unwrap();
        let told = Command::new("ssh-keygen").arg("-lf").arg(&file).output().unwrap();
        let told = String::from_utf8(told.stdout).unwrap();
        assert!(told.contains(&format!(" {} ", fingerprint(&line))), "{told} {}", fingerprint(&line));
    }

    #[test]
    fn what_is_no_public_key_is_told_from_what_is() {
        assert_eq!(check("-----BEGIN OPENSSH PRIVATE KEY-----"), Err(KeyError::Private));
        assert_eq!(check(""), Err(KeyError::Malformed));
        assert_eq!(check("ssh-ed25519 AAAA"), Err(KeyError::Malformed));
        let folder = tempfile::tempdir().unwrap();
        for (kind, right) in [("ed25519", Ok(())), ("ecdsa", Ok(())), ("rsa", Err(KeyError::Kind))] {
            let file = folder.path().join(kind);
            let made =
                Command::new("ssh-keygen").args(["-q", "-N", "", "-t", kind, "-f"]).arg(&file).status();
            assert!(made.unwrap().success());
            let line = std::fs::read_to_string(file.with_extension("pub")).unwrap();
            assert_eq!(check(line.trim()), right, "{line}");
            // Another kind's name in front does not make it another key.
            let renamed = line.replacen(line.split(' ').next().unwrap(), "ssh-dss", 1);
            assert_eq!(check(&renamed), Err(KeyError::Malformed));
        }
    }
}
