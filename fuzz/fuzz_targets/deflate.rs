//! Compressed messages of WebSocket: what was compressed comes out as it went in, and nothing is more than is allowed.
#![no_main]

#[path = "../../crates/websocket/tests/invariants/deflate.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (most, bytes) = input;
    invariants::check(bytes, usize::from(most));
});
