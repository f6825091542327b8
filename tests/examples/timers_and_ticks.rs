//! Tests of `05-timers-and-ticks`.

use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::program::{Program, TIMEOUT, path_of};

#[test]
fn callbacks_run_in_order_and_the_loop_ends() {
    let ended = Program::start("05-timers-and-ticks", &[]).wait();
    assert!(ended.status.success());
    assert_eq!(ended.stderr, [""; 0]);
    let mut lines = ended.stdout;
    // The future and the timer are due about half a second after the start, in either order on a busy machine.
    let future = lines.iter().position(|line| line == "future: 500 ms");
    lines.remove(future.expect("the future should end"));
    assert_eq!(
        lines,
        [
            "before the loop",
            "tick",
            "timer: at once",
            "tick: in the next iteration",
            "timer: 50 ms",
            "timer: 50 ms, added later",
            "timer: 100 ms",
            "every 100 ms: 1",
            "every 100 ms: 2",
            "every 100 ms: 3",
            "every 100 ms: 4",
            "after the loop",
        ]
    );
}

#[test]
fn it_ends_even_if_its_output_is_not_read() {
    let mut child = Command::new(path_of("05-timers-and-ticks"))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut output = BufReader::new(child.stdout.take().unwrap());
    output.read_line(&mut line).unwrap();
    drop(output);
    assert_eq!(line, "before the loop\n");
    let deadline = Instant::now() + TIMEOUT;
    let mut ended = None;
    while ended.is_none() && Instant::now() < deadline {
        thread::sleep(Duration::from_millis(5));
        ended = child.try_wait().unwrap();
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(ended.is_some(), "it does not end");
}
