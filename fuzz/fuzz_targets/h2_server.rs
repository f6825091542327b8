//! The HTTP server with connections of HTTP/2 on a scripted poller: it sends valid frames, the responses do not depend on how the input is
//! split, and no resources are left.
#![no_main]

#[allow(dead_code, reason = "the tests use the rest")]
#[path = "../../crates/http/tests/invariants/http2.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (size, is_script, bytes) = input;
    match is_script {
        true => invariants::check(&invariants::frames_of(bytes), usize::from(size)),
        false => invariants::check(bytes, usize::from(size)),
    }
});
