//! Unpacks, configures and compiles a kernel in a folder of its own; it never touches another one.

use std::collections::VecDeque;
use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};

use super::progress::Progress;
use super::{Cache, Kernel, Recipe, cache, config};
use crate::command::Tool;
use crate::error::{Error, Result};
use crate::files;

/// What the build puts into the kernel besides sources and configuration: constants, so that the same sources make the
/// same kernel on any day and machine. A change here makes other kernels, so it is part of their name in the cache.
pub(super) const RECIPE: &str = "\
KBUILD_BUILD_TIMESTAMP=Thu Jan  1 00:00:00 UTC 2026
KBUILD_BUILD_USER=drawbridge
KBUILD_BUILD_HOST=drawbridge
KBUILD_BUILD_VERSION=1";

/// How many objects such a configuration compiles (1,876 with Debian's 6.12.117). Only the display needs it.
const ABOUT_OBJECTS: usize = 1_880;

/// Where Debian's ccache keeps links with the compilers' names.
const CCACHE: &str = "/usr/lib/ccache";

/// What of the user's environment reaches the build: ways to programs and to caches, nothing that could change the kernel.
const KEPT_ENVIRONMENT: [&str; 4] = ["HOME", "PATH", "TMPDIR", "XDG_CACHE_HOME"];

/// So many of the last lines of a failed build are shown.
const LAST_LINES: usize = 40;

/// The programs that the build calls, and the packages of Debian that have them.
const PROGRAMS: [(&str, &str); 10] = [
    ("bc", "bc"),
    ("bison", "bison"),
    ("flex", "flex"),
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("lz4", "lz4"),
    ("make", "make"),
    ("setpriv", "util-linux"),
    ("tar", "tar"),
    ("xz", "xz-utils"),
];
/// Headers that the build's own tools include, and the packages of Debian that have them.
const HEADERS: [(&str, &str); 2] = [("stdio.h", "libc6-dev"), ("gelf.h", "libelf-dev")];

/// Builds the kernel of `recipe` and keeps it in `cache`, whose lock the caller holds.
pub(super) fn run(recipe: &Recipe, cache: &Cache) -> Result<Kernel> {
    check_tools()?;
    let bad = config::bad_lines(&recipe.config);
    if !bad.is_empty() {
        return Err(Error::malformed(
            "board/x86_64/linux.config",
            &format!("see its lines {}", bad.join("; ")),
        ));
    }
    let folder = cache.build_folder()?;
    let mut progress = Progress::begin();
    let built = compile(recipe, &folder, &mut progress);
    // The log is worth keeping where something went wrong; the tree is two gigabytes.
    if built.is_err() {
        let _ = std::fs::rename(folder.join(LOG), cache.folder().join(LOG));
    }
    let (image, made) = built.inspect_err(|_| {
        let _ = cache::remove(&folder);
    })?;
    cache.keep(recipe, &image, &made)?;
    progress.step("removing the sources");
    cache::remove(&folder)?;
    progress.end("built");
    cache.find(recipe)?.ok_or_else(|| Error::malformed("the cache of kernels", &"what was just kept is gone"))
}

const LOG: &str = "build.log";

/// Makes a kernel in `folder`, and returns it and its whole configuration.
fn compile(recipe: &Recipe, folder: &Path, progress: &mut Progress) -> Result<(Vec<u8>, Vec<u8>)> {
    let mut log = Log::create(folder.join(LOG))?;
    let tree = folder.join("linux");
    files::create_folder(&tree)?;

    let mut tar = ending_with_us("tar", "unpacks the kernel's sources", "tar");
    tar.command().arg("-xf").arg(&recipe.source).arg("-C").arg(&tree).arg("--strip-components=1");
    log.follow(tar, progress, |_| "unpacking the sources".to_owned())?;

    files::write(&tree.join(".config"), recipe.config.as_bytes())?;
    let mut configure = make(&tree, "configures the kernel");
    configure.command().arg("olddefconfig");
    log.follow(configure, progress, |_| "configuring".to_owned())?;
    let made = files::read(&tree.join(".config"))?;
    let lines = config::lost_lines(&recipe.config, &String::from_utf8_lossy(&made));
    if !lines.is_empty() {
        return Err(Error::ConfigLost { lines });
    }

    let jobs = std::thread::available_parallelism().map_or(1, usize::from);
    let mut compile = make(&tree, "compiles the kernel");
    compile.command().arg(format!("-j{jobs}")).arg("bzImage");
    log.follow(compile, progress, |objects| format!("compiled {objects} objects of about {ABOUT_OBJECTS}"))?;
    Ok((files::read(&tree.join("arch/x86/boot/bzImage"))?, made))
}

/// `make` in `tree`, with an environment that makes the same kernel anywhere. It ends when this program is killed.
fn make(tree: &Path, purpose: &'static str) -> Tool {
    let mut make = ending_with_us("make", purpose, "make");
    let command = make.command();
    command.current_dir(tree).env_clear();
    for (name, value) in std::env::vars_os() {
        let text = name.to_string_lossy();
        if KEPT_ENVIRONMENT.contains(&text.as_ref()) || text.starts_with("CCACHE_") {
            command.env(&name, value);
        }
    }
    for (name, value) in RECIPE.lines().filter_map(|line| line.split_once('=')) {
        command.env(name, value);
    }
    command.env("PATH", search_path()).env("LANG", "C.UTF-8").env("TZ", "UTC").arg("ARCH=x86");
    // So that ccache knows what it compiled before in another folder.
    command.env("CCACHE_BASEDIR", tree).env("CCACHE_NOHASHDIR", "1");
    make
}

/// `program`, told by the system to end when this program does: else a build that was killed would go on, unseen, in a folder
/// that the next one clears.
fn ending_with_us(program: &str, purpose: &'static str, package: &str) -> Tool {
    let mut tool = Tool::wrapped(program, "setpriv", purpose, package);
    tool.command().args(["--pdeathsig", "TERM", "--", program]);
    tool
}

/// The user's PATH, with ccache's compilers first where it is installed.
fn search_path() -> OsString {
    let path = crate::command::path_with_sbin();
    if !Path::new(CCACHE).is_dir() {
        return path;
    }
    let mut with_ccache = OsString::from(CCACHE);
    with_ccache.push(":");
    with_ccache.push(path);
    with_ccache
}

/// Names everything that is missing at once, before anything long begins.
fn check_tools() -> Result<()> {
    let path = crate::command::path_with_sbin();
    let lacks_program =
        |program: &str| !std::env::split_paths(&path).any(|folder| folder.join(program).is_file());
    let mut missing: Vec<&str> =
        PROGRAMS.iter().filter(|(program, _)| lacks_program(program)).map(|(_, package)| *package).collect();
    // Without a compiler no header can be looked for.
    if !missing.contains(&"gcc") {
        missing
            .extend(HEADERS.iter().filter(|(header, _)| lacks_header(header)).map(|(_, package)| *package));
    }
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Missing {
        what: "what the kernel's build needs",
        path: PathBuf::from(missing.join(", ")),
        remedy: format!("install it (`apt-get install {}`)", missing.join(" ")),
    })
}

/// Whether the compiler does not find a header.
fn lacks_header(header: &str) -> bool {
    let run = || -> std::io::Result<bool> {
        let mut gcc = Command::new("gcc")
            .args(["-E", "-x", "c", "-"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()?;
        if let Some(mut input) = gcc.stdin.take() {
            writeln!(input, "#include <{header}>")?;
        }
        Ok(!gcc.wait()?.success())
    };
    run().unwrap_or(true)
}

/// The record of what the build's programs print.
struct Log {
    path: PathBuf,
    file: std::fs::File,
}

impl Log {
    fn create(path: PathBuf) -> Result<Self> {
        let file = std::fs::File::create(&path).map_err(Error::write(&path))?;
        Ok(Self { path, file })
    }

    /// Runs `tool` to its end and shows `step`, which is told how many objects were compiled so far.
    fn follow(
        &mut self,
        mut tool: Tool,
        progress: &mut Progress,
        step: impl Fn(usize) -> String,
    ) -> Result<()> {
        progress.step(&step(0));
        let (mut child, output) = start(&mut tool)?;
        let (sender, lines) = mpsc::channel();
        // Ends with the pipe, when the last of the programs that may write to it has ended.
        std::thread::spawn(move || {
            for line in BufReader::new(output).split(b'\n').map_while(std::result::Result::ok) {
                if sender.send(line).is_err() {
                    break;
                }
            }
        });
        let mut last = VecDeque::new();
        let mut objects = 0;
        loop {
            match lines.recv_timeout(progress.pause().max(std::time::Duration::from_millis(1))) {
                Ok(line) => {
                    objects += usize::from(is_object(&line));
                    self.file
                        .write_all(&line)
                        .and_then(|()| self.file.write_all(b"\n"))
                        .map_err(Error::write(&self.path))?;
                    if last.len() == LAST_LINES {
                        last.pop_front();
                    }
                    last.push_back(line);
                }
                Err(RecvTimeoutError::Timeout) => progress.show(&step(objects)),
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        let status = child.wait().map_err(|source| tool.start_error(source))?;
        if status.success() {
            return Ok(());
        }
        Err(tool.end_error(status, &Vec::from(last).join(&b'\n')))
    }
}

/// Starts `tool` with its output and its errors in one pipe.
fn start(tool: &mut Tool) -> Result<(Child, impl Read + Send + 'static)> {
    let pipes = std::io::pipe().and_then(|(reader, writer)| Ok((reader, writer.try_clone()?, writer)));
    let (reader, writer, other) = pipes.map_err(|source| tool.start_error(source))?;
    let started = tool.command().stdin(Stdio::null()).stdout(writer).stderr(other).spawn();
    let child = started.map_err(|source| tool.start_error(source))?;
    // The command holds the writing ends: as long as it does, the pipe has no end.
    tool.command().stdout(Stdio::null()).stderr(Stdio::null());
    Ok((child, reader))
}

/// Whether a line of kbuild's says that it compiled an object.
fn is_object(line: &[u8]) -> bool {
    [b"  CC ".as_slice(), b"  AS ", b"  HOSTCC "].iter().any(|start| line.starts_with(start))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_step_is_shown_with_what_it_printed() {
        let folder = tempfile::tempdir().unwrap();
        let mut log = Log::create(folder.path().join(LOG)).unwrap();
        let mut tool = Tool::new("sh", "prints and fails", "dash");
        tool.command().args(["-c", "echo one; echo two >&2; exit 3"]);
        let said = log.follow(tool, &mut Progress::begin(), |_| "trying".to_owned()).unwrap_err().to_string();
        assert!(said.contains("one\ntwo") && said.contains('3'), "{said}");
        assert_eq!(files::read_text(&folder.path().join(LOG)).unwrap(), "one\ntwo\n");
    }

    #[test]
    fn objects_are_counted_and_links_are_not() {
        assert!(is_object(b"  CC      init/main.o") && is_object(b"  AS      arch/x86/entry/entry_64.o"));
        assert!(!is_object(b"  LD      vmlinux.o") && !is_object(b"warning: CC "));
    }

    #[test]
    fn the_build_sees_nothing_of_the_user_that_could_change_the_kernel() {
        let mut tool = make(Path::new("/"), "compiles");
        let set: Vec<String> = tool
            .command()
            .get_envs()
            .filter(|(_, value)| value.is_some())
            .map(|(name, _)| name.to_string_lossy().into_owned())
            .collect();
        for name in &set {
            let ours = ["LANG", "TZ"].contains(&name.as_str()) || name.starts_with("KBUILD_BUILD_");
            assert!(
                ours || name.starts_with("CCACHE_") || KEPT_ENVIRONMENT.contains(&name.as_str()),
                "{name}"
            );
        }
        assert!(set.contains(&"KBUILD_BUILD_TIMESTAMP".to_owned()));
    }
}
