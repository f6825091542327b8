//! Processes watched with `SIGCHLD`.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::rc::Rc;

use uptick_emitter::Emitter;

use super::{Command, Exit, Process, ProcessOptions, Unwatched};

/// Starts a process that is watched with `SIGCHLD`.
fn spawn(script: &str) -> Process {
    let mut command = Command::new("sh");
    ProcessOptions::new().apply(command.args(["-c", script]));
    let mut unwatched = Unwatched(Some(command.spawn().unwrap()));
    let streams = unwatched.streams().unwrap();
    Process::adopt(unwatched, streams, |_, _| None).unwrap()
}

#[test]
fn without_a_pidfd_the_exit_is_noticed_by_signal() {
    let log = Rc::<RefCell<Vec<String>>>::default();
    for (script, name) in [("exit 3", "a"), ("exec sleep 1000", "b"), ("read x", "c")] {
        let child = spawn(script);
        let events = Rc::clone(&log);
        child.on("exit", move |exit: Exit| {
            events.borrow_mut().push(format!("{name} {exit}"));
        });
        let events = Rc::clone(&log);
        child.on("close", move |()| {
            events.borrow_mut().push(format!("{name} close"));
        });
        match name {
            "b" => child.kill(crate::SIGKILL).unwrap(),
            _ => child.stdin().end(),
        }
    }
    uptick_event_loop::run().unwrap();
    let mut log = log.take();
    log.sort();
    assert_eq!(
        log,
        [
            "a close",
            "a exit code 3",
            "b close",
            "b signal 9",
            "c close",
            "c exit code 1"
        ]
    );
}

#[test]
fn an_exit_before_the_signal_listener_is_added_is_noticed() {
    let mut command = Command::new("true");
    ProcessOptions::new().apply(&mut command);
    let mut child = command.spawn().unwrap();
    // `Child` caches the status, and `try_wait` returns it.
    child.wait().unwrap();
    let mut unwatched = Unwatched(Some(child));
    let streams = unwatched.streams().unwrap();
    let process = Process::adopt(unwatched, streams, |_, _| None).unwrap();
    let exits = Rc::new(RefCell::new(0));
    let count = Rc::clone(&exits);
    process.on("exit", move |exit: Exit| {
        assert!(exit.success());
        *count.borrow_mut() += 1;
    });
    uptick_event_loop::run().unwrap();
    assert_eq!(*exits.borrow(), 1);
}
