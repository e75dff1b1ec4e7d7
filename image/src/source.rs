//! What is built: the workspace's folder, its version and its date; it never writes to the sources.

use std::fmt;
use std::path::{Path, PathBuf};

use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::command::Tool;
use crate::error::{Error, Result};

/// The date of sources that are under no version control and for which nobody says one: 2026-01-01T00:00:00Z.
const DATE_WITHOUT_HISTORY: u64 = 1_767_225_600;

/// The date of the sources in seconds since 1970-01-01T00:00:00Z, 1980 to 2105: every time that gets into an
/// image is this one, and the appliance's clock is never set before it.
///
/// The range is that of the narrowest fields it goes into: FAT counts from 1980, and cpio and ext4's plain fields
/// are 32 bits of seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct SourceDate(u32);

impl SourceDate {
    /// The first date that can be used: FAT's epoch, 1980-01-01T00:00:00Z.
    pub const EARLIEST: u64 = 315_532_800;
    /// The last date that can be used: 2105-12-31T23:59:59Z.
    pub const LATEST: u64 = 4_291_747_199;

    /// `seconds` since 1970-01-01T00:00:00Z.
    pub fn new(seconds: u64) -> Result<Self> {
        match u32::try_from(seconds) {
            Ok(narrow) if (Self::EARLIEST..=Self::LATEST).contains(&seconds) => Ok(Self(narrow)),
            _ => Err(Error::OutOfRange {
                what: "the date of the sources",
                given: format!("{seconds} s after 1970"),
                rule: "it must lie between 1980 and 2105: set SOURCE_DATE_EPOCH".to_owned(),
            }),
        }
    }

    /// From the text of the environment's `SOURCE_DATE_EPOCH`.
    pub fn parse(text: &str) -> Result<Self> {
        let seconds = text
            .trim()
            .parse()
            .map_err(|wrong| Error::malformed(format!("SOURCE_DATE_EPOCH={text}"), &wrong))?;
        Self::new(seconds)
    }

    /// Seconds since 1970-01-01T00:00:00Z.
    pub fn seconds(self) -> u32 {
        self.0
    }

    /// As FAT writes it: the day, and the time of the day in steps of two seconds (UTC, though FAT does not say so).
    pub fn dos(self) -> (u16, u16) {
        let moment =
            OffsetDateTime::from_unix_timestamp(i64::from(self.0)).unwrap_or(OffsetDateTime::UNIX_EPOCH);
        let year = u16::try_from(moment.year() - 1980).unwrap_or(0);
        let [month, day, hour, minute, second] =
            [u8::from(moment.month()), moment.day(), moment.hour(), moment.minute(), moment.second()]
                .map(u16::from);
        (year << 9 | month << 5 | day, hour << 11 | minute << 5 | (second / 2))
    }

    /// As RFC 3339 writes it, in UTC: `2026-01-01T00:00:00Z`.
    pub fn rfc3339(self) -> String {
        OffsetDateTime::from_unix_timestamp(i64::from(self.0))
            .ok()
            .and_then(|moment| moment.format(&Rfc3339).ok())
            .unwrap_or_else(|| format!("@{}", self.0))
    }
}

impl fmt::Display for SourceDate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.rfc3339())
    }
}

/// The project's sources: a folder with the workspace's `Cargo.toml` and `board/`.
#[derive(Clone, Debug)]
pub struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// The workspace at `root`.
    pub fn at(root: &Path) -> Result<Self> {
        let root = root.canonicalize().map_err(Error::read(root))?;
        let config = root.join(Self::LINUX_CONFIG);
        if config.is_file() {
            return Ok(Self { root });
        }
        Err(Error::Missing {
            what: "the project's kernel configuration",
            path: config,
            remedy: "give the project's folder with --workspace".to_owned(),
        })
    }

    /// The workspace that `start` lies in.
    pub fn above(start: &Path) -> Result<Self> {
        start.ancestors().find(|folder| folder.join(Self::LINUX_CONFIG).is_file()).map_or_else(
            || {
                Err(Error::Missing {
                    what: "the project's folder",
                    path: start.to_path_buf(),
                    remedy: "start inside it, or give it with --workspace".to_owned(),
                })
            },
            Self::at,
        )
    }

    const LINUX_CONFIG: &str = "board/x86_64/linux.config";

    /// Its folder, absolute.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// The appliance's kernel configuration.
    pub fn linux_config(&self) -> PathBuf {
        self.root.join(Self::LINUX_CONFIG)
    }

    /// Where the built files go unless another folder is asked for.
    pub fn default_output(&self) -> PathBuf {
        self.root.join("target/image")
    }

    /// The date of the sources: `SOURCE_DATE_EPOCH` where it is set, else the commit's, else a constant.
    pub fn date(&self) -> Result<SourceDate> {
        if let Some(text) = std::env::var_os("SOURCE_DATE_EPOCH") {
            return SourceDate::parse(&text.to_string_lossy());
        }
        match self.git(&["log", "-1", "--format=%ct"])? {
            Some(text) => {
                let seconds =
                    text.trim().parse().map_err(|wrong| Error::malformed("the commit's time", &wrong))?;
                SourceDate::new(seconds)
            }
            None => SourceDate::new(DATE_WITHOUT_HISTORY),
        }
    }

    /// The version of the appliance: Cargo's, and the commit's first twelve digits where there is one.
    pub fn version(&self) -> Result<String> {
        // This crate's version is the workspace's, from the same sources.
        let version = env!("CARGO_PKG_VERSION");
        Ok(match self.git(&["rev-parse", "HEAD"])? {
            // Cut here: how many digits git itself calls short depends on the clone.
            Some(commit) => format!("{version}+{}", commit.trim().chars().take(12).collect::<String>()),
            None => version.to_owned(),
        })
    }

    /// What git says about the sources; nothing where they are under no version control.
    fn git(&self, arguments: &[&str]) -> Result<Option<String>> {
        if !self.root.join(".git").exists() {
            return Ok(None);
        }
        let mut git = Tool::new("git", "tells the sources' commit", "git");
        git.command().arg("-C").arg(&self.root).args(arguments);
        git.text().map(Some)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_date_is_written_in_utc() {
        assert_eq!(SourceDate::new(DATE_WITHOUT_HISTORY).unwrap().rfc3339(), "2026-01-01T00:00:00Z");
    }

    #[test]
    fn a_date_that_fat_cannot_hold_is_refused() {
        assert!(SourceDate::new(0).is_err());
        assert!(SourceDate::parse("4291747200").is_err());
        assert!(SourceDate::parse("soon").is_err());
        assert!(SourceDate::parse(" 1767225600\n").is_ok());
    }
}
