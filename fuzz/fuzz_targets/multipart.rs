//! Multipart forms: the parts do not depend on how the bytes are split, and stay within the limits.
#![no_main]

#[path = "../../crates/http/tests/invariants/multipart.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Option<&str>, u8, &[u8])| {
    let (content_type, size, body) = input;
    let content_type = content_type.unwrap_or("multipart/form-data; boundary=x");
    invariants::check(content_type, body, usize::from(size));
});
