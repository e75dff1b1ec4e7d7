//! Bytes as text that survives a telephone, a mail program and a hurried hand, and back; it never says what the bytes mean.
//!
//! The alphabet is Crockford's base 32, without I, L, O and U. The first character is the [`Kind`], the last six are a
//! check over all the others: the BCH code over GF(32) of BIP 173 with the constant of BIP 350. In a text of up to 1023
//! characters it finds any two wrong characters, so any single one and any two neighbours that changed places; in longer
//! ones still any single one and any such neighbours, and of all other damage all but one in 2^30.

/// The longest text that is looked at, in bytes, with all that stands around it.
pub const LONGEST_TEXT: usize = 32 * 1024;
/// The most bytes that a text may carry.
pub const MOST_BYTES: usize = 8 * 1024;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const BEGIN: &str = "BEGIN DRAWBRIDGE ";
const END: &str = "END DRAWBRIDGE ";
const CHECK: usize = 6;
/// The longest text, in symbols, in which any two wrong ones are found (BIP 173, section "Checksum design").
const LOCATED: usize = 1023;
/// What BIP 350 found best against characters that are put in or left out.
const CONSTANT: u32 = 0x2bc8_30a3;
/// The generator of BIP 173.
const GENERATOR: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
const GROUP: usize = 5;
const GROUPS_A_LINE: usize = 10;

/// What a text is: its first character, and its version with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A challenge of version 1.
    Challenge,
    /// A response of version 1.
    Response,
    /// A grant of version 1.
    Grant,
}

impl Kind {
    fn symbol(self) -> u8 {
        match self {
            Self::Challenge => b'C',
            Self::Response => b'R',
            Self::Grant => b'G',
        }
    }

    fn of(symbol: u8) -> Option<Self> {
        [Self::Challenge, Self::Response, Self::Grant].into_iter().find(|kind| kind.symbol() == symbol)
    }

    fn label(self) -> &'static str {
        match self {
            Self::Challenge => "CHALLENGE",
            Self::Response => "RESPONSE",
            Self::Grant => "GRANT",
        }
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Self::Challenge => "challenge",
            Self::Response => "response",
            Self::Grant => "grant",
        })
    }
}

/// Where in a text something is wrong, as a person counts: from 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The line, without the one that begins the text.
    pub line: usize,
    /// The group in it.
    pub group: usize,
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "line {}, group {}", self.line, self.group)
    }
}

/// Why a text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TextFault {
    /// Nothing is there.
    #[error("there is no text: paste the {0}")]
    Empty(Kind),
    /// Too much is there.
    #[error("the text is too long: paste the {0} alone")]
    Long(Kind),
    /// The line that ends it is missing.
    #[error("the end of the {0} is missing: copy it again, down to the line with END")]
    Cut(Kind),
    /// A character is not of the alphabet.
    #[error("{0:?} in {1} does not belong into it: compare that place with what was sent")]
    Character(char, Place),
    /// The check does not fit, and tells where.
    #[error("a character is wrong, missing or too much in {0}: compare that place with what was sent")]
    Damaged(Place),
    /// The check does not fit.
    #[error("a character is wrong, missing or too much: compare it group by group with what was sent")]
    Checksum,
    /// It is something else.
    #[error("this is a {found}, and a {expected} is wanted: copy the other text")]
    Kind {
        /// What was wanted.
        expected: Kind,
        /// What it is.
        found: Kind,
    },
    /// It is nothing that is known here.
    #[error("it is no {0} that this version reads: look for a newer version of the side that reads it")]
    Content(Kind),
}

/// The bytes as one line of groups with dashes between them.
pub fn line(kind: Kind, bytes: &[u8]) -> String {
    grouped(&symbols(kind, bytes), usize::MAX, '-')
}

/// The bytes as lines of groups between `BEGIN` and `END`, with a line end after each.
pub fn block(kind: Kind, bytes: &[u8]) -> String {
    let label = kind.label();
    let body = grouped(&symbols(kind, bytes), GROUPS_A_LINE, ' ');
    format!("-----BEGIN DRAWBRIDGE {label}-----\n{body}\n-----END DRAWBRIDGE {label}-----\n")
}

fn grouped(symbols: &[u8], groups_a_line: usize, between: char) -> String {
    let mut text = String::with_capacity(symbols.len() * 6 / 5 + 1);
    for (index, group) in symbols.chunks(GROUP).enumerate() {
        if index > 0 {
            text.push(if index % groups_a_line == 0 { '\n' } else { between });
        }
        text.extend(group.iter().map(|value| char::from(ALPHABET[usize::from(value & 31)])));
    }
    text
}

/// Kind, bytes and check, five bits each.
fn symbols(kind: Kind, bytes: &[u8]) -> Vec<u8> {
    let mut symbols = Vec::with_capacity(1 + bytes.len() * 8 / 5 + 1 + CHECK);
    symbols.push(value(char::from(kind.symbol())).unwrap_or_default());
    let (mut held, mut bits) = (0u32, 0);
    for byte in bytes {
        held = (held << 8 | u32::from(*byte)) & 0xfff;
        bits += 8;
        while bits >= 5 {
            bits -= 5;
            symbols.push(low_five(held >> bits));
        }
    }
    if bits > 0 {
        symbols.push(low_five(held << (5 - bits)));
    }
    let check = remainder(symbols.iter().copied().chain([0; CHECK])) ^ CONSTANT;
    symbols.extend((0..CHECK).rev().map(|index| low_five(check >> (5 * index))));
    symbols
}

/// Reads what [`line`] or [`block`] wrote, whatever stands around a block.
pub fn read(kind: Kind, text: &str) -> Result<Vec<u8>, TextFault> {
    if text.len() > LONGEST_TEXT {
        return Err(TextFault::Long(kind));
    }
    let (symbols, places) = scan(inner(kind, text)?)?;
    let Some(data) = symbols.len().checked_sub(CHECK).filter(|length| *length > 0) else {
        return Err(if symbols.is_empty() { TextFault::Empty(kind) } else { TextFault::Checksum });
    };
    let check = remainder(symbols.iter().copied());
    if check != CONSTANT {
        let place = wrong_symbol(check, symbols.len()).and_then(|at| places.get(at).copied());
        let place = place.or_else(|| odd_group(&places));
        return Err(place.map_or(TextFault::Checksum, TextFault::Damaged));
    }
    match Kind::of(ALPHABET[usize::from(symbols[0] & 31)]) {
        Some(found) if found == kind => {}
        Some(found) => return Err(TextFault::Kind { expected: kind, found }),
        None => return Err(TextFault::Content(kind)),
    }
    let symbols = &symbols[1..data];
    if symbols.len() * 5 / 8 > MOST_BYTES {
        return Err(TextFault::Long(kind));
    }
    let mut bytes = Vec::with_capacity(symbols.len() * 5 / 8);
    let (mut held, mut bits) = (0u32, 0);
    for symbol in symbols {
        held = (held << 5 | u32::from(*symbol)) & 0xfff;
        bits += 5;
        if bits >= 8 {
            bits -= 8;
            bytes.push((held >> bits & 0xff) as u8);
        }
    }
    // There is one way to write given bytes.
    if bits >= 5 || held & ((1 << bits) - 1) != 0 { Err(TextFault::Content(kind)) } else { Ok(bytes) }
}

/// What a text says that it is, by its first line or its first character; nothing else of it is looked at.
pub fn kind(text: &str) -> Option<Kind> {
    let body = match text.split_once(BEGIN) {
        Some((_, after)) => after.trim_start_matches(|c: char| c.is_ascii_uppercase()),
        None => text,
    };
    let first = body.chars().find(|c| !c.is_whitespace() && !is_decoration(*c))?;
    value(first).and_then(|value| Kind::of(ALPHABET[usize::from(value & 31)]))
}

/// The symbols of a text, and where each stands. A group ends where something stands between; what was written without groups is
/// counted in fives.
fn scan(text: &str) -> Result<(Vec<u8>, Vec<Place>), TextFault> {
    let (mut symbols, mut places) = (Vec::new(), Vec::new());
    let is_between = |c: char| c.is_whitespace() || is_decoration(c);
    let lines = text.split('\n').filter(|line| !line.chars().all(is_between));
    for (line, content) in (1..).zip(lines) {
        let mut group = 0;
        for run in content.split(is_between).filter(|run| !run.is_empty()) {
            let ungrouped = run.chars().count() > 2 * GROUP;
            for (at, c) in run.chars().enumerate() {
                if at == 0 || ungrouped && at % GROUP == 0 {
                    group += 1;
                }
                let place = Place { line, group };
                symbols.push(value(c).ok_or(TextFault::Character(c, place))?);
                places.push(place);
            }
        }
    }
    Ok((symbols, places))
}

/// Where the one wrong symbol is, or the first of two neighbours that changed places, when such an error explains what was found.
/// The code finds any two wrong ones up to [`LOCATED`] symbols, so below that at most one place does.
fn wrong_symbol(found: u32, length: usize) -> Option<usize> {
    if length > LOCATED {
        return None;
    }
    // The code is linear: the error alone leaves this.
    let error = found ^ CONSTANT;
    let mut swapped = None;
    for difference in 1..32u8 {
        let mut one = u32::from(difference);
        let mut two = step(one, difference);
        for from_end in 0..length {
            if one == error {
                return Some(length - 1 - from_end);
            }
            if two == error && from_end + 1 < length {
                swapped = Some(length - 2 - from_end);
            }
            (one, two) = (step(one, 0), step(two, 0));
        }
    }
    swapped
}

/// The first group that is not of five, where a text is written in such groups.
fn odd_group(places: &[Place]) -> Option<Place> {
    let groups: Vec<&[Place]> = places.chunk_by(|one, next| one == next).collect();
    let (_, all_but_last) = groups.split_last()?;
    let odd = all_but_last.iter().filter(|group| group.len() != GROUP);
    // Where most are odd, it is written in another way.
    (odd.clone().count() * 4 <= groups.len())
        .then(|| odd.clone().next().and_then(|group| group.first().copied()))?
}

/// What stands between `BEGIN` and `END`, or the whole text when there is neither.
fn inner(kind: Kind, text: &str) -> Result<&str, TextFault> {
    let Some((_, after)) = text.split_once(BEGIN) else {
        return if text.contains(END) { Err(TextFault::Cut(kind)) } else { Ok(text) };
    };
    let label = after.trim_start_matches(|c: char| c.is_ascii_uppercase());
    label.split_once(END).map(|(body, _)| body).ok_or(TextFault::Cut(kind))
}

/// What people and mail programs put between characters: dashes, dots, the marks of a quotation.
fn is_decoration(c: char) -> bool {
    matches!(
        c,
        '-' | '\u{2010}'..='\u{2015}' | '\u{2212}' | '.' | ':' | '_' | '>' | '|' | '\u{feff}' | '\u{200b}'
    )
}

fn value(c: char) -> Option<u8> {
    let c = match c.to_ascii_uppercase() {
        'O' => '0',
        'I' | 'L' => '1',
        c => c,
    };
    ALPHABET.iter().position(|symbol| char::from(*symbol) == c).and_then(|index| u8::try_from(index).ok())
}

fn low_five(value: u32) -> u8 {
    (value & 31) as u8
}

/// What is left of the text, as a polynomial over GF(32), after division by the generator.
fn remainder(symbols: impl Iterator<Item = u8>) -> u32 {
    symbols.fold(1, step)
}

/// One symbol more: multiplied by x, and the generator taken away as often as it fits.
fn step(check: u32, symbol: u8) -> u32 {
    let top = check >> 25;
    let next = (check & 0x1ff_ffff) << 5 ^ u32::from(symbol);
    GENERATOR
        .iter()
        .enumerate()
        .filter(|(bit, _)| top >> bit & 1 == 1)
        .fold(next, |next, (_, generator)| next ^ generator)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_of_any_length_come_back() {
        for length in 0..200u8 {
            let bytes: Vec<u8> = (0..length).map(|byte| byte.wrapping_mul(97) ^ length).collect();
            for text in [line(Kind::Response, &bytes), block(Kind::Response, &bytes)] {
                assert_eq!(read(Kind::Response, &text), Ok(bytes.clone()), "{text}");
            }
        }
    }

    #[test]
    fn every_wrong_character_and_every_swap_of_neighbours_is_found() {
        for length in [16usize, 100, 900] {
            let bytes: Vec<u8> = (0..=250).cycle().step_by(31).take(length).collect();
            let right = symbols(Kind::Grant, &bytes);
            let holds = |symbols: &[u8]| remainder(symbols.iter().copied()) == CONSTANT;
            assert!(holds(&right));
            for place in 0..right.len() {
                let mut wrong = right.clone();
                for other in (0..32).filter(|other| *other != right[place]) {
                    wrong[place] = other;
                    assert!(!holds(&wrong), "character {place} as {other}");
                }
                let mut swapped = right.clone();
                if place > 0 && swapped[place] != swapped[place - 1] {
                    swapped.swap(place, place - 1);
                    assert!(!holds(&swapped), "{place} with its neighbour");
                }
            }
        }
    }

    #[test]
    fn any_two_wrong_characters_up_to_1023_are_found() {
        // The code is linear: it is enough that no error of two characters is itself a word of the code. What is left of
        // x^distance is never a multiple of 1 by an element of GF(32), hence the loop over one factor.
        let syndrome = |distance: usize, factor: u8| {
            let zeros = |count| std::iter::repeat_n(0, count);
            let with = std::iter::once(1).chain(zeros(distance - 1)).chain([factor]).chain(zeros(6));
            remainder(with) ^ remainder(zeros(distance + 7))
        };
        for distance in 1..1023 {
            for factor in 0..32 {
                assert_ne!(syndrome(distance, factor), 0, "{distance} apart");
            }
        }
    }

    #[test]
    fn letters_that_are_mistaken_small_ones_and_quotations_do_no_harm() {
        let bytes = [0x08, 0x42, 0x10, 0x84, 0x21, 0, 0, 0, 0, 0];
        let text = line(Kind::Challenge, &bytes);
        assert!(text.contains("1111") && text.contains("0000"), "{text}");
        for changed in
            [text.to_lowercase(), text.replace('0', "O"), text.replace('1', "l"), text.replace('1', "I")]
        {
            assert_eq!(read(Kind::Challenge, &changed), Ok(bytes.to_vec()), "{changed}");
        }
        let quoted = block(Kind::Challenge, &bytes)
            .lines()
            .fold("Dear all,\n".to_owned(), |all, line| all + "> " + line + "\r\n")
            + "Yours, U.";
        assert_eq!(read(Kind::Challenge, &quoted), Ok(bytes.to_vec()), "{quoted}");
    }

    #[test]
    fn damage_is_told_by_line_and_group() {
        let bytes: Vec<u8> = (0..=250).cycle().step_by(31).take(300).collect();
        let text = block(Kind::Grant, &bytes);
        let lines: Vec<&str> = text.lines().collect();
        let with = |number: usize, line: &str| {
            let mut lines = lines.clone();
            lines[number] = line;
            lines.join("\n")
        };
        let place = |text: &str| match read(Kind::Grant, text) {
            Err(TextFault::Damaged(Place { line, group })) => (line, group),
            other => panic!("{other:?}"),
        };
        for (number, line) in lines.iter().enumerate().take(lines.len() - 1).skip(1) {
            for (at, c) in line.char_indices().filter(|(_, c)| *c != ' ') {
                let (group, other) = (at / 6 + 1, if c == '7' { "8" } else { "7" });
                let mut wrong = (*line).to_owned();
                wrong.replace_range(at..=at, other);
                assert_eq!(place(&with(number, &wrong)), (number, group), "{wrong}");
                // As a mail program quotes it, and typed without groups.
                assert_eq!(place(&with(number, &format!("> {wrong}\r"))), (number, group));
                let next = line.as_bytes().get(at + 1).map(|next| char::from(*next));
                if let Some(next) = next.filter(|next| *next != ' ' && *next != c) {
                    let mut swapped = (*line).to_owned();
                    swapped.replace_range(at..at + 2, &format!("{next}{c}"));
                    assert_eq!(place(&with(number, &swapped)), (number, group), "{swapped}");
                }
            }
        }
        // One that is missing, and one that is too much.
        assert_eq!(place(&with(2, &lines[2].replacen(&lines[2][13..14], "", 1))).0, 2);
        let (before, after) = lines[3].split_at(14);
        assert_eq!(place(&with(3, &format!("{before}7{after}"))), (3, 3));
        let (before, after) = lines[3].split_at(15);
        assert_eq!(place(&with(3, &format!("{before}{}", &after[1..]))), (3, 3));
    }

    #[test]
    fn a_text_says_what_it_is() {
        for kind_ in [Kind::Challenge, Kind::Response, Kind::Grant] {
            for text in [line(kind_, b"something"), block(kind_, b"something")] {
                assert_eq!(
                    kind(&format!("Hi,\n> {text}")).filter(|_| text.contains("BEGIN")),
                    text.contains("BEGIN").then_some(kind_)
                );
                let small = text.to_lowercase().replace("begin drawbridge", "BEGIN DRAWBRIDGE");
                assert_eq!(kind(&small), Some(kind_));
                assert_eq!(kind(&format!(" \n{text}")), Some(kind_));
            }
        }
        assert_eq!([kind(""), kind("-----BEGIN DRAWBRIDGE "), kind("7"), kind("!")], [None; 4]);
    }

    #[test]
    fn each_fault_has_its_own_sentence() {
        let text = block(Kind::Grant, b"something");
        let fault = |text: &str| read(Kind::Response, text).unwrap_err();
        assert_eq!(fault(" \n"), TextFault::Empty(Kind::Response));
        assert_eq!(fault(&text), TextFault::Kind { expected: Kind::Response, found: Kind::Grant });
        assert_eq!(fault(text.split_once("-----END").unwrap().0), TextFault::Cut(Kind::Response));
        assert_eq!(fault(text.split_once('\n').unwrap().1), TextFault::Cut(Kind::Response));
        assert_eq!(fault("ABCU"), TextFault::Character('U', Place { line: 1, group: 1 }));
        assert_eq!(fault("ABCD"), TextFault::Checksum);
        assert_eq!(
            fault("ABCDE FGH!").to_string(),
            "'!' in line 1, group 2 does not belong into it: compare that place with what was sent"
        );
        assert_eq!(fault(&"A".repeat(40_000)), TextFault::Long(Kind::Response));
    }
}
