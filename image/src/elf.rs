//! Checks that the appliance's binary is as hardened as it must be; it changes nothing.

use object::elf;
use object::endian::LittleEndian;
use object::read::elf::{Dyn as _, FileHeader as _, ProgramHeader as _, SectionHeader as _};

use crate::error::{Error, Result};

type Header = elf::FileHeader64<LittleEndian>;

/// A section of the binary and its size in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SectionSize {
    /// The section's name.
    pub name: String,
    /// What it takes in the file, in bytes.
    pub bytes: u64,
}

/// Refuses a binary that is not a static position-independent x86-64 executable with read-only relocations, no lazy binding, no
/// executable stack, no memory both writable and executable, no program interpreter and no needed library.
pub fn check_hardened(binary: &[u8]) -> Result<()> {
    let faults = faults(binary).map_err(|wrong| Error::malformed("the binary", &wrong))?;
    if faults.is_empty() { Ok(()) } else { Err(Error::NotHardened { faults }) }
}

/// The sections that take room in the file, the biggest first.
pub fn sections(binary: &[u8]) -> Result<Vec<SectionSize>> {
    read_sections(binary).map_err(|wrong| Error::malformed("the binary", &wrong))
}

fn read_sections(binary: &[u8]) -> object::Result<Vec<SectionSize>> {
    let endian = LittleEndian;
    let table = Header::parse(binary)?.sections(endian, binary)?;
    let mut sections = Vec::new();
    for section in table.iter() {
        if section.sh_type(endian) == elf::SHT_NOBITS || section.sh_size(endian) == 0 {
            continue;
        }
        let name = String::from_utf8_lossy(table.section_name(endian, section)?).into_owned();
        sections.push(SectionSize { name, bytes: section.sh_size(endian) });
    }
    sections.sort_by(|one, other| other.bytes.cmp(&one.bytes).then_with(|| one.name.cmp(&other.name)));
    Ok(sections)
}

fn faults(binary: &[u8]) -> object::Result<Vec<String>> {
    let endian = LittleEndian;
    let header = Header::parse(binary)?;
    let mut faults = Vec::new();
    let mut require = |holds: bool, fault: &str| {
        if !holds {
            faults.push(fault.to_owned());
        }
    };
    require(header.e_machine.get(endian) == elf::EM_X86_64, "it is not for x86-64");
    require(header.e_type.get(endian) == elf::ET_DYN, "it has a fixed address (not static-pie)");

    let mut relro = false;
    let mut stack_flags = None;
    let mut dynamic = None;
    for segment in header.program_headers(endian, binary)? {
        let flags = segment.p_flags(endian);
        match segment.p_type(endian) {
            elf::PT_INTERP => require(false, "it asks for a program interpreter (INTERP)"),
            elf::PT_GNU_RELRO => relro = true,
            elf::PT_GNU_STACK => stack_flags = Some(flags),
            elf::PT_LOAD => require(
                !(flags.contains(elf::PF_W) && flags.contains(elf::PF_X)),
                "it has memory that is both writable and executable",
            ),
            elf::PT_DYNAMIC => dynamic = segment.dynamic(endian, binary)?,
            _ => {}
        }
    }
    require(relro, "its relocations stay writable (no RELRO)");
    require(stack_flags.is_some_and(|flags| !flags.contains(elf::PF_X)), "its stack is executable (no NX)");

    let mut bind_now = false;
    let mut pie = false;
    for entry in dynamic.unwrap_or_default() {
        let value = entry.val(endian);
        match entry.tag(endian) {
            elf::DT_NULL => break,
            elf::DT_NEEDED => require(false, "it needs a shared library"),
            elf::DT_TEXTREL => require(false, "it relocates its own code (TEXTREL)"),
            elf::DT_BIND_NOW => bind_now = true,
            elf::DT_FLAGS => bind_now |= value & elf::DF_BIND_NOW.0 != 0,
            elf::DT_FLAGS_1 => {
                bind_now |= value & elf::DF_1_NOW.0 != 0;
                pie |= value & elf::DF_1_PIE.0 != 0;
            }
            _ => {}
        }
    }
    require(bind_now, "its symbols are bound lazily (no BIND_NOW)");
    require(pie, "it is not marked as a position-independent executable (no PIE)");
    Ok(faults)
}
