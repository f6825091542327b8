//! The Socket.IO servers of the benchmark, started through its command line.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::process::Command;

/// The load of such a run compares every byte that clients receive with the expected one. Node and socketioxide may be missing.
#[test]
fn a_quick_run_prints_a_row_for_each_socketio_server() {
    let output = Command::new(env!("CARGO_BIN_EXE_uptick-bench"))
        .args(["socketio", "--quick"])
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    let row = |name: &str| {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| {name} ")));
        row.unwrap_or_else(|| panic!("{name} is missing in:\n{text}"))
    };
    // The columns of system calls are left out, because not every machine can count them.
    let own = row("uptick-socketio");
    let figures = own.split('|').skip(2).filter(|cell| cell.contains('×'));
    assert!(figures.count() >= 5, "{own}");
    for peer in ["socketioxide", "node-socketio"] {
        let row = row(peer);
        assert!(row.contains('×') || row.contains("not installed"), "{row}");
    }
    assert!(text.contains("Machine: "), "{text}");
}
