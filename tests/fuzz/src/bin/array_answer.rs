//! An answer of what may be an array: nobody is an administrator whom it does not call one, and no text of it leaves its bounds.
#![no_main]

use drawbridge_array::{Answer, Asked, LoginError, Role, session};
use libfuzzer_sys::fuzz_target;

fn is_plain(text: &str) -> bool {
    text.chars().count() <= 256 && !text.chars().any(char::is_control)
}

fuzz_target!(|data: &[u8]| {
    let Some((&[first, second, kind], body)) = data.split_first_chunk::<3>() else { return };
    let status = u16::from_le_bytes([first, second]) % 1000;
    let text = String::from_utf8_lossy(body);
    // Mostly what an array says, so that its body is looked into.
    let content_type = match kind % 8 {
        0 => None,
        1 => Some(&*text),
        _ => Some("application/json"),
    };
    let status = if kind & 0x80 == 0 { [200, 401, 403, 503][usize::from(first % 4)] } else { status };
    let answer = Answer { status, content_type, body };
    let asked = [answer.person(Asked::Login), answer.person(Asked::Session)];
    for told in &asked {
        match told {
            Ok(person) => {
                assert!((200..=299).contains(&status) && content_type.is_some(), "{status} lets in");
                assert!(
                    !person.name.is_empty() && person.name.chars().count() <= 128 && is_plain(&person.name)
                );
                assert!((1..=16).contains(&person.roles.len()));
                if person.may_connect() {
                    assert!(person.roles.contains(&Role::Admin));
                    // In any case, and in JSON each character may be escaped.
                    let said = text.to_ascii_uppercase();
                    assert!(said.contains("ADMIN") || said.contains("\\U00"), "nobody said so");
                }
                for role in &person.roles {
                    if let Role::Other(name) = role {
                        assert!(name.chars().count() <= 128 && is_plain(name));
                    }
                }
            }
            Err(error) => {
                assert!(!error.to_string().chars().any(char::is_control), "{error:?}");
                assert!(error.to_string().chars().count() <= 400 && !error.remedy().is_empty());
            }
        }
    }
    // What was asked makes a difference for what is refused only.
    match asked {
        [Err(LoginError::WrongCredentials), other] => assert_eq!(other, Err(LoginError::UnknownSession)),
        [one, other] => assert_eq!(one, other),
    }
    let _ = session(text.lines());
    // The same answer as the array's events, or as its word that it has taken one.
    let answer = Answer { status, content_type, body };
    if let Ok(events) = answer.events() {
        for (name, value) in events.iter().flat_map(|event| &event.data) {
            assert!(is_plain(name) && is_plain(value) && value.chars().count() <= 256);
        }
    }
    let _ = answer.taken();
});
