//! The output of a program that has no `tracing` subscriber.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::process::Command;
use std::time::Duration;

/// Environment variable that is set in the child process, which prints.
const CHILD: &str = "UPTICK_TEST_CHILD";

/// The child program: callbacks panic twice within one second, and once later.
#[test]
fn child() {
    if std::env::var_os(CHILD).is_none() {
        return;
    }
    // Suppresses the message of the panic itself.
    std::panic::set_hook(Box::new(|_| ()));
    for milliseconds in [1, 2, 1100] {
        let time = Duration::from_millis(milliseconds);
        uptick::add_timer(time, || panic!("on purpose"));
    }
    uptick::run().unwrap();
}

/// Returns the lines that the child program prints on stderr.
fn printed(level: Option<&str>) -> Vec<String> {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", "child", "--nocapture", "--test-threads=1"]);
    command.env(CHILD, "1").env_remove("UPTICK_LOG");
    if let Some(level) = level {
        command.env("UPTICK_LOG", level);
    }
    let output = command.output().unwrap();
    assert!(output.status.success());
    let text = String::from_utf8(output.stderr).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn errors_are_printed_once_a_second() {
    let lines = printed(None);
    assert_eq!(lines.len(), 2, "{lines:?}");
    for line in &lines {
        assert!(line.starts_with("ERROR uptick_event_loop"), "{line}");
        assert!(line.contains("on purpose"), "{line}");
    }
    let end = "(1 more like it were not printed)";
    assert!(lines[1].ends_with(end), "{}", lines[1]);
}

#[test]
fn the_level_can_be_chosen() {
    assert!(printed(Some("off")).is_empty());
    assert!(printed(Some("trace")).len() >= 2);
}
