//! Engine.IO payloads: any bytes are refused, or decode to packets that survive encoding and decoding.
#![no_main]

#[path = "../../crates/socketio/tests/invariants/packet.rs"]
#[allow(dead_code)]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|body: &[u8]| invariants::check_payload(body));
