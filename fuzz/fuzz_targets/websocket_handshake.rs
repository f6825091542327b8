//! Handshakes of WebSocket: answers to a client, and what both sides agree on about compression.
#![no_main]

#[path = "../../crates/websocket/tests/invariants/handshake.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| {
    let (number, text) = input;
    invariants::check_answer(text, usize::from(number));
    invariants::check_extensions(text.as_bytes(), number);
});
