//! The loop embedded in another one: its descriptor, its timeout and single iterations.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::Cell;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Wake;
use std::thread;
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{
    EventLoop, ManualClock, Readiness, ScriptedPoller, Table, Token, add_read_stream, add_timer,
    future_tick, handle, remove_read_stream, spawn,
};

/// Returns `true` if the loop's descriptor becomes readable within `time`.
fn is_readable(event_loop: &EventLoop, time: Duration) -> bool {
    let descriptor = event_loop.descriptor().unwrap();
    let timeout = Timespec::try_from(time).unwrap();
    let mut fds = [PollFd::from_borrowed_fd(descriptor.as_fd(), PollFlags::IN)];
    poll(&mut fds, Some(&timeout)).unwrap() == 1
}

#[test]
fn the_descriptor_is_readable_while_there_is_io_to_do() {
    let event_loop = EventLoop::current();
    let (mut peer, stream) = UnixStream::pair().unwrap();
    let stream = Rc::new(stream);
    let (reader, read) = (Rc::clone(&stream), Rc::new(Cell::new(0)));
    let count = Rc::clone(&read);
    add_read_stream(Rc::clone(&stream), move || {
        let mut bytes = [0; 16];
        count.set((&*reader).read(&mut bytes).unwrap());
    })
    .unwrap();
    assert!(!is_readable(&event_loop, Duration::ZERO));
    peer.write_all(b"hello").unwrap();
    assert!(is_readable(&event_loop, Duration::from_secs(60)));
    assert!(event_loop.run_once(Some(Duration::ZERO)).unwrap());
    assert_eq!(read.get(), 5);
    assert!(!is_readable(&event_loop, Duration::ZERO));
    remove_read_stream(&stream);
    assert!(!event_loop.is_alive());
}

#[test]
fn a_post_from_another_thread_makes_the_descriptor_readable() {
    let event_loop = EventLoop::current();
    assert!(!is_readable(&event_loop, Duration::ZERO));
    let handle = handle();
    let thread = thread::spawn(move || handle.post(|| ()).unwrap());
    assert!(is_readable(&event_loop, Duration::from_secs(60)));
    thread.join().unwrap();
    event_loop.run_once(Some(Duration::ZERO)).unwrap();
    assert!(!is_readable(&event_loop, Duration::ZERO));
}

#[test]
fn a_host_that_waits_for_the_timeout_fires_timers_in_time() {
    let event_loop = EventLoop::current();
    let fired = Rc::new(Cell::new(0));
    for time in [1, 3, 5] {
        let count = Rc::clone(&fired);
        add_timer(Duration::from_millis(time), move || {
            count.set(count.get() + 1)
        });
    }
    let mut rounds = 0;
    while event_loop.is_alive() {
        is_readable(&event_loop, event_loop.timeout().unwrap());
        event_loop.run_once(Some(Duration::ZERO)).unwrap();
        rounds += 1;
    }
    assert_eq!(fired.get(), 3);
    assert!(
        rounds <= 4,
        "{rounds} rounds: the host was woken unnecessarily"
    );
}

#[test]
fn the_timeout_limits_the_wait_of_a_host() {
    let clock = ManualClock::new();
    let event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock.clone()).unwrap();
    assert_eq!(
        event_loop.timeout(),
        Some(Duration::ZERO),
        "no pending work"
    );
    let (_peer, stream) = UnixStream::pair().unwrap();
    let stream = Rc::new(stream);
    add_read_stream(Rc::clone(&stream), || ()).unwrap();
    assert_eq!(event_loop.timeout(), None, "I/O alone");
    let timer = add_timer(Duration::from_secs(5), || ());
    clock.advance(Duration::from_secs(2));
    assert_eq!(event_loop.timeout(), Some(Duration::from_secs(3)));
    clock.advance(Duration::from_secs(10));
    assert_eq!(event_loop.timeout(), Some(Duration::ZERO), "overdue");
    timer.cancel();
    assert_eq!(event_loop.timeout(), None);
    future_tick(|| ());
    assert_eq!(event_loop.timeout(), Some(Duration::ZERO), "a queued tick");
    remove_read_stream(&stream);
}

#[test]
fn a_poller_without_a_descriptor_is_an_error() {
    let clock = ManualClock::new();
    let event_loop = EventLoop::install(ScriptedPoller::new(&clock), clock).unwrap();
    assert_eq!(
        event_loop.descriptor().unwrap_err().to_string(),
        "sharing the poller failed: unsupported"
    );
}

/// A waker that counts its calls.
#[derive(Default)]
struct CountingWaker(AtomicUsize);

impl Wake for CountingWaker {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

/// Returns `true` if `change` wakes the host of the loop.
fn wakes(event_loop: &EventLoop, change: impl FnOnce()) -> bool {
    let wakes = Arc::new(CountingWaker::default());
    event_loop.set_waker(Some(Arc::clone(&wakes).into()));
    change();
    let count = wakes.0.load(Ordering::Relaxed);
    event_loop.set_waker(None);
    assert!(count <= 1, "woken {count} times");
    count == 1
}

#[test]
fn work_added_between_iterations_wakes_the_host() {
    let event_loop = EventLoop::current();
    assert!(wakes(&event_loop, || future_tick(|| ())), "a tick");
    let minute = Duration::from_secs(60);
    assert!(wakes(&event_loop, || {
        add_timer(minute, || ());
    }));
    let timer = add_timer(minute, || ());
    assert!(wakes(&event_loop, || timer.cancel()), "no pending work");
    assert!(wakes(&event_loop, || drop(spawn(async {}))), "a task");
    let id = Table::new().insert(()).unwrap();
    let token = id.token(driver::register(&Nothing));
    assert!(wakes(&event_loop, || driver::flush_later(token)));
    assert!(wakes(&event_loop, || driver::reap_later(token)));
    assert!(wakes(&event_loop, || {
        driver::ready_later(token, Readiness::READABLE);
    }));
    assert!(wakes(&event_loop, || {
        driver::arm_deadline(token, Duration::ZERO);
    }));
    driver::hold();
    assert!(wakes(&event_loop, driver::release));
    assert!(!wakes(&event_loop, || {
        uptick_event_loop::now();
    }));
}

#[test]
fn work_added_by_callbacks_does_not_wake_the_host() {
    let event_loop = EventLoop::current();
    let host = event_loop.clone();
    let ran = Rc::new(Cell::new(false));
    let seen = Rc::clone(&ran);
    future_tick(move || {
        assert!(!wakes(&host, || future_tick(|| ())));
        seen.set(true);
    });
    event_loop.run().unwrap();
    assert!(ran.get());
}

struct Nothing;

impl Driver for Nothing {
    fn ready(&self, _: Token, _: Readiness) {}

    fn panicked(&self, _: Token, _: &str) {}
}

#[test]
fn a_removed_watch_does_not_keep_duplicates_watched() {
    let event_loop = EventLoop::current();
    let (mut peer, kept) = UnixStream::pair().unwrap();
    let stream = Rc::new(kept.try_clone().unwrap());
    add_read_stream(Rc::clone(&stream), || ()).unwrap();
    remove_read_stream(&stream);
    drop(stream);
    peer.write_all(b"x").unwrap();
    assert!(!is_readable(&event_loop, Duration::ZERO));
}
