//! The one-time secret of a grant: offered as words or typed, kept as a hash only, and tried a few times at most. It never
//! keeps or tells the secret itself.

use argon2::{Algorithm, Argon2, Block, Params, Version};
use bip39::Language;
use ring::rand::{SecureRandom as _, SystemRandom};
use std::fmt;
use std::sync::{Mutex, PoisonError};
use subtle::ConstantTimeEq as _;
use zeroize::{Zeroize as _, Zeroizing};

/// Words of an offered secret: 11 bits each, 66 in all.
const WORDS: usize = 6;
/// The shortest typed secret, in characters, and the longest, in bytes.
const CHARACTERS_LEAST: usize = 12;
const BYTES_MOST: usize = 256;
/// A typed secret takes at least so many guesses, as a power of ten, by who knows how people choose: with ten tries in
/// all, nobody comes near it.
const GUESSES_LOG10: f64 = 10.0;

/// Argon2id (RFC 9106): 9 MiB, four passes, one lane, as OWASP has it for machines of little memory.
const MEMORY_KIB: u32 = 9 * 1024;
const PASSES: u32 = 4;

/// Where all of them are made, one after the other. An allocation for each would stay with the allocator, and a few would
/// take the role all the memory that it has.
static WORKING: Mutex<Vec<Block>> = Mutex::new(Vec::new());

/// Wrong secrets on one connection before it is closed.
pub const TRIES_A_CONNECTION: u8 = 3;
/// Wrong secrets in all before the secret is burned.
pub const TRIES_IN_ALL: u8 = 10;

/// Why there is no secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// Too short.
    #[error(
        "the secret is too short: take at least {CHARACTERS_LEAST} characters, or the words that are offered"
    )]
    Short,
    /// Too long.
    #[error("the secret is too long: take at most {BYTES_MOST} bytes")]
    Long,
    /// Cannot be typed at a prompt.
    #[error(
        "the secret has a line end or another control character in it: take letters, digits, signs and spaces"
    )]
    Character,
    /// Easily guessed.
    #[error(
        "the secret is easily guessed ({0}): take the words that are offered, or a longer one of unrelated parts"
    )]
    Weak(String),
    /// The kernel gives no random number.
    #[error("the kernel gives no random numbers: try again")]
    Random,
    /// There is no memory for the hash.
    #[error("there is too little memory to keep the secret safely: try again when less is under way")]
    Memory,
}

/// A secret in the clear, on its way from who sets it to [`Kept`] and no further. Wiped when dropped.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// Offers one: six words of a list of 2,048 in which no two begin with the same four letters.
    pub fn offer() -> Result<Self, SecretError> {
        let random = SystemRandom::new();
        let list = Language::English.word_list();
        // The longest word has eight letters: what grows would leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(WORDS * 9));
        for number in 0..WORDS {
            let mut bytes = Zeroizing::new([0; 2]);
            random.fill(bytes.as_mut()).map_err(|_| SecretError::Random)?;
            // 2,048 divides 65,536: each word is as likely as another.
            let index = usize::from(u16::from_be_bytes(*bytes)) % list.len();
            if number > 0 {
                text.push('-');
            }
            text.push_str(list[index]);
        }
        Ok(Self(text))
    }

    /// Takes one that a person has typed. `known` are words that a guesser would try first: the session's name, the
    /// opener's, the system's.
    pub fn typed(text: Zeroizing<String>, known: &[&str]) -> Result<Self, SecretError> {
        if text.len() > BYTES_MOST {
            return Err(SecretError::Long);
        }
        if text.chars().any(char::is_control) {
            return Err(SecretError::Character);
        }
        if text.chars().count() < CHARACTERS_LEAST {
            return Err(SecretError::Short);
        }
        let judged = zxcvbn::zxcvbn(&text, known);
        if judged.guesses_log10() < GUESSES_LOG10 {
            let why = judged.feedback().and_then(zxcvbn::feedback::Feedback::warning);
            let why = why.map_or_else(|| "a guesser tries its like early".to_owned(), |why| why.to_string());
            return Err(SecretError::Weak(why.trim_end_matches('.').to_owned()));
        }
        Ok(Self(text))
    }

    /// The secret, to be shown to who has asked for it, once.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Secret(not shown)")
    }
}

/// What is kept of a secret: salt and hash. Copies share nothing that could be changed.
#[derive(Clone)]
pub struct Kept {
    salt: [u8; 16],
    hash: Zeroizing<[u8; 32]>,
}

impl Kept {
    /// Keeps a secret. Takes as long as a check.
    pub fn new(secret: &Secret) -> Result<Self, SecretError> {
        let mut salt = [0; 16];
        SystemRandom::new().fill(&mut salt).map_err(|_| SecretError::Random)?;
        let hash = hash(&normal(&secret.0), &salt)?;
        Ok(Self { salt, hash })
    }

    /// Whether this is the secret. Takes a good part of a second on a slow machine: not for an event loop.
    pub fn is(&self, claimed: &str) -> Result<bool, SecretError> {
        if claimed.len() > BYTES_MOST {
            return Ok(false);
        }
        let hash = hash(&normal(claimed), &self.salt)?;
        Ok(bool::from(hash.as_slice().ct_eq(self.hash.as_slice())))
    }
}

impl fmt::Debug for Kept {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("Kept(not shown)")
    }
}

/// Words are words however they are told and typed: with hyphens or spaces, in small letters or capitals, with a space
/// too many at the end. It costs a typed secret nothing that counts.
fn normal(text: &str) -> Zeroizing<String> {
    // Small letters can take more bytes than capitals; three times as many are never needed.
    let mut normal = Zeroizing::new(String::with_capacity(text.len() * 3));
    for word in text.split([' ', '-']).filter(|word| !word.is_empty()) {
        if !normal.is_empty() {
            normal.push('-');
        }
        normal.extend(word.chars().flat_map(char::to_lowercase));
    }
    normal
}

fn hash(secret: &str, salt: &[u8; 16]) -> Result<Zeroizing<[u8; 32]>, SecretError> {
    let parameters = Params::new(MEMORY_KIB, PASSES, 1, Some(32)).map_err(|_| SecretError::Memory)?;
    let mut hash = Zeroizing::new([0; 32]);
    let mut working = WORKING.lock().unwrap_or_else(PoisonError::into_inner);
    if working.is_empty() {
        working.try_reserve_exact(parameters.block_count()).map_err(|_| SecretError::Memory)?;
        working.resize(parameters.block_count(), Block::new());
    }
    let done = Argon2::new(Algorithm::Argon2id, Version::V0x13, parameters).hash_password_into_with_memory(
        secret.as_bytes(),
        salt,
        hash.as_mut(),
        working.as_mut_slice(),
    );
    // Wiped in place: the vector's own `zeroize` would empty it.
    working.iter_mut().for_each(Block::zeroize);
    done.map_err(|_| SecretError::Memory)?;
    Ok(hash)
}

/// Why a secret is not even looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoTry {
    /// Too many wrong ones on this connection.
    #[error("too many wrong secrets on this connection")]
    Connection,
    /// Too many wrong ones in all.
    #[error("the secret is burned: it was given wrong too often, and the owner has to set another one")]
    Burned,
}

/// Counts wrong secrets. A try is counted before it is looked at, so that many at once are no more than many.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tries {
    wrong: u8,
}

/// The tries of one connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConnectionTries {
    wrong: u8,
}

impl Tries {
    /// Counts a try as wrong, if there may be one.
    pub fn begin(&mut self, connection: &mut ConnectionTries) -> Result<(), NoTry> {
        if self.is_burned() {
            return Err(NoTry::Burned);
        }
        if connection.wrong >= TRIES_A_CONNECTION {
            return Err(NoTry::Connection);
        }
        connection.wrong += 1;
        self.wrong += 1;
        Ok(())
    }

    /// The try that was begun was right: it does not count. Those before it do.
    pub fn was_right(&mut self, connection: &mut ConnectionTries) {
        self.wrong = self.wrong.saturating_sub(1);
        connection.wrong = connection.wrong.saturating_sub(1);
    }

    /// Whether no secret helps any more.
    pub fn is_burned(&self) -> bool {
        self.wrong >= TRIES_IN_ALL
    }

    /// Wrong ones that are left before it is burned.
    pub fn left(&self) -> u8 {
        TRIES_IN_ALL.saturating_sub(self.wrong)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn typed(text: &str) -> Result<Secret, SecretError> {
        Secret::typed(Zeroizing::new(text.to_owned()), &["case 4711", "anna", "nfs-array-7"])
    }

    #[test]
    fn an_offered_secret_has_six_words_of_eleven_bits_and_never_comes_twice() {
        let list = Language::English.word_list();
        assert_eq!(list.len(), 1 << 11);
        let starts: HashSet<&str> = list.iter().map(|word| &word[..word.len().min(4)]).collect();
        assert_eq!(starts.len(), list.len(), "four letters tell each word");
        let mut seen = HashSet::new();
        for _ in 0..200 {
            let secret = Secret::offer().unwrap();
            let words: Vec<&str> = secret.reveal().split('-').collect();
            assert_eq!(words.len(), WORDS);
            assert!(words.iter().all(|word| list.contains(word)));
            assert!(seen.insert(secret.reveal().to_owned()));
        }
    }

    #[test]
    fn an_offered_secret_is_taken_as_it_is_told_on_a_telephone() {
        let secret = Secret::offer().unwrap();
        let kept = Kept::new(&secret).unwrap();
        let text = secret.reveal();
        for said in [text.to_owned(), text.replace('-', " "), format!(" {} ", text.to_uppercase())] {
            assert_eq!(kept.is(&said), Ok(true), "{said:?}");
        }
        let (first, rest) = text.split_once('-').unwrap();
        for said in
            ["", rest, &format!("{rest}-{first}x"), &text.replace('-', ""), &"a".repeat(BYTES_MOST + 1)]
        {
            assert_eq!(kept.is(said), Ok(false), "{said:?}");
        }
    }

    #[test]
    fn the_same_secret_is_kept_differently_each_time() {
        let secret = Secret::offer().unwrap();
        let (one, other) = (Kept::new(&secret).unwrap(), Kept::new(&secret).unwrap());
        assert_ne!(one.salt, other.salt);
        assert_ne!(*one.hash, *other.hash);
    }

    #[test]
    fn what_is_easily_guessed_is_refused_with_a_sentence() {
        for weak in ["aaaaaaaaaaaaaaaa", "password123456", "123456789012", "nfs-array-7 anna", "qwertyuiop12"]
        {
            let error = typed(weak).unwrap_err();
            assert!(matches!(error, SecretError::Weak(_)), "{weak}: {error}");
            assert!(!error.to_string().contains(weak), "no error tells the secret");
        }
        assert_eq!(typed("Xk7!p").unwrap_err(), SecretError::Short);
        assert_eq!(typed(&"x1".repeat(129)).unwrap_err(), SecretError::Long);
        assert_eq!(typed("correct horse\nbattery staple").unwrap_err(), SecretError::Character);
        for strong in ["gravel Tuesday umbrella 9 quench", "v8#Lq2!wZr5@", "Fünf Störche über Övelgönne"]
        {
            assert!(typed(strong).is_ok(), "{strong}: {}", typed(strong).unwrap_err());
        }
    }

    #[test]
    fn neither_a_secret_nor_what_is_kept_of_it_is_printed() {
        let secret = typed("gravel Tuesday umbrella 9 quench").unwrap();
        let kept = Kept::new(&secret).unwrap();
        assert_eq!(format!("{secret:?} {kept:?}"), "Secret(not shown) Kept(not shown)");
    }

    #[test]
    fn three_wrong_ones_end_a_connection_and_ten_burn_the_secret() {
        let mut tries = Tries::default();
        for number in 0..3 {
            let mut connection = ConnectionTries::default();
            for _ in 0..3 {
                assert_eq!(tries.begin(&mut connection), Ok(()));
            }
            assert_eq!(tries.begin(&mut connection), Err(NoTry::Connection), "connection {number}");
        }
        // A right one takes nothing back of what was wrong.
        let mut connection = ConnectionTries::default();
        tries.begin(&mut connection).unwrap();
        tries.was_right(&mut connection);
        assert_eq!((tries.left(), tries.is_burned()), (1, false));
        // Two at once: the second finds it burned before the first is known to be wrong.
        let (mut one, mut other) = (ConnectionTries::default(), ConnectionTries::default());
        assert_eq!(tries.begin(&mut one), Ok(()));
        assert_eq!(tries.begin(&mut other), Err(NoTry::Burned));
        tries.was_right(&mut one);
        assert_eq!(tries.begin(&mut other), Ok(()));
        assert_eq!(tries.begin(&mut ConnectionTries::default()), Err(NoTry::Burned));
    }
}
