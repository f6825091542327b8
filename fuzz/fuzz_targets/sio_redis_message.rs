//! Messages of Socket.IO servers over Redis: any bytes are refused, or survive decoding and encoding.
#![no_main]

#[path = "../../crates/socketio/tests/invariants/redis_message.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: Vec<u8>| {
    let _ = invariants::check_bytes(&input.into());
});
