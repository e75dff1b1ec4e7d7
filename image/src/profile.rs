//! The vendor's profile that goes into an image: found by name or file, and read as the appliance will; it changes nothing in it.

use std::path::{Path, PathBuf};

use drawbridge_profile::{BYTES_MOST, Profile, sentence};

use crate::error::{Error, Result};
use crate::files;

/// The profile of an image for which none is asked.
pub const DEFAULT: &str = "generic";

/// The bytes of the profile that `wanted` means: a name of one in `board/profiles` of the sources in `root`, or a file, which has a
/// slash in its name or ends in `.json`. One that the appliance could not read is an error that says all that is wrong.
pub fn read(wanted: &str, root: &Path) -> Result<Vec<u8>> {
    let path = place(wanted, root)?;
    let content = files::read(&path)?;
    match Profile::parse(&content) {
        Ok(_) => Ok(content),
        Err(faults) => {
            let what = format!("the vendor profile {} (at most {BYTES_MOST} bytes of JSON)", path.display());
            Err(Error::malformed(what, &sentence(&faults)))
        }
    }
}

fn place(wanted: &str, root: &Path) -> Result<PathBuf> {
    if wanted.contains('/') || Path::new(wanted).extension().is_some_and(|end| end == "json") {
        return Ok(PathBuf::from(wanted));
    }
    let folder = root.join("board/profiles");
    let path = folder.join(format!("{wanted}.json"));
    if path.is_file() {
        return Ok(path);
    }
    let mut names: Vec<String> = std::fs::read_dir(&folder)
        .map_err(Error::read(&folder))?
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter_map(|name| name.strip_suffix(".json").map(str::to_owned))
        .collect();
    names.sort();
    Err(Error::Missing {
        what: "the vendor profile",
        path,
        remedy: format!("give one of {} to --profile, or a file with a slash in its name", names.join(", ")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn root() -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
    }

    #[test]
    fn a_profile_is_found_by_its_name_and_by_its_file() {
        for (name, text) in drawbridge_profile::BUILT_IN {
            assert_eq!(read(name, &root()).unwrap(), text.as_bytes());
            let file = root().join(format!("board/profiles/{name}.json"));
            assert_eq!(read(file.to_str().unwrap(), Path::new("/nowhere")).unwrap(), text.as_bytes());
        }
        let said = read("gneric", &root()).unwrap_err().to_string();
        assert!(said.contains("generic, infinibox"), "{said}");
    }

    #[test]
    fn a_profile_that_the_appliance_could_not_read_makes_no_image() {
        let scratch = tempfile::tempdir().unwrap();
        let file = scratch.path().join("mine.json");
        std::fs::write(&file, drawbridge_profile::BUILT_IN[0].1.replace("custom-info", "smoke")).unwrap();
        let said = read(file.to_str().unwrap(), &root()).unwrap_err().to_string();
        assert!(said.contains("events: ") && said.contains("mine.json"), "{said}");
    }
}
