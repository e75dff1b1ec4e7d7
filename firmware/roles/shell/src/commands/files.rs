//! Commands of the grant's folder. They open nothing outside it.

use super::Shell;
use crate::deeds::{Deeds, Failure, shown};
use crate::output::{Done, Fault, columns, line, printable_bytes, put, size};
use crate::path::SafePath;
use crate::tree::{Kind, Tree, Wish, kind, why};
use nix::errno::Errno;
use nix::sys::stat::FileStat;
use ring::digest::{Context, SHA256};
use std::fs::File;
use std::io::{Read as _, Write as _};

/// What is read or written at one time.
const CHUNK: usize = 64 * 1024;
/// How many folders deep `rm -r` goes at most: deeper ones cannot be named anyway.
const DEPTH_MOST: usize = crate::path::NAMES_MOST;

/// Runs a command of this module; none: it is used wrongly.
pub(super) async fn run(shell: &mut Shell, name: &str, arguments: &[String]) -> Option<Done> {
    let tree = match shell.tree() {
        Ok(tree) => tree,
        Err(fault) => return Some(Err(fault)),
    };
    let deeds = shell.deeds.clone();
    let (options, names) = options(name, arguments)?;
    let done = match (name, names) {
        ("ls", names) => ls(&tree, options, names),
        ("cat", [_, ..]) => cat(&tree, names, shell.terminal).await,
        ("sha256sum", [_, ..]) => sha256sum(&tree, names).await,
        ("rm", [_, ..]) => rm(&tree, &deeds, options, names).await,
        ("mkdir", [_, ..]) => mkdir(&tree, &deeds, options, names),
        ("cp", [from, to]) => cp(&tree, &deeds, from, to).await,
        ("mv", [from, to]) => mv(&tree, &deeds, from, to),
        ("df", []) => df(&tree),
        _ => return None,
    };
    Some(done)
}

/// Whether the command's one option is given, and what is left; none: another option is.
fn options<'a>(name: &str, arguments: &'a [String]) -> Option<(bool, &'a [String])> {
    let option = match name {
        "ls" => "-l",
        "rm" => "-r",
        "mkdir" => "-p",
        _ => "--",
    };
    let (mut set, mut rest) = (false, arguments);
    while let [first, others @ ..] = rest {
        match first.as_str() {
            "--" => return Some((set, others)),
            first if first == option => set = true,
            first if first.starts_with('-') && first.len() > 1 => return None,
            _ => break,
        }
        rest = others;
    }
    Some((set, rest))
}

fn path(name: &str) -> Result<SafePath, Fault> {
    SafePath::parse(name.as_bytes()).map_err(|error| Fault::new(format!("{name}: {error}")))
}

fn fault(name: &str, error: Errno) -> Fault {
    Fault::new(format!("{name}: {}", why(error)))
}

fn not_made(name: &str, failure: Failure) -> Fault {
    Fault::new(format!("{name}: {}", failure.why()))
}

fn ls(tree: &Tree, long: bool, names: &[String]) -> Done {
    let here = ["/".to_owned()];
    let names = if names.is_empty() { &here } else { names };
    for name in names {
        let path = path(name)?;
        let stat = tree.stat(&path).map_err(|error| fault(name, error))?;
        let listed: Vec<(String, FileStat)> = if kind(&stat) == Kind::Folder {
            if names.len() > 1 {
                line(&format!("{name}:"))?;
            }
            let inside = tree.names(&path).map_err(|error| fault(name, error))?;
            // What is removed in between is not there.
            let one = |name: Vec<u8>| Some((show(&name), tree.stat(&path.join(&name)?).ok()?));
            inside.into_iter().filter_map(one).collect()
        } else {
            vec![(name.clone(), stat)]
        };
        if !long {
            listed.iter().try_for_each(|(name, stat)| {
                line(&format!("{name}{}", if kind(stat) == Kind::Folder { "/" } else { "" }))
            })?;
            continue;
        }
        let rows: Vec<Vec<String>> = listed.iter().map(|(name, stat)| long_row(name, stat)).collect();
        columns(&rows)?;
    }
    Ok(())
}

fn show(name: &[u8]) -> String {
    printable_bytes(name).replace('\n', "\\n").replace('\t', "\\t")
}

fn long_row(name: &str, stat: &FileStat) -> Vec<String> {
    let kind = match kind(stat) {
        Kind::File => "file",
        Kind::Folder => "folder",
        Kind::Other => "other",
    };
    vec![kind.to_owned(), format!("{:>12}", stat.st_size), date(stat.st_mtime), name.to_owned()]
}

/// `2026-11-26 12:59:18Z` (the days of the civil calendar, counted in years that begin in March).
pub(crate) fn date(seconds: i64) -> String {
    let (days, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    let (hour, minute, second) = (second / 3_600, second / 60 % 60, second % 60);
    format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02}Z")
}

/// Reads a file to its end; between two pieces the command can be ended.
async fn pieces(mut file: File, name: &str, mut take: impl FnMut(&[u8]) -> Done) -> Done {
    let mut buffer = vec![0; CHUNK];
    loop {
        let length = file.read(&mut buffer).map_err(|error| Fault::new(format!("{name}: {error}")))?;
        if length == 0 {
            return Ok(());
        }
        take(&buffer[..length])?;
        tokio::task::yield_now().await;
    }
}

async fn cat(tree: &Tree, names: &[String], terminal: bool) -> Done {
    for name in names {
        let file = tree.file(&path(name)?, Wish::READ).map_err(|error| fault(name, error))?;
        if !terminal {
            pieces(file, name, put).await?;
            continue;
        }
        // A character may be cut by the end of a piece: what is begun waits for the next one.
        let mut begun: Vec<u8> = Vec::new();
        pieces(file, name, |piece| {
            begun.extend_from_slice(piece);
            let whole = whole_characters(&begun);
            let done = put(printable_bytes(&begun[..whole]).as_bytes());
            begun.drain(..whole);
            done
        })
        .await?;
        put(printable_bytes(&begun).as_bytes())?;
    }
    Ok(())
}

/// How many of these bytes are before a character of UTF-8 that is begun and not ended.
fn whole_characters(bytes: &[u8]) -> usize {
    let most = bytes.len().min(3);
    for back in 1..=most {
        let byte = bytes[bytes.len() - back];
        let length = match byte {
            0xc0..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf7 => 4,
            0x80..=0xbf => continue,
            _ => 1,
        };
        return if length > back { bytes.len() - back } else { bytes.len() };
    }
    bytes.len()
}

async fn sha256sum(tree: &Tree, names: &[String]) -> Done {
    for name in names {
        let file = tree.file(&path(name)?, Wish::READ).map_err(|error| fault(name, error))?;
        let mut digest = Context::new(&SHA256);
        pieces(file, name, |piece| {
            digest.update(piece);
            Ok(())
        })
        .await?;
        let digest = crate::output::hex(digest.finish().as_ref());
        line(&format!("{digest}  {name}"))?;
    }
    Ok(())
}

async fn rm(tree: &Tree, deeds: &Deeds, all: bool, names: &[String]) -> Done {
    for name in names {
        let path = path(name)?;
        if tree.is_folder(&path) {
            if !all {
                return Err(Fault::new(format!("{name}: that is a folder: rm -r removes it with all in it")));
            }
            let words = format!("removes {} and all that is in it", shown(&path));
            deeds.change(&words, || Ok(())).map_err(|failure| not_made(name, failure))?;
            empty(tree, &path).await.map_err(|error| fault(name, error))?;
            if path.split().is_some() {
                tree.remove_folder(&path).map_err(|error| fault(name, error))?;
            }
        } else {
            let removed = deeds.change(&format!("removes {}", shown(&path)), || tree.remove(&path));
            removed.map_err(|failure| not_made(name, failure))?;
        }
    }
    Ok(())
}

/// Removes what is in a folder, without going into itself again: the folders on the way are kept in a list.
async fn empty(tree: &Tree, top: &SafePath) -> Result<(), Errno> {
    let mut way = vec![(top.clone(), tree.names(top)?)];
    while let Some((folder, names)) = way.last_mut() {
        tokio::task::yield_now().await;
        if let Some(name) = names.pop() {
            let path = folder.join(&name).ok_or(Errno::ENAMETOOLONG)?;
            if tree.is_folder(&path) {
                if way.len() > DEPTH_MOST {
                    return Err(Errno::ENAMETOOLONG);
                }
                let names = tree.names(&path)?;
                way.push((path, names));
            } else {
                tree.remove(&path)?;
            }
        } else {
            let folder = folder.clone();
            way.pop();
            if !way.is_empty() {
                tree.remove_folder(&folder)?;
            }
        }
    }
    Ok(())
}

fn mkdir(tree: &Tree, deeds: &Deeds, parents: bool, names: &[String]) -> Done {
    for name in names {
        let path = path(name)?;
        let words = format!("makes the folder {}", shown(&path));
        if parents {
            deeds.change(&words, || Ok(())).map_err(|failure| not_made(name, failure))?;
            let mut above = SafePath::default();
            for part in path.names() {
                above = above.join(part).ok_or_else(|| fault(name, Errno::ENAMETOOLONG))?;
                match tree.make_folder(&above) {
                    Err(Errno::EEXIST) if tree.is_folder(&above) => {}
                    made => made.map_err(|error| fault(name, error))?,
                }
            }
        } else {
            deeds.change(&words, || tree.make_folder(&path)).map_err(|failure| not_made(name, failure))?;
        }
    }
    Ok(())
}

/// Where something comes to: into a folder under its own name, or to the very place.
fn destination(tree: &Tree, from: &SafePath, to: &str) -> Result<SafePath, Fault> {
    let path = path(to)?;
    match from.split() {
        Some((_, name)) if tree.is_folder(&path) => {
            path.join(name).ok_or_else(|| fault(to, Errno::ENAMETOOLONG))
        }
        _ => Ok(path),
    }
}

async fn cp(tree: &Tree, deeds: &Deeds, from: &str, to: &str) -> Done {
    let from_path = path(from)?;
    let to_path = destination(tree, &from_path, to)?;
    if from_path == to_path {
        return Err(Fault::new(format!("{from}: that is the same file")));
    }
    let source = tree.file(&from_path, Wish::READ).map_err(|error| fault(from, error))?;
    let words = format!("copies {} to {}", shown(&from_path), shown(&to_path));
    let opened = deeds.change(&words, || tree.file(&to_path, Wish::WRITE));
    let mut target = opened.map_err(|failure| not_made(to, failure))?;
    let copied = pieces(source, from, |piece| {
        tree.room().map_err(|error| fault(to, error))?;
        target.write_all(piece).map_err(|error| Fault::new(format!("{to}: {error}")))
    })
    .await;
    if copied.is_err() {
        // Half a file would be taken for a whole one.
        let _ = tree.remove(&to_path);
    }
    copied
}

fn mv(tree: &Tree, deeds: &Deeds, from: &str, to: &str) -> Done {
    let from_path = path(from)?;
    let to_path = destination(tree, &from_path, to)?;
    if from_path != to_path && from_path.holds(&to_path) {
        return Err(Fault::new(format!("{from}: a folder cannot be moved into itself")));
    }
    let words = format!("renames {} to {}", shown(&from_path), shown(&to_path));
    let renamed = deeds.change(&words, || tree.rename(&from_path, &to_path, true));
    renamed.map_err(|failure| not_made(from, failure))
}

fn df(tree: &Tree) -> Done {
    let (left, all) = tree.space_left().map_err(|error| fault("/", error))?;
    line(&format!("{} can still be written, of a disk of {}", size(left), size(all)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        assert_eq!(date(0), "1970-01-01 00:00:00Z");
        assert_eq!(date(951_782_400), "2000-02-29 00:00:00Z");
        assert_eq!(date(1_793_491_199), "2026-10-31 23:59:59Z");
        assert_eq!(date(-1), "1969-12-31 23:59:59Z");
    }

    #[test]
    fn a_character_that_is_cut_waits_for_its_rest() {
        assert_eq!(whole_characters("aé".as_bytes()), 3);
        assert_eq!(whole_characters(b"a\xc3"), 1);
        assert_eq!(whole_characters(b"a\xe2\x82"), 1);
        assert_eq!(whole_characters(b"\x80\x80\x80\x80"), 4);
    }
}
