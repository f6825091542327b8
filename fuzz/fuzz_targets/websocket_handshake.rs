//! WebSocket handshakes: responses to a client, and the negotiation of compression.
#![no_main]

#[path = "../../crates/websocket/tests/invariants/handshake.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &str)| {
    let (number, text) = input;
    invariants::check_response(text, usize::from(number));
    invariants::check_extensions(text.as_bytes(), number);
});
