//! Where the files are that `drawbridge-image` made.

use drawbridge_image::names;
use std::path::{Path, PathBuf};

/// The environment variable that names the folder of the images; without it they are in `target/image`.
const FOLDER: &str = "DRAWBRIDGE_IMAGE";

/// The images under test.
#[derive(Clone, Debug)]
pub struct Image {
    folder: PathBuf,
}

impl Image {
    /// The images that are there.
    ///
    /// # Panics
    /// When there are none: they are built before the tests are run.
    pub fn here() -> Self {
        let folder = std::env::var_os(FOLDER)
            .map_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/image"), PathBuf::from);
        let image = Self { folder };
        for name in [names::KERNEL, names::INITRAMFS, names::INITRAMFS_LAB, names::DISK, names::SYSTEM] {
            let file = image.file(name);
            assert!(
                file.is_file(),
                "{} is not there: build the images by `tests/run images`, or name their folder in {FOLDER}",
                file.display()
            );
        }
        image
    }

    /// The folder that they are in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// A file of the image folder, by its name in [`drawbridge_image::names`].
    pub fn file(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The kernel's command line as it is in the system file.
    pub fn command_line(&self) -> String {
        let file = self.file(names::CMDLINE);
        match std::fs::read_to_string(&file) {
            Ok(text) => text.trim_end().to_owned(),
            Err(error) => panic!("cannot read {}: {error}", file.display()),
        }
    }
}
