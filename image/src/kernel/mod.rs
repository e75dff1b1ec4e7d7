//! The kernel, built from the distribution's sources and kept in the user's cache; it never changes what is in the
//! project's folder, and never hands out half a kernel.
//!
//! ```text
//! ask -> in the cache? -- yes -----------------------------------------------> copy
//!            no -> lock -> in the cache now? -- yes -> unlock ---------------> copy
//!                              no -> unpack, configure, check, compile in build-KEY
//!                                 -> write new-KEY, rename to KEY, remove build-KEY, unlock -> copy
//! ```

mod build;
mod cache;
mod config;
pub mod image;
mod progress;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::command::Tool;
use crate::error::{Error, Result};
use crate::source::Workspace;
use crate::{digest, distribution, files};

pub use cache::Cache;
pub use config::lost_lines;

/// Where Debian's `linux-source-6.12` puts the sources.
pub const SOURCE: &str = "/usr/src/linux-source-6.12.tar.xz";

/// What a kernel was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Provenance {
    /// The kernel's release, as `uname -r` says it.
    pub release: String,
    /// SHA-256 of the kernel.
    pub image_sha256: String,
    /// The archive of the sources, its file name.
    pub source_name: String,
    /// SHA-256 of that archive.
    pub source_sha256: String,
    /// The version of Debian's source package, where the sources are those of the installed package.
    pub source_package: Option<String>,
    /// SHA-256 of the project's configuration, `board/x86_64/linux.config`.
    pub config_sha256: String,
    /// The first lines that compiler and linker say of themselves.
    pub tools: Vec<String>,
}

impl Provenance {
    /// From its JSON.
    pub fn parse(text: &[u8]) -> Result<Self> {
        serde_json::from_slice(text).map_err(|wrong| Error::malformed("what the kernel was made of", &wrong))
    }

    /// As JSON, with a line break at the end.
    pub fn json(&self) -> Result<Vec<u8>> {
        let mut text = serde_json::to_vec_pretty(self)
            .map_err(|wrong| Error::malformed("what the kernel was made of", &wrong))?;
        text.push(b'\n');
        Ok(text)
    }
}

/// A built kernel in the cache.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The kernel, a `bzImage`.
    pub image: PathBuf,
    /// The whole configuration that it was built with.
    pub config: PathBuf,
    /// What it was made of.
    pub provenance: Provenance,
}

/// The kernel of `workspace`, from the cache or built now from `source` (the distribution's package, if none is
/// given). Progress goes to standard error.
pub fn obtain(workspace: &Workspace, source: Option<&Path>, cache: &Cache) -> Result<Kernel> {
    let recipe = Recipe::of(workspace, source)?;
    if let Some(kernel) = cache.find(&recipe)? {
        return Ok(kernel);
    }
    let _lock = cache.lock()?;
    // Whoever held the lock may have built this very kernel.
    if let Some(kernel) = cache.find(&recipe)? {
        return Ok(kernel);
    }
    build::run(&recipe, cache)
}

/// What a kernel was made of that somebody else built with the configuration `config`, from the archive `source` where that is
/// known. One that lost a line of the project's configuration is an error.
pub fn given(
    workspace: &Workspace,
    image: &[u8],
    config: &[u8],
    source: Option<&Path>,
) -> Result<Provenance> {
    let wanted = files::read_text(&workspace.linux_config())?;
    let made = String::from_utf8_lossy(config);
    let lines = lost_lines(&wanted, &made);
    if !lines.is_empty() {
        return Err(Error::ConfigLost { lines });
    }
    let (source_name, source_sha256) = match source {
        Some(path) => {
            (path.file_name().unwrap_or_default().to_string_lossy().into_owned(), digest::of_file(path)?)
        }
        None => ("unknown".to_owned(), String::new()),
    };
    Ok(Provenance {
        release: image::release(image)?,
        image_sha256: digest::of(image),
        source_name,
        source_sha256,
        source_package: None,
        config_sha256: digest::of(wanted.as_bytes()),
        tools: config::tools(&made),
    })
}

/// All that decides what a kernel will be.
#[derive(Debug)]
struct Recipe {
    config: String,
    source: PathBuf,
    source_sha256: String,
    source_package: Option<String>,
    tools: Vec<String>,
}

impl Recipe {
    fn of(workspace: &Workspace, source: Option<&Path>) -> Result<Self> {
        if std::env::consts::ARCH != "x86_64" {
            return Err(Error::OutOfRange {
                what: "this machine's processor",
                given: std::env::consts::ARCH.to_owned(),
                rule: "the appliance's kernel is built on x86_64: give a built one with --kernel".to_owned(),
            });
        }
        let source = find_source(source)?;
        Ok(Self {
            config: files::read_text(&workspace.linux_config())?,
            source_sha256: digest::of_file(&source)?,
            source_package: if source == Path::new(SOURCE) {
                distribution::version_of("linux-source-6.12")
            } else {
                None
            },
            tools: vec![
                first_line("gcc", "compiles the kernel", "gcc")?,
                first_line("ld", "links the kernel", "binutils")?,
            ],
            source,
        })
    }

    /// A name for the kernel that this makes, 64 hexadecimal digits.
    fn key(&self) -> String {
        let tools = self.tools.join("\n");
        let config = config::meaning(&self.config);
        let parts =
            [config.as_bytes(), self.source_sha256.as_bytes(), tools.as_bytes(), build::RECIPE.as_bytes()];
        digest::hex(&digest::of_parts(&parts))
    }

    fn provenance(&self, image: &[u8]) -> Result<Provenance> {
        Ok(Provenance {
            release: image::release(image)?,
            image_sha256: digest::of(image),
            source_name: self.source.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            source_sha256: self.source_sha256.clone(),
            source_package: self.source_package.clone(),
            config_sha256: digest::of(self.config.as_bytes()),
            tools: self.tools.clone(),
        })
    }
}

fn find_source(given: Option<&Path>) -> Result<PathBuf> {
    let path = given.unwrap_or(Path::new(SOURCE));
    if path.is_file() {
        return path.canonicalize().map_err(Error::read(path));
    }
    let remedy = match given {
        Some(_) => "give the archive of the sources of Linux 6.12 with --source".to_owned(),
        None => "install the package linux-source-6.12 (`apt-get install linux-source-6.12`, in Debian 12 and \
                 13); a distribution that has no such package needs the archive of the sources of Linux 6.12 from \
                 kernel.org, given with --source FILE"
            .to_owned(),
    };
    Err(Error::Missing { what: "the archive of the kernel's sources", path: path.to_path_buf(), remedy })
}

/// The first line of what `program --version` says.
fn first_line(program: &str, purpose: &'static str, package: &str) -> Result<String> {
    let mut tool = Tool::new(program, purpose, package);
    tool.command().arg("--version").env("LC_ALL", "C");
    Ok(tool.text()?.lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn recipe() -> Recipe {
        Recipe {
            config: "CONFIG_NET=y\n".to_owned(),
            source: PathBuf::from("/linux.tar.xz"),
            source_sha256: "00".to_owned(),
            source_package: None,
            tools: vec!["gcc 12".to_owned(), "ld 2".to_owned()],
        }
    }

    #[test]
    fn a_kernel_of_other_sources_tools_or_configuration_is_another() {
        let key = recipe().key();
        assert_eq!(key, recipe().key());
        assert_eq!(key, Recipe { config: "# A remark.\nCONFIG_NET=y\n".to_owned(), ..recipe() }.key());
        assert_ne!(key, Recipe { config: "CONFIG_NET=n\n".to_owned(), ..recipe() }.key());
        assert_ne!(key, Recipe { source_sha256: "01".to_owned(), ..recipe() }.key());
        assert_ne!(key, Recipe { tools: vec!["gcc 13".to_owned()], ..recipe() }.key());
    }

    #[test]
    fn missing_sources_name_the_package_and_the_option() {
        let said = find_source(Some(Path::new("/no/such/archive"))).unwrap_err().to_string();
        assert!(said.contains("/no/such/archive") && said.contains("--source"), "{said}");
    }
}
