//! The HTTP server on a scripted poller: whatever comes, in whatever pieces, its answers are in order and the same.
#![no_main]

#[path = "../../crates/http/tests/invariants/server.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    invariants::check(bytes, usize::from(size));
});
