//! The courier role: what the audit says, told to the array, a syslog server and people's mail. It runs while any of them is set,
//! keeps nothing, and never decides what is told: session has the settings, the events, and how far each receiver has come.
//!
//! ```text
//!   session ──orders──► role ──► narrow (to the ports of the receivers, for good)
//!      ▲                 │
//!      │ lines           ├──► receivers: a queue for each ──► array, syslog, mail
//!      ├─────── log ◄────┤        │ how it stands
//!      └─────────────────┤ ◄──────┘
//!                        └──► trial (a receiver, tried by hand)
//! ```
//!
//! A receiver that is down, slow or hostile holds up nobody but itself. Other settings need other ports: then the process ends, and
//! session has another one started.

mod bus;
mod receivers;
mod role;
mod trial;

pub use role::{Place, run, run_at};
