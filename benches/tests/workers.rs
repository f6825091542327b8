//! The worker benchmarks, started through the command line.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::process::Command;

#[test]
fn a_quick_run_prints_all_tables_of_workers() {
    let output = Command::new(env!("CARGO_BIN_EXE_uptick-bench"))
        .args(["workers", "--quick"])
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    for (table, rows, columns) in [
        (
            "CPU µs: request",
            &["uptick-http", "processes-2", "threads-4", "reuse-port-4"][..],
            4,
        ),
        (
            "one by one",
            &["processes-4", "threads-4", "reuse-port-4"],
            6,
        ),
        ("CPU µs: 20 B", &["processes-4", "threads-4"], 5),
        (
            "CPU µs per subscriber",
            &["uptick-publish", "processes-2"],
            3,
        ),
        (
            "wake-ups per s",
            &["master of processes", "a worker process"],
            7,
        ),
        ("master after reloads", &["0", "1", "2"], 5),
    ] {
        let mut lines = text.lines().skip_while(|line| !line.contains(table));
        let table: Vec<_> = lines
            .by_ref()
            .take_while(|line| line.starts_with('|'))
            .collect();
        for row in rows {
            let found = table
                .iter()
                .find(|line| line.starts_with(&format!("| {row} ")));
            let found = found.unwrap_or_else(|| panic!("{row} is missing in:\n{text}"));
            assert_eq!(found.matches('|').count(), columns, "{found} in {text}");
        }
    }
    // A peer that is not installed also has a row.
    assert!(text.contains("| redis "), "{text}");
}

#[test]
fn an_unknown_part_is_refused() {
    let output = Command::new(env!("CARGO_BIN_EXE_uptick-bench"))
        .args(["workers", "teapots"])
        .output()
        .expect("the program starts");
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("not \"teapots\""), "{text}");
}
