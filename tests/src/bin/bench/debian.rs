//! The distribution's packages, fetched and unpacked into a folder of the benchmarks' own. Nothing is ever installed.

use crate::error::{BenchError, Result};
use crate::tool;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// The largest package is a kernel of a hundred megabytes.
const FETCHED_WITHIN: Duration = Duration::from_mins(3);
const UNPACKED_WITHIN: Duration = Duration::from_mins(2);
const ANSWERED_WITHIN: Duration = Duration::from_mins(1);

/// The folder of what was fetched. It stays for the next run.
#[derive(Debug)]
pub(crate) struct Packages {
    folder: PathBuf,
}

/// A kernel of the distribution.
#[derive(Clone, Debug)]
pub(crate) struct Kernel {
    /// As `uname -r` says it.
    pub(crate) version: String,
    /// The kernel itself.
    pub(crate) image: PathBuf,
    /// The folder of its modules.
    pub(crate) modules: PathBuf,
}

impl Packages {
    /// In this folder, which is made if need be.
    pub(crate) fn at(folder: PathBuf) -> Result<Self> {
        std::fs::create_dir_all(&folder).map_err(BenchError::file("make", &folder))?;
        Ok(Self { folder })
    }

    /// Fetches the first of these kernels that the distribution has. Each is the name of the package that stays the same
    /// from one version to the next, and depends on the kernel's own.
    pub(crate) fn kernel(&self, names: &[&str]) -> Result<Kernel> {
        let package = names.iter().find_map(|name| kernel_of(&depends(name).ok()?));
        let package = package.ok_or_else(|| BenchError::NotThere { what: names.join(" or ") })?;
        let root = self.unpacked(&package)?;
        let version = package.trim_start_matches("linux-image-").to_owned();
        let image = root.join(format!("boot/vmlinuz-{version}"));
        if !image.is_file() {
            return Err(BenchError::NotThere { what: format!("the kernel of {package}") });
        }
        // Debian 13 and later have no /lib but /usr/lib.
        let folders = ["lib/modules", "usr/lib/modules"].map(|folder| root.join(folder).join(&version));
        let modules = folders.into_iter().find(|folder| folder.is_dir());
        let modules = modules.ok_or(BenchError::NotThere { what: format!("modules of {package}") })?;
        Ok(Kernel { version, image, modules })
    }

    /// Fetches and unpacks a package with all that it depends on: the folders to look for its files in.
    pub(crate) fn with_dependencies(&self, name: &str) -> Result<Vec<PathBuf>> {
        let listed = tool::text("apt-cache", "names what a package needs", ANSWERED_WITHIN, |command| {
            command.args(["depends", "--recurse", "--important", name])
        })?;
        packages_of(&listed).into_iter().map(|package| self.unpacked(package)).collect()
    }

    /// Fetches and unpacks one package: the folder with its files.
    pub(crate) fn unpacked(&self, name: &str) -> Result<PathBuf> {
        // The file's name has the version, so a new version is fetched and an old one is not used.
        let told = tool::text("apt-get", "says where a package is", ANSWERED_WITHIN, |command| {
            command.args(["download", "--print-uris", name]).current_dir(&self.folder)
        })?;
        let file = file_of(&told).ok_or_else(|| BenchError::NotThere { what: name.to_owned() })?;
        let root = self.folder.join(file.trim_end_matches(".deb"));
        if root.is_dir() {
            return Ok(root);
        }
        eprintln!("bench: fetching {name}");
        tool::run("apt-get", "fetches a package", FETCHED_WITHIN, |command| {
            command.args(["download", "-q", name]).current_dir(&self.folder)
        })?;
        let archive = self.folder.join(file);
        // Under another name until it is whole: an unpacking that was interrupted is not taken for a done one.
        let partial = self.folder.join(format!("partial-{}", std::process::id()));
        tool::run("dpkg-deb", "unpacks a package", UNPACKED_WITHIN, |command| {
            command.arg("--extract").arg(&archive).arg(&partial)
        })?;
        std::fs::rename(&partial, &root).map_err(BenchError::file("rename", &partial))?;
        // What stays is twice as large otherwise; that it cannot be removed harms nothing.
        let _ = std::fs::remove_file(&archive);
        Ok(root)
    }
}

fn depends(name: &str) -> Result<String> {
    tool::text("apt-cache", "names what a package needs", ANSWERED_WITHIN, |command| {
        command.args(["depends", "--important", name])
    })
}

/// The kernel among what `apt-cache depends` lists.
fn kernel_of(listed: &str) -> Option<String> {
    let needs = listed.lines().filter_map(|line| line.trim().strip_prefix("Depends: "));
    needs.into_iter().find(|need| need.starts_with("linux-image-")).map(str::to_owned)
}

/// The packages that `apt-cache depends --recurse` lists, each once: they begin at the margin, virtual ones in brackets.
fn packages_of(listed: &str) -> Vec<&str> {
    let names = listed.lines().filter(|line| line.starts_with(|c: char| c.is_ascii_alphanumeric()));
    let mut names: Vec<&str> = names.map(str::trim).collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// The file's name in what `apt-get download --print-uris` says: `'URI' FILE SIZE DIGEST`.
fn file_of(told: &str) -> Option<&str> {
    let line = told.lines().find(|line| line.starts_with('\''))?;
    let file = line.split_whitespace().nth(1)?;
    // It becomes a path.
    let plain = file.strip_suffix(".deb").is_some_and(|name| !name.is_empty());
    (plain && !file.contains('/')).then_some(file)
}

/// A file in one of these folders, by its path there. The distribution's links among libraries are relative, so they stay
/// inside.
pub(crate) fn find(roots: &[PathBuf], names: &[&str]) -> Option<PathBuf> {
    roots.iter().flat_map(|root| names.iter().map(move |name| root.join(name))).find(|path| path.is_file())
}

/// Reads a file of a package.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    std::fs::read(path).map_err(BenchError::file("read", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_apt_says_is_read() {
        let listed = "linux-image-amd64\n  Depends: linux-image-6.12.1-amd64\n";
        assert_eq!(kernel_of(listed).as_deref(), Some("linux-image-6.12.1-amd64"));
        assert_eq!(kernel_of("linux-image-amd64\n"), None);
        let listed = "dropbear-bin\n  Depends: libc6\nlibc6\n  Depends: libgcc-s1\n<virtual>\nlibc6\n";
        assert_eq!(packages_of(listed), ["dropbear-bin", "libc6"]);
        let told =
            "'http://archive/pool/z/zlib/zlib1g_1.2_amd64.deb' zlib1g_1%3a1.2_amd64.deb 86684 SHA256:0\n";
        assert_eq!(file_of(told), Some("zlib1g_1%3a1.2_amd64.deb"));
        assert_eq!(file_of("'http://archive/x.deb' ../x.deb 1 SHA256:0"), None);
        assert_eq!(file_of(""), None);
    }
}
