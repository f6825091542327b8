//! The HTTP clients of the benchmark, by its own command line.

#![cfg(target_os = "linux")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::process::{Command, Output};

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_uptick-bench"))
        .args(words)
        .output()
        .expect("the program starts")
}

/// The clients check the status, the length and the end of every response.
#[test]
fn a_quick_run_prints_the_tables_of_the_http_clients() {
    let output = run(&["client", "--quick"]);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{errors}");
    let text = String::from_utf8_lossy(&output.stdout);
    for name in ["hyper-util", "reqwest", "uptick-http-client"] {
        let rows = text.lines().filter_map(|line| {
            let row = line.strip_prefix(&format!("| {name} "))?;
            Some(row.split('|').skip(1).map(str::trim).collect())
        });
        let rows: Vec<Vec<&str>> = rows.collect();
        assert_eq!(rows.len(), 2, "{text}");
        // The columns of system calls are not checked: not every machine can count them. Without transparent pages, the memory of a few
        // connections may not grow at all.
        let is_figure = |cell: &&str| cell.starts_with(|first: char| first.is_ascii_digit());
        assert!(rows[0].iter().take(5).all(is_figure), "{text}");
        assert!(rows[1].len() >= 2, "{text}");
    }
    assert!(text.contains("Machine: "), "{text}");
}

#[test]
fn a_part_that_does_not_exist_is_refused() {
    let output = run(&["client", "teapots"]);
    let text = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    assert!(text.contains("not \"teapots\""), "{text}");
}
