//! An SFTP client of bytes, which sends what no real one does.

use super::{Bench, SOON};
use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

/// A packet with its length.
pub(crate) fn packet(kind: u8, id: u32, fields: &[&[u8]]) -> Vec<u8> {
    let body = [&[kind][..], &id.to_be_bytes(), &fields.concat()].concat();
    string(&body)
}

/// Bytes with their length before them.
pub(crate) fn string(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat()
}

/// A number on the wire.
pub(crate) fn number(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap())
}

/// The packets that these bytes are, without their lengths.
pub(crate) fn packets(mut bytes: &[u8]) -> Vec<Vec<u8>> {
    let mut packets = Vec::new();
    while !bytes.is_empty() {
        let length = number(bytes, 0) as usize;
        packets.push(bytes[4..4 + length].to_vec());
        bytes = &bytes[4 + length..];
    }
    packets
}

/// The client, which has said its version.
pub(crate) struct Client {
    child: Child,
    input: ChildStdin,
    answers: Receiver<Vec<u8>>,
}

impl Client {
    pub(crate) fn start(bench: &Bench) -> Self {
        let mut command = Command::new(bench.program(&["7", "sftp"]));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = child.stdout.take().unwrap();
        let (sender, answers) = channel();
        std::thread::spawn(move || {
            let mut length = [0; 4];
            while output.read_exact(&mut length).is_ok() {
                let mut answer = vec![0; u32::from_be_bytes(length) as usize];
                if output.read_exact(&mut answer).is_err() || sender.send(answer).is_err() {
                    return;
                }
            }
        });
        let mut client = Self { child, input, answers };
        let version = client.ask(&packet(1, 3, &[]));
        assert_eq!((version[0], number(&version, 1)), (2, 3));
        client
    }

    /// Sends these bytes and waits for one answer, without its length.
    pub(crate) fn ask(&mut self, request: &[u8]) -> Vec<u8> {
        self.input.write_all(request).unwrap();
        self.answers.recv_timeout(SOON).expect("a request is not answered")
    }

    /// Code and sentence of a status that answers this very request.
    pub(crate) fn status(&mut self, request: &[u8]) -> (u32, String) {
        let answer = self.ask(request);
        assert_eq!(number(&answer, 1), number(request, 5), "the answer is for another request");
        if answer[0] != 101 {
            return (0, String::new());
        }
        let length = number(&answer, 9) as usize;
        (number(&answer, 5), String::from_utf8(answer[13..13 + length].to_vec()).unwrap())
    }

    /// Sends these bytes; the status that the process ends with, and what it has answered until then.
    pub(crate) fn ends(mut self, last: &[u8]) -> (Option<i32>, Vec<Vec<u8>>) {
        self.input.write_all(last).unwrap();
        let mut answers = Vec::new();
        // The input stays open: it is the server that ends.
        while let Ok(answer) = self.answers.recv_timeout(SOON) {
            answers.push(answer);
        }
        (self.child.wait().unwrap().code(), answers)
    }
}
