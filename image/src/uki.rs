//! Joins sections to an EFI stub (a *unified kernel image*); it knows nothing of what the sections mean.
//!
//! The stub is a small PE file, which the UEFI firmware starts and which finds kernel, initramfs and command line as
//! sections of itself (the UAPI group's "Unified Kernel Image" specification). Adding a section to a PE file
//! is a line in the section table, for which the headers must have room, and bytes at the end.
//! `object` supplies the layouts; its PE writer makes whole new files and cannot keep an existing one's parts as
//! they are, so the editing is here.

use std::mem::{offset_of, size_of};

use object::endian::{LittleEndian as LE, U16, U32};
use object::pe;
use object::pod;

use crate::error::{Error, Result};

/// Sections begin at multiples of this in memory, in bytes. The stub's own alignment may be smaller (512 in systemd 252),
/// but firmware protects memory by pages, and the kernel wants to start on one.
const PAGE: u32 = 4096;

/// The fixed place of the checksum within the optional header, counted from its start.
const CHECKSUM_OFFSET: usize = offset_of!(pe::ImageOptionalHeader64, check_sum);

/// One section to add.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// Its name, at most eight bytes, with the leading dot.
    pub name: &'a str,
    /// What it holds.
    pub content: &'a [u8],
}

/// Where the parts of the stub's headers lie, in bytes from its start.
struct Headers {
    file: usize,
    optional: usize,
    sections: usize,
    count: usize,
}

/// `stub` with `sections` added, in this order; the same input always gives the same bytes.
///
/// What follows the stub's last section (a symbol table, if any) is dropped, and its checksum is made anew. A signed stub is
/// refused: its signature would no longer hold.
pub fn join(stub: &[u8], sections: &[Section<'_>]) -> Result<Vec<u8>> {
    let headers = find_headers(stub)?;
    let mut optional = *at::<pe::ImageOptionalHeader64>(stub, headers.optional)?;
    let mut file = *at::<pe::ImageFileHeader>(stub, headers.file)?;
    let old = section_table(stub, &headers)?;

    let file_alignment = power_of_two(optional.file_alignment.get(LE), "file alignment")?;
    let alignment = power_of_two(optional.section_alignment.get(LE), "section alignment")?.max(PAGE);
    let table_end = headers.sections + (headers.count + sections.len()) * size_of::<pe::ImageSectionHeader>();
    let first_content = old
        .iter()
        .filter(|one| one.size_of_raw_data.get(LE) > 0)
        .map(|one| one.pointer_to_raw_data.get(LE))
        .min();
    let room = optional.size_of_headers.get(LE).min(first_content.unwrap_or(u32::MAX));
    if usize::try_from(room).unwrap_or(0) < table_end {
        return Err(bad(&format!("its headers have no room for {} more sections", sections.len())));
    }

    let content_end = old
        .iter()
        .map(|one| end(one.pointer_to_raw_data.get(LE), one.size_of_raw_data.get(LE)))
        .try_fold(room, |most, one| one.map(|one| one.max(most)))?;
    let mut memory_end = old
        .iter()
        .map(|one| {
            end(one.virtual_address.get(LE), one.virtual_size.get(LE).max(one.size_of_raw_data.get(LE)))
        })
        .try_fold(0, |most, one| one.map(|one| one.max(most)))?;

    let mut out = stub.get(..widen(content_end)).ok_or_else(|| bad(&"its last section is cut off"))?.to_vec();
    let mut table = Vec::with_capacity(sections.len());
    let mut added: u32 = 0;
    for section in sections {
        let size = u32::try_from(section.content.len()).map_err(|_| too_big())?;
        let address = round_up(memory_end, alignment)?;
        let pointer = round_up(u32::try_from(out.len()).map_err(|_| too_big())?, file_alignment)?;
        let raw_size = round_up(size, file_alignment)?;
        table.push(section_header(section.name, address, size, pointer, raw_size)?);
        out.resize(widen(pointer), 0);
        out.extend_from_slice(section.content);
        out.resize(widen(end(pointer, raw_size)?), 0);
        memory_end = end(address, size)?;
        added = end(added, raw_size)?;
    }

    let count =
        u16::try_from(headers.count + sections.len()).map_err(|_| bad(&"it has too many sections"))?;
    file.number_of_sections = U16::new(LE, count);
    file.pointer_to_symbol_table = U32::new(LE, 0);
    file.number_of_symbols = U32::new(LE, 0);
    // The time is the stub's own, which its packager fixed; ours is in .osrel and in the initramfs.
    optional.size_of_image = U32::new(LE, round_up(memory_end, alignment)?);
    optional.size_of_initialized_data = U32::new(LE, end(optional.size_of_initialized_data.get(LE), added)?);
    optional.check_sum = U32::new(LE, 0);
    put(&mut out, headers.file, &file);
    put(&mut out, headers.optional, &optional);
    let after = headers.sections + headers.count * size_of::<pe::ImageSectionHeader>();
    for (index, header) in table.iter().enumerate() {
        put(&mut out, after + index * size_of::<pe::ImageSectionHeader>(), header);
    }
    let sum = checksum(&out)?;
    let at = headers.optional + CHECKSUM_OFFSET;
    out[at..at + 4].copy_from_slice(&sum.to_le_bytes());
    Ok(out)
}

/// What the section `name` of an EFI file holds; nothing if it has none of that name.
pub fn section<'a>(file: &'a [u8], name: &str) -> Result<Option<&'a [u8]>> {
    let headers = find_headers(file)?;
    for header in section_table(file, &headers)? {
        if header.name.split(|byte| *byte == 0).next() == Some(name.as_bytes()) {
            let start = widen(header.pointer_to_raw_data.get(LE));
            let length = header.virtual_size.get(LE).min(header.size_of_raw_data.get(LE));
            let content = file.get(start..).and_then(|rest| rest.get(..widen(length)));
            return content.map(Some).ok_or_else(|| bad(&format!("its section {name} is cut off")));
        }
    }
    Ok(None)
}

fn section_table<'a>(file: &'a [u8], headers: &Headers) -> Result<&'a [pe::ImageSectionHeader]> {
    file.get(headers.sections..)
        .and_then(|rest| pod::slice_from_bytes(rest, headers.count).ok())
        .map(|(table, _)| table)
        .ok_or_else(|| bad(&"its section table is cut off"))
}

/// Finds the headers of a 64-bit x86 EFI application, and refuses anything else.
fn find_headers(stub: &[u8]) -> Result<Headers> {
    let dos = at::<pe::ImageDosHeader>(stub, 0)?;
    if dos.e_magic.get(LE) != pe::IMAGE_DOS_SIGNATURE {
        return Err(bad(&"it does not begin like a PE file"));
    }
    let start = widen(dos.e_lfanew.get(LE));
    if at::<U32<LE>>(stub, start)?.get(LE) != pe::IMAGE_NT_SIGNATURE {
        return Err(bad(&"it has no PE signature"));
    }
    let file_at = start + size_of::<U32<LE>>();
    let optional_at = file_at + size_of::<pe::ImageFileHeader>();
    let file = at::<pe::ImageFileHeader>(stub, file_at)?;
    let optional = at::<pe::ImageOptionalHeader64>(stub, optional_at)?;
    if file.machine.get(LE) != pe::IMAGE_FILE_MACHINE_AMD64
        || optional.magic.get(LE) != pe::IMAGE_NT_OPTIONAL_HDR64_MAGIC
    {
        return Err(bad(&"it is not for x86-64"));
    }
    if optional.subsystem.get(LE) != pe::IMAGE_SUBSYSTEM_EFI_APPLICATION {
        return Err(bad(&"it is not an EFI application"));
    }
    let directories = optional_at + size_of::<pe::ImageOptionalHeader64>();
    let signature = directories + pe::IMAGE_DIRECTORY_ENTRY_SECURITY * size_of::<pe::ImageDataDirectory>();
    if widen(optional.number_of_rva_and_sizes.get(LE)) > pe::IMAGE_DIRECTORY_ENTRY_SECURITY
        && at::<pe::ImageDataDirectory>(stub, signature)?.size.get(LE) != 0
    {
        return Err(bad(&"it is signed, and joining sections to it would break the signature"));
    }
    Ok(Headers {
        file: file_at,
        optional: optional_at,
        sections: optional_at + usize::from(file.size_of_optional_header.get(LE)),
        count: usize::from(file.number_of_sections.get(LE)),
    })
}

fn section_header(
    name: &str,
    address: u32,
    size: u32,
    pointer: u32,
    raw_size: u32,
) -> Result<pe::ImageSectionHeader> {
    let mut padded = [0; 8];
    padded
        .get_mut(..name.len())
        .ok_or_else(|| {
            Error::malformed(format!("the section's name {name}"), &"it is longer than eight bytes")
        })?
        .copy_from_slice(name.as_bytes());
    Ok(pe::ImageSectionHeader {
        name: padded,
        virtual_size: U32::new(LE, size),
        virtual_address: U32::new(LE, address),
        size_of_raw_data: U32::new(LE, raw_size),
        pointer_to_raw_data: U32::new(LE, pointer),
        pointer_to_relocations: U32::new(LE, 0),
        pointer_to_linenumbers: U32::new(LE, 0),
        number_of_relocations: U16::new(LE, 0),
        number_of_linenumbers: U16::new(LE, 0),
        characteristics: U32::new(LE, pe::IMAGE_SCN_CNT_INITIALIZED_DATA | pe::IMAGE_SCN_MEM_READ),
    })
}

/// The checksum of a PE file whose checksum field is zero: the ones' complement sum of its 16-bit words, plus its
/// length (as `CheckSumMappedFile` of Windows' `ImageHlp` computes it; the format's specification names only that).
fn checksum(file: &[u8]) -> Result<u32> {
    let sum = file.chunks(2).fold(0_u32, |sum, pair| {
        let word = u32::from(pair[0]) | pair.get(1).map_or(0, |high| u32::from(*high) << 8);
        let sum = sum + word;
        (sum & 0xFFFF) + (sum >> 16)
    });
    end(sum, u32::try_from(file.len()).map_err(|_| too_big())?)
}

fn at<T: pod::Pod>(bytes: &[u8], offset: usize) -> Result<&T> {
    bytes
        .get(offset..)
        .and_then(|rest| pod::from_bytes(rest).ok())
        .map(|(value, _)| value)
        .ok_or_else(|| bad(&"its headers are cut off"))
}

fn put<T: pod::Pod>(bytes: &mut [u8], offset: usize, value: &T) {
    let value = pod::bytes_of(value);
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

fn power_of_two(value: u32, what: &str) -> Result<u32> {
    if value.is_power_of_two() { Ok(value) } else { Err(bad(&format!("its {what} is {value}"))) }
}

fn end(start: u32, length: u32) -> Result<u32> {
    start.checked_add(length).ok_or_else(too_big)
}

fn round_up(value: u32, to: u32) -> Result<u32> {
    value.checked_next_multiple_of(to).ok_or_else(too_big)
}

/// Lossless: this crate runs on 64-bit builders, and a PE file's offsets are 32 bits.
fn widen(value: u32) -> usize {
    value as usize
}

fn bad(wrong: &dyn std::fmt::Display) -> Error {
    Error::malformed("the EFI stub", wrong)
}

fn too_big() -> Error {
    Error::OutOfRange {
        what: "the system file",
        given: "more than 4 GiB".to_owned(),
        rule: "a PE file's offsets are 32 bits".to_owned(),
    }
}
