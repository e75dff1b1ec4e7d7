//! The crates of the bill: joins what cargo compiled with what `Cargo.lock` and the crates say of themselves.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};
use serde::Deserialize;

use super::document::{Component, Dependency, Hash, Kind, Scope};
use crate::binary::{self, Place, UsedCrate};
use crate::distribution::percent_encoded;
use crate::error::{Error, Result};
use crate::files;
use crate::source::Workspace;

/// The crates and which needs which.
pub(super) struct Crates {
    pub(super) components: Vec<Component>,
    pub(super) dependencies: Vec<Dependency>,
    /// The reference of the binary's own crate.
    pub(super) binary: String,
}

/// Describes `used`, the crates of the workspace's last build.
pub(super) fn read(workspace: &Workspace, used: &[UsedCrate]) -> Result<Crates> {
    let metadata = binary::metadata(workspace)?;
    let checksums = checksums(&files::read_text(&workspace.root().join("Cargo.lock"))?)?;
    let places: BTreeMap<&PackageId, Place> = used.iter().map(|one| (&one.package, one.place)).collect();
    let mut components = Vec::new();
    let mut binary = None;
    for (id, place) in &places {
        let package = metadata.packages.iter().find(|package| package.id == **id).ok_or_else(|| {
            Error::malformed("what cargo says of its build", &format!("{id} is in no lock file"))
        })?;
        if package.name.as_str() == binary::PACKAGE {
            binary = Some(reference(package));
        }
        components.push(component(package, *place, &checksums));
    }
    Ok(Crates {
        components,
        dependencies: dependencies(&metadata, &places),
        binary: binary
            .ok_or_else(|| Error::malformed("what cargo says of its build", &"the appliance is not in it"))?,
    })
}

fn component(package: &Package, place: Place, checksums: &Checksums) -> Component {
    let version = package.version.to_string();
    let from_registry = package.source.is_some();
    let kind = if package.name.as_str() == binary::PACKAGE { Kind::Application } else { Kind::Library };
    Component {
        scope: Some(match place {
            Place::Binary => Scope::Required,
            Place::Build => Scope::Excluded,
        }),
        hashes: checksums
            .get(&(package.name.to_string(), version.clone()))
            .map(|sum| Hash::sha256(sum.clone()))
            .into_iter()
            .collect(),
        // Crates of before 2018 may part licences by a slash, which cargo has always read as "or".
        licence: package.license.as_ref().map(|licence| licence.replace(" / ", " OR ").replace('/', " OR ")),
        // Our own crates are in no registry, so no registry's name would be true of them.
        purl: from_registry.then(|| format!("pkg:cargo/{}@{}", package.name, percent_encoded(&version))),
        version: Some(version),
        ..Component::new(kind, &reference(package), &package.name)
    }
}

fn reference(package: &Package) -> String {
    format!("crate:{}@{}", package.name, package.version)
}

/// Which of the listed crates needs which other.
fn dependencies(metadata: &Metadata, places: &BTreeMap<&PackageId, Place>) -> Vec<Dependency> {
    let references: BTreeMap<&PackageId, String> = metadata
        .packages
        .iter()
        .filter(|package| places.contains_key(&package.id))
        .map(|package| (&package.id, reference(package)))
        .collect();
    let nodes = metadata.resolve.iter().flat_map(|resolve| &resolve.nodes);
    nodes
        .filter_map(|node| {
            let needs: BTreeSet<String> = node
                .deps
                .iter()
                .filter(|need| need.dep_kinds.iter().any(|kind| kind.kind != DependencyKind::Development))
                .filter_map(|need| references.get(&need.pkg).cloned())
                .collect();
            Some((references.get(&node.id)?.clone(), needs.into_iter().collect()))
        })
        .collect()
}

/// The SHA-256 of each crate's archive, by name and version.
type Checksums = BTreeMap<(String, String), String>;

#[derive(Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Deserialize)]
struct Locked {
    name: String,
    version: String,
    checksum: Option<String>,
}

fn checksums(lock: &str) -> Result<Checksums> {
    let lock: Lock = toml::from_str(lock).map_err(|wrong| Error::malformed("Cargo.lock", &wrong))?;
    let with_sum = |one: Locked| one.checksum.map(|sum| ((one.name, one.version), sum));
    Ok(lock.package.into_iter().filter_map(with_sum).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_is_found_by_name_and_version() {
        let lock = "version = 4\n[[package]]\nname = \"a\"\nversion = \"1.0.0\"\nchecksum = \"ff\"\n\
                    [[package]]\nname = \"ours\"\nversion = \"0.1.0\"\n";
        let found = checksums(lock).unwrap();
        assert_eq!(found.get(&("a".to_owned(), "1.0.0".to_owned())), Some(&"ff".to_owned()));
        assert_eq!(found.len(), 1);
        assert!(checksums("nonsense").is_err());
    }
}
