//! The audit: what happened on the appliance, written down so that nobody changes it unseen, and told to the array, syslog and
//! people's mail. It never holds the key that signs it, and never decides what anybody may do.
//!
//! ```text
//!   Draft ──► log::Journal ──► log::Log: segments of a signed chain ──► log::Reader ──► filter, pages, export
//!                  │  ▲                                                     │
//!        to_sign() │  │ signed()                          a queue::Queue for each receiver, which keeps its position
//!                  ▼  │                                                     │
//!            the device's key, elsewhere                    sink::array   sink::syslog   sink::mail
//! ```
//!
//! Whoever puts it together opens the log with the highest of the positions that [`queue::Positions::load`] gives, so that a log
//! that was lost gives no number twice; asks [`log::Journal::to_sign`] after events and every few seconds; and tells
//! [`log::Journal::make_room`] what [`queue::settled_by_all`] says.

mod entry;
pub mod event;
pub mod export;
mod filter;
pub mod log;
pub mod queue;
pub mod sink;

pub use entry::{Entry, Kept, Stranger};
pub use filter::Filter;
