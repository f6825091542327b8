//! Leaks of file descriptors and child processes. A single test, because it counts for the whole program.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::RefCell;
use std::rc::Rc;

use uptick_process::prelude::*;

fn descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}

#[test]
fn no_zombie_or_descriptor_is_left_and_none_is_inherited() {
    // Creates the descriptors of the loop before they are counted.
    Process::spawn(Command::new("true")).unwrap();
    run().unwrap();
    let before = descriptors();
    // Descriptors that the test program itself inherited are passed on.
    let inherited = Command::new("ls").arg("/proc/self/fd").output().unwrap();
    let inherited = String::from_utf8(inherited.stdout).unwrap();

    let mut numbers = Vec::new();
    for _ in 0..20 {
        let child = Process::spawn(Command::new("true")).unwrap();
        numbers.push(child.pid().unwrap());
    }
    assert!(Process::spawn(Command::new("/no/such/program")).is_err());
    assert!(descriptors() > before);
    // The pipes of the other processes are open now. `ls` itself opens the directory.
    let listing = Process::spawn(Command::new("ls").arg("/proc/self/fd")).unwrap();
    let seen = Rc::<RefCell<Vec<String>>>::default();
    let lines = Rc::clone(&seen);
    LineStream::new(listing.stdout()).on("data", move |line: Bytes| {
        lines
            .borrow_mut()
            .push(String::from_utf8_lossy(&line).into_owned());
    });
    run().unwrap();

    assert_eq!(*seen.borrow(), inherited.lines().collect::<Vec<_>>());
    assert_eq!(descriptors(), before);
    for number in numbers {
        let left = std::fs::exists(format!("/proc/{number}")).unwrap();
        assert!(!left, "process {number} is a zombie");
    }
}
