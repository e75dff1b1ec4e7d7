//! A SOCKS5 proxy's replies: read as the dialler does, never a byte of the tunnel's is taken.
#![no_main]

use drawbridge_dial::reply::socks5::{method, password, reply};
use drawbridge_dial::reply::{Garbage, Parsed};
use libfuzzer_sys::fuzz_target;

/// Takes what the reply asks for, and gives how much that was; none when it is garbage or cut off.
fn taken<T>(data: &[u8], parse: fn(&[u8]) -> Result<Parsed<T>, Garbage>) -> Option<usize> {
    let mut end = 0;
    loop {
        match parse(&data[..end]) {
            Ok(Parsed::Whole(_)) => return Some(end),
            Ok(Parsed::More(more)) => {
                assert!(more > 0, "it waits for nothing");
                end += more;
                assert!(end <= 262, "longer than any reply");
                if end > data.len() {
                    return None;
                }
            }
            Err(_) => return None,
        }
    }
}

fuzz_target!(|data: &[u8]| {
    for parse in
        [|bytes: &[u8]| method(bytes).map(drop_value), |bytes: &[u8]| password(bytes).map(drop_value)]
    {
        assert!(matches!(taken(data, parse), None | Some(2)));
    }
    let Some(end) = taken(data, reply) else { return };
    let wanted = match data[3] {
        1 => 10,
        4 => 22,
        3 => 7 + usize::from(data[4]),
        // A refusal without an address: read with one byte more, after which nothing comes.
        _ => 5,
    };
    assert!(end == wanted || data[1] != 0, "{end} bytes for {wanted}");
});

fn drop_value<T>(parsed: Parsed<T>) -> Parsed<()> {
    match parsed {
        Parsed::More(more) => Parsed::More(more),
        Parsed::Whole(_) => Parsed::Whole(()),
    }
}
