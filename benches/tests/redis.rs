//! The Redis clients and the Socket.IO cluster of the benchmark, by its own command line.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr,
    reason = "a test fails by panicking"
)]

use std::env;
use std::process::{Command, Output};

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uptick-bench"))
        .args(words)
        .output()
        .expect("the program starts")
}

/// The clients compare every value, and the load compares every byte that the clients of all servers receive.
#[test]
fn a_quick_run_prints_the_tables_of_redis() {
    let output = run(&["redis", "--quick"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    if text.contains("redis-server is not installed") {
        assert!(env::var_os("UPTICK_REQUIRE_REDIS").is_none(), "{text}");
        return eprintln!("skipped: redis-server is not installed");
    }
    let row = |name: &str| {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| {name} ")));
        row.unwrap_or_else(|| panic!("{name} is missing in:\n{text}"))
    };
    for (name, figures) in [
        ("redis-rs", 3),
        ("uptick-redis", 3),
        ("uptick-socketio-redis", 4),
    ] {
        let row = row(name);
        assert_eq!(row.matches('×').count(), figures, "{row}");
    }
    let peer = row("node-socketio-redis");
    let is_required = env::var_os("UPTICK_REQUIRE_NPM").is_some();
    let is_absent = peer.contains("not installed") && !is_required;
    assert!(peer.matches('×').count() == 4 || is_absent, "{peer}");
    assert!(text.contains("Machine: "), "{text}");
}

#[test]
fn a_part_that_does_not_exist_is_refused() {
    let output = run(&["redis", "teapots"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("not \"teapots\""), "{text}");
}
