//! The console role: pages and calls over HTTPS by which the owner runs the appliance. It decides nothing that another role decides, and
//! keeps no password.
//!
//! ```text
//!   9000 ──► listen ──► places (who may stay) ──► connection (TLS in turns, HTTP) ──► gate ──► site ──► pages
//!   8000 ──► listen ──► places of its own ──────► connection (HTTP) ──► redirect        │       └─────► api (calls)
//!                                                                         │             │                │
//!                   init, network, session ◄──bus── facts ◄── names ◄─────┘◄────────────┘◄───────────────┤
//!                                     the array ◄──TLS── drawbridge-array ◄── access, browser, limits ◄──┘
//! ```
//! Whoever has not logged in is shown the login and the states on `/status`, and only states: log lines and failure records can hold
//! addresses, names and faults that a stranger on the management network has no business with.

mod api;
mod body;
mod certificate;
mod connection;
mod facts;
mod gate;
#[cfg(any(test, fuzzing))]
pub mod hostile;
mod keep;
mod listen;
mod names;
mod page;
mod pages;
mod places;
pub mod redirect;
mod role;
mod serving;
mod setup;
mod site;
mod streams;
mod tell;
mod turns;

pub use role::{Place, Ports, run, run_at};
