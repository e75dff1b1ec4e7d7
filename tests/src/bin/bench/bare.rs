//! The least system there is: a kernel and an init that says one line. What it takes is the kernel's share of a boot.

use crate::error::{BenchError, Result};
use crate::guest::{Guest, Service};
use crate::tool;
use drawbridge_image::initramfs;
use drawbridge_image::source::SourceDate;
use drawbridge_lab::Lab;
use std::path::Path;
use std::time::Duration;

const SOURCE: &str = include_str!("bare_init.c");
const COMPILED_WITHIN: Duration = Duration::from_mins(2);

/// Every file in the root file system dates from here; no figure depends on it.
pub(crate) const DATE: u64 = 1_767_225_600;

/// Compiles the bare init and packs it as the appliance's own is packed.
pub(crate) fn pack(lab: &Lab, file: &Path) -> Result<()> {
    let (source, program) = (lab.file("bare_init.c"), lab.file("bare_init"));
    std::fs::write(&source, SOURCE).map_err(BenchError::file("write", &source))?;
    tool::run("cc", "compiles the bare init (packages gcc and libc6-dev)", COMPILED_WITHIN, |command| {
        command.args(["-static", "-Os", "-s", "-o"]).arg(&program).arg(&source)
    })?;
    let init = std::fs::read(&program).map_err(BenchError::file("read", &program))?;
    let packed = initramfs::build(&init, None, SourceDate::new(DATE)?)?;
    std::fs::write(file, packed).map_err(BenchError::file("write", file))
}

/// The bare init on a kernel.
pub(crate) fn guest(
    name: &'static str,
    what: String,
    kernel: &Path,
    initramfs: &Path,
    command_line: String,
) -> Guest {
    Guest {
        name,
        what,
        kernel: kernel.to_path_buf(),
        initramfs: initramfs.to_path_buf(),
        command_line,
        first_line: "bench: init",
        announcement: "bench: init",
        service: Service::Nothing,
    }
}
