//! The examples `16-inside-async-std`, `19-async-tls` and `35-async-tungstenite`, run as separate processes.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Time limit for a run; generous, as it is reached only when a test fails.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

#[test]
fn the_loop_inside_async_std_serves_its_client_and_exits() {
    let output = output_of("16-inside-async-std");
    assert_eq!(output, ["response: HELLO", "after the loop"]);
}

#[test]
fn async_tls_connects_to_itself_and_exits() {
    assert_eq!(output_of("19-async-tls"), ["response: HELLO"]);
}

#[test]
fn async_tungstenite_connects_to_itself_and_exits() {
    assert_eq!(output_of("35-async-tungstenite"), ["response: HELLO"]);
}

/// Runs an example to its end; returns the lines that it prints after the address of its server.
fn output_of(example: &str) -> Vec<String> {
    // Cargo builds examples next to the tests: `target/debug/deps/TEST` and `target/debug/examples/NAME`.
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let mut child = Command::new(profile.join("examples").join(example))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + TEST_TIMEOUT;
    while child.try_wait().unwrap().is_none() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
    }
    // If the child has not ended yet, its status shows that it was killed.
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
