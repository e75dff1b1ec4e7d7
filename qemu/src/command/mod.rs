//! The parts of the command. They print; they decide nothing about machines.

pub(crate) mod array;
mod bridge;
mod inside;
pub(crate) mod options;
pub(crate) mod orders;
mod outside;
pub(crate) mod run;
mod signals;
mod state;
mod tour;
