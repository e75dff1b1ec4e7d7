//! The command `drawbridge-image`: reads what is asked for and calls the library; it builds nothing itself.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use drawbridge_image::binary::Flavour;
use drawbridge_image::disk::DiskSize;
use drawbridge_image::pipeline::Pipeline;
use drawbridge_image::source::Workspace;
use drawbridge_image::{Error, Result, reproduce};
use lexopt::Arg::{Long, Short, Value};

const HELP: &str = "\
drawbridge-image: from the sources to files to flash

Usage: drawbridge-image COMMAND [OPTION]...

Commands:
  kernel       build the kernel, or take it from the cache        -> bzImage, linux.config, kernel.json
  binary       build the appliance's binary                       -> drawbridge
  system       join kernel and binary to a system                 -> initramfs.zst, cmdline, system.efi
  disk         make a disk image of the system                    -> disk.img
  bom          write the bill of materials (CycloneDX)            -> bom.cdx.json
  sizes        report the sizes                                   -> sizes.txt
  all          all of these, in this order
  version      print version and date, as NAME=VALUE, for a build of the binary by somebody else
  reproduce    build everything but the kernel twice, from two clones of the commit, and compare
  help         this text

Options:
  --out DIR          where the files go (default: target/image in the project's folder)
  --workspace DIR    the project's folder (default: the one that the current folder lies in)
  --lab              binary: build the one with faults on request -> drawbridge-lab
                     all: that too, and its root file system      -> initramfs-lab.zst
  --profile WHICH    the vendor's profile: a name of one in board/profiles (default: generic), or a file
  --size SIZE        disk: the size of the whole disk, such as 512M or 4G (default: 512M)
  --kernel FILE      a kernel to use instead of building one
  --kernel-config FILE
                     kernel: the configuration that it was built with, which is checked  -> linux.config, kernel.json too
  --binary FILE      a binary to use instead of building one
  --messages FILE    bom: what cargo said while it built that binary, with --message-format json
  --buildroot FILE   bom: what Buildroot says of its packages (make show-info), to be merged
  --source FILE      kernel: the sources, instead of the distribution's package
  --stub FILE        the EFI stub, instead of the distribution's package
  --made DIR         reproduce: files that were made from this commit, in the place of the first of the two builds

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
    profile: Option<String>,
    size: DiskSize,
    kernel: Option<PathBuf>,
    kernel_config: Option<PathBuf>,
    binary: Option<PathBuf>,
    messages: Option<PathBuf>,
    buildroot: Option<PathBuf>,
    source: Option<PathBuf>,
    stub: Option<PathBuf>,
    made: Option<PathBuf>,
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
    let default = Pipeline::new(&workspace, &out)?;
    let pipeline = Pipeline {
        profile: request.profile.unwrap_or_else(|| default.profile.clone()),
        size: request.size,
        kernel: request.kernel,
        kernel_config: request.kernel_config,
        binary: request.binary,
        messages: request.messages,
        buildroot: request.buildroot,
        source: request.source,
        stub: request.stub,
        ..default
    };
    match request.command.as_str() {
        "kernel" => said(&pipeline.kernel()?),
        "binary" => said(&pipeline.binary(if request.lab { Flavour::Lab } else { Flavour::Product })?),
        "system" => said(&pipeline.system()?),
        "disk" => said(&pipeline.disk()?),
        "bom" => said(&pipeline.bom()?),
        "sizes" => print!("{}", pipeline.sizes()?),
        "all" => all(&pipeline, request.lab)?,
        "version" => {
            println!("DRAWBRIDGE_VERSION={}", pipeline.version);
            for name in ["DRAWBRIDGE_BUILD_TIME", "SOURCE_DATE_EPOCH"] {
                println!("{name}={}", pipeline.date.seconds());
            }
        }
        "reproduce" => {
            for same in reproduce::run(&pipeline, request.made.as_deref())? {
                println!("{}  {}", same.sha256, same.name);
            }
        }
        other => return Err(usage(&format!("there is no command {other:?}"))),
    }
    Ok(())
}

fn all(pipeline: &Pipeline, lab: bool) -> Result<()> {
    // Told before the kernel is built, which takes a quarter of an hour.
    pipeline.check()?;
    said(&pipeline.kernel()?);
    said(&pipeline.binary(Flavour::Product)?);
    said(&pipeline.system()?);
    said(&pipeline.disk()?);
    said(&pipeline.bom()?);
    if lab {
        said(&pipeline.lab()?);
    }
    print!("{}", pipeline.sizes()?);
    Ok(())
}

fn parse(arguments: impl Iterator<Item = OsString>) -> Result<Request> {
    let mut parser = lexopt::Parser::from_args(arguments);
    let mut request = Request {
        command: String::new(),
        out: None,
        workspace: None,
        lab: false,
        profile: None,
        size: DiskSize::default(),
        kernel: None,
        kernel_config: None,
        binary: None,
        messages: None,
        buildroot: None,
        source: None,
        stub: None,
        made: None,
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
            Long("kernel-config") => request.kernel_config = path(&mut parser)?,
            Long("messages") => request.messages = path(&mut parser)?,
            Long("buildroot") => request.buildroot = path(&mut parser)?,
            Long("binary") => request.binary = path(&mut parser)?,
            Long("source") => request.source = path(&mut parser)?,
            Long("stub") => request.stub = path(&mut parser)?,
            Long("made") => request.made = path(&mut parser)?,
            Long("lab") => request.lab = true,
            Long("profile") => request.profile = Some(text(parser.value())?),
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

/// Says which files were written.
fn said(paths: &[PathBuf]) {
    for path in paths {
        println!("{}", path.display());
    }
}
