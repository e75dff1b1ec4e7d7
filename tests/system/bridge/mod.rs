//! The bridge: a Remote Support Server, the stock `ssh`, and the appliance between them.

mod access;
mod clock;
mod evidence;
mod faults;
mod full;
mod kills;
mod lies;
mod many;
mod proxies;
mod screens;
mod sealed;
mod tour;
mod uploads;
mod uses;
mod ways;
