//! The bill of materials: what is in the system and where it came from, as CycloneDX 1.6 JSON; it judges nothing.
//!
//! A crate is listed as part of the appliance if cargo compiled it for the appliance, and as *excluded* if cargo only ran it while
//! building (procedural macros, build scripts and what they use). Cargo's own messages say which is which: the graph of
//! `cargo metadata` joins the features of the whole workspace, and would list crates that only the lab brings.

mod buildroot;
mod crates;
mod document;

use std::path::Path;

use serde_json::Value;
use uuid::Uuid;

use self::document::{Component, Hash, Kind, Scope};
use crate::binary::{self, UsedCrate};
use crate::command::Tool;
use crate::error::{Error, Result};
use crate::kernel::Provenance;
use crate::source::{SourceDate, Workspace};
use crate::{digest, distribution, kernel, uki};

/// All that the bill is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The sources.
    pub workspace: &'a Workspace,
    /// The version that the system shows.
    pub version: &'a str,
    /// The date of the sources.
    pub date: SourceDate,
    /// The crates that cargo compiled.
    pub crates: &'a [UsedCrate],
    /// The kernel, a `bzImage`.
    pub kernel: &'a [u8],
    /// What the kernel was made of; nothing for one that was given.
    pub provenance: Option<&'a Provenance>,
    /// The EFI stub.
    pub stub: &'a [u8],
    /// What Buildroot says of its packages (`make show-info`), where it built kernel and binary.
    pub buildroot: Option<&'a [u8]>,
    /// The files that were made, in any order.
    pub files: &'a [&'a Path],
}

/// The bill as JSON text. The same inputs, on a machine with the same compilers, always give the same bytes.
pub fn build(inputs: &Inputs<'_>) -> Result<Vec<u8>> {
    let product = Component {
        version: Some(inputs.version.to_owned()),
        licence: Some("Apache-2.0".to_owned()),
        ..Component::new(Kind::Firmware, "drawbridge-system", "drawbridge")
    };
    let bill = crates::read(inputs.workspace, inputs.crates)?;
    let mut components = vec![kernel_component(inputs)?, stub_component(inputs.stub)?];
    components.push(standard_library()?);
    let mut dependencies = bill.dependencies;
    match inputs.buildroot {
        Some(said) => {
            let packages = buildroot::read(said, &bill.binary)?;
            components[0].properties.extend(packages.kernel);
            components.extend(packages.components);
            buildroot::join(&mut dependencies, packages.dependencies);
        }
        None => components.extend(linked_libraries()?),
    }
    // What is in the product, and what was only used to make it, tell themselves apart by their scope.
    let mut parts: Vec<String> = components
        .iter()
        .filter(|part| !matches!(part.scope, Some(Scope::Excluded)))
        .map(|part| part.reference.clone())
        .collect();
    parts.push(bill.binary.clone());
    components.extend(bill.components);
    for path in inputs.files {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        components.push(Component {
            hashes: vec![Hash::sha256(digest::of_file(path)?)],
            ..Component::new(Kind::File, &format!("file:{name}"), &name)
        });
    }
    components.sort_by(|one, other| one.reference.cmp(&other.reference));
    dependencies.push((product.reference.clone(), parts));
    dependencies.sort();
    document::write(&product, &components, &dependencies, inputs.date, serial_number)
}

/// A serial number that follows from the rest of the document: the first bytes of its SHA-256 as a UUID of version 8
/// (RFC 9562, section 5.8).
fn serial_number(rest: &[u8]) -> Uuid {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest::of_parts(&[rest])[..16]);
    Uuid::new_v8(bytes)
}

fn kernel_component(inputs: &Inputs<'_>) -> Result<Component> {
    let release = kernel::image::release(inputs.kernel)?;
    // What follows the hyphen is ours, the name of the configuration.
    let version = release.split('-').next().unwrap_or_default().to_owned();
    let sum = digest::of(inputs.kernel);
    // A file that tells of another kernel tells nothing of this one.
    let provenance = inputs.provenance.filter(|provenance| provenance.image_sha256 == sum);
    let package = provenance.and_then(|provenance| provenance.source_package.as_deref());
    let mut properties = vec![("drawbridge:release".to_owned(), release)];
    match provenance {
        Some(provenance) => {
            properties.extend([
                ("drawbridge:source".to_owned(), provenance.source_name.clone()),
                ("drawbridge:source-sha256".to_owned(), provenance.source_sha256.clone()),
                ("drawbridge:configuration-sha256".to_owned(), provenance.config_sha256.clone()),
            ]);
            properties.extend(
                provenance.tools.iter().map(|tool| ("drawbridge:built-with".to_owned(), tool.clone())),
            );
        }
        None => properties
            .push(("drawbridge:source".to_owned(), "unknown: the built kernel was given".to_owned())),
    }
    Ok(Component {
        licence: Some("GPL-2.0-only WITH Linux-syscall-note".to_owned()),
        purl: Some(package.map_or_else(
            || format!("pkg:generic/linux@{version}"),
            |package| distribution::package_url("linux", package),
        )),
        cpe: Some(format!("cpe:2.3:o:linux:linux_kernel:{version}:*:*:*:*:*:*:*")),
        version: Some(version),
        hashes: vec![Hash::sha256(sum)],
        properties,
        ..Component::new(Kind::OperatingSystem, "linux", "linux")
    })
}

/// The stub says its version itself, in its section for Secure Boot's revocation (SBAT): lines of
/// name, generation, vendor, package, version, address; the last line is the packager's.
fn stub_component(stub: &[u8]) -> Result<Component> {
    let table = uki::section(stub, ".sbat")?
        .map(|text| String::from_utf8_lossy(text).into_owned())
        .unwrap_or_default();
    let fields: Vec<&str> =
        table.trim_end_matches('\0').lines().last().unwrap_or_default().split(',').collect();
    let version = fields.get(4).map(|version| (*version).to_owned()).filter(|version| !version.is_empty());
    Ok(Component {
        purl: version.as_deref().map(|version| distribution::package_url("systemd", version)),
        version,
        licence: Some("LGPL-2.1-or-later".to_owned()),
        hashes: vec![Hash::sha256(digest::of(stub))],
        ..Component::new(Kind::Firmware, "systemd-stub", "systemd-stub")
    })
}

/// What the linker puts into the binary besides crates is Rust's standard library and those of [`linked_libraries`].
fn standard_library() -> Result<Component> {
    let mut rustc = Tool::new(&binary::rustc_program(), "compiles Rust", "rustc (or rustup)");
    rustc.command().args(["--version", "--verbose"]);
    let said = rustc.text()?;
    let field = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)).map(str::to_owned);
    let release =
        field("release: ").ok_or_else(|| Error::malformed("what rustc says of itself", &"no release"))?;
    Ok(Component {
        purl: Some(format!("pkg:generic/rust-std@{release}")),
        version: Some(release),
        licence: Some("MIT OR Apache-2.0".to_owned()),
        properties: field("commit-hash: ")
            .map(|hash| ("drawbridge:commit".to_owned(), hash))
            .into_iter()
            .collect(),
        ..Component::new(Kind::Library, "rust-std", "rust-std")
    })
}

/// The C library and the compiler's run-time library, of the distribution.
fn linked_libraries() -> Result<Vec<Component>> {
    let of_package = |name: &str, package: &str, source: &str, licence: &str| {
        let version = distribution::version_of(package);
        Component {
            purl: version.as_deref().map(|version| distribution::package_url(source, version)),
            version,
            licence: Some(licence.to_owned()),
            ..Component::new(Kind::Library, name, name)
        }
    };
    let mut gcc = Tool::new("gcc", "links the binary", "gcc");
    gcc.command().arg("-dumpversion");
    let gcc = format!("gcc-{}", gcc.text()?.trim().split('.').next().unwrap_or_default());
    Ok(vec![
        of_package("glibc", "libc6-dev", "glibc", "LGPL-2.1-or-later"),
        of_package("libgcc", &format!("lib{gcc}-dev"), &gcc, "GPL-3.0-or-later WITH GCC-exception-3.1"),
    ])
}

/// The bill's JSON, as a value, for whoever wants to look something up in it.
pub fn parse(bill: &[u8]) -> Result<Value> {
    serde_json::from_slice(bill).map_err(|wrong| Error::malformed("the bill of materials", &wrong))
}
