//! The promises of the whole system, shown on the booted image.

// A test that cannot go on ends by a panic, and its helpers too.
#![allow(clippy::unwrap_used)]

mod boot;
mod clock;
mod data;
mod failure;
mod image;
mod network;
mod ports;
mod power;
mod roles;
mod sandbox;
