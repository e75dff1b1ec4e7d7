//! Whatever lies in the folder and whenever the power fails, a whole document is read.

use super::*;
use crate::network::NetworkSettings;
use serde::Deserialize;
use serde_json::json;
use tempfile::TempDir;

/// A document that had a version 0, with the seconds as minutes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Example {
    seconds: u32,
    note: String,
}

impl Document for Example {
    const NAME: &'static str = "example";
    const VERSION: u32 = 1;

    fn migrate(from: u32, mut body: Value) -> Result<Value, String> {
        let Some(fields) = body.as_object_mut().filter(|_| from == 0) else {
            return Err("it is no object".to_owned());
        };
        let minutes =
            fields.remove("minutes").and_then(|minutes| minutes.as_u64()).ok_or("no minutes are in it")?;
        fields.insert("seconds".to_owned(), minutes.saturating_mul(60).into());
        Ok(body)
    }

    fn check(&self) -> Result<(), Vec<FieldError>> {
        if self.seconds > 86_400 {
            return Err(vec![FieldError::new("seconds", "that is more than a day", "at most 86400")]);
        }
        Ok(())
    }
}

fn example(seconds: u32) -> Example {
    Example { seconds, note: "as it is".to_owned() }
}

fn folder() -> (TempDir, Store) {
    // In memory where that can be: what is shown here is the order of the steps, and a disk takes its time for each fsync.
    let folder = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).unwrap();
    let store = Store::at(folder.path());
    (folder, store)
}

fn put(folder: &TempDir, name: &str, bytes: &[u8]) {
    std::fs::write(folder.path().join(name), bytes).unwrap();
}

fn files(folder: &TempDir) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_saved_is_loaded_and_two_generations_are_kept() {
    let (folder, store) = folder();
    let loaded = store.load::<Example>();
    assert_eq!(loaded, Loaded { value: Example::default(), source: Source::Defaults { why: None } });
    assert!(!loaded.is_troubled());
    for seconds in [1, 2, 3] {
        store.save(&example(seconds)).unwrap();
        assert_eq!(store.load(), Loaded { value: example(seconds), source: Source::Current });
    }
    assert_eq!(files(&folder), ["example.json", "example.previous.json"]);
    std::fs::remove_file(folder.path().join("example.json")).unwrap();
    let loaded = store.load::<Example>();
    assert_eq!(loaded.value, example(2));
    assert!(loaded.is_troubled());
    assert!(loaded.sentence().contains("because the file is missing"), "{}", loaded.sentence());
}

#[test]
fn the_file_is_a_line_with_the_checksum_then_json_and_its_owners_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (folder, store) = folder();
    store.save(&example(7)).unwrap();
    let path = folder.path().join("example.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let (header, body) = text.split_once('\n').unwrap();
    assert!(header.starts_with("drawbridge example 1 "), "{header}");
    assert_eq!(body, "{\n  \"seconds\": 7,\n  \"note\": \"as it is\"\n}\n");
    assert_eq!(file_bytes("example", 1, body.as_bytes()), text.as_bytes());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

/// Cuts the power before each step in turn, over folders in every state that an earlier cut can leave.
#[test]
fn a_power_cut_at_any_step_leaves_the_old_or_the_new_whole() {
    for saved_before in 0..3 {
        let mut cuts = 0;
        // The first cut comes before step `first`, the second, at the next save, before step `second`.
        for first in 0..9 {
            for second in 0..9 {
                let (folder, store) = folder();
                for seconds in 0..saved_before {
                    store.save(&example(seconds)).unwrap();
                }
                let mut old = store.load::<Example>().value;
                for (cut, new) in [(first, example(100)), (second, example(200))] {
                    let steps = cut_power(&store, &folder, &new, cut);
                    cuts += 1;
                    let loaded = store.load::<Example>();
                    assert!(
                        loaded.value == old || loaded.value == new,
                        "{saved_before} saved, cut before step {cut}: {loaded:?} in {:?}",
                        files(&folder)
                    );
                    if steps.contains(&Step::SyncNew) {
                        assert_eq!(loaded.value, new, "what was put in its place stays");
                    }
                    old = loaded.value;
                }
                // And it is none the worse for it.
                store.save(&example(300)).unwrap();
                assert_eq!(store.load(), Loaded { value: example(300), source: Source::Current });
                assert!(!folder.path().join("example.new").exists());
            }
        }
        assert_eq!(cuts, 162);
    }
}

/// Saves up to before the step of this number, then leaves the folder as a power cut would: a file that is being written
/// is there in part. Returns the steps that were begun.
fn cut_power(store: &Store, folder: &TempDir, new: &Example, cut: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    let path = folder.path().join("example.new");
    let (mut off, mut left) = (false, None);
    let result = store.save_in_steps(new, &mut |step| {
        if steps.len() == cut {
            off = true;
            // What saving itself tidies up after an error stays when there is no power to do it.
            left = std::fs::read(&path).ok();
            return Err(io::Error::other("no power"));
        }
        steps.push(step);
        Ok(())
    });
    if let Some(bytes) = left {
        // Without the fsync only a part of it may have got there.
        let whole = steps.contains(&Step::Sync);
        std::fs::write(&path, if whole { &bytes[..] } else { &bytes[..bytes.len() / 2] }).unwrap();
    }
    assert_eq!(result.is_err(), off);
    steps
}

#[test]
fn the_new_file_is_on_the_disk_before_the_old_one_moves() {
    let (_folder, store) = folder();
    let mut steps = Vec::new();
    for seconds in [1, 2] {
        steps.clear();
        let mut note = |step| {
            steps.push(step);
            Ok(())
        };
        store.save_in_steps(&example(seconds), &mut note).unwrap();
    }
    let expected = [
        Step::Clear,
        Step::Create,
        Step::Write,
        Step::Sync,
        Step::KeepOld,
        Step::SyncOld,
        Step::PutNew,
        Step::SyncNew,
    ];
    assert_eq!(steps, expected);
}

#[test]
fn a_full_disk_leaves_the_old_file_and_no_half_of_the_new() {
    let (folder, store) = folder();
    store.save(&example(1)).unwrap();
    let full = |step| {
        if step == Step::Sync { Err(io::Error::from_raw_os_error(libc::ENOSPC)) } else { Ok(()) }
    };
    let error = store.save_in_steps(&example(2), &mut { full }).unwrap_err();
    assert!(error.to_string().contains("bringing the new file to the disk"), "{error}");
    assert_eq!(files(&folder), ["example.json"]);
    assert_eq!(store.load(), Loaded { value: example(1), source: Source::Current });
}

#[test]
fn every_damaged_byte_and_every_cut_is_noticed() {
    let (folder, store) = folder();
    store.save(&example(1)).unwrap();
    store.save(&example(2)).unwrap();
    let whole = std::fs::read(folder.path().join("example.json")).unwrap();
    for at in 0..whole.len() {
        let mut damaged = whole.clone();
        damaged[at] ^= 0x01;
        put(&folder, "example.json", &damaged);
        let loaded = store.load::<Example>();
        // The version's digit is not in the checksum: a 1 that became a 0 has no minutes.
        assert_eq!(loaded.value, example(1), "byte {at}: {loaded:?}");
        put(&folder, "example.json", &whole[..at]);
        assert_eq!(store.load::<Example>().value, example(1), "cut at {at}");
    }
}

#[test]
fn a_damaged_current_file_never_takes_the_place_of_the_previous() {
    let (folder, store) = folder();
    store.save(&example(1)).unwrap();
    store.save(&example(2)).unwrap();
    put(&folder, "example.json", b"drawbridge example 1 nonsense\n{}");
    // A save that is cut off before the new file is there: the previous one is all there is.
    for cut in 0..5 {
        cut_power(&store, &folder, &example(3), cut);
        assert_eq!(store.load::<Example>().value, example(1), "{:?}", files(&folder));
    }
    store.save(&example(3)).unwrap();
    put(&folder, "example.json", b"");
    assert_eq!(store.load::<Example>().value, example(1));
}

#[test]
fn a_file_of_a_newer_version_is_not_used_and_kept_aside() {
    let (folder, store) = folder();
    store.save(&example(1)).unwrap();
    store.save(&example(2)).unwrap();
    let newer = file_bytes("example", 2, br#"{"seconds":{"whole":3}}"#);
    put(&folder, "example.json", &newer);
    let loaded = store.load::<Example>();
    assert_eq!(loaded.value, example(1));
    assert!(loaded.sentence().contains("the file is of version 2, and this software knows versions up to 1"));
    assert_eq!(files(&folder), ["example.json", "example.previous.json"], "loading moves nothing");
    store.save(&example(4)).unwrap();
    assert_eq!(std::fs::read(folder.path().join("example.newer.json")).unwrap(), newer);
    assert_eq!(store.load(), Loaded { value: example(4), source: Source::Current });
    put(&folder, "example.json", b"");
    assert_eq!(store.load::<Example>().value, example(1), "the previous generation is still there");
}

#[test]
fn an_older_version_is_brought_up_to_now() {
    let (folder, store) = folder();
    put(&folder, "example.json", &file_bytes("example", 0, br#"{"minutes":2,"note":"old"}"#));
    let loaded = store.load::<Example>();
    assert_eq!(
        loaded,
        Loaded { value: Example { seconds: 120, note: "old".to_owned() }, source: Source::Current }
    );
    // Saved again it is of this version, and the old file is the generation before.
    store.save(&loaded.value).unwrap();
    let text = std::fs::read_to_string(folder.path().join("example.json")).unwrap();
    assert!(text.starts_with("drawbridge example 1 "), "{text}");
    assert_eq!(store.load::<Example>().value, loaded.value);

    put(&folder, "example.json", &file_bytes("example", 0, br#"{"note":"old"}"#));
    let loaded = store.load::<Example>();
    assert!(
        loaded.sentence().contains("cannot be brought to version 1: no minutes are in it"),
        "{}",
        loaded.sentence()
    );
}

#[test]
fn what_breaks_the_rules_is_neither_saved_nor_loaded() {
    let (folder, store) = folder();
    let error = store.save(&example(86_401)).unwrap_err();
    assert!(error.to_string().contains("seconds: that is more than a day; at most 86400"), "{error}");
    assert!(files(&folder).is_empty());
    put(&folder, "example.json", &file_bytes("example", 1, br#"{"seconds":86401,"note":""}"#));
    let loaded = store.load::<Example>();
    assert_eq!(loaded.value, Example::default());
    assert!(loaded.sentence().contains("seconds: that is more than a day"), "{}", loaded.sentence());

    let long = Example { seconds: 1, note: "x".repeat(FILE_BYTES_MOST) };
    assert!(matches!(store.save(&long), Err(SaveError::TooLong(_))));
}

#[test]
fn odd_things_in_the_folder_are_said_and_do_not_hold_anything_up() {
    let usable = file_bytes("example", 1, &serde_json::to_vec(&example(1)).unwrap());
    for (what, words) in [
        ("folder", "it is no file"),
        ("link", "cannot be read"),
        ("pipe", "it is no file"),
        ("long", "longer than 262144 bytes"),
        ("binary", "does not begin as one of this appliance's"),
        ("other", "something else, namely network"),
        ("deep", "the file's content is wrong"),
    ] {
        let (folder, store) = folder();
        let path = folder.path().join("example.json");
        match what {
            "folder" => std::fs::create_dir(&path).unwrap(),
            "link" => {
                put(&folder, "elsewhere", &usable);
                std::os::unix::fs::symlink("elsewhere", &path).unwrap();
            }
            "pipe" => assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success()),
            "long" => put(&folder, "example.json", &vec![b' '; FILE_BYTES_MOST + 1]),
            "binary" => put(&folder, "example.json", &[0xff; 4096]),
            "other" => put(&folder, "example.json", &file_bytes("network", 1, b"{}")),
            _ => put(&folder, "example.json", &file_bytes("example", 1, "[".repeat(100_000).as_bytes())),
        }
        let loaded = store.load::<Example>();
        assert_eq!(loaded.value, Example::default(), "{what}");
        assert!(loaded.is_troubled() && loaded.sentence().contains(words), "{what}: {}", loaded.sentence());
        if what != "folder" {
            store.save(&example(2)).unwrap();
            assert_eq!(store.load(), Loaded { value: example(2), source: Source::Current }, "{what}");
        }
    }
}

#[test]
fn network_settings_are_kept_as_version_1() {
    let (folder, store) = folder();
    let settings = NetworkSettings::parse_json(
        json!({"host_name": "support-1", "interfaces": [
            {"name": "outside", "at": {"port": "pci-0000:00:03.0"}, "roles": ["uplink"], "ipv6": "off"}
        ]})
        .to_string()
        .as_bytes(),
    )
    .unwrap();
    store.save(&settings).unwrap();
    assert_eq!(store.load(), Loaded { value: settings.clone(), source: Source::Current });
    let text = std::fs::read_to_string(folder.path().join("network.json")).unwrap();
    assert!(text.starts_with("drawbridge network 1 "), "{text}");
    let wrong = NetworkSettings { confirm_seconds: 5, ..settings };
    assert!(matches!(store.save(&wrong), Err(SaveError::Wrong(_))));
}
