//! Files to take away: so many at one time, sent part by part as a browser takes them, and never a part for the whole.

use super::Api;
use super::problem::Problem;
use crate::body::Body;
use crate::connection::Lasts;
use drawbridge_bus::audit::AUDIT_PART_BYTES;
use drawbridge_bus::record::PART_BYTES;
use drawbridge_bus::{Reply, Request, Role};
use hyper::body::Bytes;
use hyper::header::{self, HeaderValue};
use hyper::{Response, StatusCode};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::timeout;

/// Downloads at one time: each holds two parts.
pub(super) const DOWNLOADS: usize = 4;
/// How long a download may take in all.
const DOWNLOAD_FOR: Duration = Duration::from_hours(1);
/// How long a browser may take nothing of it.
const STALL: Duration = Duration::from_secs(30);
/// The most bytes that are asked for at one time, of whatever it is.
const PART: u32 = if PART_BYTES < AUDIT_PART_BYTES { PART_BYTES } else { AUDIT_PART_BYTES };
/// The blocks of a tar file (POSIX.1-1988, ustar).
const BLOCK: u64 = 512;
/// What ends one.
const END: [u8; 1024] = [0; 1024];

/// A place among the downloads.
pub(super) fn place(api: &Api) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&api.downloads).try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "downloads",
            "Others are downloading",
            format!("There are {DOWNLOADS} downloads already."),
            "Try again when one of them is done.",
        )
    })
}

/// What a file is sent through.
pub(super) struct Sink(mpsc::Sender<Bytes>);

impl Sink {
    /// Sends on. False: nobody takes it any more.
    pub(super) async fn send(&self, bytes: impl Into<Bytes>) -> bool {
        matches!(timeout(STALL, self.0.send(bytes.into())).await, Ok(Ok(())))
    }

    /// Says that this was all.
    pub(super) async fn end(self) {
        let _: bool = self.send(Bytes::new()).await;
    }
}

impl Sink {
    /// It for whoever writes on a thread, where the runtime does not run.
    pub(super) fn writer(&self, handle: Handle) -> impl Write + use<> {
        Writer { sink: Sink(self.0.clone()), handle }
    }
}

struct Writer {
    sink: Sink,
    handle: Handle,
}

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // An empty chunk would be the end.
        if bytes.is_empty() || self.handle.block_on(self.sink.send(bytes.to_vec())) {
            Ok(bytes.len())
        } else {
            Err(io::Error::other("nobody takes it any more"))
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// An answer that is a file of this name and kind, and what it is sent through; without [`Sink::end`] it is broken off.
pub(super) fn file(api: &Api, name: &str, kind: &'static str, length: Option<u64>) -> (Sink, Response<Body>) {
    let (sender, receiver) = mpsc::channel(1);
    let stopped = api.streams.stopped();
    let ends = async move {
        tokio::select! {
            () = tokio::time::sleep(DOWNLOAD_FOR) => {}
            () = stopped => {}
        }
    };
    let mut response = Response::new(Body::file(receiver, ends));
    response.extensions_mut().insert(Lasts(DOWNLOAD_FOR));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    if let Some(length) = length {
        headers.insert(header::CONTENT_LENGTH, length.into());
    }
    if let Ok(file) = HeaderValue::from_str(&format!("attachment; filename=\"{name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, file);
    }
    (Sink(sender), response)
}

/// Which question gives a part of a file: its number, from which byte on, and at most so many.
type Ask = Box<dyn Fn(usize, u64, u32) -> (Role, Request) + Send + Sync>;

/// Files that another role has.
pub(super) struct Folder {
    /// Their paths in the tar file, and their lengths.
    pub(super) files: Vec<(String, u64)>,
    /// When they were written, in seconds since 1970.
    pub(super) modified: u64,
    pub(super) ask: Ask,
}

/// An answer that is a tar file of them.
pub(super) fn tar(api: &Arc<Api>, place: OwnedSemaphorePermit, name: &str, folder: Folder) -> Response<Body> {
    let parts: u64 = folder.files.iter().map(|(_, length)| BLOCK + length.next_multiple_of(BLOCK)).sum();
    let (sink, response) = file(api, name, "application/x-tar", Some(parts + END.len() as u64));
    let (api, name) = (Arc::clone(api), name.to_owned());
    tokio::spawn(async move {
        let _place = place;
        match send(&api, &folder, &sink).await {
            Ok(()) => sink.end().await,
            Err(Some(file)) => log::warn!("the download of {name} is broken off: {file} cannot be read"),
            Err(None) => {}
        }
    });
    response
}

/// Sends them. The error is the file that cannot be read, or nothing where nobody takes it any more.
async fn send(api: &Api, folder: &Folder, sink: &Sink) -> Result<(), Option<String>> {
    let taken = |is: bool| if is { Ok(()) } else { Err(None) };
    for (number, (path, length)) in folder.files.iter().enumerate() {
        let head = header_of(path, *length, folder.modified).ok_or_else(|| Some(path.clone()))?;
        taken(sink.send(head).await)?;
        let mut offset = 0;
        while offset < *length {
            let most = u32::try_from(length - offset).unwrap_or(u32::MAX).min(PART);
            let (role, question) = (folder.ask)(number, offset, most);
            let bytes = match api.ask(role, question).await {
                Ok(Reply::RecordingPart(bytes, _) | Reply::AuditPart(bytes, _))
                    if !bytes.is_empty() && bytes.len() <= most as usize =>
                {
                    bytes
                }
                _ => return Err(Some(path.clone())),
            };
            offset += bytes.len() as u64;
            taken(sink.send(bytes).await)?;
        }
        let padding = usize::try_from(length.next_multiple_of(BLOCK) - length).unwrap_or(0);
        if padding > 0 {
            taken(sink.send(Bytes::copy_from_slice(&END[..padding])).await)?;
        }
    }
    taken(sink.send(Bytes::from_static(&END)).await)
}

/// What stands before a file in a tar file. None when its name is too long for one.
fn header_of(path: &str, length: u64, modified: u64) -> Option<Bytes> {
    let mut header = tar::Header::new_ustar();
    header.set_path(path).ok()?;
    header.set_size(length);
    header.set_mode(0o644);
    header.set_mtime(modified);
    header.set_entry_type(tar::EntryType::Regular);
    header.set_cksum();
    Some(Bytes::copy_from_slice(header.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn the_stock_tar_reads_what_is_sent() {
        let folder = tempfile::tempdir().unwrap();
        let mut file =
            header_of("20261127T014500Z-3fa9c01d/terminal-1.ttyrec", 5, 1_764_208_000).unwrap().to_vec();
        file.extend_from_slice(b"hello");
        file.resize(file.len().next_multiple_of(512), 0);
        file.extend_from_slice(&END);
        let path = folder.path().join("x.tar");
        std::fs::write(&path, file).unwrap();
        let told = Command::new("tar").args(["-xOf"]).arg(&path).output().unwrap();
        assert!(told.status.success() && told.stdout == b"hello", "{told:?}");
    }
}
