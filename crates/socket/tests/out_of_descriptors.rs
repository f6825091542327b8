//! A process that is out of descriptors: one error for each episode, no spin, and the listener lives. The limit holds
//! for the process, so this test has one of its own.
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

/// How many descriptors the process gets beyond those that it has.
const ROOM: usize = 15;
const CLIENTS: usize = 40;

/// Lets the process open so many more descriptors, which are all that there are.
fn leave_room_for(descriptors: usize) {
    // The lowest free number; everything below is open.
    let next = File::open("Cargo.toml").unwrap();
    let next = std::os::fd::AsRawFd::as_raw_fd(&next) as u64;
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let current = Some(next + descriptors as u64);
    setrlimit(Resource::Nofile, Rlimit { current, maximum }).unwrap();
}

#[test]
fn without_descriptors_left_a_server_reports_once_and_accepts_again_later() {
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
    // What the loop needs for itself is opened by its first iteration.
    server.pause();
    settle();
    server.resume();
    leave_room_for(ROOM);

    let text = format!(
        "accepting a connection on {} failed: Too many open files (EMFILE)",
        server.address().unwrap()
    );
    let mut expected = 0;
    for episode in 1..=2 {
        run_until(|| errors.count(&text) == episode);
        expected += ROOM;
        assert_eq!(held.borrow().len(), ROOM);
        assert_eq!(server.accepted(), expected as u64);
        let iterations = iterations_in(Duration::from_millis(400));
        assert!(iterations < 20, "the loop spins: {iterations} iterations");
        assert_eq!(errors.count(&text), episode, "one error for each episode");
        assert!(server.address().is_some());
        held.take().iter().for_each(|conn| conn.close());
    }
    // What is left has room, without a new error.
    run_until(|| server.accepted() == CLIENTS as u64);
    assert_eq!(held.borrow().len(), CLIENTS - 2 * ROOM);
    assert_eq!(errors.count(&text), 2);

    // While it rests, a server can be paused, resumed and closed like any other.
    leave_room_for(0);
    held.take().iter().for_each(|conn| conn.close());
    let files = take_all_but_one();
    let client = connect(server);
    run_until(|| errors.count(&text) == 3);
    server.pause();
    server.resume();
    settle();
    server.close();
    drop((files, client, clients));
    run_loop();
}

/// Takes all descriptors that are left, but for one.
fn take_all_but_one() -> Vec<File> {
    let mut files = Vec::new();
    while let Ok(file) = File::open("Cargo.toml") {
        files.push(file);
    }
    files.pop();
    files
}

/// How many iterations the loop makes in a time.
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
