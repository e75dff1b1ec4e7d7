//! The tunnel role as a whole, against a Remote Support Server that the test plays.

#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod archive;
mod common;
mod honest;
mod hostile;
mod lives;
mod uploads;

#[test]
#[ignore = "a caller's process, which the tests start as another user"]
fn a_callers_own_process() {
    common::be_a_caller();
}
