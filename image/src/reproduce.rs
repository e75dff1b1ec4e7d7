//! Builds the committed sources in two clones in two folders, or in one where the workspace has built them, and compares every file;
//! it leaves the workspace alone.

use std::path::{Path, PathBuf};

use crate::binary::Flavour;
use crate::command::Tool;
use crate::error::{Error, Result};
use crate::files;
use crate::pipeline::Pipeline;
use crate::source::Workspace;

/// The folders of the two builds, of different length and depth.
const FOLDERS: [&str; 2] = ["one", "the-other/folder with a space"];

/// A file that came out the same twice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Same {
    /// Its name.
    pub name: &'static str,
    /// Its SHA-256.
    pub sha256: String,
}

/// Builds binary, system, disk, bill of materials and size report of the workspace's last commit twice, with `pattern` saying the
/// rest (kernel, stub, disk size), and returns the files' digests. The kernel is built at most once, and the lab's binary, which
/// never leaves the lab, not at all. `made` is a folder with files that were made from this commit: they take the place of the first
/// build.
///
/// Files that differ are an error that names them; their folders are kept, and named on standard error.
pub fn run(pattern: &Pipeline, made: Option<&Path>) -> Result<Vec<Same>> {
    let scratch = tempfile::Builder::new()
        .prefix("drawbridge-reproduce-")
        .tempdir()
        .map_err(Error::write(std::env::temp_dir()))?;
    let [one, other] = FOLDERS.map(|folder| scratch.path().join(folder));
    let one = match made {
        Some(made) => Pipeline { out: made.to_owned(), ..pattern.clone() }.digests()?,
        None => build(pattern, &one)?.digests()?,
    };
    let other = build(pattern, &other)?.digests()?;
    let sum_in = |digests: &[(&str, String)], name: &str| {
        digests.iter().find(|(other, _)| *other == name).map(|(_, sum)| sum.clone())
    };
    // What `made` holds beside these is the lab's.
    let differing: Vec<String> = (other.iter())
        .filter(|(name, sum)| sum_in(&one, name).as_ref() != Some(sum))
        .map(|(name, _)| (*name).to_owned())
        .collect();
    if differing.is_empty() && !other.is_empty() {
        return Ok(other.into_iter().map(|(name, sha256)| Same { name, sha256 }).collect());
    }
    let kept = scratch.keep();
    for folder in FOLDERS.map(|folder| kept.join(folder).join(OUT)) {
        if folder.is_dir() {
            eprintln!("reproduce: see {}", folder.display());
        }
    }
    Err(Error::NotReproducible { files: differing })
}

/// Where a clone's files go: inside it, as in daily work.
const OUT: &str = "sources/target/image";

fn build(pattern: &Pipeline, folder: &Path) -> Result<Pipeline> {
    files::create_folder(folder)?;
    let sources = folder.join("sources");
    eprintln!("reproduce: building in {}", sources.display());
    let workspace = clone(pattern.workspace.root(), &sources)?;
    let mut pipeline = Pipeline { workspace, out: folder.join(OUT), binary: None, ..pattern.clone() };
    // Said anew from the clone: they must not depend on the folder either.
    pipeline.version = pipeline.workspace.version()?;
    pipeline.date = pipeline.workspace.date()?;
    pipeline.target_folder = Some(sources.join("target"));
    pipeline.kernel()?;
    pipeline.binary(Flavour::Product)?;
    pipeline.system()?;
    pipeline.disk()?;
    pipeline.bom()?;
    pipeline.sizes()?;
    Ok(pipeline)
}

/// A clone of the last commit of the repository in `from`, with nothing that was not committed.
fn clone(from: &Path, to: &PathBuf) -> Result<Workspace> {
    let mut git = Tool::new("git", "clones the sources", "git");
    git.command().args(["clone", "--quiet", "--no-hardlinks"]).arg(from).arg(to);
    git.output()?;
    Workspace::at(to)
}
