//! What every role knows of the build. It never changes.

/// When this system was built, in seconds since 1970: no clock of ours is ever before it.
pub const BUILD_TIME: i64 = match option_env!("DRAWBRIDGE_BUILD_TIME") {
    Some(text) => parse_const(text),
    // A build by hand: 2026-11-01.
    None => 1_793_491_200,
};

const fn parse_const(text: &str) -> i64 {
    let bytes = text.as_bytes();
    let mut value = 0;
    let mut at = 0;
    while at < bytes.len() {
        assert!(bytes[at].is_ascii_digit(), "DRAWBRIDGE_BUILD_TIME is seconds since 1970, in digits");
        value = value * 10 + (bytes[at] - b'0') as i64;
        at += 1;
    }
    value
}
