//! The parts of the command. They print; they decide nothing about machines.

pub(crate) mod options;
pub(crate) mod run;
mod signals;
mod state;
