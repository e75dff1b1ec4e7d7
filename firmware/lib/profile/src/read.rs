//! From JSON to a profile, with every fault named by its field. It never opens a file.

use crate::{
    BYTES_MOST, EventStyle, FileName, Files, Hosts, KEYS_MOST, Mailbox, Names, ON_INSTRUCTION_MOST, Profile,
    Texts,
};
use drawbridge_identity::Line;
use drawbridge_identity::grant::Target;
use drawbridge_identity::vendor::{VendorKey, VendorKeys};
use drawbridge_settings::FieldError;
use drawbridge_settings::network::{Host, from_json};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    name: String,
    names: RawNames,
    #[serde(default)]
    hosts: RawHosts,
    #[serde(default)]
    keys: Vec<String>,
    events: RawEvents,
    files: RawFiles,
    #[serde(default)]
    texts: RawTexts,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawNames {
    appliance: String,
    array: String,
    support: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawHosts {
    server: Option<String>,
    on_instruction: Vec<String>,
    call_home: Option<String>,
    drop: Option<String>,
    mail: Option<String>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum RawEvents {
    CustomInfo,
    OwnCodes,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawFiles {
    key: String,
    request: String,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct RawTexts {
    login: Option<String>,
    challenge: Option<String>,
    connection: Option<String>,
    certificate: Option<String>,
}

/// What was found to be wrong.
#[derive(Default)]
struct Faults(Vec<FieldError>);

impl Faults {
    fn add(&mut self, field: &str, wrong: impl Into<String>, right: &str) {
        self.0.push(FieldError::new(field, wrong, right));
    }

    fn line<const MOST: usize>(&mut self, field: &str, text: String) -> Option<Line<MOST>> {
        let right = format!("one printable line of 1 to {MOST} characters");
        Line::new(text).map_err(|fault| self.add(field, fault.to_string(), &right)).ok()
    }

    fn file(&mut self, field: &str, text: &str) -> Option<FileName> {
        let name = FileName::new(text);
        if name.is_none() {
            let right = "1 to 64 letters, digits, dots, dashes and underscores, with a letter or digit first";
            self.add(field, "this is no name for a file", right);
        }
        name
    }

    fn target(&mut self, field: &str, text: &str) -> Option<Target> {
        let right = "a name and a port, as rss.example.com:443";
        Target::parse(text).map_err(|_| self.add(field, "this is no host with a port", right)).ok()
    }

    fn host(&mut self, field: &str, text: &str) -> Option<Host> {
        text.parse().map_err(|wrong: drawbridge_settings::Wrong| self.0.push(wrong.at(field))).ok()
    }

    fn keys(&mut self, lines: &[String]) -> VendorKeys {
        let mut keys = Vec::new();
        if lines.len() > KEYS_MOST {
            self.add("keys", format!("these are {}", lines.len()), &format!("at most {KEYS_MOST}"));
        }
        for (number, line) in lines.iter().enumerate().take(KEYS_MOST) {
            match VendorKey::parse(line) {
                Ok(key) => keys.push(key),
                Err(fault) => {
                    let right = "the line that rss key prints: drawbridge-ed25519 AAAA… NAME";
                    self.add(&format!("keys[{number}]"), fault.to_string(), right);
                }
            }
        }
        VendorKeys::new(keys).unwrap_or_else(|fault| {
            self.add("keys", fault.to_string(), "each key once");
            VendorKeys::default()
        })
    }
}

/// Reads a profile.
pub(crate) fn profile(json: &[u8]) -> Result<Profile, Vec<FieldError>> {
    if json.len() > BYTES_MOST {
        let right = format!("at most {BYTES_MOST} bytes");
        return Err(vec![FieldError::new("(all)", "the profile is too long", right)]);
    }
    let raw: Raw = from_json(json).map_err(|mut error| {
        // A field may be called nothing at all.
        if error.field.is_empty() {
            "(all)".clone_into(&mut error.field);
        }
        vec![error]
    })?;
    let mut faults = Faults::default();
    let name = faults.file("name", &raw.name);
    let appliance = faults.line("names.appliance", raw.names.appliance);
    let array = faults.line("names.array", raw.names.array);
    let support = faults.line("names.support", raw.names.support);
    let keys = faults.keys(&raw.keys);
    let hosts = hosts(&raw.hosts, &mut faults);
    let key = faults.file("files.key", &raw.files.key);
    let request = faults.file("files.request", &raw.files.request);
    if key.is_some() && key == request {
        faults.add("files.request", "key and request have the same name", "a name for each");
    }
    let mut text = |field: &str, text: Option<String>| text.and_then(|text| faults.line(field, text));
    let texts = Texts {
        login: text("texts.login", raw.texts.login),
        challenge: text("texts.challenge", raw.texts.challenge),
        connection: text("texts.connection", raw.texts.connection),
        certificate: text("texts.certificate", raw.texts.certificate),
    };
    let events = match raw.events {
        RawEvents::CustomInfo => EventStyle::CustomInfo,
        RawEvents::OwnCodes => EventStyle::OwnCodes,
    };
    match (name, appliance, array, support, key, request) {
        (Some(name), Some(appliance), Some(array), Some(support), Some(key), Some(request))
            if faults.0.is_empty() =>
        {
            let (names, files) = (Names { appliance, array, support }, Files { key, request });
            Ok(Profile { name, names, hosts, keys, events, files, texts })
        }
        _ => Err(faults.0),
    }
}

fn hosts(raw: &RawHosts, faults: &mut Faults) -> Hosts {
    let server = raw.server.as_deref().and_then(|text| faults.target("hosts.server", text));
    if raw.on_instruction.len() > ON_INSTRUCTION_MOST {
        let right = format!("at most {ON_INSTRUCTION_MOST}");
        faults.add("hosts.on_instruction", format!("these are {}", raw.on_instruction.len()), &right);
    }
    let others = raw.on_instruction.iter().take(ON_INSTRUCTION_MOST).enumerate();
    let on_instruction: Vec<Target> = others
        .filter_map(|(number, text)| faults.target(&format!("hosts.on_instruction[{number}]"), text))
        .collect();
    if raw.server.is_none() && !on_instruction.is_empty() {
        faults.add("hosts.on_instruction", "there is no usual server beside these", "hosts.server as well");
    }
    let mail = raw.mail.as_deref().and_then(|text| {
        let mail = Mailbox::new(text);
        if mail.is_none() {
            faults.add("hosts.mail", "this is no mail address", "an address as callhome@example.com");
        }
        mail
    });
    Hosts {
        server,
        on_instruction,
        call_home: raw.call_home.as_deref().and_then(|text| faults.host("hosts.call_home", text)),
        drop: raw.drop.as_deref().and_then(|text| faults.host("hosts.drop", text)),
        mail,
    }
}
