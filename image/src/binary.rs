//! Builds the appliance's binary with cargo so that neither the folder nor the day shows in it; it never runs it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cargo_metadata::{Artifact, Message, Metadata, MetadataCommand, PackageId};

use crate::command::Tool;
use crate::error::{Error, Result};
use crate::source::{SourceDate, Workspace};
use crate::{elf, files};

/// The triple that is built for. It is named even where it is the host's own: without a name cargo would compile
/// procedural macros statically too, which cannot be done.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The package that the binary is built from, which is its name too.
pub const PACKAGE: &str = "drawbridge";

/// Which of the two binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The one that is given to people.
    Product,
    /// The one with faults on request, which only the lab's tests boot.
    Lab,
}

/// A binary, and the crates that cargo compiled for it.
#[derive(Clone, Debug)]
pub struct Built {
    /// The binary.
    pub binary: Vec<u8>,
    /// Its crates, each once.
    pub crates: Vec<UsedCrate>,
}

/// A crate that had a part in a build.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UsedCrate {
    /// Cargo's name for it.
    pub package: PackageId,
    /// Where it ran or went.
    pub place: Place,
}

/// Where a crate that was compiled went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// It ran while the binary was built: a procedural macro, a build script, or what these use.
    Build,
    /// It was linked into the binary.
    Binary,
}

/// How a binary is to be built.
#[derive(Clone, Debug)]
pub struct Build {
    /// The sources.
    pub workspace: Workspace,
    /// Which binary.
    pub flavour: Flavour,
    /// The version that it shows.
    pub version: String,
    /// Its date, before which its clock is never set.
    pub date: SourceDate,
    /// Where cargo works; its own choice if nothing is said.
    pub target_folder: Option<PathBuf>,
}

impl Build {
    /// The workspace's binary as of its commit.
    pub fn of(workspace: &Workspace, flavour: Flavour) -> Result<Self> {
        Ok(Self {
            workspace: workspace.clone(),
            flavour,
            version: workspace.version()?,
            date: workspace.date()?,
            target_folder: None,
        })
    }

    /// Builds the binary, or takes what cargo finds to be up to date, and checks that it is hardened. What cargo says goes
    /// to standard error.
    pub fn run(&self) -> Result<Built> {
        let target_folder = match &self.target_folder {
            Some(folder) => folder.clone(),
            None => target_folder(&self.workspace)?,
        };
        let messages = self.compile(&target_folder)?;
        let binary = files::read(&executable(&messages)?)?;
        elf::check_hardened(&binary)?;
        Ok(Built { binary, crates: used_crates(&messages, &target_folder) })
    }

    /// Runs cargo, and returns its messages.
    fn compile(&self, target_folder: &Path) -> Result<Vec<Message>> {
        let mut cargo = Tool::new(&cargo_program(), "builds the appliance's binary", "cargo (or rustup)");
        let command = cargo.command();
        command
            .current_dir(self.workspace.root())
            .args(["build", "--release", "--locked", "--package", PACKAGE, "--target", TARGET])
            .args(["--message-format", "json-render-diagnostics"])
            .arg("--target-dir")
            .arg(target_folder);
        if self.flavour == Flavour::Lab {
            command.args(["--features", "lab"]);
        }
        // A user's own settings for other work must not change what is built here.
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if text.starts_with("CARGO_PROFILE_")
                || text.starts_with("CARGO_TARGET_X86_64")
                || text == "RUSTFLAGS"
            {
                command.env_remove(&name);
            }
        }
        let remaps = self.remaps(target_folder)?;
        command
            .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(&remaps))
            .env("CARGO_INCREMENTAL", "0")
            // For this target only, so that programs that run during the build are compiled as usual.
            .env("CFLAGS_x86_64_unknown_linux_gnu", c_flags(&remaps))
            .env("CC_SHELL_ESCAPED_FLAGS", "1")
            .env("SOURCE_DATE_EPOCH", self.date.seconds().to_string())
            .env("DRAWBRIDGE_BUILD_TIME", self.date.seconds().to_string())
            .env("DRAWBRIDGE_VERSION", &self.version)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let output = command.output().map_err(|source| cargo.start_error(source))?;
        if !output.status.success() {
            return Err(cargo.end_error(output.status, b"what is wrong is said above"));
        }
        parse(&output.stdout)
    }

    /// Which folders of this machine become which names in the binary. Where two fit, the later one counts.
    fn remaps(&self, target_folder: &Path) -> Result<Vec<(PathBuf, &'static str)>> {
        let mut remaps = vec![
            (self.sysroot()?.join("lib/rustlib/src/rust"), "/rust"),
            (cargo_home(), "/cargo"),
            (self.workspace.root().to_path_buf(), "/drawbridge"),
        ];
        // What build scripts generate; its folder need not exist yet, and may be reached by a link.
        files::create_folder(target_folder)?;
        let real = target_folder.canonicalize().map_err(Error::read(target_folder))?;
        if real != *target_folder {
            remaps.push((target_folder.to_path_buf(), "/target"));
        }
        remaps.push((real, "/target"));
        Ok(remaps)
    }

    fn sysroot(&self) -> Result<PathBuf> {
        let mut rustc = Tool::new(&rustc_program(), "compiles Rust", "rustc (or rustup)");
        rustc.command().current_dir(self.workspace.root()).args(["--print", "sysroot"]);
        Ok(PathBuf::from(rustc.text()?.trim_end()))
    }
}

/// The crates of a binary that somebody else built, from what cargo said with `--message-format json`, and the workspace that it
/// was built in.
pub fn crates_of(said: &[u8]) -> Result<(Workspace, Vec<UsedCrate>)> {
    let messages = parse(said)?;
    let manifest = artifacts(&messages)
        .find(|artifact| artifact.target.name == PACKAGE)
        .map(|artifact| artifact.manifest_path.as_std_path())
        .ok_or_else(|| Error::malformed("what cargo says of its build", &"the appliance is not in it"))?;
    let workspace = Workspace::above(manifest)?;
    let crates = used_crates(&messages, &workspace.root().join("target"));
    Ok((workspace, crates))
}

fn parse(said: &[u8]) -> Result<Vec<Message>> {
    Message::parse_stream(said)
        .collect::<std::result::Result<_, _>>()
        .map_err(|wrong| Error::malformed("what cargo says of its build", &wrong))
}

/// Where cargo works unless it is told otherwise.
fn target_folder(workspace: &Workspace) -> Result<PathBuf> {
    let metadata = metadata_command(workspace).no_deps().exec();
    metadata
        .map(|metadata| metadata.target_directory.into_std_path_buf())
        .map_err(|wrong| metadata_error(&wrong))
}

/// All that cargo knows of the workspace's packages and of those that they need on the appliance.
pub(crate) fn metadata(workspace: &Workspace) -> Result<Metadata> {
    metadata_command(workspace)
        .other_options(["--locked", "--filter-platform", TARGET].map(str::to_owned))
        .exec()
        .map_err(|wrong| metadata_error(&wrong))
}

fn metadata_command(workspace: &Workspace) -> MetadataCommand {
    let mut command = MetadataCommand::new();
    command.cargo_path(cargo_program()).current_dir(workspace.root());
    command
}

fn metadata_error(wrong: &cargo_metadata::Error) -> Error {
    Error::malformed("what `cargo metadata` says of the workspace", wrong)
}

/// The program to call as rustc.
pub(crate) fn rustc_program() -> String {
    std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned())
}

/// The program to call as cargo: the one that runs this program, if one does.
fn cargo_program() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}

fn cargo_home() -> PathBuf {
    std::env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| std::env::home_dir().map(|home| home.join(".cargo")))
        .unwrap_or_else(|| PathBuf::from("/.cargo"))
}

/// The flags of rustc, in the form that allows spaces in paths: parted by the unit separator.
fn rust_flags(remaps: &[(PathBuf, &str)]) -> OsString {
    let mut flags: Vec<OsString> = [
        "-Ctarget-feature=+crt-static",
        "-Crelocation-model=pie",
        // A static glibc program has no dlsym to find getrandom by, and /dev/urandom is not there before /dev is.
        "--cfg=getrandom_backend=\"linux_raw\"",
        "-Clink-arg=-Wl,-z,relro,-z,now,-z,noexecstack",
        // 27,000 addresses that every process puts right at its start, in an eightieth of the room.
        "-Clink-arg=-Wl,-z,pack-relative-relocs",
        // Distributions differ in whether the linker adds one.
        "-Clink-arg=-Wl,--build-id=none",
    ]
    .map(OsString::from)
    .to_vec();
    for (from, to) in remaps {
        let mut flag = OsString::from("--remap-path-prefix=");
        flag.push(from);
        flag.push("=");
        flag.push(to);
        flags.push(flag);
    }
    flags.join(std::ffi::OsStr::new("\u{1f}"))
}

/// The flags of the C compiler, for the crates that bring C and assembly code, quoted as a shell would want them
/// (`CC_SHELL_ESCAPED_FLAGS` of the crate `cc`).
fn c_flags(remaps: &[(PathBuf, &str)]) -> OsString {
    let mut flags = OsString::new();
    for (from, to) in remaps {
        flags.push("'-ffile-prefix-map=");
        // Within single quotes only they themselves need care.
        flags.push(from.to_string_lossy().replace('\'', "'\\''"));
        flags.push("=");
        flags.push(to);
        flags.push("' ");
    }
    flags
}

/// Where the program lies.
fn executable(messages: &[Message]) -> Result<PathBuf> {
    artifacts(messages)
        .filter(|artifact| artifact.target.name == PACKAGE)
        .find_map(|artifact| artifact.executable.clone())
        .map(cargo_metadata::camino::Utf8PathBuf::into_std_path_buf)
        .ok_or_else(|| Error::malformed("what cargo says of its build", &"it names no program `drawbridge`"))
}

/// Which crates were compiled, and for what. What is for the appliance lies in a folder with the target's name.
fn used_crates(messages: &[Message], target_folder: &Path) -> Vec<UsedCrate> {
    let mut places = BTreeMap::new();
    for artifact in artifacts(messages) {
        let for_target = artifact.filenames.iter().any(|file| {
            let file = file.as_std_path();
            file.strip_prefix(target_folder)
                .unwrap_or(file)
                .components()
                .any(|part| part.as_os_str() == TARGET)
        });
        let place = if for_target { Place::Binary } else { Place::Build };
        let known = places.entry(artifact.package_id.clone()).or_insert(place);
        *known = place.max(*known);
    }
    places.into_iter().map(|(package, place)| UsedCrate { package, place }).collect()
}

fn artifacts(messages: &[Message]) -> impl Iterator<Item = &Artifact> {
    messages.iter().filter_map(|message| match message {
        Message::CompilerArtifact(artifact) => Some(artifact),
        _ => None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_of_something_else_tells_no_crates() {
        let other = concat!("Compiling\n", r#"{"reason":"build-finished","success":true}"#, "\n",);
        let said = crates_of(other.as_bytes()).unwrap_err().to_string();
        assert!(said.contains("the appliance is not in it"), "{said}");
    }

    #[test]
    fn a_folder_with_spaces_and_quotes_stays_one_flag() {
        let remaps = [(PathBuf::from("/a folder/it's"), "/cargo")];
        assert_eq!(c_flags(&remaps), "'-ffile-prefix-map=/a folder/it'\\''s=/cargo' ");
        let flags = rust_flags(&remaps).into_string().unwrap();
        assert!(
            flags.split('\u{1f}').any(|flag| flag == "--remap-path-prefix=/a folder/it's=/cargo"),
            "{flags}"
        );
    }
}
