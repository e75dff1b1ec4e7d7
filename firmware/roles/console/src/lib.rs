//! The console role: one page over HTTPS that shows the state of the system. It never changes anything.
//!
//! ```text
//!   browser ──TLS──► listen ──► places (who may stay) ──► site (routes, headers) ──► page
//!                                                            │
//!                       init, network ◄──bus── facts ◄───────┘
//! ```
//! The page is shown to whoever can reach the port, without a login. So it shows states, and only states: log lines and
//! failure records can hold addresses, names and faults that a stranger on the management network has no business with.
//! They are shown on the machine's own screen and serial line. Nothing that a browser sends is used but method and path.

mod certificate;
mod facts;
mod keep;
mod listen;
mod page;
mod places;
mod role;
mod site;

pub use role::{Place, run, run_at};
