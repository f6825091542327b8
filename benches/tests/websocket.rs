//! The WebSocket servers of the benchmark, started through its command line.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::process::Command;

#[test]
fn a_quick_run_prints_a_row_for_each_websocket_server() {
    let output = Command::new(env!("CARGO_BIN_EXE_uptick-bench"))
        .args(["ws", "--quick"])
        .output()
        .expect("the program starts");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    // Checks the columns of each row except those of system calls, which not every machine can
    // count.
    for (name, columns) in [
        ("uptick-websocket", 4),
        ("tokio-tungstenite", 4),
        ("fastwebsockets", 4),
        ("async-tungstenite", 4),
        ("writes", 1),
        ("uptick-publish", 1),
    ] {
        let row = text
            .lines()
            .find(|line| line.starts_with(&format!("| {name} ")));
        let row = row.unwrap_or_else(|| panic!("{name} is missing in:\n{text}"));
        let figures = row.split('|').skip(2).filter(|cell| cell.contains('×'));
        assert!(figures.count() >= columns, "{row}");
    }
    // A peer that is not installed also has a row.
    assert!(text.contains("| node-ws "), "{text}");
    assert!(text.contains("| bun-ws "), "{text}");
}
