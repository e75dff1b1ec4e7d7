//! What a program writes to a terminal, with its size changed in between: the screen stays within its bounds, shows
//! nothing that a terminal would obey, and is the same however the bytes come. A panic in the terminal's crate is
//! found here, too.
#![no_main]

use drawbridge_recording::{Screen, Size};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let size = |bytes: &[u8]| match bytes {
        [rows, columns, ..] => Size::clamped(u32::from(*rows) % 60, u32::from(*columns)),
        _ => Size::clamped(24, 80),
    };
    let (mut whole, mut slow) = (Screen::new(size(data)), Screen::new(size(data)));
    // A byte that no program writes parts the pieces between which the window changes.
    for part in data.split(|byte| *byte == 0xff) {
        whole.output(part);
        for byte in part {
            slow.output(&[*byte]);
        }
        let next = size(part);
        whole.resize(next);
        slow.resize(next);
        let snapshot = whole.snapshot();
        assert_eq!(snapshot, slow.snapshot());
        assert_eq!((snapshot.rows, snapshot.columns), (next.rows(), next.columns()));
        assert_eq!(snapshot.lines.len(), usize::from(snapshot.rows));
        for line in &snapshot.lines {
            let mut column = 0;
            for run in line {
                assert!(run.column >= column && run.column + run.width <= snapshot.columns, "{run:?}");
                assert!(!run.text.chars().any(drawbridge_chain::is_hidden), "{run:?}");
                column = run.column + run.width;
            }
        }
        assert!(snapshot.cursor.is_none_or(|at| at.row < snapshot.rows && at.column < snapshot.columns));
    }
    assert_eq!((whole.lost(), slow.lost()), (0, 0));
});
