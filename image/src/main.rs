//! The command `drawbridge-image`: reads what is asked for and calls the library; it builds nothing itself.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use drawbridge_image::binary::{Build, Flavour};
use drawbridge_image::disk::{self, DiskSize};
use drawbridge_image::kernel::{self, Cache};
use drawbridge_image::source::Workspace;
use drawbridge_image::{Error, Result, files, initramfs, names, system};
use lexopt::Arg::{Long, Short, Value};

const HELP: &str = "\
drawbridge-image: from the sources to files to flash

Usage: drawbridge-image COMMAND [OPTION]...

Commands:
  kernel       build the kernel, or take it from the cache        -> bzImage, linux.config
  binary       build the appliance's binary                       -> drawbridge
  system       join kernel and binary to a system                 -> initramfs.zst, cmdline, system.efi
  disk         make a disk image of the system                    -> disk.img
  bom          write the bill of materials (CycloneDX)            -> bom.cdx.json
  sizes        report the sizes                                   -> sizes.txt
  all          all of these, in this order
  reproduce    build everything but the kernel twice, from two clones of the commit, and compare
  help         this text

Options:
  --out DIR          where the files go (default: target/image in the project's folder)
  --workspace DIR    the project's folder (default: the one that the current folder lies in)
  --lab              binary: build the one with faults on request -> drawbridge-lab
                     all: that too, and its root file system      -> initramfs-lab.zst
  --size SIZE        disk: the size of the whole disk, such as 512M or 4G (default: 512M)
  --kernel FILE      a kernel to use instead of building one
  --binary FILE      a binary to use instead of building one
  --source FILE      kernel: the sources, instead of the distribution's package
  --stub FILE        the EFI stub, instead of the distribution's package

Environment:
  SOURCE_DATE_EPOCH  the date of all that is built, in seconds since 1970 (default: the commit's)
  XDG_CACHE_HOME     where built kernels are kept, in drawbridge/kernel (default: ~/.cache)
";

/// What the command line asks for.
struct Request {
    command: String,
    out: Option<PathBuf>,
    workspace: Option<PathBuf>,
    lab: bool,
    size: DiskSize,
    kernel: Option<PathBuf>,
    binary: Option<PathBuf>,
    source: Option<PathBuf>,
    stub: Option<PathBuf>,
}

fn main() -> ExitCode {
    match run(std::env::args_os().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("drawbridge-image: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(arguments: impl Iterator<Item = OsString>) -> Result<()> {
    let request = parse(arguments)?;
    if request.command == "help" {
        print!("{HELP}");
        return Ok(());
    }
    let here = std::env::current_dir().map_err(|source| Error::Read { path: PathBuf::from("."), source })?;
    let workspace = match &request.workspace {
        Some(folder) => Workspace::at(folder)?,
        None => Workspace::above(&here)?,
    };
    let out = request.out.clone().unwrap_or_else(|| workspace.default_output());
    files::create_folder(&out)?;
    let session = Session { request, workspace, out };
    match session.request.command.as_str() {
        "kernel" => session.kernel(),
        "binary" => session.binary(if session.request.lab { Flavour::Lab } else { Flavour::Product }),
        "system" => session.system(),
        "disk" => session.disk(),
        "all" => session.all(),
        other => Err(usage(&format!("there is no command {other:?}"))),
    }
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Request> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut request = Request {
        command: String::new(),
        out: None,
        workspace: None,
        lab: false,
        size: DiskSize::default(),
        kernel: None,
        binary: None,
        source: None,
        stub: None,
    };
    while let Some(argument) = parser.next().map_err(|wrong| usage(&wrong))? {
        let path = |parser: &mut lexopt::Parser| {
            parser.value().map(|value| Some(PathBuf::from(value))).map_err(|wrong| usage(&wrong))
        };
        match argument {
            Short('h') | Long("help") => "help".clone_into(&mut request.command),
            Long("out") => request.out = path(&mut parser)?,
            Long("workspace") => request.workspace = path(&mut parser)?,
            Long("kernel") => request.kernel = path(&mut parser)?,
            Long("binary") => request.binary = path(&mut parser)?,
            Long("source") => request.source = path(&mut parser)?,
            Long("stub") => request.stub = path(&mut parser)?,
            Long("lab") => request.lab = true,
            Long("size") => request.size = DiskSize::parse(&text(parser.value())?)?,
            Value(word) if request.command.is_empty() => {
                request.command = text(Ok(word))?;
            }
            other => return Err(usage(&other.unexpected())),
        }
    }
    if request.command.is_empty() {
        return Err(usage(&"no command was given"));
    }
    Ok(request)
}

/// An argument that must be UTF-8.
fn text(argument: std::result::Result<OsString, lexopt::Error>) -> Result<String> {
    argument.and_then(lexopt::ValueExt::string).map_err(|wrong| usage(&wrong))
}

fn usage(wrong: &dyn std::fmt::Display) -> Error {
    Error::Usage { wrong: wrong.to_string() }
}

/// One call of the command: what is asked for, of which sources, and where it goes.
struct Session {
    request: Request,
    workspace: Workspace,
    out: PathBuf,
}

impl Session {
    fn kernel(&self) -> Result<()> {
        let to = self.path(names::KERNEL);
        if let Some(given) = &self.request.kernel {
            files::write(&to, &files::read(given)?)?;
            said(&to);
            return Ok(());
        }
        let built = kernel::obtain(&self.workspace, self.request.source.as_deref(), &Cache::of_user()?)?;
        files::write(&to, &files::read(&built.image)?)?;
        files::write(&self.path(names::KERNEL_CONFIG), &files::read(&built.config)?)?;
        files::write(&self.path(names::KERNEL_PROVENANCE), &built.provenance.json()?)?;
        said(&to);
        Ok(())
    }

    fn binary(&self, flavour: Flavour) -> Result<()> {
        let name = match flavour {
            Flavour::Product => names::BINARY,
            Flavour::Lab => names::BINARY_LAB,
        };
        let binary = match (&self.request.binary, flavour) {
            (Some(given), Flavour::Product) => files::read(given)?,
            _ => Build::of(&self.workspace, flavour)?.run()?,
        };
        files::write(&self.path(name), &binary)?;
        said(&self.path(name));
        Ok(())
    }

    fn system(&self) -> Result<()> {
        let kernel = files::read(self.request.kernel.as_deref().unwrap_or(&self.path(names::KERNEL)))?;
        let binary = files::read(self.request.binary.as_deref().unwrap_or(&self.path(names::BINARY)))?;
        let stub = system::read_stub(self.request.stub.as_deref())?;
        let version = self.workspace.version()?;
        let date = self.workspace.date()?;
        let inputs =
            system::Inputs { kernel: &kernel, binary: &binary, stub: &stub, version: &version, date };
        system::write(&inputs, &self.out)?;
        for name in [names::INITRAMFS, names::CMDLINE, names::SYSTEM] {
            said(&self.path(name));
        }
        Ok(())
    }

    fn disk(&self) -> Result<()> {
        let system = files::read(&self.path(names::SYSTEM))?;
        disk::write(&self.path(names::DISK), &system, self.request.size, self.workspace.date()?)?;
        said(&self.path(names::DISK));
        Ok(())
    }

    fn all(&self) -> Result<()> {
        self.kernel()?;
        self.binary(Flavour::Product)?;
        self.system()?;
        self.disk()?;
        if self.request.lab {
            self.binary(Flavour::Lab)?;
            let binary = files::read(&self.path(names::BINARY_LAB))?;
            let lab = initramfs::build(&binary, self.workspace.date()?)?;
            files::write(&self.path(names::INITRAMFS_LAB), &lab)?;
            said(&self.path(names::INITRAMFS_LAB));
        }
        Ok(())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }
}

fn said(path: &Path) {
    println!("{}", path.display());
}
