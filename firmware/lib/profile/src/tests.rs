use super::*;

const KEY: &str = "drawbridge-ed25519 AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8= The vendor 2026";

fn fields(json: &str) -> Vec<String> {
    Profile::parse(json.as_bytes()).unwrap_err().into_iter().map(|fault| fault.field).collect()
}

#[test]
fn every_profile_that_comes_with_drawbridge_can_be_read_and_bears_no_key() {
    for (name, text) in BUILT_IN {
        let profile =
            Profile::parse(text.as_bytes()).unwrap_or_else(|faults| panic!("{name}: {}", sentence(&faults)));
        assert_eq!(profile.name.as_str(), name);
        assert_eq!(profile.keys.iter().count(), 0, "a vendor's build brings its own keys");
    }
}

#[test]
fn the_generic_profile_names_no_host_and_is_what_its_replacement_says() {
    let (file, plain) = (Profile::generic(), Profile::plain());
    assert_eq!(format!("{file:?}"), format!("{plain:?}"));
    assert_eq!(file.hosts, Hosts::default());
    assert_eq!(file.files.request.as_str(), "support_appliance_csr.pem");
}

#[test]
fn the_infinibox_profile_says_what_the_guides_document() {
    let profile = Profile::parse(BUILT_IN[1].1.as_bytes()).unwrap();
    let hosts = &profile.hosts;
    assert_eq!(hosts.server.as_ref().map(ToString::to_string).as_deref(), Some("rss.infinidat.com:443"));
    let others: Vec<String> = hosts.on_instruction.iter().map(ToString::to_string).collect();
    assert_eq!(others, ["rss-us.infinidat.com:443"]);
    assert_eq!(
        hosts.call_home.as_ref().map(ToString::to_string).as_deref(),
        Some("callhome-eu.ramen.infiniops.com")
    );
    assert_eq!(hosts.drop.as_ref().map(ToString::to_string).as_deref(), Some("drop.infiniops.com"));
    assert_eq!(hosts.mail.as_ref().map(Mailbox::as_str), Some("callhome@infiniops.com"));
    assert_eq!(profile.files.key.as_str(), "infinibox_sa_private_key.key");
    assert_eq!(profile.files.request.as_str(), "infinibox_sa_csr.pem");
}

#[test]
fn what_is_wrong_with_a_profile_is_told_by_field_and_all_at_once() {
    let wrong = format!(
        r#"{{ "name": "../a", "names": {{ "appliance": "", "array": "a\nb", "support": "{}" }},
            "hosts": {{ "server": "rss.example.com", "on_instruction": ["x:0"], "call_home": "a b", "drop": "-",
                        "mail": "a@b@c.example" }},
            "keys": ["{KEY}", "ssh-ed25519 AAAA"], "events": "own-codes",
            "files": {{ "key": "a.pem", "request": "a.pem" }}, "texts": {{ "login": " x" }} }}"#,
        "s".repeat(61)
    );
    let mut found = fields(&wrong);
    found.sort();
    let expected = [
        "files.request",
        "hosts.call_home",
        "hosts.drop",
        "hosts.mail",
        "hosts.on_instruction[0]",
        "hosts.server",
        "keys[1]",
        "name",
        "names.appliance",
        "names.array",
        "names.support",
        "texts.login",
    ];
    assert_eq!(found, expected);
    let generic = BUILT_IN[0].1;
    assert_eq!(fields(&generic.replace("custom-info", "smoke")), ["events"]);
    assert_eq!(fields(&generic.replace("\"events\"", "\"more\": 1, \"events\"")), ["more"]);
    assert_eq!(fields(&" ".repeat(BYTES_MOST + 1)), ["(all)"]);
    let keys = |keys: &str| generic.replace("\"events\"", &format!("\"keys\": [{keys}], \"events\""));
    assert_eq!(Profile::parse(keys(&format!("\"{KEY}\"")).as_bytes()).unwrap().keys.iter().count(), 1);
    assert_eq!(fields(&keys(&format!("\"{KEY}\", \"{KEY}\""))), ["keys"]);
    assert_eq!(fields(&keys(&["\"\""; KEYS_MOST + 1].join(",")))[0], "keys");
}

#[test]
fn a_profile_that_cannot_be_read_is_told_and_the_generic_one_stands_in() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("profile.json");
    let (profile, why) = Profile::load(&file);
    assert_eq!(profile.name.as_str(), "generic");
    assert!(why.unwrap().ends_with("it is not there; the generic one is used"));
    for broken in ["", "{", "[]", "{\"name\": 1}", &"x".repeat(BYTES_MOST * 2)] {
        std::fs::write(&file, broken).unwrap();
        let (profile, why) = Profile::load(&file);
        assert_eq!(profile.name.as_str(), "generic", "{broken:.20}");
        let why = why.unwrap();
        assert!(why.len() < 1200 && !why.contains('\n'), "{why}");
    }
    std::fs::write(&file, BUILT_IN[1].1).unwrap();
    let (profile, why) = Profile::load(&file);
    assert_eq!((profile.name.as_str(), why), ("infinibox", None));
}
