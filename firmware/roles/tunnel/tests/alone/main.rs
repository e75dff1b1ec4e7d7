//! The tunnel role as a process of its own, against servers that ask for too much, that fall silent, or that are not there.
#![expect(clippy::unwrap_used, reason = "a test that cannot set its stage has failed")]

mod cable;
mod common;
mod ends;
mod enrols;
mod floods;
mod tickets;

#[test]
#[ignore = "it is the role's own process, which the other tests start"]
fn the_roles_own_process() {
    common::be_the_role();
}
