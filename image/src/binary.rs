//! Builds the appliance's binary with cargo so that neither the folder nor the day shows in it; it never runs it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use cargo_metadata::Message;

use crate::command::Tool;
use crate::error::{Error, Result};
use crate::source::{SourceDate, Workspace};
use crate::{elf, files};

/// The triple that is built for. It is named even where it is the host's own: without a name cargo would compile
/// procedural macros statically too, which cannot be done.
pub const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Which of the two binaries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flavour {
    /// The one that is given to people.
    Product,
    /// The one with faults on request, which only the lab's tests boot.
    Lab,
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

    /// Builds the binary, checks that it is hardened, and returns its bytes. What cargo says goes to standard error.
    pub fn run(&self) -> Result<Vec<u8>> {
        let binary = files::read(&self.compile()?)?;
        elf::check_hardened(&binary)?;
        Ok(binary)
    }

    /// Runs cargo, and returns where it says that the program lies.
    fn compile(&self) -> Result<PathBuf> {
        let metadata = self.cargo_metadata()?;
        let target_folder = self
            .target_folder
            .clone()
            .unwrap_or_else(|| metadata.target_directory.clone().into_std_path_buf());
        let mut cargo = Tool::new(&cargo_program(), "builds the appliance's binary", "cargo (or rustup)");
        let command = cargo.command();
        command
            .current_dir(self.workspace.root())
            .args(["build", "--release", "--locked", "--package", "drawbridge", "--target", TARGET])
            .args(["--message-format", "json-render-diagnostics"])
            .arg("--target-dir")
            .arg(&target_folder);
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
        let remaps = self.remaps(&target_folder)?;
        command
            .env("CARGO_ENCODED_RUSTFLAGS", rust_flags(&remaps))
            .env("CARGO_INCREMENTAL", "0")
            // For this target only, so that programs that run during the build are compiled as usual.
            .env("CFLAGS_x86_64_unknown_linux_gnu", c_flags(&remaps))
            .env("SOURCE_DATE_EPOCH", self.date.seconds().to_string())
            .env("DRAWBRIDGE_BUILD_TIME", self.date.seconds().to_string())
            .env("DRAWBRIDGE_VERSION", &self.version)
            .stdin(Stdio::null())
            .stderr(Stdio::inherit());
        let output = command.output().map_err(|source| cargo.start_error(source))?;
        if !output.status.success() {
            return Err(cargo.end_error(output.status, b"what is wrong is said above"));
        }
        executable(&output.stdout)
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
        let program = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".to_owned());
        let mut rustc = Tool::new(&program, "compiles Rust", "rustc (or rustup)");
        rustc.command().current_dir(self.workspace.root()).args(["--print", "sysroot"]);
        Ok(PathBuf::from(rustc.text()?.trim_end()))
    }

    fn cargo_metadata(&self) -> Result<cargo_metadata::Metadata> {
        cargo_metadata::MetadataCommand::new()
            .cargo_path(cargo_program())
            .current_dir(self.workspace.root())
            .no_deps()
            .exec()
            .map_err(|wrong| Error::malformed("what `cargo metadata` says of the workspace", &wrong))
    }
}

/// The program to call as cargo: the one that runs this program, if one does.
pub(crate) fn cargo_program() -> String {
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

/// The flags of the C compiler, for the crates that bring C and assembly code.
fn c_flags(remaps: &[(PathBuf, &str)]) -> OsString {
    let mut flags = OsString::new();
    for (from, to) in remaps {
        flags.push("-ffile-prefix-map=");
        flags.push(from);
        flags.push("=");
        flags.push(to);
        flags.push(" ");
    }
    flags
}

/// Where the program lies, from cargo's messages.
fn executable(messages: &[u8]) -> Result<PathBuf> {
    Message::parse_stream(messages)
        .filter_map(std::result::Result::ok)
        .filter_map(|message| match message {
            Message::CompilerArtifact(artifact) if artifact.target.name == "drawbridge" => {
                artifact.executable
            }
            _ => None,
        })
        .last()
        .map(cargo_metadata::camino::Utf8PathBuf::into_std_path_buf)
        .ok_or_else(|| Error::malformed("what cargo says of its build", &"it names no program `drawbridge`"))
}
