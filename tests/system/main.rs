//! The promises of the whole system, shown on the booted image.

// A test that cannot go on ends by a panic, and its helpers too.
#![allow(clippy::unwrap_used)]

mod boot;
mod bridge;
mod clock;
mod console;
mod cuts;
mod data;
mod events;
mod failure;
mod happened;
mod image;
mod kept;
mod mail;
mod network;
mod ports;
mod power;
mod roles;
mod sandbox;
mod told;
