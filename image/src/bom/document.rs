//! The CycloneDX document (version 1.6, ECMA-424): its fields and their order, and nothing about where they come from.

use serde::Serialize;
use uuid::Uuid;

use crate::error::{Error, Result};
use crate::source::SourceDate;

/// What a component is.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum Kind {
    Application,
    File,
    Firmware,
    Library,
    OperatingSystem,
}

/// Whether a component is in the product, or was only used to make it.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Scope {
    Required,
    Excluded,
}

/// A component's digest.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Hash {
    alg: &'static str,
    content: String,
}

impl Hash {
    pub(super) fn sha256(content: String) -> Self {
        Self { alg: "SHA-256", content }
    }
}

/// One thing that the product is made of.
#[derive(Clone, Debug)]
pub(super) struct Component {
    pub(super) kind: Kind,
    /// Its name within the document.
    pub(super) reference: String,
    pub(super) name: String,
    pub(super) version: Option<String>,
    pub(super) scope: Option<Scope>,
    pub(super) hashes: Vec<Hash>,
    /// An SPDX expression.
    pub(super) licence: Option<String>,
    /// What others call its licences, where that is no SPDX expression.
    pub(super) licence_names: Vec<String>,
    pub(super) cpe: Option<String>,
    pub(super) purl: Option<String>,
    pub(super) properties: Vec<(String, String)>,
}

impl Component {
    pub(super) fn new(kind: Kind, reference: &str, name: &str) -> Self {
        Self {
            kind,
            reference: reference.to_owned(),
            name: name.to_owned(),
            version: None,
            scope: None,
            hashes: Vec::new(),
            licence: None,
            licence_names: Vec::new(),
            cpe: None,
            purl: None,
            properties: Vec::new(),
        }
    }
}

/// A component and those that it needs, by their references.
pub(super) type Dependency = (String, Vec<String>);

/// The document's text. Its serial number follows by `serial` from the text without one.
pub(super) fn write(
    product: &Component,
    components: &[Component],
    dependencies: &[Dependency],
    date: SourceDate,
    serial: impl Fn(&[u8]) -> Uuid,
) -> Result<Vec<u8>> {
    let tool = Component {
        version: Some(env!("CARGO_PKG_VERSION").to_owned()),
        ..Component::new(Kind::Application, "drawbridge-image", "drawbridge-image")
    };
    let mut document = Document {
        bom_format: "CycloneDX",
        spec_version: "1.6",
        serial_number: None,
        version: 1,
        metadata: Metadata {
            timestamp: date.rfc3339(),
            lifecycles: [Lifecycle { phase: "build" }],
            tools: Tools { components: [Entry::of(&tool)] },
            component: Entry::of(product),
        },
        components: components.iter().map(Entry::of).collect(),
        dependencies: dependencies
            .iter()
            .map(|(reference, depends_on)| DependencyEntry { reference, depends_on })
            .collect(),
    };
    document.serial_number = Some(serial(&text(&document)?).urn().to_string());
    text(&document)
}

fn text(document: &Document<'_>) -> Result<Vec<u8>> {
    let mut text = serde_json::to_vec_pretty(document)
        .map_err(|wrong| Error::malformed("the bill of materials", &wrong))?;
    text.push(b'\n');
    Ok(text)
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Document<'a> {
    bom_format: &'static str,
    spec_version: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial_number: Option<String>,
    version: u32,
    metadata: Metadata<'a>,
    components: Vec<Entry<'a>>,
    dependencies: Vec<DependencyEntry<'a>>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    timestamp: String,
    lifecycles: [Lifecycle; 1],
    tools: Tools<'a>,
    component: Entry<'a>,
}

#[derive(Serialize)]
struct Lifecycle {
    phase: &'static str,
}

#[derive(Serialize)]
struct Tools<'a> {
    components: [Entry<'a>; 1],
}

#[derive(Serialize)]
struct Entry<'a> {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(rename = "bom-ref")]
    reference: &'a str,
    name: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<Scope>,
    #[serde(skip_serializing_if = "<[Hash]>::is_empty")]
    hashes: &'a [Hash],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    licenses: Vec<Licence<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cpe: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    purl: Option<&'a str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    properties: Vec<Property<'a>>,
}

/// Either one expression or any number of names, as the standard wants it.
#[derive(Serialize)]
#[serde(rename_all = "lowercase")]
enum Licence<'a> {
    Expression(&'a str),
    License { name: &'a str },
}

#[derive(Serialize)]
struct Property<'a> {
    name: &'a str,
    value: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DependencyEntry<'a> {
    #[serde(rename = "ref")]
    reference: &'a str,
    depends_on: &'a [String],
}

impl<'a> Entry<'a> {
    fn of(component: &'a Component) -> Self {
        Self {
            kind: component.kind,
            reference: &component.reference,
            name: &component.name,
            version: component.version.as_deref(),
            scope: component.scope,
            hashes: &component.hashes,
            licenses: match &component.licence {
                Some(expression) => vec![Licence::Expression(expression)],
                None => component.licence_names.iter().map(|name| Licence::License { name }).collect(),
            },
            cpe: component.cpe.as_deref(),
            purl: component.purl.as_deref(),
            properties: component.properties.iter().map(|(name, value)| Property { name, value }).collect(),
        }
    }
}
