//! Messages between the namespaces of workers: any bytes are refused, or are the same after they were decoded and encoded.
#![no_main]

#[path = "../../crates/socketio/tests/invariants/bus_message.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: Vec<u8>| invariants::check_bytes(&input.into()));
