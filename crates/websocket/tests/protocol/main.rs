//! The protocol module on its own, without sockets.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test may panic"
)]

#[path = "../invariants/deflate.rs"]
mod deflate_invariants;
#[path = "../invariants/handshake.rs"]
mod handshake_invariants;
#[path = "../invariants/protocol.rs"]
mod invariants;
mod limits;
mod messages;
mod properties;
mod refusals;

use uptick_websocket::protocol::frame::{self, Flags, Opcode};
use uptick_websocket::protocol::{Event, Limits, Role};

/// Returns a masked frame.
fn masked(opcode: Opcode, flags: Flags, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    frame::append(
        &mut out,
        opcode,
        flags,
        Some([0xa1, 0x42, 0x07, 0xee]),
        payload,
    );
    out
}

/// Returns the events of a server that receives these bytes, with the default limits.
fn decode(bytes: &[u8]) -> Vec<Event> {
    invariants::decode([bytes], Role::Server, false, &Limits::default())
}

/// Returns the code and the reason with which a server refuses these bytes.
fn refused(bytes: &[u8]) -> (u16, &'static str) {
    match decode(bytes).last() {
        Some(Event::Error(invalid)) => (invalid.code().as_u16(), invalid.reason()),
        other => panic!("{other:?}"),
    }
}
