//! From kernel, binary and EFI stub to the system file; it neither builds nor signs what it joins.

use std::path::Path;

use crate::error::{Error, Result};
use crate::source::SourceDate;
use crate::uki::{self, Section};
use crate::{cmdline, elf, files, initramfs, kernel, names};

/// Where Debian's `systemd-boot-efi` puts the stub.
pub const STUB: &str = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";

/// All that a system is made of.
#[derive(Clone, Copy, Debug)]
pub struct Inputs<'a> {
    /// The kernel, a `bzImage`.
    pub kernel: &'a [u8],
    /// The appliance's binary.
    pub binary: &'a [u8],
    /// The vendor's profile.
    pub profile: &'a [u8],
    /// The EFI stub that starts the kernel.
    pub stub: &'a [u8],
    /// The version that is shown to people.
    pub version: &'a str,
    /// The date that everything in the system has.
    pub date: SourceDate,
}

/// A system, ready to be written.
#[derive(Clone, Debug)]
pub struct System {
    /// The compressed root file system.
    pub initramfs: Vec<u8>,
    /// The kernel's command line for a start without UEFI, without a line break.
    pub cmdline: String,
    /// The one file that UEFI firmware starts.
    pub efi: Vec<u8>,
}

/// Joins `inputs` to a system. The same inputs always give the same bytes.
pub fn build(inputs: &Inputs<'_>) -> Result<System> {
    elf::check_hardened(inputs.binary)?;
    let initramfs = initramfs::build(inputs.binary, Some(inputs.profile), inputs.date)?;
    let (cmdline, uefi_cmdline) = (cmdline::direct(), cmdline::uefi());
    let release = kernel::image::release(inputs.kernel)?;
    let os_release = os_release(inputs.version)?;
    let efi = uki::join(
        inputs.stub,
        &[
            Section { name: ".osrel", content: os_release.as_bytes() },
            Section { name: ".uname", content: release.as_bytes() },
            Section { name: ".cmdline", content: uefi_cmdline.as_bytes() },
            Section { name: ".initrd", content: &initramfs },
            // Last, as the specification advises: an old stub may run it where it lies, and it grows as it unpacks.
            Section { name: ".linux", content: inputs.kernel },
        ],
    )?;
    Ok(System { initramfs, cmdline, efi })
}

/// Builds the system and writes kernel, initramfs, command line and system file into `folder`.
pub fn write(inputs: &Inputs<'_>, folder: &Path) -> Result<System> {
    let system = build(inputs)?;
    files::create_folder(folder)?;
    files::write(&folder.join(names::KERNEL), inputs.kernel)?;
    files::write(&folder.join(names::INITRAMFS), &system.initramfs)?;
    files::write(&folder.join(names::CMDLINE), format!("{}\n", system.cmdline).as_bytes())?;
    files::write(&folder.join(names::SYSTEM), &system.efi)?;
    Ok(system)
}

/// The EFI stub at `path`, or the distribution's.
pub fn read_stub(path: Option<&Path>) -> Result<Vec<u8>> {
    let path = path.unwrap_or(Path::new(STUB));
    if path.is_file() {
        return files::read(path);
    }
    Err(Error::Missing {
        what: "the EFI stub, which starts the kernel on UEFI machines,",
        path: path.to_path_buf(),
        remedy: "install the package systemd-boot-efi (`apt-get install systemd-boot-efi`; on Ubuntu before 24.04 \
                 the package is systemd), or give the file with --stub"
            .to_owned(),
    })
}

/// The section that says what system this is, in the format of os-release(5).
fn os_release(version: &str) -> Result<String> {
    // Quoting is left out by allowing only what needs none.
    if version.is_empty()
        || !version.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".+-~_".contains(&byte))
    {
        return Err(Error::malformed(
            format!("the version {version:?}"),
            &"it may hold letters, digits and .+-~_ only",
        ));
    }
    Ok(format!(
        "ID=drawbridge\nNAME=Drawbridge\nVERSION_ID={version}\nPRETTY_NAME=\"Drawbridge Support Appliance {version}\"\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_cannot_break_out_of_os_release() {
        assert!(os_release("0.1.0+0123456789ab").is_ok());
        for wrong in ["", "1\nID=other", "1 2", "1\"", "$(x)"] {
            assert!(os_release(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_missing_stub_names_its_package() {
        let said = read_stub(Some(Path::new("/no/such/stub"))).unwrap_err().to_string();
        assert!(said.contains("systemd-boot-efi"), "{said}");
    }
}
