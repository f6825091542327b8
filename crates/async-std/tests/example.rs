//! `16-inside-async-std`, run as a user runs it.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::env;
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long the test waits for the end: long, as it only counts when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

#[test]
fn the_example_serves_its_client_and_ends_by_itself() {
    // Cargo builds examples beside the tests: `target/debug/deps/TEST` and `target/debug/examples/NAME`.
    let test = env::current_exe().unwrap();
    let profile = test.ancestors().nth(2).unwrap();
    let mut child = Command::new(profile.join("examples/16-inside-async-std"))
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
    let lines: Vec<&str> = output.lines().collect();
    let [listening, rest @ ..] = &lines[..] else {
        panic!("it printed nothing");
    };
    assert!(listening.starts_with("listening on tcp://127.0.0.1:"));
    assert_eq!(rest, ["the server says HELLO", "after the loop"]);
}
