//! Compresses the pages once, when the console is built: they are embedded as they go over the wire, and as they are. It never writes
//! anywhere but the build's own folder.

use flate2::Compression;
use flate2::write::GzEncoder;
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::{env, fs, io};

/// The kinds of files that are served, with their media types.
const KINDS: [(&str, &str); 4] = [
    ("html", "text/html; charset=utf-8"),
    ("css", "text/css; charset=utf-8"),
    ("js", "text/javascript; charset=utf-8"),
    ("svg", "image/svg+xml"),
];

fn main() -> io::Result<()> {
    println!("cargo::rerun-if-changed=pages");
    let out = PathBuf::from(env::var_os("OUT_DIR").ok_or(io::ErrorKind::NotFound)?);
    let mut files = Vec::new();
    find(Path::new("pages"), &mut files)?;
    // The order of a folder's entries is the file system's; the binary's bytes are not.
    files.sort();
    let mut table = String::from("&[\n");
    for (number, file) in files.iter().enumerate() {
        let Some((_, kind)) =
            KINDS.iter().find(|(ending, _)| file.extension().is_some_and(|found| found == *ending))
        else {
            continue;
        };
        let content = fs::read(file)?;
        let packed = out.join(format!("{number}.gz"));
        // No name and no time are written: the same pages give the same bytes.
        let mut encoder = GzEncoder::new(fs::File::create(&packed)?, Compression::best());
        encoder.write_all(&content)?;
        encoder.finish()?;
        let path = file.strip_prefix("pages").map_err(io::Error::other)?.display();
        // Named by number, within the build's own folder: the binary's bytes do not depend on where the sources are.
        fs::write(out.join(format!("{number}.whole")), &content)?;
        let bytes = |kind: &str| format!("include_bytes!(concat!(env!(\"OUT_DIR\"), \"/{number}.{kind}\"))");
        writeln!(
            table,
            "    Page {{ path: \"/{path}\", kind: {kind:?}, whole: {}, packed: {} }},",
            bytes("whole"),
            bytes("gz")
        )
        .map_err(io::Error::other)?;
    }
    table.push_str("]\n");
    fs::write(out.join("pages.rs"), table)
}

fn find(folder: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            find(&path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}
