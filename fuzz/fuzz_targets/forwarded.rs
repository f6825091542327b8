//! `Forwarded` and `X-Forwarded-For`: only trusted proxies can set the client address.
#![no_main]

#[path = "../../crates/http/tests/invariants/forwarded.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (&[u8], &[u8], &[u8])| {
    let (forwarded, x_forwarded_for, x_forwarded_proto) = input;
    invariants::check(forwarded, x_forwarded_for, x_forwarded_proto);
});
