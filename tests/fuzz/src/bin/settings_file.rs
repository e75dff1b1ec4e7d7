//! A settings file and settings as JSON, of any bytes: they are read or refused in short sentences, and what was read is
//! right and is read again the same.
#![no_main]

use drawbridge_settings::network::NetworkSettings;
use drawbridge_settings::store::{Document as _, FILE_BYTES_MOST, Source, Store, file_bytes, parse_file};
use libfuzzer_sys::fuzz_target;
use std::sync::LazyLock;

/// In memory where there is such a folder: one for each process, with nobody else in it.
static FOLDER: LazyLock<std::path::PathBuf> = LazyLock::new(|| {
    let memory = std::path::Path::new("/dev/shm");
    let above = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
    let folder = above.join(format!("drawbridge-fuzz-settings-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for the files");
    folder
});

fuzz_target!(|data: &[u8]| {
    // As JSON from a person.
    let parsed = NetworkSettings::parse_json(data);
    match &parsed {
        Ok(settings) => {
            assert_eq!(settings.check(), Ok(()), "settings that were read break a rule");
            let json = serde_json::to_vec(settings).expect("settings can be said in JSON");
            assert_eq!(NetworkSettings::parse_json(&json).as_ref(), Ok(settings), "JSON changes settings");
            let bus = postcard::to_allocvec(settings).expect("settings can be said on the bus");
            assert_eq!(postcard::from_bytes(&bus).as_ref(), Ok(settings), "the bus changes settings");
        }
        Err(faults) => {
            assert!(!faults.is_empty(), "refused without a reason");
            for fault in faults {
                let sentence = fault.to_string();
                assert!(sentence.chars().count() < 1000, "a sentence of {} bytes", sentence.len());
                assert!(!sentence.chars().any(char::is_control), "a sentence in several lines: {sentence:?}");
            }
        }
    }
    // From the bus.
    if let Ok(settings) = postcard::from_bytes::<NetworkSettings>(data) {
        let _ = settings.check();
    }
    // As a file: as it is, and behind a first line that is right.
    let _ = parse_file::<NetworkSettings>(data);
    let (version, body) = match data.split_first() {
        Some((version @ (0 | 2), body)) => (u32::from(*version), body),
        _ => (NetworkSettings::VERSION, data),
    };
    let file = file_bytes(NetworkSettings::NAME, version, body);
    let read = parse_file::<NetworkSettings>(&file);
    if version == NetworkSettings::VERSION && file.len() <= FILE_BYTES_MOST {
        if let Ok(settings) = &parsed {
            assert_eq!(read.as_ref(), Ok(settings), "the file is not what the person said");
        }
    } else {
        assert!(read.is_err(), "version {version} was read as another");
    }
    // The disk is slow: only what is worth it.
    let Ok(settings) = read else { return };
    let store = Store::at(&*FOLDER);
    std::fs::write(FOLDER.join("network.json"), &file).expect("the file is written");
    let loaded = store.load::<NetworkSettings>();
    assert_eq!(loaded.source, Source::Current);
    assert_eq!(loaded.value, settings);
    store.save(&loaded.value).expect("what was loaded can be saved");
    let again = store.load::<NetworkSettings>();
    assert_eq!(again, loaded, "saving changes settings");
});
