//! Payloads of Engine.IO: any bytes are refused, or have the same packets after they were encoded and decoded.
#![no_main]

#[path = "../../crates/socketio/tests/invariants/packet.rs"]
#[allow(dead_code)]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| invariants::check_payload(body));
