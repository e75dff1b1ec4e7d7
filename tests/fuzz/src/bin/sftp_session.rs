//! A session of an SFTP client in a folder whose names are partly no UTF-8: each request is answered once, by its own number and in
//! its order, until the first that is none; and nothing outside the folder is touched.
#![no_main]

use drawbridge_shell::sftp::serve_over;
use libfuzzer_sys::fuzz_target;
use std::ffi::OsStr;
use std::io::{Cursor, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex};
use tokio::runtime::{Builder, Runtime};

/// The longest packet that is taken.
const PACKET_BYTES: usize = 256 * 1024;

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().build().expect("a runtime"));
static TOP: LazyLock<PathBuf> = LazyLock::new(|| {
    // In memory, where that is to be had: each run makes its files anew.
    let memory = PathBuf::from("/dev/shm");
    let folder = if memory.is_dir() { memory } else { std::env::temp_dir() };
    folder.join(format!("drawbridge-fuzz-sftp-{}", std::process::id()))
});

#[derive(Clone, Default)]
struct Heard(Arc<Mutex<Vec<u8>>>);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().expect("nobody else fails").extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// The packets in front, without their lengths, up to the first that is none.
fn packets(mut bytes: &[u8]) -> Vec<&[u8]> {
    let mut packets = Vec::new();
    while let Some((length, rest)) = bytes.split_first_chunk::<4>() {
        let length = u32::from_be_bytes(*length) as usize;
        let Some((packet, rest)) = rest.split_at_checked(length) else { break };
        if !(5..=PACKET_BYTES).contains(&length) {
            break;
        }
        packets.push(packet);
        bytes = rest;
    }
    packets
}

/// The session that these bytes stand for, which begins well: of each packet its kind, a string, and the rest.
fn session(mut bytes: &[u8]) -> Vec<u8> {
    let mut said = vec![0, 0, 0, 5, 1, 0, 0, 0, 3];
    let mut id = 0_u32;
    while let [kind, length, rest @ ..] = bytes {
        let (string, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        let (length, rest) = rest.split_first().unwrap_or((&0, &[]));
        let (fields, rest) = rest.split_at(rest.len().min(usize::from(*length)));
        let number = |number: usize| u32::try_from(number).expect("some bytes").to_be_bytes();
        said.extend(number(9 + string.len() + fields.len()));
        said.extend([&[*kind][..], &id.to_be_bytes(), &number(string.len()), string, fields].concat());
        (bytes, id) = (rest, id + 1);
    }
    said
}

fuzz_target!(|data: &[u8]| {
    // A folder is made anew: what a run finds must not hang on those before it.
    let folder = TOP.join("files");
    let _ = std::fs::remove_dir_all(&*TOP);
    std::fs::create_dir_all(folder.join(OsStr::from_bytes(b"d\xff"))).expect("a folder");
    std::fs::write(TOP.join("outside"), "kept").expect("a file");
    for name in [&b"x"[..], b"n\xfe", b"n\xff", b"o\xff"] {
        std::fs::write(folder.join(OsStr::from_bytes(name)), name).expect("a file");
    }
    let said = match data.split_first() {
        Some((0, said)) => said.to_vec(),
        Some((_, packets)) => session(packets),
        None => Vec::new(),
    };
    let heard = Heard::default();
    let end = serve_over(&RUNTIME, &folder, |_| Ok(()), Cursor::new(said.clone()), heard.clone());
    let answers = heard.0.lock().expect("nobody else fails");
    let (asked, answered) = (packets(&said), packets(&answers));
    let whole: usize = answered.iter().map(|answer| answer.len() + 4).sum();
    assert_eq!(whole, answers.len(), "an answer is cut short");
    if asked.first().is_some_and(|packet| packet[0] == 1) && !answered.is_empty() {
        assert_eq!(answered.len(), asked.len(), "a request is not answered once");
        for (asked, answered) in asked.iter().zip(&answered).skip(1) {
            assert_eq!(asked[1..5], answered[1..5], "an answer is for another request");
        }
    } else {
        assert!(answered.is_empty() && (end.is_err() || said.is_empty()), "no session, and answers");
    }
    assert_eq!(std::fs::read(TOP.join("outside")).ok().as_deref(), Some(&b"kept"[..]));
    assert_eq!(std::fs::read_dir(&*TOP).expect("it is there").count(), 2, "something is beside the folder");
});
