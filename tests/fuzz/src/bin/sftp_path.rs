//! A path of an SFTP client: it is made of names that can be nothing but names, and is itself when it is read again.
#![no_main]

use drawbridge_shell::path::{NAMES_MOST, SafePath, is_name};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Ok(path) = SafePath::parse(data) {
        assert!(path.names().len() <= NAMES_MOST);
        assert!(path.names().iter().all(|name| is_name(name)), "{path} leads elsewhere");
        assert_eq!(SafePath::parse(&path.to_bytes()), Ok(path.clone()), "{path} is read otherwise");
        assert!(SafePath::default().holds(&path));
    }
});
