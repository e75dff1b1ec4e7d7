//! How a machine starts: a kernel given by QEMU, or UEFI from the disk. It never touches the distribution's own files.

use crate::{Lab, LabError};
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// What the processor runs first.
#[derive(Debug, Clone, Default)]
pub struct Firmware(Start);

#[derive(Debug, Clone, Default)]
enum Start {
    /// SeaBIOS with whatever disk there is.
    #[default]
    Bios,
    Kernel {
        kernel: PathBuf,
        initrd: Option<PathBuf>,
        cmdline: String,
    },
    Uefi {
        variables: Option<PathBuf>,
    },
}

/// Code and variable store of the firmware, as Debian's and Ubuntu's `ovmf` install them, newest first.
const OVMF: [(&str, &str); 2] = [
    ("/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"),
    ("/usr/share/OVMF/OVMF_CODE.fd", "/usr/share/OVMF/OVMF_VARS.fd"),
];

impl Firmware {
    /// QEMU loads this kernel itself: no boot loader, no disk.
    pub fn kernel(kernel: impl Into<PathBuf>) -> Self {
        Self(Start::Kernel { kernel: kernel.into(), initrd: None, cmdline: String::new() })
    }

    /// With this initramfs. It means nothing but after [`Firmware::kernel`].
    #[must_use]
    pub fn initrd(mut self, path: impl Into<PathBuf>) -> Self {
        if let Start::Kernel { initrd, .. } = &mut self.0 {
            *initrd = Some(path.into());
        }
        self
    }

    /// With this command line. It means nothing but after [`Firmware::kernel`].
    #[must_use]
    pub fn cmdline(mut self, text: impl Into<String>) -> Self {
        if let Start::Kernel { cmdline, .. } = &mut self.0 {
            *cmdline = text.into();
        }
        self
    }

    /// UEFI starts from the first disk, with an empty variable store of this machine's own.
    pub fn uefi() -> Self {
        Self(Start::Uefi { variables: None })
    }

    /// The same with a variable store that outlives the machine: [`Firmware::new_variables`] makes one.
    pub fn uefi_with(variables: impl Into<PathBuf>) -> Self {
        Self(Start::Uefi { variables: Some(variables.into()) })
    }

    /// Whether the firmware for UEFI is installed.
    pub fn uefi_available() -> bool {
        ovmf().is_ok()
    }

    /// Makes an empty UEFI variable store.
    pub fn new_variables(file: &Path) -> Result<(), LabError> {
        let (_, variables) = ovmf()?;
        // Read and written anew: a copy would keep the original's mode, which may be read-only.
        let content = std::fs::read(variables).map_err(LabError::file("read", variables))?;
        std::fs::write(file, content).map_err(LabError::file("write", file))
    }

    pub(super) fn arguments(&self, lab: &Lab, number: u32) -> Result<Vec<OsString>, LabError> {
        match &self.0 {
            Start::Bios => Ok(vec![]),
            Start::Kernel { kernel, initrd, cmdline } => {
                let mut arguments: Vec<OsString> = vec!["-kernel".into(), kernel.into()];
                if let Some(initrd) = initrd {
                    arguments.extend(["-initrd".into(), initrd.into()]);
                }
                if !cmdline.is_empty() {
                    arguments.extend(["-append".into(), cmdline.into()]);
                }
                Ok(arguments)
            }
            Start::Uefi { variables } => {
                let (code, _) = ovmf()?;
                let variables = if let Some(kept) = variables {
                    kept.clone()
                } else {
                    let own = lab.file(&format!("machine{number}-variables.fd"));
                    Self::new_variables(&own)?;
                    own
                };
                let flash = |unit: u8, read_only: &str, file: &Path| {
                    let mut text = OsString::from(format!(
                        "if=pflash,format=raw,unit={unit},readonly={read_only},file="
                    ));
                    text.push(super::escaped(file));
                    text
                };
                let code = flash(0, "on", Path::new(code));
                Ok(vec!["-drive".into(), code, "-drive".into(), flash(1, "off", &variables)])
            }
        }
    }
}

fn ovmf() -> Result<(&'static str, &'static str), LabError> {
    let found = OVMF.into_iter().find(|(code, vars)| Path::new(code).is_file() && Path::new(vars).is_file());
    found.ok_or_else(|| LabError::Missing {
        what: "UEFI firmware for virtual machines",
        places: OVMF.map(|(code, _)| code).join(", "),
        package: "ovmf",
    })
}
