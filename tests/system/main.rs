//! The promises of the whole system, shown on the booted image.

mod boot;
mod clock;
mod data;
mod failure;
mod image;
mod ports;
mod power;
mod roles;
mod sandbox;
