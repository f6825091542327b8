//! A process that is out of descriptors: one error for each shortage, no busy loop, and the server continues to listen. The limit
//! applies to the process, so this test has its own process.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::{Cell, RefCell};
use std::fs::File;
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::*;
use uptick_event_loop::{EventLoop, add_timer};
use uptick_socket::prelude::*;

/// Number of descriptors that the process may open in addition to the existing ones.
const FREE_DESCRIPTORS: usize = 15;
const CLIENTS: usize = 40;

/// Limits the process to a number of further descriptors.
fn limit_further_descriptors(descriptors: usize) {
    // The lowest free descriptor; all lower ones are open.
    let next = File::open("Cargo.toml").unwrap();
    let next = std::os::fd::AsRawFd::as_raw_fd(&next) as u64;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(next + descriptors as u64);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

#[test]
fn a_server_without_free_descriptors_reports_one_error_and_accepts_again_later() {
    let server = tcp_server();
    let held = Rc::new(RefCell::new(Vec::<Connection>::new()));
    let errors = Log::new();
    let connections = Rc::clone(&held);
    server.on("connection", move |conn: Connection| {
        connections.borrow_mut().push(conn);
    });
    let noted = errors.clone();
    server.on("error", move |error: Error| {
        assert_eq!(error.errno_name(), Some("EMFILE"), "{error}");
        noted.add(error);
    });
    let clients: Vec<TcpStream> = (0..CLIENTS).map(|_| connect(server)).collect();
    // The loop opens its own descriptors in its first iteration.
    server.pause();
    settle();
    server.resume();
    limit_further_descriptors(FREE_DESCRIPTORS);

    let text = format!(
        "accepting a connection on {} failed: Too many open files (EMFILE)",
        server.address().unwrap()
    );
    let mut expected = 0;
    for shortage in 1..=2 {
        run_until(|| errors.count(&text) == shortage);
        expected += FREE_DESCRIPTORS;
        assert_eq!(held.borrow().len(), FREE_DESCRIPTORS);
        assert_eq!(server.accepted(), expected as u64);
        let iterations = iterations_in(Duration::from_millis(400));
        assert!(iterations < 20, "the loop is busy: {iterations} iterations");
        assert_eq!(errors.count(&text), shortage, "one error for each shortage");
        assert!(server.address().is_some());
        held.take().iter().for_each(|conn| conn.close());
    }
    // The remaining clients are accepted without a new error.
    run_until(|| server.accepted() == CLIENTS as u64);
    assert_eq!(held.borrow().len(), CLIENTS - 2 * FREE_DESCRIPTORS);
    assert_eq!(errors.count(&text), 2);

    // A server can be paused, resumed and closed while accepting is suspended.
    limit_further_descriptors(0);
    held.take().iter().for_each(|conn| conn.close());
    let files = open_all_but_one();
    let client = connect(server);
    run_until(|| errors.count(&text) == 3);
    server.pause();
    server.resume();
    settle();
    server.close();
    drop((files, client, clients));
    run_loop();
}

/// Opens all remaining descriptors except one.
fn open_all_but_one() -> Vec<File> {
    let mut files = Vec::new();
    while let Ok(file) = File::open("Cargo.toml") {
        files.push(file);
    }
    files.pop();
    files
}

/// Returns the number of iterations that the loop runs within a time.
fn iterations_in(time: Duration) -> usize {
    let over = Rc::new(Cell::new(false));
    let flag = Rc::clone(&over);
    add_timer(time, move || flag.set(true));
    let event_loop = EventLoop::current();
    let mut iterations = 0;
    while !over.get() {
        event_loop.run_once(None).unwrap();
        iterations += 1;
    }
    iterations
}
