//! The audit to take away: its events as JSON lines or CSV, or its files as they are, for the program `verify`. It alters no line.

use super::audit::{FILTERS, filter, read};
use super::download::{self, Folder, Sink};
use super::problem::{Problem, unexpected};
use super::query::Query;
use super::told::By;
use super::{Api, Done};
use drawbridge_audit::Filter;
use drawbridge_audit::event::{Draft, Name, What};
use drawbridge_audit::export::{Exporter, Format};
use drawbridge_bus::audit::{AUDIT_FILES_MOST, AUDIT_LINES_MOST, AuditLines};
use drawbridge_bus::{Reply, Request, Role};
use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;

/// What an exporter writes to, and what is taken from there to be sent.
#[derive(Clone, Default)]
struct Basket(Arc<Mutex<Vec<u8>>>);

impl Basket {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Basket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Events as a query asks for them, in their order.
pub(crate) async fn lines(api: &Arc<Api>, by: &By<'_>, query: &str) -> Done {
    let names: Vec<&str> = FILTERS.into_iter().chain(["format"]).collect();
    let query = Query::parse(query, &names)?;
    let filter = filter(&query)?;
    let (format, name) = match query.text("format") {
        None | Some("jsonl") => (Format::Jsonl, "jsonl"),
        Some("csv") => (Format::Csv, "csv"),
        Some(_) => return Err(Problem::field("format", "there is no such form", "jsonl or csv")),
    };
    let place = download::place(api)?;
    // Before the first byte goes, so that a log that cannot be read is a problem and no broken file.
    let first = after(api, 0).await?;
    let (sink, response) =
        download::file(api, &format!("drawbridge-audit.{name}"), format.media_type(), None);
    let taken = move |events| What::AuditExported { events, format: Name::of(name) };
    let draft = by.did(taken(0));
    let api = Arc::clone(api);
    tokio::spawn(async move {
        let _place = place;
        let basket = Basket::default();
        let Ok(mut exporter) = Exporter::new(basket.clone(), format) else { return };
        let whole = send(&api, first, &filter, &mut exporter, (&basket, &sink)).await;
        api.tell(Draft { what: taken(exporter.written()), ..draft });
        match whole {
            Ok(true) => sink.end().await,
            Ok(false) => {}
            Err(()) => log::warn!("the export of the audit is broken off: it cannot be read on"),
        }
    });
    Ok(response)
}

async fn after(api: &Api, after: u64) -> Result<AuditLines, Problem> {
    let question = Request::AuditAfter { after, most: AUDIT_LINES_MOST, wait: false };
    match api.ask(Role::Session, question).await? {
        Reply::AuditLines(lines) => Ok(*lines),
        other => Err(unexpected(&other)),
    }
}

/// Sends what is wanted of the log as it is now. False: nobody takes it any more.
async fn send(
    api: &Api,
    first: AuditLines,
    filter: &Filter,
    exporter: &mut Exporter<Basket>,
    (basket, sink): (&Basket, &Sink),
) -> Result<bool, ()> {
    // What comes while it is sent is for the next one: an export has an end.
    let end = first.last;
    let mut lines = first.lines;
    loop {
        let mut last = None;
        for line in &lines {
            let kept = read(line).ok_or(())?;
            last = Some(kept.sequence());
            if kept.sequence() <= end && filter.wants(&kept.entry) {
                exporter.write(&kept).map_err(drop)?;
            }
        }
        let bytes = basket.take();
        if !bytes.is_empty() && !sink.send(bytes).await {
            return Ok(false);
        }
        match last {
            Some(last) if last < end => lines = after(api, last).await.map_err(drop)?.lines,
            _ => return Ok(true),
        }
    }
}

/// A name of a file of the audit that leads to no other folder.
fn is_plain(name: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_');
    let part = |part: &str| !part.is_empty() && !part.starts_with('.') && part.bytes().all(fits);
    name.len() <= 80 && name.split('/').count() <= 2 && name.split('/').all(part)
}

/// All files of the audit as one tar file: a folder for each segment, each of which `verify` takes.
pub(crate) async fn bundle(api: &Arc<Api>, by: &By<'_>) -> Done {
    let place = download::place(api)?;
    let state = match api.ask(Role::Session, Request::AuditState).await? {
        Reply::AuditState(state) => state,
        other => return Err(unexpected(&other)),
    };
    let files = match api.ask(Role::Session, Request::AuditFiles).await? {
        Reply::AuditFiles(files)
            if files.len() <= AUDIT_FILES_MOST && files.iter().all(|(name, _)| is_plain(name)) =>
        {
            files
        }
        other => return Err(unexpected(&other)),
    };
    let events = state.range.map_or(0, |(first, last)| last.saturating_sub(first).saturating_add(1));
    api.tell(by.did(What::AuditExported { events, format: Name::of("tar") }));
    let paths = files.iter().map(|(name, length)| (format!("drawbridge-audit/{name}"), *length)).collect();
    let ask = move |number: usize, offset, most| {
        let file = files.get(number).map(|(name, _)| name.clone()).unwrap_or_default();
        (Role::Session, Request::AuditPart { file, offset, most })
    };
    let modified = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs();
    Ok(download::tar(
        api,
        place,
        "drawbridge-audit.tar",
        Folder { files: paths, modified, ask: Box::new(ask) },
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_of_the_audit_leads_nowhere_else() {
        for right in ["00000001/chain.jsonl", "events.jsonl"] {
            assert!(is_plain(right), "{right}");
        }
        for wrong in ["", "/", "/etc/passwd", "a/../b", "a//b", "../x", "a/b/c", "a/.b", "a b", "a\n"] {
            assert!(!is_plain(wrong), "{wrong:?}");
        }
    }
}
