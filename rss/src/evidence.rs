//! Recordings that appliances hand over: taken, verified, kept and found again. Nothing here believes an appliance more than its
//! signatures, and nothing looks into what was recorded but to say whose it is.
//!
//! ```text
//!   control: Upload ─► hub (ticket) ─► receive: frames ─► intake: verify, write, fsync ─► index (store)
//!                                                             │
//!   DATA/sessions/SERIAL/NAME/    chain.jsonl, and what its lines name      archive
//! ```

mod archive;
mod intake;
mod receive;
mod refusal;

pub use archive::{Archive, Called};
pub(crate) use intake::sealed;
pub(crate) use receive::serve;
