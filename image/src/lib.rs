//! From kernel and binary to files to flash: builds both, joins them to a system, and makes a disk image, a bill of
//! materials and a size report of it. It needs no root, signs nothing and writes to no real disk.

pub mod binary;
pub mod bom;
pub mod cmdline;
pub mod cpio;
pub mod digest;
pub mod disk;
pub mod elf;
pub mod error;
pub mod ext4;
pub mod fat;
pub mod files;
pub mod initramfs;
pub mod kernel;
pub mod names;
pub mod pipeline;
pub mod profile;
pub mod reproduce;
pub mod sizes;
pub mod source;
pub mod system;
pub mod uki;

mod command;
mod distribution;

pub use error::{Error, Result};
