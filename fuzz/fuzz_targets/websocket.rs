//! WebSocket frames: decoding does not depend on how the bytes are split, and agrees with tungstenite.
#![no_main]

#[path = "../../crates/websocket/tests/invariants/protocol.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;
use uptick_websocket::protocol::{Limits, Role};

fuzz_target!(|input: (u8, u8, &[u8])| {
    let (size, kind, bytes) = input;
    let role = match kind & 1 {
        0 => Role::Server,
        _ => Role::Client,
    };
    let mut limits = Limits::default();
    if kind & 4 != 0 {
        limits = limits.message(50).fragments(3);
    }
    invariants::check(bytes, usize::from(size), role, kind & 2 != 0, &limits);
});
