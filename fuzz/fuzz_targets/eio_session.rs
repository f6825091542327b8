//! Engine.IO sessions: in any order of events, a well-behaved client receives each packet once and in order, and no input violates an invariant.
#![no_main]

#[path = "../../crates/socketio/tests/invariants/session.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|choices: &[u8]| {
    invariants::check(choices);
    invariants::check_any(choices);
});
