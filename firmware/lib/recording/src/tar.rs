//! The list of an uncompressed tar file (POSIX.1-2001, "ustar interchange format", and what GNU tar writes for plain names);
//! it follows no path: a file counts by its last name and the folder that it is in, and a recording's are all in one folder.

use std::collections::BTreeMap;
use std::io::{self, Read, Seek, SeekFrom};

const BLOCK: u64 = 512;
/// The most entries. A bundle has 257 files at most.
const MOST_ENTRIES: usize = 4096;
/// The longest extended header that is read, in bytes.
const MOST_EXTENDED: u64 = 64 * 1024;

/// Where a file's bytes are in the tar file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// From which byte of it.
    pub start: u64,
    /// How many.
    pub length: u64,
}

/// Why a tar file is not taken.
#[derive(Debug, thiserror::Error)]
pub enum TarFault {
    /// It is none, or a compressed one.
    #[error("it is no uncompressed tar file: unpack it, or make one with `tar -cf`")]
    NoTar,
    /// It ends too early.
    #[error("the tar file is cut: it ends inside of a file")]
    Cut,
    /// More than the bound.
    #[error("the tar file has more than {MOST_ENTRIES} entries: it is not one of a single recording")]
    Many,
    /// A link, a device, a second folder, or a name that is none.
    #[error(
        "the tar file has something else than plain files in one folder ({0:?}): export the recording alone"
    )]
    Foreign(String),
    /// The same name again.
    #[error("the tar file has {0:?} twice")]
    Twice(String),
    /// It cannot be read.
    #[error("the tar file cannot be read: {0}")]
    Read(#[from] io::Error),
}

/// All plain files of a tar file, by their names. They are all in one folder.
pub fn read(file: impl Read + Seek) -> Result<BTreeMap<String, Place>, TarFault> {
    let mut folders = folders(file)?.into_iter();
    let (_, entries) = folders.next().unwrap_or_default();
    match folders.next() {
        None => Ok(entries),
        Some((second, others)) => {
            let name = others.into_keys().next().unwrap_or_default();
            let path = if second.is_empty() { name } else { format!("{second}/{name}") };
            Err(TarFault::Foreign(shown(&path)))
        }
    }
}

/// The plain files of a folder, by their names.
pub type Folder = BTreeMap<String, Place>;

/// All plain files of a tar file, by the folders that they are in: an audit has one for each segment.
pub fn folders(mut file: impl Read + Seek) -> Result<BTreeMap<String, Folder>, TarFault> {
    let end = file.seek(SeekFrom::End(0))?;
    let mut entries: BTreeMap<String, Folder> = BTreeMap::new();
    let mut at = 0;
    for _ in 0..MOST_ENTRIES {
        let mut header = [0; 512];
        if end - at < BLOCK {
            // Without the blocks of zeros at its end it was cut, or is none.
            return Err(if at == 0 { TarFault::NoTar } else { TarFault::Cut });
        }
        read_at(&mut file, &mut header, at)?;
        if header.iter().all(|byte| *byte == 0) {
            return if at == 0 { Err(TarFault::NoTar) } else { Ok(entries) };
        }
        let entry = Entry::parse(&header).ok_or(TarFault::NoTar)?;
        let start = at + BLOCK;
        let padded = entry.length.checked_next_multiple_of(BLOCK).ok_or(TarFault::Cut)?;
        let next = start.checked_add(padded).filter(|next| *next <= end).ok_or(TarFault::Cut)?;
        match entry.kind {
            // Times and owners that ustar has no room for. A name or a length would be of the next file.
            b'x' | b'g' => {
                let mut extended = vec![0; usize::try_from(entry.length.min(MOST_EXTENDED)).unwrap_or(0)];
                read_at(&mut file, &mut extended, start)?;
                let text = String::from_utf8_lossy(&extended);
                if entry.length > MOST_EXTENDED
                    || [" path=", " size=", " linkpath=", " GNU."].iter().any(|key| text.contains(key))
                {
                    return Err(TarFault::Foreign(shown(&entry.name)));
                }
            }
            b'5' => {}
            0 | b'0' => {
                let path = entry.name.strip_prefix("./").unwrap_or(&entry.name);
                let (parent, name) = path.rsplit_once('/').unwrap_or(("", path));
                let is_strange =
                    name.is_empty() || parent.split('/').any(|part| part == "..") || path.starts_with('/');
                if is_strange {
                    return Err(TarFault::Foreign(shown(&entry.name)));
                }
                let place = Place { start, length: entry.length };
                if entries.entry(parent.to_owned()).or_default().insert(name.to_owned(), place).is_some() {
                    return Err(TarFault::Twice(shown(name)));
                }
            }
            _ => return Err(TarFault::Foreign(shown(&entry.name))),
        }
        at = next;
    }
    Err(TarFault::Many)
}

fn read_at(file: &mut (impl Read + Seek), buffer: &mut [u8], at: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(at))?;
    file.read_exact(buffer)
}

fn shown(name: &str) -> String {
    drawbridge_chain::Text::<255>::of(name).to_string()
}

struct Entry {
    name: String,
    kind: u8,
    length: u64,
}

impl Entry {
    fn parse(header: &[u8; 512]) -> Option<Self> {
        let field = |from: usize, length: usize| header.get(from..from + length).unwrap_or_default();
        if field(257, 5) != b"ustar" {
            return None;
        }
        // The sum of all bytes, with its own field as blanks.
        let sum = |(at, byte): (usize, &u8)| u64::from(if (148..156).contains(&at) { b' ' } else { *byte });
        if header.iter().enumerate().map(sum).sum::<u64>() != octal(field(148, 8))? {
            return None;
        }
        let text = |bytes: &[u8]| {
            let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(bytes.len());
            String::from_utf8(bytes.get(..end).unwrap_or_default().to_vec()).ok()
        };
        let (name, prefix) = (text(field(0, 100))?, text(field(345, 155))?);
        // GNU's own form has other things where ustar has the prefix.
        let is_posix = field(257, 8) == b"ustar\x0000";
        let name = if is_posix && !prefix.is_empty() { format!("{prefix}/{name}") } else { name };
        Some(Self { name, kind: *header.get(156)?, length: octal(field(124, 12))? })
    }
}

/// Octal digits between blanks and zero bytes.
fn octal(field: &[u8]) -> Option<u64> {
    let digits = std::str::from_utf8(field).ok()?.trim_matches([' ', '\0']);
    if digits.is_empty() || !digits.bytes().all(|byte| matches!(byte, b'0'..=b'7')) {
        return None;
    }
    u64::from_str_radix(digits, 8).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    fn header(name: &str, kind: u8, length: u64) -> Vec<u8> {
        let mut header = vec![0; 512];
        header[..name.len()].copy_from_slice(name.as_bytes());
        header[124..136].copy_from_slice(format!("{length:011o}\0").as_bytes());
        header[148..156].fill(b' ');
        header[156] = kind;
        header[257..265].copy_from_slice(b"ustar\x0000");
        let sum: u64 = header.iter().map(|byte| u64::from(*byte)).sum();
        header[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        header
    }

    fn tar(entries: &[(&str, u8, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, kind, data) in entries {
            bytes.extend(header(name, *kind, data.len() as u64));
            bytes.extend_from_slice(data);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    #[test]
    fn files_of_one_folder_are_found_where_they_lie() {
        let bytes =
            tar(&[("a1/", b'5', b""), ("a1/chain.jsonl", b'0', b"chain"), ("a1/events.jsonl", 0, &[7; 600])]);
        let entries = read(Cursor::new(&bytes)).unwrap();
        let place = |name: &str| {
            let place = entries[name];
            bytes[usize::try_from(place.start).unwrap()..][..usize::try_from(place.length).unwrap()].to_vec()
        };
        assert_eq!(place("chain.jsonl"), b"chain");
        assert_eq!(place("events.jsonl"), [7; 600]);
        assert_eq!(entries.len(), 2);
    }

    #[test]
    fn no_path_link_device_or_second_folder_is_taken() {
        for (name, kind) in [
            ("/etc/x", b'0'),
            ("a/../b", b'0'),
            ("..", b'2'),
            ("a", b'1'),
            ("a", b'3'),
            ("b/a", b'0'),
            ("a/", b'0'),
            ("x", b'L'),
        ] {
            let bytes = tar(&[("a1/chain.jsonl", b'0', b"chain"), (name, kind, b"")]);
            assert!(matches!(read(Cursor::new(bytes)), Err(TarFault::Foreign(_))), "{name}");
        }
        let renamed = tar(&[("x", b'x', b"14 path=/etc/x\n"), ("a", b'0', b"")]);
        assert!(matches!(read(Cursor::new(renamed)), Err(TarFault::Foreign(_))));
        let timed = tar(&[("x", b'x', b"14 mtime=1.500\n"), ("a", b'0', b"")]);
        assert_eq!(read(Cursor::new(timed)).unwrap().len(), 1);
        assert!(matches!(
            read(Cursor::new(tar(&[("a", b'0', b""), ("./a", b'0', b"")]))),
            Err(TarFault::Twice(_))
        ));
    }

    #[test]
    fn what_is_cut_or_no_tar_or_too_much_is_told() {
        let bytes = tar(&[("chain.jsonl", b'0', &[7; 600])]);
        for length in 0..bytes.len() - 1024 {
            assert!(
                matches!(read(Cursor::new(&bytes[..length])), Err(TarFault::NoTar | TarFault::Cut)),
                "{length}"
            );
        }
        assert!(matches!(read(Cursor::new(vec![0; 10_240])), Err(TarFault::NoTar)));
        let mut wrong = bytes.clone();
        wrong[130] ^= 1;
        assert!(matches!(read(Cursor::new(&wrong)), Err(TarFault::NoTar)));
        let many: Vec<_> = (0..5000).map(|number| format!("f{number}")).collect();
        let many: Vec<_> = many.iter().map(|name| (name.as_str(), b'0', b"".as_slice())).collect();
        assert!(matches!(read(Cursor::new(tar(&many))), Err(TarFault::Many)));
        let huge = [header("a", b'0', 0o77_777_777_777), vec![0; 1024]].concat();
        assert!(matches!(read(Cursor::new(huge)), Err(TarFault::Cut)));
    }
}
