//! SFTP with stock clients and with what no client should send: names that are no UTF-8, bounds, and packets that are wrong.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

#[allow(dead_code)] // Not every one of these tests needs all of it.
mod common;

use common::wire::{Client, number, packet, packets, string};
use common::{Bench, bytes, scope};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::sync::{Arc, Mutex};

/// Starts the role, in a process of its own; by itself it does nothing.
#[test]
#[ignore = "run by the others"]
fn the_roles_own_process() {
    common::be_the_role();
}

fn bench() -> Bench {
    Bench::new(scope(Vec::new(), true, true))
}

/// A file of the grant's folder, by its bytes.
fn raw(bench: &Bench, name: &[u8]) -> PathBuf {
    bench.files().join(OsStr::from_bytes(name))
}

#[test]
fn stock_sftp_renames_over_a_file_removes_folders_changes_modes_and_takes_up_a_get() {
    let bench = bench();
    for (name, text) in [("a", "new"), ("b", "old"), ("long", "0123456789")] {
        std::fs::write(bench.files().join(name), text).unwrap();
    }
    std::fs::write(bench.folder.path().join("long"), "0123").unwrap();
    let batch = "rename a b\nchmod 444 b\nmkdir d\nmkdir d/e\nls -l\nrmdir d/e\nrmdir d\nreget long\n";
    let (content, text) = bench.sftp(batch);
    assert!(content, "{text}");
    assert!(text.lines().any(|line| line.starts_with("-r--------") && line.ends_with(" b")), "{text}");
    assert!(text.lines().any(|line| line.starts_with("drwx------") && line.ends_with(" d")), "{text}");
    assert_eq!(bytes(&bench.files().join("b")), b"new");
    assert_eq!(bench.files().join("b").metadata().unwrap().permissions().mode() & 0o777, 0o400);
    assert!(!bench.files().join("a").exists() && !bench.files().join("d").exists());
    assert_eq!(bytes(&bench.folder.path().join("long")), b"0123456789");
}

#[test]
fn a_name_as_long_as_linux_takes_passes_and_a_path_beyond_4096_bytes_is_refused() {
    let bench = bench();
    std::fs::write(bench.folder.path().join("x"), "x").unwrap();
    let name = "n".repeat(255);
    let (content, text) = bench.sftp(&format!("put x {name}\nls -1\n"));
    assert!(content && text.contains(&name), "{text}");
    let (content, text) = bench.sftp(&format!("put x {name}n\n"));
    assert!(!content, "{text}");
    let mut client = Client::start(&bench);
    let lstat = |id, path: &str| packet(7, id, &[&string(path.as_bytes())]);
    assert_eq!(client.status(&lstat(1, &format!("{}x", "./".repeat(2047)))).0, 2);
    let (code, sentence) = client.status(&lstat(2, &"a".repeat(4097)));
    assert!(code == 4 && sentence.contains("too long"), "{sentence}");
    assert_eq!(client.status(&lstat(3, &"a/".repeat(65))).0, 4);
}

#[test]
fn stock_scp_copies_both_ways_by_sftp_and_by_the_old_protocol() {
    let bench = bench();
    let (here, back) = (bench.folder.path().join("here"), bench.folder.path().join("back"));
    let data: Vec<u8> = (0..700_001u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    std::fs::write(&here, &data).unwrap();
    let ssh = bench.ssh();
    for way in ["-O", "-s"] {
        for (from, to) in [(here.to_str().unwrap(), "sa:there"), ("sa:there", back.to_str().unwrap())] {
            let mut scp = Command::new("timeout");
            scp.args(["60", "scp", "-q", way, "-S"]).arg(&ssh).args([from, to]);
            let output = common::run(&mut scp, b"");
            assert!(output.status.success(), "{way} {from} {to}: {output:?}");
        }
        assert!(bytes(&bench.files().join("there")) == data && bytes(&back) == data, "{way}");
        std::fs::remove_file(bench.files().join("there")).unwrap();
        std::fs::remove_file(&back).unwrap();
    }
}

#[test]
fn paramiko_brings_files_in_and_out_unchanged() {
    let bench = bench();
    let program = bench.program(&["7", "sftp"]);
    let script = format!(
        "import paramiko, socket, subprocess\n\
         class Channel(socket.socket):\n    def get_name(self):\n        return 'sftp'\n\
         ours, theirs = socket.socketpair()\nours = Channel(fileno=ours.detach())\nours.settimeout(60)\n\
         child = subprocess.Popen(['{}'], stdin=theirs, stdout=theirs)\ntheirs.close()\n\
         sftp = paramiko.SFTPClient(ours)\ndata = bytes(range(256)) * 4000\n\
         with sftp.open('x', 'wb') as file:\n    file.set_pipelined(True)\n    file.write(data)\n\
         with sftp.open('x', 'rb') as file:\n    file.prefetch()\n    assert file.read() == data\n\
         sftp.mkdir('d')\nsftp.posix_rename('x', 'd/y')\nassert sftp.listdir('d') == ['y']\n\
         assert sftp.stat('d/y').st_size == len(data)\nsftp.truncate('d/y', 7)\n\
         assert sftp.lstat('d/y').st_size == 7\nassert sftp.normalize('d/../d/./y') == '/d/y'\n\
         try:\n    sftp.symlink('d', 'z')\n    assert False\nexcept IOError as error:\n    print(error)\n\
         sftp.remove('d/y')\nsftp.rmdir('d')\nassert sftp.listdir() == []\nours.close()\nassert child.wait(60) == 0\n",
        program.display()
    );
    let output = common::run(Command::new("/usr/bin/python3").args(["-W", "ignore", "-c", &script]), b"");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stdout).trim_end(), "this server does not do that");
}

#[test]
fn a_name_that_is_no_utf8_is_listed_got_renamed_and_removed_by_stock_sftp() {
    let bench = bench();
    std::fs::create_dir(raw(&bench, b"d\xe9p\xf4t")).unwrap();
    std::fs::write(raw(&bench, b"d\xe9p\xf4t/caf\xe9"), "coffee").unwrap();
    std::fs::write(raw(&bench, b"th\xe9"), "tea").unwrap();
    let batch =
        "ls -1\ncd d\u{fffd}p\u{fffd}t\nls -1\nget caf* coffee\nrename caf\u{fffd} milk\ncd ..\nrm th*\n";
    let (content, text) = bench.sftp(batch);
    assert!(content, "{text}");
    for name in ["d\u{fffd}p\u{fffd}t", "caf\u{fffd}", "th\u{fffd}"] {
        assert!(text.lines().any(|line| line.trim_end() == name), "{name}: {text}");
    }
    assert_eq!(bytes(&bench.folder.path().join("coffee")), b"coffee");
    assert_eq!(bytes(&raw(&bench, b"d\xe9p\xf4t/milk")), b"coffee");
    assert!(!raw(&bench, b"th\xe9").exists() && !raw(&bench, b"d\xe9p\xf4t/caf\xe9").exists());
}

#[test]
fn of_two_names_that_look_alike_neither_is_taken_for_the_other() {
    let bench = bench();
    for name in [&b"caf\xe9"[..], b"caf\xe8"] {
        std::fs::write(raw(&bench, name), name).unwrap();
    }
    std::fs::write(bench.folder.path().join("x"), "x").unwrap();
    for batch in ["get caf\u{fffd} y\n", "rm caf\u{fffd}\n", "put x caf\u{fffd}\n", "rename caf\u{fffd} z\n"]
    {
        let (content, text) = bench.sftp(batch);
        assert!(!content && !text.contains("such file"), "{batch}: {text}");
    }
    let mut client = Client::start(&bench);
    let (code, sentence) = client.status(&packet(13, 1, &[&string("caf\u{fffd}".as_bytes())]));
    assert!(code == 4 && sentence.contains("more than one name"), "{sentence}");
    // A client that has the bytes themselves says which: one that is there, and one that only looks like them.
    assert_eq!(client.status(&packet(13, 2, &[&string(b"caf\xe8")])).0, 0);
    assert_eq!(client.status(&packet(13, 3, &[&string(b"caf\xea")])).0, 2);
    assert_eq!(bytes(&raw(&bench, b"caf\xe9")), b"caf\xe9");
    assert_eq!(std::fs::read_dir(bench.files()).unwrap().count(), 1);
}

#[test]
fn nothing_new_gets_the_sign_for_what_could_not_be_read_and_bytes_that_are_sent_are_kept() {
    let bench = bench();
    std::fs::write(bench.files().join("x"), "x").unwrap();
    let mut client = Client::start(&bench);
    let (sign, x) = (string("n\u{fffd}".as_bytes()), string(b"x"));
    let create = [0, 0, 0, 0x1a, 0, 0, 0, 0];
    for request in [
        packet(3, 1, &[&sign, &create]),
        packet(14, 2, &[&sign, &[0; 4]]),
        packet(18, 3, &[&x, &sign]),
        packet(200, 4, &[&string(b"posix-rename@openssh.com"), &x, &sign]),
    ] {
        let (code, sentence) = client.status(&request);
        assert!(code == 4 && sentence.contains("the name is no UTF-8"), "{sentence}");
    }
    assert_eq!(client.status(&packet(17, 5, &[&sign])).0, 2);
    assert_eq!(client.status(&packet(18, 6, &[&x, &string(b"n\xff")])).0, 0);
    assert_eq!(client.status(&packet(14, 7, &[&string(b"n\xfe"), &[0; 4]])).0, 0);
    assert_eq!(bytes(&raw(&bench, b"n\xff")), b"x");
    assert!(raw(&bench, b"n\xfe").is_dir());
    // What is new in a folder that was found by how it is shown.
    assert_eq!(
        client.status(&packet(14, 9, &[&string(b"n\xef\xbf\xbd/m\xff"), &[0; 4]])).0,
        4,
        "two look alike"
    );
    std::fs::create_dir(raw(&bench, b"d\xfe")).unwrap();
    assert_eq!(client.status(&packet(14, 10, &[&string(b"d\xef\xbf\xbd/m\xff"), &[0; 4]])).0, 0);
    assert!(raw(&bench, b"d\xfe/m\xff").is_dir());
    // A name of bytes that become three times as many when they are shown.
    std::fs::write(raw(&bench, &[0xff; 255]), "").unwrap();
    assert_eq!(client.status(&packet(13, 8, &[&string("\u{fffd}".repeat(255).as_bytes())])).0, 0);
    assert_eq!(std::fs::read_dir(bench.files()).unwrap().count(), 3);
}

#[test]
fn stock_scp_brings_a_folder_of_names_that_are_no_utf8_in_as_they_are() {
    let bench = bench();
    let here = bench.folder.path().join("here");
    std::fs::create_dir(&here).unwrap();
    for name in [&b"caf\xe9"[..], b"caf\xe8", "th\u{e9}".as_bytes()] {
        std::fs::write(here.join(OsStr::from_bytes(name)), name).unwrap();
    }
    let mut scp = Command::new("timeout");
    scp.args(["60", "scp", "-q", "-r", "-S"]).arg(bench.ssh()).arg(&here).arg("sa:there");
    let output = common::run(&mut scp, b"");
    assert!(output.status.success(), "{output:?}");
    for name in [&b"caf\xe9"[..], b"caf\xe8", "th\u{e9}".as_bytes()] {
        assert_eq!(bytes(&raw(&bench, &[b"there/", name].concat())), name);
    }
}

#[test]
fn what_cannot_be_read_or_is_not_known_is_answered_by_its_own_number_and_the_session_goes_on() {
    let bench = bench();
    let mut client = Client::start(&bench);
    // A path that is longer than its packet, a read without a length, attributes that end too soon.
    for (id, request) in [
        packet(17, 41, &[&[0, 0, 1, 0, b'x']]),
        packet(5, 42, &[&string(b"0"), &[0; 8]]),
        packet(9, 43, &[&string(b"x"), &[0, 0, 0, 1]]),
        packet(200, 44, &[&string(b"posix-rename@openssh.com"), &string(b"x")]),
        packet(200, 45, &[&string(b"fsync@openssh.com")]),
    ]
    .iter()
    .zip(41..)
    .map(|(request, id)| (id, request))
    {
        assert_eq!(client.status(request), (5, "the request is malformed".to_owned()), "{id}");
    }
    // A second version, a server's own packets, numbers that nobody has given, links, and an extension.
    for (kind, id) in [(1, 3), (2, 46), (19, 47), (20, 48), (101, 49), (105, 50), (255, 51), (99, 0)] {
        let name = string(b"x");
        let (code, sentence) = client.status(&packet(kind, id, &[&name, &name]));
        assert_eq!((code, sentence.as_str()), (8, "this server does not do that"), "{kind}");
    }
    assert_eq!(client.status(&packet(200, 52, &[&string(b"statvfs@openssh.com"), &string(b"/")])).0, 8);
    assert_eq!(client.status(&packet(14, 53, &[&string(b"made"), &[0; 4]])), (0, String::new()));
    assert!(bench.files().join("made").is_dir());
}

#[test]
fn a_packet_that_is_too_long_empty_or_no_request_ends_the_session_after_what_was_asked_before() {
    let bench = bench();
    let before = packet(16, 7, &[&string(b".")]);
    for wrong in [
        &[0, 4, 0, 1][..],
        b"\xff\xff\xff\xff",
        b"\0\0\0\0",
        b"\0\0\0\x04\x11\0\0\0",
        b"GET / HTTP/1.1\r\n\r\n",
    ] {
        // More follows, and is not taken for requests.
        let input = [&before[..], wrong, &packet(14, 8, &[&string(b"made"), &[0; 4]])].concat();
        let (status, answers) = Client::start(&bench).ends(&input);
        assert_eq!((status, answers.len()), (Some(1), 1), "{wrong:?}");
        assert_eq!((answers[0][0], number(&answers[0], 1)), (104, 7));
        assert!(!bench.files().join("made").exists());
    }
    // The longest one that is taken, of which most is passed over.
    let fill = vec![b'.'; 256 * 1024 - 5];
    let mut client = Client::start(&bench);
    assert_eq!(client.status(&packet(14, 9, &[&string(b"made"), &fill[..fill.len() - 8]])).0, 0);
}

#[test]
fn open_files_and_the_bytes_of_one_read_are_bounded_and_handles_are_only_those_given_out() {
    let bench = bench();
    std::fs::write(bench.files().join("x"), vec![b'x'; 600_000]).unwrap();
    let mut client = Client::start(&bench);
    let limits = client.ask(&packet(200, 1, &[&string(b"limits@openssh.com")]));
    let said = |at: usize| u64::from(number(&limits, 5 + 8 * at + 4));
    assert_eq!([said(0), said(1), said(2), said(3)], [256 * 1024, 255 * 1024, 255 * 1024, 64]);
    let open = packet(3, 2, &[&string(b"x"), &[0, 0, 0, 1, 0, 0, 0, 0]]);
    let mut handles = Vec::new();
    for _ in 0..64 {
        let answer = client.ask(&open);
        assert_eq!(answer[0], 102);
        handles.push(answer[9..].to_vec());
    }
    assert_eq!(client.status(&open), (4, "64 files are open: close some first".to_owned()));
    assert_eq!(client.status(&packet(4, 3, &[&string(&handles[5])])).0, 0);
    for wrong in [&handles[5][..], b"", b"64", b"-1", b"\xff\xff\xff\xff", b"18446744073709551616"] {
        assert_eq!(client.status(&packet(4, 4, &[&string(wrong)])).0, 4, "{wrong:?}");
    }
    assert_eq!(client.ask(&open)[9..], handles[5]);
    let read = client.ask(&packet(5, 5, &[&string(&handles[0]), &[0; 8], &[0xff; 4]]));
    assert_eq!((read[0], number(&read, 5), read.len()), (103, 255 * 1024, 9 + 255 * 1024));
    let write = [&string(&handles[0])[..], &[0; 8], &string(b"y")].concat();
    assert_eq!(client.status(&packet(6, 6, &[&write])).0, 3);
    assert_eq!(client.status(&packet(12, 7, &[&string(&handles[0])])).0, 4);
}

/// Input that is all there at once, and then ends or fails.
struct Asked(std::io::Cursor<Vec<u8>>, Option<std::io::ErrorKind>);

impl Read for Asked {
    fn read(&mut self, to: &mut [u8]) -> std::io::Result<usize> {
        match (self.0.read(to)?, self.1) {
            (0, Some(kind)) => Err(kind.into()),
            (length, _) => Ok(length),
        }
    }
}

/// Output that tells its pieces apart, and takes so many of them.
#[derive(Clone)]
struct Heard(Arc<Mutex<Vec<Vec<u8>>>>, usize);

impl Write for Heard {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let mut pieces = self.0.lock().unwrap();
        if pieces.len() == self.1 {
            return Err(std::io::ErrorKind::BrokenPipe.into());
        }
        pieces.push(bytes.to_vec());
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Serves these requests, and tells how it ends and the pieces of what was heard.
fn serve(requests: &[Vec<u8>], fails: Option<std::io::ErrorKind>, most: usize) -> (bool, Vec<Vec<u8>>) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("x"), vec![b'x'; 32 * 1024]).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let heard = Heard(Arc::default(), most);
    let asked = Asked(std::io::Cursor::new([&[packet(1, 3, &[])], requests].concat().concat()), fails);
    let end = drawbridge_shell::sftp::serve_over(&runtime, folder.path(), |_| Ok(()), asked, heard.clone());
    let pieces = heard.0.lock().unwrap().clone();
    (end.is_ok(), pieces)
}

#[test]
fn what_is_asked_together_is_answered_together_in_its_order_and_in_bounded_pieces() {
    let stat = |id| packet(17, id, &[&string(b"x")]);
    let (content, pieces) = serve(&(0..1000).map(stat).collect::<Vec<_>>(), None, usize::MAX);
    assert!(content && pieces.len() == 1, "{} pieces", pieces.len());
    let answers = packets(&pieces.concat());
    assert_eq!(
        answers[1..].iter().map(|answer| number(answer, 1)).collect::<Vec<_>>(),
        (0..1000).collect::<Vec<_>>()
    );
    // Eight megabytes of answers, of requests that are all there.
    let open = packet(3, 0, &[&string(b"x"), &[0, 0, 0, 1, 0, 0, 0, 0]]);
    let read = |id| packet(5, id, &[&string(b"0"), &[0; 8], &[0xff; 4]]);
    let (content, pieces) =
        serve(&std::iter::once(open).chain((1..257).map(read)).collect::<Vec<_>>(), None, usize::MAX);
    assert!(content && pieces.iter().all(|piece| piece.len() <= 512 * 1024 + 32 * 1024 + 64));
    assert!(pieces.len() <= 17, "{} pieces", pieces.len());
    assert!(packets(&pieces.concat())[2..].iter().all(|answer| answer.len() == 9 + 32 * 1024));
}

#[test]
fn an_input_or_output_that_fails_ends_the_session() {
    assert!(!serve(&[], Some(std::io::ErrorKind::ConnectionReset), usize::MAX).0);
    assert!(!serve(&[], None, 0).0);
    let many = vec![packet(17, 1, &[&string(b"x")]); 100_000];
    let (content, pieces) = serve(&many, None, 1);
    assert_eq!((content, pieces.len()), (false, 1));
}
