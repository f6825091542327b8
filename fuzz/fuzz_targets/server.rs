//! The HTTP server on a scripted poller: responses are in order, and do not depend on how the requests are split.
#![no_main]

#[path = "../../crates/http/tests/invariants/server.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, &[u8])| {
    let (size, bytes) = input;
    invariants::check(bytes, usize::from(size));
});
