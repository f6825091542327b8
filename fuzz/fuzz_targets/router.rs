//! Route patterns: no pattern panics, and each matches its own paths.
#![no_main]

#[path = "../../crates/http/tests/invariants/router.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<&str>, &str)| {
    let (patterns, path) = input;
    // Limited, because regular expressions are slow to compile.
    invariants::check(&patterns[..patterns.len().min(8)], path);
});
