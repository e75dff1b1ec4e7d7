//! Files in and out of the grant's folder by stock OpenSSH, and by the command line.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

#[allow(dead_code)] // Not every one of these tests needs all of it.
mod common;

use common::{Bench, bytes, scope};

/// Starts the role, in a process of its own; by itself it does nothing.
#[test]
#[ignore = "run by the others"]
fn the_roles_own_process() {
    common::be_the_role();
}

fn bench() -> Bench {
    Bench::new(scope(Vec::new(), true, true))
}

/// Bytes without a pattern that a block would hide.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..length)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

#[test]
fn stock_sftp_brings_files_in_and_out_unchanged() {
    let bench = bench();
    let big = noise(5_000_003);
    std::fs::write(bench.folder.path().join("big"), &big).unwrap();
    std::fs::write(bench.folder.path().join("empty"), b"").unwrap();
    let batch = "put big\nput empty\nmkdir a\nrename big a/b\nls -l a\npwd\nget a/b back\nget empty empty-back\nput -f -p big c\nrm c\n";
    let (content, text) = bench.sftp(batch);
    assert!(content, "{text}");
    assert!(text.contains("Remote working directory: /\n"), "{text}");
    assert!(text.contains("5000003"), "{text}");
    assert!(bytes(&bench.files().join("a/b")) == big && bytes(&bench.folder.path().join("back")) == big);
    assert_eq!(bytes(&bench.folder.path().join("empty-back")), b"");
    assert!(!bench.files().join("c").exists());
}

#[test]
fn a_transfer_that_was_cut_is_taken_up_again() {
    let bench = bench();
    let big = noise(1_000_000);
    std::fs::write(bench.folder.path().join("big"), &big).unwrap();
    std::fs::write(bench.files().join("big"), &big[..300_000]).unwrap();
    let (content, text) = bench.sftp("reput big\n");
    assert!(content, "{text}");
    assert!(bytes(&bench.files().join("big")) == big);
}

#[test]
fn sftp_cannot_leave_the_folder_nor_follow_or_make_a_link() {
    let bench = bench();
    std::fs::write(bench.folder.path().join("outside"), b"secret").unwrap();
    std::os::unix::fs::symlink(bench.folder.path(), bench.files().join("link")).unwrap();
    for batch in [
        "get ../outside x\n",
        "get /../../outside x\n",
        "get link/outside x\n",
        "cd link\n",
        "symlink outside y\n",
        "ln outside y\n",
        "put outside link/y\n",
        "rmdir /\n",
    ] {
        let (content, text) = bench.sftp(batch);
        assert!(!content, "{batch}: {text}");
    }
    let names = std::fs::read_dir(bench.files()).unwrap().count();
    assert_eq!((names, bytes(&bench.folder.path().join("outside"))), (1, b"secret".to_vec()));
    assert!(!bench.folder.path().join("x").exists() && !bench.folder.path().join("y").exists());
}

#[test]
fn a_folder_with_many_names_is_listed_whole() {
    let bench = bench();
    for number in 0..2_500 {
        std::fs::write(bench.files().join(format!("file-{number:04}")), b"").unwrap();
    }
    let (content, text) = bench.sftp("ls -1\n");
    assert!(content, "{text}");
    assert_eq!(text.lines().filter(|line| line.starts_with("file-")).count(), 2_500);
}

#[test]
fn what_is_no_sftp_ends_the_process_at_once() {
    let bench = bench();
    for input in [
        &b"GET / HTTP/1.1\r\n\r\n"[..],
        b"\0\0\0\x05\x01\0\0\0\x03\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\0\0\0\x05\x01",
    ] {
        let output = common::run(&mut std::process::Command::new(bench.program(&["7", "sftp"])), input);
        assert_eq!(output.status.code(), Some(1), "{input:?}");
    }
}

#[test]
fn a_session_without_files_serves_none() {
    let bench = Bench::new(scope(Vec::new(), true, false));
    let (content, text) = bench.sftp("ls\n");
    assert!(!content && text.contains("this session opens no files"), "{text}");
    assert_eq!(bench.fails("ls").0, 1);
    assert!(!bench.says("help").contains("sha256sum"));
}

#[test]
fn files_are_made_copied_moved_and_removed_on_the_command_line() {
    let bench = bench();
    std::fs::write(bench.files().join("x"), b"text\x1b[2J\n").unwrap();
    bench.says("mkdir -p a/b/c");
    bench.says("cp x a/b");
    bench.says("mv a/b/x 'a/y z'");
    assert_eq!(bench.says("cat 'a/y z'").as_bytes(), b"text\x1b[2J\n");
    assert_eq!(bench.says("ls a"), "b/\ny z\n");
    assert!(bench.says("ls -l").contains("folder"));
    let sum = "sha256sum ../../x";
    assert!(bench.says(sum).ends_with("  ../../x\n"), "{}", bench.says(sum));
    assert_eq!(bench.fails("rm a"), (1, "a: that is a folder: rm -r removes it with all in it".to_owned()));
    assert_eq!(bench.fails("mv a a/b").0, 1);
    assert_eq!(bench.fails("rm -x a").0, 2);
    bench.says("rm -r a");
    assert_eq!(bench.says("ls"), "x\n");
    assert!(bench.says("df").contains("can still be written"));
}
