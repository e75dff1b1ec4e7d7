//! The typed, versioned settings and the files they are kept in; it never applies one.
//!
//! ```text
//! fault     what is wrong with a value, and what would be right
//! network   the settings of the ports: types, rules between them, JSON from outside
//! board     which roles the ports have that no setting mentions
//! store     files: atomic, with a checksum, two generations, migration
//! ```
//!
//! The types go through `postcard` on the bus and through JSON everywhere else. `postcard` tells nothing about itself, so
//! that no field is ever left out and every enum is tagged from outside.

pub mod board;
mod fault;
pub mod network;
pub mod store;

pub use fault::{FieldError, Wrong};
