//! Where the files of what is verified are: a folder, or a tar file that is read where it lies. Nothing is unpacked.

use drawbridge_chain::{FILE, FolderTracks, TrackName, Tracks};
use drawbridge_recording::{Files, FolderFiles, Section, tar};
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

/// A recording or an audit.
#[derive(Debug)]
pub struct Source(Kind);

#[derive(Debug)]
enum Kind {
    /// Of the chain so many bytes count.
    Folder {
        tracks: FolderTracks,
        files: FolderFiles,
        chain: u64,
    },
    Tar {
        file: File,
        entries: BTreeMap<String, tar::Place>,
    },
}

impl Source {
    /// A folder, or an uncompressed tar file.
    pub fn open(path: &Path) -> io::Result<Self> {
        if path.metadata()?.is_dir() { Ok(Self::growing(path, u64::MAX)) } else { Self::tar(path).map(Self) }
    }

    /// A folder in which somebody is writing: so many bytes of its chain are known to be there with all that they name.
    pub fn growing(path: &Path, chain: u64) -> Self {
        Self(Kind::Folder { tracks: FolderTracks::new(path), files: FolderFiles::new(path), chain })
    }

    fn tar(path: &Path) -> io::Result<Kind> {
        let facts = path.metadata()?;
        if !facts.is_file() {
            return Err(io::Error::other("it is neither a folder nor a file"));
        }
        let file = File::open(path)?;
        let entries = tar::read(&file).map_err(io::Error::other)?;
        Ok(Kind::Tar { file, entries })
    }

    /// The segments of an audit, in their order; none when it is something else.
    pub fn segments(path: &Path) -> io::Result<Vec<(u32, Self)>> {
        let facts = path.metadata()?;
        let mut segments = Vec::new();
        if facts.is_dir() {
            for entry in path.read_dir()?.take(SEGMENTS_MOST) {
                let entry = entry?;
                let number = entry.file_name().to_str().and_then(number);
                if let Some(number) = number.filter(|_| entry.path().join(FILE).is_file()) {
                    segments.push((number, Self::open(&entry.path())?));
                }
            }
        } else if facts.is_file() {
            let file = File::open(path)?;
            // What is no tar file is told of below, where a recording is looked for.
            for (folder, entries) in tar::folders(&file).unwrap_or_default() {
                let name = folder.rsplit('/').next().unwrap_or_default();
                if let Some(number) = number(name).filter(|_| entries.contains_key(FILE)) {
                    segments.push((number, Self(Kind::Tar { file: file.try_clone()?, entries })));
                }
            }
        }
        segments.sort_by_key(|(number, _)| *number);
        if segments.windows(2).any(|pair| matches!(pair, [one, other] if one.0 == other.0)) {
            return Err(io::Error::other("a segment is there twice: give one audit"));
        }
        Ok(segments)
    }
}

/// More are no audit of one appliance.
const SEGMENTS_MOST: usize = 100_000;

/// The number of a segment, by its folder's name.
fn number(name: &str) -> Option<u32> {
    let fits = name.len() == 8 && name.bytes().all(|byte| byte.is_ascii_digit());
    name.parse().ok().filter(|number| fits && *number > 0)
}

impl Files for Source {
    fn names(&self) -> io::Result<Vec<String>> {
        match &self.0 {
            Kind::Folder { files, .. } => files.names(),
            Kind::Tar { entries, .. } => Ok(entries.keys().cloned().collect()),
        }
    }

    fn open(&self, name: &str) -> io::Result<Option<Section>> {
        match &self.0 {
            Kind::Folder { files, chain, .. } if name == FILE => {
                Ok(files.open(name)?.map(|section| section.first(*chain)))
            }
            Kind::Folder { files, .. } => files.open(name),
            Kind::Tar { file, entries } => {
                let place = entries.get(name);
                place.map(|place| Ok(Section::new(file.try_clone()?, place.start, place.length))).transpose()
            }
        }
    }
}

impl Tracks for Source {
    fn bytes(&mut self, track: &TrackName) -> io::Result<Option<u64>> {
        match &mut self.0 {
            Kind::Folder { tracks, .. } => tracks.bytes(track),
            Kind::Tar { entries, .. } => Ok(entries.get(track.as_str()).map(|place| place.length)),
        }
    }

    fn read_at(&mut self, track: &TrackName, offset: u64, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Kind::Folder { tracks, .. } => tracks.read_at(track, offset, buffer),
            Kind::Tar { file, entries } => {
                let Some(place) = entries.get(track.as_str()) else { return Ok(0) };
                let left = usize::try_from(place.length.saturating_sub(offset)).unwrap_or(usize::MAX);
                let length = left.min(buffer.len());
                file.read_at(buffer.get_mut(..length).unwrap_or_default(), place.start.saturating_add(offset))
            }
        }
    }

    fn names(&mut self) -> io::Result<Vec<String>> {
        match &mut self.0 {
            Kind::Folder { tracks, .. } => tracks.names(),
            Kind::Tar { entries, .. } => Ok(entries.keys().filter(|name| *name != FILE).cloned().collect()),
        }
    }
}
