//! A time server's reply: what is believed lies within the bounds, and an answer to another question never is.
#![no_main]

use drawbridge_network::time::packet::{Bounds, Refusal, judge};
use drawbridge_network::time::selection::{Sample, select};
use libfuzzer_sys::fuzz_target;
use std::time::Duration;

const FLOOR: u64 = 1_767_225_600;
const SECOND: i128 = 1_000_000_000;
const YEARS: i128 = 20 * 31_556_952 * SECOND;

fuzz_target!(|data: &[u8]| {
    let Some((number, rest)) = data.split_first_chunk::<8>() else { return };
    let number = u64::from_be_bytes(*number);
    let mut samples = Vec::new();
    for piece in rest.chunks(48).take(8) {
        let mut piece = piece.to_vec();
        assert!(
            piece.get(24..32) == Some(&number.to_be_bytes())
                || judge(&piece, number, Bounds::from_floor(FLOOR)).is_err(),
            "an answer to another question"
        );
        // Random bytes never repeat the number and seldom have the flags: most get both.
        if piece.len() == 48 {
            piece[24..32].copy_from_slice(&number.to_be_bytes());
            piece[0] = piece[0] & 0b1110_0000 | 0b0000_0100 | piece[0] >> 2 & 0b0001_1000;
        }
        let reply = match judge(&piece, number, Bounds::from_floor(FLOOR)) {
            Ok(reply) => reply,
            Err(refusal) => {
                assert!(refusal != Refusal::OtherQuestion || piece.len() < 48);
                assert!(refusal.to_string().chars().all(|c| c.is_ascii_graphic() || c == ' '), "{refusal}");
                continue;
            }
        };
        let time = reply.transmitted - i128::from(FLOOR) * SECOND;
        assert!((0..YEARS + SECOND).contains(&time), "{reply:?}");
        assert!((1..=15).contains(&reply.stratum));
        if let Ok(sample) = Sample::of(&reply, i128::from(FLOOR) * SECOND, Duration::from_secs(70)) {
            samples.push(sample);
        }
    }
    if let Ok(choice) = select(&samples) {
        assert!(choice.agree.len() * 2 > samples.len(), "no majority: {choice:?}");
        let holds = |offset: i128, sample: &Sample| {
            offset.abs_diff(sample.offset) <= sample.distance().as_nanos() + choice.error.as_nanos() * 2
        };
        assert!(choice.agree.iter().all(|place| holds(choice.offset, &samples[*place])), "{choice:?}");
    }
});
