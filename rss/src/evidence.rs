//! Recordings that appliances hand over: taken, verified, kept, found again and given back. Nothing here believes an appliance more than its
//! signatures, and nothing looks into what was recorded but to say whose it is.
//!
//! ```text
//!   control: Upload ─► hub (ticket) ─► receive: frames ─► intake: verify, write, fsync ─► index (store)
//!                                                             │
//!   DATA/sessions/SERIAL/NAME/    chain.jsonl, and what its lines name      archive
//!                                                             │
//!   control: Archive ─► hub (ticket) ─► give: a list, or one recording ◄── bundle: a tar file, read piece by piece
//! ```

mod archive;
mod bundle;
mod door;
mod give;
mod intake;
mod receive;
mod refusal;

pub use archive::{Archive, Called};
pub(crate) use bundle::Tar;
pub(crate) use give::give;
pub(crate) use receive::serve;
