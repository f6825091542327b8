//! Sessions of Engine.IO: whatever happens in whatever order, a client that behaves gets each packet once and in order, and no input does harm.
#![no_main]

#[path = "../../crates/socketio/tests/invariants/session.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|choices: &[u8]| {
    invariants::check(choices);
    invariants::check_any(choices);
});
