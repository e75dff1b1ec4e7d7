//! What is true of a vendor: names, hosts, keys, the names of files, texts. It never reaches a host that it names.
//!
//! The data is under `board/profiles`, one file a vendor. One of them is put beside the binary when the image is built, and is
//! covered by whatever covers the image; on the appliance it is [`FILE`]. Where that cannot be read, the generic profile
//! stands in for it: it is built in, and knows no host and no key.

mod read;
mod value;

pub use value::{FileName, Mailbox};

use drawbridge_identity::grant::Target;
use drawbridge_identity::vendor::VendorKeys;
use drawbridge_identity::{Line, printable};
use drawbridge_settings::FieldError;
use drawbridge_settings::network::Host;
use std::io::{ErrorKind, Read as _};
use std::path::Path;
use std::sync::LazyLock;

/// Where the appliance has its profile.
pub const FILE: &str = "/profile.json";
/// The longest profile, in bytes.
pub const BYTES_MOST: usize = 32 * 1024;
/// The most addresses that are taken on instruction only.
pub const ON_INSTRUCTION_MOST: usize = 8;
/// The most keys of a profile: as many again are left for the owner ([`drawbridge_identity::vendor::MOST_KEYS`]).
pub const KEYS_MOST: usize = 8;

/// The profiles that come with Drawbridge, by name.
pub const BUILT_IN: [(&str, &str); 2] = [
    ("generic", include_str!("../../../../board/profiles/generic.json")),
    ("infinibox", include_str!("../../../../board/profiles/infinibox.json")),
];

static GENERIC: LazyLock<Profile> =
    LazyLock::new(|| Profile::parse(BUILT_IN[0].1.as_bytes()).unwrap_or_else(|_| Profile::plain()));

/// How the array's event log is told of support sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EventStyle {
    /// Custom events, told apart by their descriptions.
    CustomInfo,
    /// An event code of its own for each.
    OwnCodes,
}

/// What things and people are called, as it stands within a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Names {
    /// The appliance.
    pub appliance: Line<60>,
    /// What it belongs to, with its article.
    pub array: Line<60>,
    /// Who is let in.
    pub support: Line<60>,
}

/// The vendor's hosts. Nothing is connected to because it stands here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hosts {
    /// The Remote Support Server that is suggested.
    pub server: Option<Target>,
    /// Those that are taken when support says so (at most [`ON_INSTRUCTION_MOST`]).
    pub on_instruction: Vec<Target>,
    /// Where file fetches are authenticated.
    pub call_home: Option<Host>,
    /// Where upgrade files are.
    pub drop: Option<Host>,
    /// Who gets mail of failures.
    pub mail: Option<Mailbox>,
}

/// What files are called that a browser saves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Files {
    /// The private key of a certificate request.
    pub key: FileName,
    /// The request.
    pub request: FileName,
}

/// Sentences that the console's pages show beside their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Texts {
    /// At the login by user and password.
    pub login: Option<Line<300>>,
    /// At the login by challenge.
    pub challenge: Option<Line<300>>,
    /// On the page Connection.
    pub connection: Option<Line<300>>,
    /// On the page Certificates.
    pub certificate: Option<Line<300>>,
}

/// A vendor's profile.
#[derive(Clone, Debug)]
pub struct Profile {
    /// By which it is chosen.
    pub name: FileName,
    /// Names.
    pub names: Names,
    /// Hosts.
    pub hosts: Hosts,
    /// Whose responses and grants are taken (at most [`KEYS_MOST`]).
    pub keys: VendorKeys,
    /// How the array is told of sessions.
    pub events: EventStyle,
    /// Names of files.
    pub files: Files,
    /// Texts.
    pub texts: Texts,
}

impl Profile {
    /// Reads a profile: JSON of at most [`BYTES_MOST`]. The fault is every one that it has, with its field.
    pub fn parse(json: &[u8]) -> Result<Self, Vec<FieldError>> {
        read::profile(json)
    }

    /// The profile of no vendor in particular.
    pub fn generic() -> &'static Self {
        &GENERIC
    }

    /// The profile in this file; the generic one and why, as a sentence, where it cannot be read.
    pub fn load(file: &Path) -> (Self, Option<String>) {
        match Self::of_file(file) {
            Ok(profile) => (profile, None),
            Err(why) => {
                let why = format!("the vendor profile {}: {why}; the generic one is used", file.display());
                (Self::generic().clone(), Some(why))
            }
        }
    }

    fn of_file(file: &Path) -> Result<Self, String> {
        let opened = std::fs::File::open(file).map_err(|error| match error.kind() {
            ErrorKind::NotFound => "it is not there".to_owned(),
            _ => error.to_string(),
        })?;
        let mut json = Vec::new();
        // One byte more tells that there is more.
        let most = u64::try_from(BYTES_MOST).unwrap_or(u64::MAX).saturating_add(1);
        opened.take(most).read_to_end(&mut json).map_err(|error| error.to_string())?;
        Self::parse(&json).map_err(|faults| sentence(&faults))
    }

    /// What the generic profile's file says, for the day on which it cannot be read.
    fn plain() -> Self {
        Self {
            name: FileName::plain("generic"),
            names: Names {
                appliance: Line::fitted("Support Appliance"),
                array: Line::fitted("the storage array"),
                support: Line::fitted("the vendor’s support"),
            },
            hosts: Hosts::default(),
            keys: VendorKeys::default(),
            events: EventStyle::CustomInfo,
            files: Files {
                key: FileName::plain("support_appliance_private_key.key"),
                request: FileName::plain("support_appliance_csr.pem"),
            },
            texts: Texts::default(),
        }
    }
}

/// All that is wrong, as one line.
pub fn sentence(faults: &[FieldError]) -> String {
    let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
    printable(&faults.join(" | "), 1000)
}

#[cfg(test)]
mod tests;
