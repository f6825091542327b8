//! `16-inside-async-std`, `19-async-tls` and `35-async-tungstenite`, run as a user runs them.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the test waits for the end: long, as it only counts when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_loop_inside_async_std_serves_its_client_and_ends_by_itself() {
    let output = output_of("16-inside-async-std");
    assert_eq!(output, ["the server says HELLO", "after the loop"]);
}

#[test]
fn async_tls_talks_to_itself_and_ends_by_itself() {
    assert_eq!(output_of("19-async-tls"), ["the server says HELLO"]);
}

#[test]
fn async_tungstenite_talks_to_itself_and_ends_by_itself() {
    assert_eq!(output_of("35-async-tungstenite"), ["the server says HELLO"]);
}

/// Runs an example to its end; returns the lines that it prints after the address of its server.
fn output_of(example: &str) -> Vec<String> {
    // Cargo builds examples beside the tests: `target/debug/deps/TEST` and `target/debug/examples/NAME`.
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let mut child = Command::new(profile.join("examples").join(example))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let patience = Instant::now() + PATIENCE;
    while child.try_wait().unwrap().is_none() && Instant::now() < patience {
        thread::sleep(Duration::from_millis(5));
    }
    // It has ended; if it has not, the status says that it was killed.
    child.kill().unwrap();
    let ended = child.wait_with_output().unwrap();
    let errors = String::from_utf8(ended.stderr).unwrap();
    assert!(ended.status.success(), "{}: {errors}", ended.status);
    assert_eq!(errors, "");
    let output = String::from_utf8(ended.stdout).unwrap();
    let mut lines = output.lines().map(str::to_owned);
    let listening = lines.next().unwrap();
    assert!(
        listening.starts_with("listening on tcp://127.0.0.1:"),
        "{listening}"
    );
    lines.collect()
}
