//! Patterns of routes: whatever they are, nothing panics and each finds its own paths.
#![no_main]

#[path = "../../crates/http/tests/invariants/router.rs"]
mod invariants;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: (Vec<&str>, &str)| {
    let (patterns, path) = input;
    // Regular expressions take their time to compile.
    invariants::check(&patterns[..patterns.len().min(8)], path);
});
