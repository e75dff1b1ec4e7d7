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
    let pipeline = Pipeline {
        size: request.size,
        kernel: request.kernel,
        binary: request.binary,
        source: request.source,
        stub: request.stub,
        ..Pipeline::new(&workspace, &out)?
    };
    match request.command.as_str() {
        "kernel" => said(&pipeline.kernel()?),
        "binary" => said(&pipeline.binary(if request.lab { Flavour::Lab } else { Flavour::Product })?),
        "system" => said(&pipeline.system()?),
        "disk" => said(&pipeline.disk()?),
        "bom" => said(&pipeline.bom()?),
        "sizes" => print!("{}", pipeline.sizes()?),
        "all" => all(&pipeline, request.lab)?,
        "reproduce" => {
            for same in reproduce::run(&pipeline)? {
                println!("{}  {}", same.sha256, same.name);
            }
        }
        other => return Err(usage(&format!("there is no command {other:?}"))),
    }
    Ok(())
}

fn all(pipeline: &Pipeline, lab: bool) -> Result<()> {
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

/// Says which files were written.
fn said(paths: &[PathBuf]) {
    for path in paths {
        println!("{}", path.display());
    }
}
