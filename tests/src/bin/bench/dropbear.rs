//! The peer that does the nearest thing from the distribution's own parts: `BusyBox` and the SSH server Dropbear on the
//! kernel for virtual machines. It is built here and runs in the lab only.

use crate::bare::DATE;
use crate::debian::{Kernel, Packages, find, read};
use crate::error::{BenchError, Result};
use crate::guest::{Guest, Service};
use crate::tool;
use drawbridge_image::cpio::Archive;
use drawbridge_image::source::SourceDate;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

const INIT: &str = include_str!("peer_init.sh");
const LEASE: &str = include_str!("peer_lease.sh");

/// The driver of the network card. What it needs it names itself.
const DRIVER: &str = "virtio_net";

/// Where the distribution's loader looks for libraries.
const LIBRARIES: &str = "lib/x86_64-linux-gnu";
/// The loader that the programs name.
const LOADER: &str = "ld-linux-x86-64.so.2";

const DONE_WITHIN: Duration = Duration::from_mins(1);

/// Builds its root file system, and describes it.
pub(crate) fn guest(
    packages: &Packages,
    kernel: &Kernel,
    folder: &Path,
    command_line: &str,
) -> Result<Guest> {
    let mut root = Archive::new(SourceDate::new(DATE)?);
    let folders = ["bin", "dev", "etc", "etc/dropbear", "lib", LIBRARIES, "lib64", "modules", "proc", "sys"];
    for folder in folders.into_iter().chain(["tmp", "usr", "usr/sbin", "var", "var/run"]) {
        root.folder(folder, 0o755)?;
    }
    // As the appliance's own root file system has them.
    root.character_device("dev/console", 0o600, 5, 1)?;
    root.character_device("dev/null", 0o666, 1, 3)?;
    root.file("init", 0o755, INIT.into())?;
    root.file("bin/lease", 0o755, LEASE.into())?;
    root.file("etc/passwd", 0o644, b"root:x:0:0:root:/:/bin/sh\n".to_vec())?;

    let busybox = [packages.unpacked("busybox-static")?];
    root.file("bin/busybox", 0o755, read(&wanted(&busybox, &["bin/busybox", "usr/bin/busybox"])?)?)?;
    let with_libraries = packages.with_dependencies("dropbear-bin")?;
    let dropbear = wanted(&with_libraries, &["usr/sbin/dropbear"])?;
    root.file("usr/sbin/dropbear", 0o755, read(&dropbear)?)?;
    for (name, library) in libraries(&with_libraries, &dropbear)? {
        root.file(&format!("{LIBRARIES}/{name}"), 0o755, read(&library)?)?;
    }
    root.file(&format!("lib64/{LOADER}"), 0o755, read(&library(&with_libraries, LOADER)?)?)?;
    for (number, (name, module)) in modules(&kernel.modules, DRIVER)?.into_iter().enumerate() {
        root.file(&format!("modules/{number:02}-{name}"), 0o644, module)?;
    }

    let (plain, packed) = (folder.join("dropbear.cpio"), folder.join("dropbear.zst"));
    std::fs::write(&plain, root.bytes()?).map_err(BenchError::file("write", &plain))?;
    // As hard as the appliance's own is pressed.
    tool::run("zstd", "packs the peer's root file system (package zstd)", DONE_WITHIN, |command| {
        command.args(["-q", "-f", "-19", "-o"]).arg(&packed).arg(&plain)
    })?;
    Ok(Guest {
        name: "dropbear",
        what: format!("BusyBox and the SSH server Dropbear on the distribution's kernel {}", kernel.version),
        kernel: kernel.image.clone(),
        initramfs: packed,
        command_line: command_line.to_owned(),
        first_line: "bench: init",
        announcement: "bench: serves",
        service: Service::Ssh,
    })
}

fn wanted(roots: &[PathBuf], names: &[&str]) -> Result<PathBuf> {
    find(roots, names).ok_or_else(|| BenchError::NotThere { what: names.join(" or ") })
}

fn library(roots: &[PathBuf], name: &str) -> Result<PathBuf> {
    let places = [format!("{LIBRARIES}/{name}"), format!("usr/{LIBRARIES}/{name}")];
    wanted(roots, &places.each_ref().map(String::as_str))
}

/// The libraries that a program needs, and that they need, by the names they are asked for.
fn libraries(roots: &[PathBuf], program: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let mut found = BTreeMap::new();
    let mut open = vec![program.to_path_buf()];
    while let Some(file) = open.pop() {
        let listed = tool::text("readelf", "lists libraries (package binutils)", DONE_WITHIN, |command| {
            command.arg("--dynamic").arg(&file)
        })?;
        for name in needed(&listed) {
            if name != LOADER && !found.contains_key(name) {
                let path = library(roots, name)?;
                open.push(path.clone());
                found.insert(name.to_owned(), path);
            }
        }
    }
    Ok(found)
}

/// The names in `readelf --dynamic`: `0x… (NEEDED)  Shared library: [libc.so.6]`.
fn needed(listed: &str) -> impl Iterator<Item = &str> {
    let lines = listed.lines().filter(|line| line.contains("(NEEDED)"));
    lines.filter_map(|line| line.split_once('[')?.1.split(']').next())
}

/// A driver with what it needs, in the order of loading: file name and content, unpacked.
fn modules(folder: &Path, name: &str) -> Result<Vec<(String, Vec<u8>)>> {
    let mut files = BTreeMap::new();
    collect(folder, &mut files)?;
    let mut order = Vec::new();
    load(name, &files, &mut order)?;
    if order.is_empty() {
        return Err(BenchError::NotThere { what: format!("the driver {name} as a module") });
    }
    Ok(order)
}

fn load(name: &str, files: &BTreeMap<String, PathBuf>, order: &mut Vec<(String, Vec<u8>)>) -> Result<()> {
    // What has no file is in the kernel itself.
    let Some(path) = files.get(name) else { return Ok(()) };
    let file = format!("{name}.ko");
    if order.iter().any(|(loaded, _)| *loaded == file) {
        return Ok(());
    }
    let module = if path.extension().is_some_and(|kind| kind == "xz") {
        tool::run("xz", "unpacks a driver (package xz-utils)", DONE_WITHIN, |command| {
            command.args(["--decompress", "--stdout"]).arg(path)
        })?
    } else {
        read(path)?
    };
    // The kernel's build refuses modules that need each other in a ring, so this ends.
    for need in needs(&module) {
        load(&need, files, order)?;
    }
    order.push((file, module));
    Ok(())
}

/// Every module of a kernel, by its name: `virtio_net` for `virtio_net.ko.xz` (a dash in the file counts as an underscore).
fn collect(folder: &Path, files: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let entries = std::fs::read_dir(folder).map_err(BenchError::file("read", folder))?;
    for path in entries.filter_map(std::result::Result::ok).map(|entry| entry.path()) {
        // `build` and `source` are links to elsewhere.
        if path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            collect(&path, files)?;
        } else if let Some((name, "" | ".xz")) =
            path.file_name().and_then(|name| name.to_str()?.split_once(".ko"))
        {
            files.insert(name.replace('-', "_"), path.clone());
        }
    }
    Ok(())
}

/// What a module says that it needs: `depends=a,b` between two NUL bytes in its section `.modinfo`.
fn needs(module: &[u8]) -> Vec<String> {
    let mut fields = module.split(|byte| *byte == 0);
    let named = fields.find_map(|field| field.strip_prefix(b"depends="));
    let named = named.and_then(|named| std::str::from_utf8(named).ok()).unwrap_or_default();
    named.split(',').filter(|name| !name.is_empty()).map(|name| name.replace('-', "_")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_module_s_needs_are_read() {
        assert_eq!(
            needs(b"\x7fELF\0license=GPL\0depends=net_failover,virtio-ring\0x"),
            ["net_failover", "virtio_ring"]
        );
        assert!(needs(b"\0depends=\0").is_empty());
        assert!(needs(b"").is_empty());
    }

    #[test]
    fn libraries_are_read_from_readelf() {
        let listed = " 0x01 (NEEDED)   Shared library: [libz.so.1]\n 0x0e (SONAME)   Library soname: [x]\n";
        assert_eq!(needed(listed).collect::<Vec<_>>(), ["libz.so.1"]);
    }
}
