//! The steps from sources to files to flash, each reading what the one before wrote into one folder; it decides what is done in
//! which order, and leaves how to the modules.

use std::path::{Path, PathBuf};

use crate::binary::{Build, Built, Flavour};
use crate::disk::{self, DiskSize};
use crate::error::Result;
use crate::kernel::{self, Cache, Provenance};
use crate::source::{SourceDate, Workspace};
use crate::{binary, bom, digest, elf, files, initramfs, names, profile, sizes, system};

/// What is to be made of which sources, and where it goes.
#[derive(Clone, Debug)]
pub struct Pipeline {
    /// The sources.
    pub workspace: Workspace,
    /// The folder of all that is made.
    pub out: PathBuf,
    /// The version that the system shows.
    pub version: String,
    /// The date of all that is made.
    pub date: SourceDate,
    /// The vendor's profile: a name of one in `board/profiles`, or a file.
    pub profile: String,
    /// The size of the disk image.
    pub size: DiskSize,
    /// A kernel to use instead of building one.
    pub kernel: Option<PathBuf>,
    /// The configuration that this kernel was built with.
    pub kernel_config: Option<PathBuf>,
    /// A binary to use instead of building one.
    pub binary: Option<PathBuf>,
    /// The kernel's sources, instead of the distribution's package.
    pub source: Option<PathBuf>,
    /// The EFI stub, instead of the distribution's package.
    pub stub: Option<PathBuf>,
    /// Where cargo works; its own choice if nothing is said.
    pub target_folder: Option<PathBuf>,
    /// What cargo has said, as JSON, when somebody else built the binary.
    pub messages: Option<PathBuf>,
    /// What Buildroot says of its packages, as JSON, when it built kernel and binary.
    pub buildroot: Option<PathBuf>,
}

impl Pipeline {
    /// Everything as `workspace` has it, into `out`.
    pub fn new(workspace: &Workspace, out: &Path) -> Result<Self> {
        Ok(Self {
            workspace: workspace.clone(),
            out: out.to_path_buf(),
            version: workspace.version()?,
            date: workspace.date()?,
            profile: profile::DEFAULT.to_owned(),
            size: DiskSize::default(),
            kernel: None,
            kernel_config: None,
            binary: None,
            source: None,
            stub: None,
            target_folder: None,
            messages: None,
            buildroot: None,
        })
    }

    /// Whether what can be looked at beforehand is right.
    pub fn check(&self) -> Result<()> {
        self.read_profile().map(drop)
    }

    /// Builds the kernel, or takes it from the user's cache. Returns what was written.
    pub fn kernel(&self) -> Result<Vec<PathBuf>> {
        if let Some(given) = &self.kernel {
            let image = files::read(given)?;
            let mut written = vec![self.put(names::KERNEL, &image)?];
            if let Some(config) = &self.kernel_config {
                let config = files::read(config)?;
                let made = kernel::given(&self.workspace, &image, &config, self.source.as_deref())?;
                written.push(self.put(names::KERNEL_CONFIG, &config)?);
                written.push(self.put(names::KERNEL_PROVENANCE, &made.json()?)?);
            }
            return Ok(written);
        }
        let built = kernel::obtain(&self.workspace, self.source.as_deref(), &Cache::of_user()?)?;
        Ok(vec![
            self.put(names::KERNEL, &files::read(&built.image)?)?,
            self.put(names::KERNEL_CONFIG, &files::read(&built.config)?)?,
            self.put(names::KERNEL_PROVENANCE, &built.provenance.json()?)?,
        ])
    }

    /// Builds a binary. Returns what was written.
    pub fn binary(&self, flavour: Flavour) -> Result<Vec<PathBuf>> {
        let (name, binary) = match (flavour, &self.binary) {
            (Flavour::Product, Some(given)) => {
                let binary = files::read(given)?;
                elf::check_hardened(&binary)?;
                (names::BINARY, binary)
            }
            (Flavour::Product, None) => (names::BINARY, self.compile(flavour)?.binary),
            (Flavour::Lab, _) => (names::BINARY_LAB, self.compile(flavour)?.binary),
        };
        Ok(vec![self.put(name, &binary)?])
    }

    /// Joins kernel and binary to a system. Returns what was written.
    pub fn system(&self) -> Result<Vec<PathBuf>> {
        let inputs = system::Inputs {
            kernel: &files::read(&self.kernel_path())?,
            binary: &files::read(&self.binary_path())?,
            profile: &self.read_profile()?,
            stub: &system::read_stub(self.stub.as_deref())?,
            version: &self.version,
            date: self.date,
        };
        system::write(&inputs, &self.out)?;
        Ok([names::INITRAMFS, names::CMDLINE, names::SYSTEM].map(|name| self.path(name)).to_vec())
    }

    /// Makes the disk image. Returns what was written.
    pub fn disk(&self) -> Result<Vec<PathBuf>> {
        disk::write(&self.path(names::DISK), &files::read(&self.path(names::SYSTEM))?, self.size, self.date)?;
        Ok(vec![self.path(names::DISK)])
    }

    /// Writes the bill of materials. Cargo says which crates there are, so this builds the binary if it is not up to date and
    /// nobody has kept what cargo said. Returns what was written.
    pub fn bom(&self) -> Result<Vec<PathBuf>> {
        let provenance = match files::read(&self.path(names::KERNEL_PROVENANCE)) {
            Ok(text) if self.kernel.is_none() => Some(Provenance::parse(&text)?),
            _ => None,
        };
        let listed =
            [names::KERNEL, names::BINARY, names::INITRAMFS, names::CMDLINE, names::SYSTEM, names::DISK];
        let present: Vec<PathBuf> =
            listed.iter().map(|name| self.path(name)).filter(|path| path.is_file()).collect();
        let (built_in, crates) = match &self.messages {
            Some(messages) => binary::crates_of(&files::read(messages)?)?,
            None => (self.workspace.clone(), self.compile(Flavour::Product)?.crates),
        };
        let bill = bom::build(&bom::Inputs {
            workspace: &built_in,
            version: &self.version,
            date: self.date,
            crates: &crates,
            buildroot: self.buildroot.as_deref().map(files::read).transpose()?.as_deref(),
            kernel: &files::read(&self.kernel_path())?,
            provenance: provenance.as_ref(),
            stub: &system::read_stub(self.stub.as_deref())?,
            files: &present.iter().map(PathBuf::as_path).collect::<Vec<_>>(),
        })?;
        Ok(vec![self.put(names::BOM, &bill)?])
    }

    /// Writes the size report, and returns its text.
    pub fn sizes(&self) -> Result<String> {
        let report = sizes::report(&sizes::Inputs {
            kernel: &files::read(&self.kernel_path())?,
            binary: &files::read(&self.binary_path())?,
            initramfs: &files::read(&self.path(names::INITRAMFS))?,
            system: &files::read(&self.path(names::SYSTEM))?,
        })?;
        self.put(names::SIZES, report.as_bytes())?;
        Ok(report)
    }

    /// Builds the lab's binary and a root file system with it, for the same kernel. Returns what was written.
    pub fn lab(&self) -> Result<Vec<PathBuf>> {
        let mut written = self.binary(Flavour::Lab)?;
        let (binary, profile) = (files::read(&self.path(names::BINARY_LAB))?, self.read_profile()?);
        let packed = initramfs::build(&binary, Some(&profile), self.date)?;
        written.push(self.put(names::INITRAMFS_LAB, &packed)?);
        Ok(written)
    }

    /// The SHA-256 of each file that was made, in the order of their names.
    pub fn digests(&self) -> Result<Vec<(&'static str, String)>> {
        let mut listed = names::ALL;
        listed.sort_unstable();
        let present = listed.into_iter().filter(|name| self.path(name).is_file());
        present.map(|name| Ok((name, digest::of_file(&self.path(name))?))).collect()
    }

    fn compile(&self, flavour: Flavour) -> Result<Built> {
        Build {
            workspace: self.workspace.clone(),
            flavour,
            version: self.version.clone(),
            date: self.date,
            target_folder: self.target_folder.clone(),
        }
        .run()
    }

    fn read_profile(&self) -> Result<Vec<u8>> {
        profile::read(&self.profile, self.workspace.root())
    }

    fn kernel_path(&self) -> PathBuf {
        self.kernel.clone().unwrap_or_else(|| self.path(names::KERNEL))
    }

    fn binary_path(&self) -> PathBuf {
        self.binary.clone().unwrap_or_else(|| self.path(names::BINARY))
    }

    fn path(&self, name: &str) -> PathBuf {
        self.out.join(name)
    }

    fn put(&self, name: &str, content: &[u8]) -> Result<PathBuf> {
        files::create_folder(&self.out)?;
        let path = self.path(name);
        files::write(&path, content)?;
        Ok(path)
    }
}
