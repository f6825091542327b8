//! Tests that need their own process: the test runs itself again as a child process.

use std::env;
use std::process::{Child, Command, Output, Stdio};

const ROLE: &str = "UPTICK_TEST_CHILD";

/// Returns `true` in the child process.
pub(crate) fn is_child() -> bool {
    env::var_os(ROLE).is_some()
}

/// Starts the test of this name as a child process, with stderr piped.
pub(crate) fn start(test: &str) -> Child {
    Command::new(env::current_exe().unwrap())
        .args(["--exact", test, "--nocapture"])
        .env(ROLE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap()
}

/// Runs the test of this name as a child process, and returns its output and the text of its stderr.
#[allow(dead_code)]
pub(crate) fn run(test: &str) -> (Output, String) {
    let output = start(test).wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, stderr)
}
