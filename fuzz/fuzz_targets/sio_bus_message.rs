//! Bus messages between the namespaces of workers: any bytes are refused, or survive decoding and encoding.
#![no_main]

#[path = "../../crates/socketio/tests/invariants/bus_message.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: Vec<u8>| invariants::check_bytes(&input.into()));
