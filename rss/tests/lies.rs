//! Recordings that come in from clients that lie: each lie is refused with a sentence, and what was there before stays.

#![allow(clippy::unwrap_used, reason = "a test that cannot be prepared has failed")]

mod peers;

use drawbridge_chain::{FILE, Hash, Header, Kind, Line as ChainText, Mark, Utc};
use drawbridge_verify::Found;
use peers::Server;
use peers::recordings::{
    Device, NAME, Sent, Uploader, chain_of, enrolled, is_same, is_whole, kept, lines, record, refusal,
    verified,
};
use std::fs;

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_lies_is_refused_with_a_sentence_and_what_was_there_stays() {
    let server = Server::start().await;
    let (_appliance, mut control) = enrolled(&server).await;
    let device = Device::new(9);
    let home = server.home.path();
    let folder = record(home, NAME, "SN-1", &device, 6);
    let all = lines(&folder, 0);
    let half = all.len() / 2;
    let others = tempfile::tempdir().unwrap();
    let foreign = lines(&record(others.path(), "another-name", "SN-1", &device, 6), 0);
    let block = (half..all.len()).find(|at| !all[*at].1.is_empty()).unwrap();
    let changed = |at: usize, change: &dyn Fn(&mut Sent)| {
        let mut lines = all[half..].to_vec();
        change(&mut lines[at - half]);
        lines
    };
    let mut swapped = all[half..].to_vec();
    swapped.swap(0, 1);
    let mark = (0..all.len()).find(|at| all[*at].0.starts_with(b"{\"line\":\"mark\"")).unwrap();
    let path = String::from_utf8(all[block].0.clone()).unwrap();
    let track = path.split("\"track\":\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    assert_eq!(chain_of(&uploader.begin(NAME).await), 0);
    let confirmed = chain_of(&uploader.send(&all[..half]).await);
    let lies: Vec<(&str, Vec<Sent>)> = vec![
        ("is not what it names", changed(block, &|line| line.1[0] ^= 1)),
        (
            "is not what it names",
            changed(block, &|line| {
                line.1.pop();
            }),
        ),
        ("is not what it names", changed(block, &|line| line.1.push(0))),
        (
            "that it does not name",
            all[half..]
                .iter()
                .map(|(line, data)| {
                    (line.clone(), if data.is_empty() { b"x".to_vec() } else { data.clone() })
                })
                .collect(),
        ),
        ("is not one that may stand there", swapped),
        ("is not one that may stand there", all[half + 1..].to_vec()),
        ("is not one that may stand there", all[half - 1..].to_vec()),
        ("a second header", all.clone()),
        ("is not one that may stand there", foreign[half..].to_vec()),
        (
            "cannot be read",
            changed(block, &|line| line.0 = path.replace(&track, "../../rss.sqlite").into_bytes()),
        ),
        ("cannot be read", changed(block, &|line| line.0 = path.replace(&track, "/etc/passwd").into_bytes())),
        ("cannot be read", changed(block, &|line| line.0 = path.replace(&track, FILE).into_bytes())),
        ("is not written as this program writes it", changed(half, &|line| line.0.push(b' '))),
    ];
    for (number, (words, lie)) in lies.iter().enumerate() {
        let said = refusal(&uploader.send(lie).await);
        assert!(said.contains(words), "lie {number}: {said}");
        // On another connection it is as it was, or further by what was right of it.
        assert!(matches!(verified(&kept(&server), &device).0, Found::Unfinished), "lie {number}");
        let now = chain_of(&uploader.begin(NAME).await);
        assert!(now >= confirmed, "lie {number}");
        let chain = fs::read(folder.join(FILE)).unwrap();
        assert_eq!(
            fs::read(kept(&server).join(FILE)).unwrap(),
            chain[..usize::try_from(now).unwrap()],
            "lie {number}"
        );
        if now != confirmed {
            // Begun anew, so that each lie is told at the same place.
            server.operate(&["sessions", "remove", NAME]).await;
            uploader = Uploader::new(&server, &mut control, &device).await;
            uploader.begin(NAME).await;
            assert_eq!(chain_of(&uploader.send(&all[..half]).await), confirmed);
        }
    }
    server.audit_has(&[("what", "recording"), ("system", "SN-1"), ("result", "is not what it names")]).await;
    // The truth is taken all the same.
    let from = chain_of(&uploader.begin(NAME).await);
    assert!(is_whole(&uploader.send(&lines(&folder, from)).await));
    let said = refusal(&uploader.send(&all[mark..=mark]).await);
    assert!(said.contains("after the end"), "{said}");
    is_same(&folder, &kept(&server));
    assert!(
        !server.path("data/sessions/passwd").exists()
            && server.operate(&["sessions"]).await.contains(" whole ")
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_chain_of_another_system_name_sort_or_key_is_none_from_its_first_line() {
    let server = Server::start().await;
    let (_appliance, mut control) = enrolled(&server).await;
    let (device, thief) = (Device::new(9), Device::new(8));
    let folder = |name: &str| {
        let path = server.path(name);
        fs::create_dir(&path).unwrap();
        path
    };
    let audit = ChainText::Header(Header {
        version: drawbridge_chain::VERSION,
        kind: Kind::Audit,
        id: drawbridge_chain::Text::new(NAME).unwrap(),
        serial: drawbridge_chain::Text::new("SN-1").unwrap(),
        key: device.key(),
        start: Utc::from_millis(1).unwrap(),
        link: None,
    });
    let mark = ChainText::Mark(Mark {
        blocks: 0,
        time: Utc::from_millis(1).unwrap(),
        end: None,
        previous: Hash([0; 32]),
    });
    let mut uploader = Uploader::new(&server, &mut control, &device).await;
    for (words, first) in [
        ("of another system", lines(&record(&folder("a"), NAME, "SN-2", &device, 1), 0)),
        ("of another recording", lines(&record(&folder("b"), "another-name", "SN-1", &device, 1), 0)),
        ("signed with the key", lines(&record(&folder("c"), NAME, "SN-1", &thief, 1), 0)),
        ("not one of a recording", vec![(audit.encode(), Vec::new())]),
        ("does not begin with a header", vec![(mark.encode(), Vec::new())]),
        ("cannot be read", vec![(b"nonsense".to_vec(), Vec::new())]),
        (
            "does not name",
            vec![(lines(&record(&folder("d"), NAME, "SN-1", &device, 1), 0)[0].0.clone(), b"x".to_vec())],
        ),
    ] {
        assert_eq!(chain_of(&uploader.begin(NAME).await), 0, "{words}");
        let said = refusal(&uploader.send(&first).await);
        assert!(said.contains(words), "{words}: {said}");
        assert!(!kept(&server).join(FILE).exists(), "{words}");
    }
    assert_eq!(server.operate(&["sessions"]).await, "");
}
