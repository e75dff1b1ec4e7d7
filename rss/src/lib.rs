//! The Remote Support Server: appliances dial it, engineers find them in it by name. It never reads what an engineer and an
//! appliance say to each other, and never logs in to an appliance.

pub mod access;
mod appliance;
pub mod clock;
pub mod config;
mod engineer;
pub mod evidence;
mod guard;
mod hub;
mod identity;
pub mod operator;
mod places;
pub mod serve;
mod ssh;
pub mod store;
mod strangers;
mod trouble;

pub use trouble::Trouble;
