//! Tests that need a process of their own: the test runs itself again, as the child.

use std::env;
use std::process::{Child, Command, Output, Stdio};

const ROLE: &str = "UPTICK_TEST_CHILD";

/// Whether this is the child.
pub(crate) fn is_child() -> bool {
    env::var_os(ROLE).is_some()
}

/// Starts the test of this name as a child; what it says on stderr can be read.
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

/// Runs the test of this name as a child to its end; gives how it ended and what it said on stderr.
#[allow(dead_code)]
pub(crate) fn run(test: &str) -> (Output, String) {
    let output = start(test).wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    (output, said)
}
