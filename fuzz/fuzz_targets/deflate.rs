//! Compression of WebSocket messages: messages are restored, and inflated messages never exceed the limit.
#![no_main]

#[path = "../../crates/websocket/tests/invariants/deflate.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u16, &[u8])| {
    let (max, bytes) = input;
    invariants::check(bytes, usize::from(max));
});
