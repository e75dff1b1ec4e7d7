//! The vendor's profile as the pages read it. It holds no secret, and says to somebody who has not logged in only what the login shows.

use drawbridge_profile::{Profile, Texts};
use serde_json::{Value, json};

/// What the login shows.
pub(crate) fn outside(profile: &Profile) -> Value {
    let Texts { login, challenge, .. } = &profile.texts;
    json!({
        "appliance": profile.names.appliance,
        "array": profile.names.array,
        "support": profile.names.support,
        "login": login,
        "challenge": challenge,
    })
}

/// All of it but the keys, which have a call of their own.
pub(crate) fn whole(profile: &Profile) -> Value {
    let hosts = &profile.hosts;
    let text = |value: Option<&dyn std::fmt::Display>| value.map(ToString::to_string);
    json!({
        "name": profile.name.as_str(),
        "names": {
            "appliance": profile.names.appliance,
            "array": profile.names.array,
            "support": profile.names.support,
        },
        "hosts": {
            "server": text(hosts.server.as_ref().map(|one| one as _)),
            "on_instruction": hosts.on_instruction.iter().map(ToString::to_string).collect::<Vec<_>>(),
            "call_home": text(hosts.call_home.as_ref().map(|one| one as _)),
            "drop": text(hosts.drop.as_ref().map(|one| one as _)),
            "mail": hosts.mail.as_ref().map(drawbridge_profile::Mailbox::as_str),
        },
        "files": { "key": profile.files.key.as_str(), "request": profile.files.request.as_str() },
        "texts": { "connection": profile.texts.connection, "certificate": profile.texts.certificate },
    })
}
