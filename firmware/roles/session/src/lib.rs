//! The support session: it alone decides who may come in, and when it ends. It never carries a byte of an engineer's.
//!
//! ```text
//!   console ──┐                          ┌─► machine  its course: told the time and what happens, tells what is to be done
//!   tunnel ───┤ bus ─► role ◄──► desk ───┼─► secret   made, judged, checked
//!   sshd, shell ─┘       │               ├─► supervision who watches an engineer, and whether he may go on
//!                        │               ├─► identity the device's keys, and the servers'
//!                        │               └─► approval the vendor's keys, signed grants, and which were used
//!                        ├─► audit    what has happened, written down and signed
//!                        ├─► notices  who is told of it, and what the courier is to do
//!                        └─► init: start, end, what is left?
//! ```

mod approval;
mod audit;
mod desk;
mod identity;
pub mod keys;
pub mod machine;
mod notices;
mod role;
pub mod secret;
pub mod supervision;
mod words;

pub use role::{Place, run, run_at};
