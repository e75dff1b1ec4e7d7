//! What is said to the recorder of files and places, with stock clients; and what is not done when it is not kept.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

#[allow(dead_code)] // Not every one of these tests needs all of it.
mod common;

use common::wire::{Client, packet, string};
use common::{Answer, Bench, bytes, scope};
use drawbridge_bus::record::Deed;
use drawbridge_bus::support::{Recording, Target};
use std::net::TcpListener;
use std::process::Command;

/// Starts the role, in a process of its own; by itself it does nothing.
#[test]
#[ignore = "run by the others"]
fn the_roles_own_process() {
    common::be_the_role();
}

fn bench() -> Bench {
    Bench::new(scope(Vec::new(), true, true))
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    ring::digest::digest(&ring::digest::SHA256, bytes).as_ref().try_into().unwrap()
}

/// Bytes without a pattern that a block would hide.
fn noise(length: u32) -> Vec<u8> {
    (0..length).map(|at| at.wrapping_mul(2_654_435_761).to_le_bytes()[3]).collect()
}

#[test]
fn each_file_that_sftp_or_scp_carries_is_told_with_its_length_and_digest() {
    let bench = bench();
    let data = noise(700_001);
    let (here, back) = (bench.folder.path().join("here"), bench.folder.path().join("back"));
    std::fs::write(&here, &data).unwrap();
    let ssh = bench.ssh();
    let file = |written| Deed::File {
        written,
        path: "/there".to_owned(),
        carried: 700_001,
        length: 700_001,
        sha256: sha256(&data),
    };
    for way in ["-O", "-s"] {
        for (from, to) in [(here.to_str().unwrap(), "sa:there"), ("sa:there", back.to_str().unwrap())] {
            let mut scp = Command::new("timeout");
            scp.args(["60", "scp", "-q", way, "-S"]).arg(&ssh).args([from, to]);
            let output = common::run(&mut scp, b"");
            assert!(output.status.success(), "{way} {from} {to}: {output:?}");
        }
        let deeds = bench.deeds();
        let wrote = deeds.iter().filter(|deed| **deed == file(true)).count();
        let read = deeds.iter().filter(|deed| **deed == file(false)).count();
        let times = if way == "-O" { 1 } else { 2 };
        assert_eq!((wrote, read), (times, times), "{way}: {deeds:?}");
        std::fs::remove_file(bench.files().join("there")).unwrap();
    }
    // Each was told before it was opened.
    let opened = |what: &str| bench.changes().iter().filter(|words| *words == what).count();
    assert_eq!(opened("opens /there to write it from its beginning"), 1, "{:?}", bench.changes());
    assert_eq!(opened("opens /there to write it"), 1, "{:?}", bench.changes());
    assert_eq!(opened("opens /there to read it"), 2, "{:?}", bench.changes());
}

#[test]
fn a_part_of_a_file_is_told_as_a_part_with_the_digest_of_the_whole() {
    let bench = bench();
    let data = noise(300_000);
    std::fs::write(bench.files().join("big"), &data).unwrap();
    std::fs::write(bench.folder.path().join("big"), &data[..200_000]).unwrap();
    let (content, text) = bench.sftp("reget big\n");
    assert!(content, "{text}");
    assert!(bytes(&bench.folder.path().join("big")) == data);
    let part = |written, carried| Deed::File {
        written,
        path: "/big".to_owned(),
        carried,
        length: 300_000,
        sha256: sha256(&data),
    };
    assert!(bench.deeds().contains(&part(false, 100_000)), "{:?}", bench.deeds());
    std::fs::write(bench.files().join("big"), &data[..250_000]).unwrap();
    let (content, text) = bench.sftp("reput big\n");
    assert!(content, "{text}");
    assert!(bench.deeds().contains(&part(true, 50_000)), "{:?}", bench.deeds());
}

#[test]
fn a_transfer_that_is_cut_is_told_as_far_as_it_came() {
    let bench = bench();
    let output = bench.exec_with("scp -t x", b"C0644 10 x\nhello");
    assert!(!output.status.success());
    assert_eq!(bench.passed(), [(true, "/x".to_owned(), 5, 5)]);
    // A client of SFTP that goes without having closed its file.
    let mut client = Client::start(&bench);
    assert_eq!(client.ask(&packet(3, 1, &[&string(b"y"), &[0, 0, 0, 0x1a, 0, 0, 0, 0]]))[0], 102);
    assert_eq!(client.status(&packet(6, 2, &[&string(b"0"), &[0; 8], &string(b"hello")])).0, 0);
    drop(client);
    let told = || bench.passed().contains(&(true, "/y".to_owned(), 5, 5));
    common::wait_until(told, || format!("{:?}", bench.deeds()));
}

#[test]
fn what_is_removed_renamed_made_and_given_other_rights_is_told_by_either_way() {
    let bench = bench();
    std::fs::write(bench.files().join("a"), "x").unwrap();
    let (content, text) = bench.sftp("rename a b\nchmod 444 b\nmkdir d\nrmdir d\nrm b\n-rm nothing\n");
    assert!(content, "{text}");
    let told = [
        "renames /a to /b",
        "sets the rights of /b to 0400",
        "makes the folder /d",
        "removes the folder /d",
        "removes /b",
    ];
    assert_eq!(bench.changes()[..told.len()], told);
    let before = bench.changes().len();
    for line in ["mkdir -p e/f", "cp x y", "mv e g", "rm -r g"] {
        std::fs::write(bench.files().join("x"), "x").unwrap();
        bench.says(line);
    }
    let told =
        ["makes the folder /e/f", "copies /x to /y", "renames /e to /g", "removes /g and all that is in it"];
    assert_eq!(bench.changes()[before..], told);
    let before = bench.changes().len();
    bench.fails("rm nothing");
    let told = ["removes /nothing", "That was not done: there is no such file or folder."];
    assert_eq!(bench.changes()[before..], told);
}

#[test]
fn a_change_that_is_not_kept_is_refused_with_a_sentence_and_not_made() {
    for how in [Answer::Refuse("The disk is full."), Answer::HangUp] {
        let bench = Bench::with(scope(Vec::new(), true, true), move |_| how);
        std::fs::write(bench.files().join("a"), "x").unwrap();
        std::fs::write(bench.folder.path().join("x"), "x").unwrap();
        for batch in ["rm a\n", "rename a b\n", "mkdir d\n", "chmod 400 a\n", "get a\n", "put x\n"] {
            let (content, text) = bench.sftp(batch);
            assert!(!content, "{batch} {text}");
        }
        let mut client = Client::start(&bench);
        let (code, sentence) = client.status(&packet(13, 1, &[&string(b"a")]));
        assert_eq!(code, 4);
        assert!(sentence.starts_with("nothing is done here that cannot be recorded: "), "{sentence}");
        for line in ["rm a", "mv a b", "mkdir d", "cp a b"] {
            let (_, said) = bench.fails(line);
            assert!(said.contains("nothing is done here that cannot be recorded: "), "{line}: {said}");
        }
        let output = bench.exec_with("scp -t new", b"C0644 1 new\nx\0");
        assert_eq!(output.stdout, b"\0", "the file was taken");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("scp: nothing is done here"), "{said}");
        let output = bench.exec_with("scp -f a", b"\0\0\0");
        assert!(!output.status.success() && output.stdout.is_empty(), "{output:?}");
        assert_eq!(std::fs::read_dir(bench.files()).unwrap().count(), 1);
        assert_eq!(bytes(&bench.files().join("a")), b"x");
        assert!(bench.deeds().is_empty());
    }
}

#[test]
fn where_the_recorder_fails_in_the_middle_no_further_byte_of_a_file_passes() {
    let mut told = 0;
    let bench = Bench::with(scope(Vec::new(), true, true), move |_| {
        told += 1;
        // The two that are opened, and nothing after it.
        if told <= 2 { Answer::Keep } else { Answer::Refuse("The disk is full.") }
    });
    for name in ["a", "b"] {
        std::fs::write(bench.files().join(name), vec![b'x'; 100]).unwrap();
    }
    let mut client = Client::start(&bench);
    let read = |id, handle: &[u8]| packet(5, id, &[&string(handle), &[0; 8], &10_u32.to_be_bytes()]);
    for (id, name) in [(1, b"a"), (2, b"b")] {
        let open = packet(3, id, &[&string(name), &[0, 0, 0, 1, 0, 0, 0, 0]]);
        assert_eq!(client.ask(&open)[0], 102);
    }
    assert_eq!(client.ask(&read(3, b"0"))[0], 103);
    // What has passed is not kept: the close says so.
    let (code, sentence) = client.status(&packet(4, 4, &[&string(b"0")]));
    assert!(code == 4 && sentence.contains("The disk is full"), "{sentence}");
    assert_eq!(client.status(&read(5, b"1")).0, 4);
}

#[test]
fn a_place_is_told_before_it_is_reached_and_not_reached_when_it_is_not_kept() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let target = Target { host: "node.example".parse().unwrap(), port };
    let refuses = |_: &Deed| Answer::Refuse("The disk is full.");
    let strict = Bench::with(scope(vec![target.clone()], true, true), refuses);
    let (_, said) = strict.fails("ssh root@node.example");
    assert!(said.contains("nothing is done here that cannot be recorded: The disk is full"), "{said}");
    assert!(listener.accept().is_err(), "somebody has connected");
    // Kept, it goes there; and it does when it may go there unrecorded, which is said.
    drop(listener);
    let bench = Bench::new(scope(vec![target.clone()], true, true));
    assert!(bench.fails("ssh root@node.example").1.contains("cannot be reached"));
    assert_eq!(bench.deeds(), [Deed::Reached(target.clone())]);
    let scope = drawbridge_bus::bridge::ShellScope {
        recording: Recording::BreakGlass,
        ..scope(vec![target], true, true)
    };
    let bench = Bench::with(scope, refuses);
    let (_, said) = bench.fails("ssh root@node.example");
    assert!(said.contains("What you do here is not recorded: The disk is full."), "{said}");
    assert!(said.contains("cannot be reached"), "{said}");
    bench.says("mkdir d");
}
