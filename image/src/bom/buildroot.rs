//! Buildroot's packages in the bill: reads what `make show-info` prints; it asks Buildroot nothing itself.
//!
//! Packages for the target are parts of the product, host packages are *excluded*: they made it. The kernel and the appliance's own
//! package are in the bill already, better known; what Buildroot says of them is added to those, and dependencies lead there.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Deserialize;

use super::document::{Component, Dependency, Kind, Scope};
use crate::distribution::percent_encoded;
use crate::error::{Error, Result};
use crate::files;

/// Buildroot's package of the C library that the appliance is linked with.
const C_LIBRARY: &str = "glibc";

/// What `make show-info` prints, by the packages' names.
type Said = BTreeMap<String, Package>;

/// One package. Virtual ones, and what stands for a root file system, have fewer fields.
#[derive(Debug, Deserialize)]
struct Package {
    #[serde(rename = "type")]
    kind: String,
    #[serde(default)]
    name: String,
    #[serde(default, rename = "virtual")]
    stands_in: bool,
    #[serde(default)]
    version: String,
    #[serde(default)]
    licenses: String,
    #[serde(default)]
    downloads: Vec<Download>,
    /// Files that hold the downloads' digests. Buildroot 2025.02 does not name them.
    #[serde(default)]
    hashes: Vec<String>,
    #[serde(default)]
    provides: Vec<String>,
    #[serde(default)]
    dependencies: Vec<String>,
    #[serde(rename = "cpe-id")]
    cpe: Option<String>,
}

#[derive(Debug, Deserialize)]
struct Download {
    source: String,
    uris: Vec<String>,
}

/// What Buildroot adds to the bill.
pub(super) struct Packages {
    pub(super) components: Vec<Component>,
    pub(super) dependencies: Vec<Dependency>,
    /// What it says of the kernel.
    pub(super) kernel: Vec<(String, String)>,
}

/// Reads what Buildroot `said`. `binary` is the reference of the appliance's own crate.
pub(super) fn read(said: &[u8], binary: &str) -> Result<Packages> {
    let said: Said = serde_json::from_slice(said)
        .map_err(|wrong| Error::malformed("what Buildroot says of its packages", &wrong))?;
    let mut packages = Packages { components: Vec::new(), dependencies: Vec::new(), kernel: Vec::new() };
    for (key, package) in said.iter().filter(|(_, package)| is_something(package)) {
        let needs: BTreeSet<String> = package
            .dependencies
            .iter()
            .flat_map(|need| real(need, &said))
            .map(|need| reference(&need, binary))
            .collect();
        let this = reference(key, binary);
        packages.dependencies.push((this.clone(), needs.into_iter().filter(|need| *need != this).collect()));
        match key.as_str() {
            "linux" => packages.kernel.extend(downloads(package)?),
            "drawbridge" => {}
            _ => packages.components.push(component(&this, package)?),
        }
    }
    if !said.contains_key(C_LIBRARY) {
        packages.components.push(foreign_library());
    }
    Ok(packages)
}

/// The C library of a toolchain that Buildroot has not built: it is in the binary all the same, and nobody says which it is.
fn foreign_library() -> Component {
    Component {
        licence: Some("LGPL-2.1-or-later".to_owned()),
        properties: vec![("drawbridge:source".to_owned(), "unknown: the toolchain was given".to_owned())],
        ..Component::new(Kind::Library, C_LIBRARY, C_LIBRARY)
    }
}

/// Adds to `dependencies` those that Buildroot knows, of the same things or of others.
pub(super) fn join(dependencies: &mut Vec<Dependency>, more: Vec<Dependency>) {
    for (reference, needs) in more {
        match dependencies.iter_mut().find(|(known, _)| *known == reference) {
            Some((_, known)) => {
                known.extend(needs);
                known.sort();
                known.dedup();
            }
            None => dependencies.push((reference, needs)),
        }
    }
}

/// Whether there is something behind the name. Skeletons and the toolchain's parts that only order the work have no version.
fn is_something(package: &Package) -> bool {
    !package.stands_in && !package.version.is_empty() && matches!(package.kind.as_str(), "target" | "host")
}

/// The packages that are meant by `name`: itself, or those that stand behind it.
fn real(name: &str, said: &Said) -> Vec<String> {
    match said.get(name) {
        Some(package) if is_something(package) => vec![name.to_owned()],
        Some(package) if package.stands_in => said
            .iter()
            .filter(|(_, other)| is_something(other) && other.provides.iter().any(|one| one == name))
            .map(|(key, _)| key.clone())
            .collect(),
        _ => Vec::new(),
    }
}

fn reference(key: &str, binary: &str) -> String {
    match key {
        "linux" => "linux".to_owned(),
        "drawbridge" => binary.to_owned(),
        other => format!("buildroot:{other}"),
    }
}

fn component(reference: &str, package: &Package) -> Result<Component> {
    Ok(Component {
        version: Some(package.version.clone()),
        scope: Some(if package.kind == "target" { Scope::Required } else { Scope::Excluded }),
        licence_names: licences(&package.licenses),
        cpe: package.cpe.clone(),
        purl: Some(format!("pkg:generic/{}@{}", package.name, percent_encoded(&package.version))),
        properties: downloads(package)?,
        ..Component::new(Kind::Library, reference, &package.name)
    })
}

/// Where the sources come from, and their digests where Buildroot names the file that holds them.
fn downloads(package: &Package) -> Result<Vec<(String, String)>> {
    let mut properties = Vec::new();
    for download in &package.downloads {
        properties.push(("buildroot:source".to_owned(), download.source.clone()));
        // The first place is the project's own; the others are Buildroot's mirrors. A local place is a folder of this machine.
        if let Some((_, place)) = download.uris.first().and_then(|uri| uri.split_once('+'))
            && !place.starts_with('/')
        {
            properties.push(("buildroot:place".to_owned(), place.to_owned()));
        }
        if let Some(sum) = digest_of(&download.source, &package.hashes)? {
            properties.push(("buildroot:source-sha256".to_owned(), sum));
        }
    }
    Ok(properties)
}

/// The SHA-256 of `source` in one of the files `listed`, which are lines of algorithm, digest and name.
fn digest_of(source: &str, listed: &[String]) -> Result<Option<String>> {
    for path in listed.iter().map(Path::new).filter(|path| path.is_file()) {
        for line in files::read_text(path)?.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["sha256", sum, name] = words[..]
                && name == source
            {
                return Ok(Some(sum.to_owned()));
            }
        }
    }
    Ok(None)
}

/// Names of licences, which are parted by commas outside of brackets.
fn licences(text: &str) -> Vec<String> {
    let mut depth = 0_i32;
    text.split(|letter| {
        depth += match letter {
            '(' => 1,
            ')' => -1,
            _ => 0,
        };
        letter == ',' && depth == 0
    })
    .map(|name| name.trim().to_owned())
    .filter(|name| !name.is_empty())
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAID: &str = r#"{
        "linux": {"type": "target", "name": "linux", "virtual": false, "version": "6.12.92", "licenses": "GPL-2.0",
            "downloads": [{"source": "linux-6.12.92.tar.xz", "uris": ["https+https://cdn.kernel.org/pub"]}],
            "dependencies": ["host-kmod", "toolchain"]},
        "drawbridge": {"type": "target", "name": "drawbridge", "virtual": false, "version": "0.1.0",
            "downloads": [{"source": "drawbridge.tar.gz", "uris": ["local+/home/somebody"]}],
            "dependencies": ["host-rustc", "skeleton", "toolchain"]},
        "glibc": {"type": "target", "name": "glibc", "virtual": false, "version": "2.43-45",
            "licenses": "GPL-2.0+ (programs), LGPL-2.1+, MIT (library, parts)", "cpe-id": "cpe:2.3:a:gnu:glibc:2.43",
            "provides": ["toolchain"]},
        "toolchain": {"type": "target", "name": "toolchain", "virtual": true},
        "skeleton-init-none": {"type": "target", "name": "skeleton-init-none", "virtual": false, "version": ""},
        "host-kmod": {"type": "host", "name": "kmod", "virtual": false, "version": "34"},
        "host-rust-bin": {"type": "host", "name": "rust-bin", "virtual": false, "version": "1.96.1",
            "provides": ["host-rustc"]},
        "host-rustc": {"type": "host", "name": "rustc", "virtual": true},
        "rootfs-cpio": {"type": "rootfs", "image_name": "rootfs.cpio", "dependencies": []}
    }"#;

    #[test]
    fn packages_that_are_something_are_listed_once() {
        let packages = read(SAID.as_bytes(), "crate:drawbridge@0.1.0").unwrap();
        let listed: Vec<&str> = packages.components.iter().map(|part| part.reference.as_str()).collect();
        assert_eq!(listed, ["buildroot:glibc", "buildroot:host-kmod", "buildroot:host-rust-bin"]);
        assert!(matches!(packages.components[0].scope, Some(Scope::Required)));
        assert!(matches!(packages.components[1].scope, Some(Scope::Excluded)));
        assert_eq!(packages.kernel[0], ("buildroot:source".to_owned(), "linux-6.12.92.tar.xz".to_owned()));
    }

    #[test]
    fn dependencies_lead_past_what_only_stands_for_others() {
        let packages = read(SAID.as_bytes(), "crate:drawbridge@0.1.0").unwrap();
        let of = |reference: &str| {
            packages.dependencies.iter().find(|(this, _)| this == reference).map(|(_, needs)| needs.join(" "))
        };
        assert_eq!(of("linux").unwrap(), "buildroot:glibc buildroot:host-kmod");
        assert_eq!(of("crate:drawbridge@0.1.0").unwrap(), "buildroot:glibc buildroot:host-rust-bin");
        let mut known = vec![("linux".to_owned(), vec!["a".to_owned(), "buildroot:glibc".to_owned()])];
        join(&mut known, packages.dependencies);
        assert_eq!(known[0].1, ["a", "buildroot:glibc", "buildroot:host-kmod"]);
        assert_eq!(known.iter().filter(|(this, _)| this == "linux").count(), 1);
    }

    #[test]
    fn the_library_of_a_given_toolchain_is_not_forgotten() {
        let packages =
            read(br#"{"toolchain": {"type": "target", "virtual": true}}"#, "crate:drawbridge@0.1.0").unwrap();
        assert_eq!(packages.components.len(), 1);
        assert_eq!((packages.components[0].name.as_str(), &packages.components[0].version), ("glibc", &None));
    }

    #[test]
    fn licences_are_parted_outside_of_brackets() {
        let names = licences("GPL-2.0+ (programs), LGPL-2.1+, MIT (library, parts)");
        assert_eq!(names, ["GPL-2.0+ (programs)", "LGPL-2.1+", "MIT (library, parts)"]);
    }

    #[test]
    fn nonsense_is_refused() {
        assert!(read(b"[]", "crate:drawbridge@0.1.0").is_err());
    }
}
