//! `run`, `stop`, single iterations and the loop's time.

use std::cell::{Cell, RefCell};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::{Duration, Instant};

use uptick_event_loop::{
    Error, EventLoop, ManualClock, ScriptedPoller, Step, add_periodic_timer, add_read_stream,
    add_timer, future_tick, handle, now, remove_read_stream, run, stop,
};

use crate::world::{Log, READABLE, Scripted, World, at, ms, run_in};

pub(crate) fn a_loop_with_nothing_to_wait_for_returns_at_once(_: impl World) {
    let event_loop = EventLoop::current();
    assert!(!event_loop.is_alive());
    assert_eq!(event_loop.timeout(), Some(Duration::ZERO));
    run().unwrap();
    assert!(!event_loop.run_once(None).unwrap());
}

pub(crate) fn run_may_be_called_again(_: impl World) {
    let log = Log::default();
    future_tick(log.noting("first"));
    run().unwrap();
    add_timer(ms(1), log.noting("second"));
    run().unwrap();
    assert_eq!(log.take(), "first,second");
}

pub(crate) fn stop_ends_the_iteration_and_keeps_the_rest_for_the_next_run(_: impl World) {
    let log = Log::default();
    let (nested, mut note) = (log.noting("nested"), log.noting("tick"));
    future_tick(move || {
        note();
        stop();
        future_tick(nested);
    });
    future_tick(log.noting("same iteration"));
    add_timer(Duration::ZERO, log.noting("timer"));
    run().unwrap();
    assert_eq!(log.take(), "tick,same iteration,timer");
    run().unwrap();
    assert_eq!(log.take(), "nested");
}

pub(crate) fn stop_outside_of_run_does_nothing(_: impl World) {
    let log = Log::default();
    stop();
    let nested = log.noting("nested");
    future_tick(move || future_tick(nested));
    run().unwrap();
    assert_eq!(log.take(), "nested");
}

pub(crate) fn a_stop_from_a_handle_outside_of_run_does_nothing(_: impl World) {
    let log = Log::default();
    handle().stop();
    let nested = log.noting("nested");
    future_tick(move || future_tick(nested));
    run().unwrap();
    assert_eq!(log.take(), "nested");
}

pub(crate) fn stop_does_not_wait_for_io(world: impl World) {
    let log = Log::default();
    let (mut peer, stream) = UnixStream::pair().unwrap();
    peer.write_all(b"x").unwrap();
    let stream = Rc::new(stream);
    let (_quiet_peer, quiet) = UnixStream::pair().unwrap();
    add_read_stream(quiet, || ()).unwrap();
    let (watched, mut note) = (Rc::clone(&stream), log.noting("read"));
    add_read_stream(Rc::clone(&stream), move || {
        note();
        remove_read_stream(&watched);
    })
    .unwrap();
    future_tick(stop);
    world.expect(&[at(&stream, READABLE)]);
    run().unwrap();
    assert_eq!(log.take(), "read");
    assert!(EventLoop::current().is_alive());
}

pub(crate) fn running_the_loop_inside_a_callback_is_an_error(_: impl World) {
    let log = Log::default();
    let notes = log.clone();
    future_tick(move || {
        notes.note(run().unwrap_err().to_string());
        let once = EventLoop::current().run_once(None);
        assert!(matches!(once, Err(Error::AlreadyRunning)));
        // The loop keeps running.
        add_timer(Duration::ZERO, notes.noting("timer"));
    });
    run().unwrap();
    assert_eq!(
        log.take(),
        "running the event loop failed: it is already running,timer"
    );
}

pub(crate) fn one_iteration_waits_no_longer_than_its_timeout(_: impl World) {
    let fired = Rc::new(Cell::new(false));
    let flag = Rc::clone(&fired);
    let timer = add_timer(Duration::from_secs(3600), move || flag.set(true));
    let before = now();
    let event_loop = EventLoop::current();
    assert!(event_loop.run_once(Some(ms(2))).unwrap());
    let waited = now() - before;
    assert!(
        waited >= ms(2) && waited < Duration::from_secs(3600),
        "{waited:?}"
    );
    assert!(!fired.get());
    timer.cancel();
}

pub(crate) fn one_iteration_returns_whether_work_is_pending(_: impl World) {
    let event_loop = EventLoop::current();
    future_tick(|| {
        future_tick(|| ());
    });
    assert!(event_loop.run_once(None).unwrap());
    assert!(!event_loop.run_once(None).unwrap());
}

pub(crate) fn a_stopped_iteration_returns_false_and_the_next_one_waits_again(_: impl World) {
    let event_loop = EventLoop::current();
    add_timer(Duration::from_secs(3600), || ());
    future_tick(stop);
    assert!(!event_loop.run_once(None).unwrap());
    assert!(event_loop.timeout().unwrap() > Duration::from_secs(3000));
    assert!(event_loop.run_once(Some(Duration::ZERO)).unwrap());
}

pub(crate) fn now_is_constant_while_ticks_run_and_advances_for_timers(world: impl World) {
    let log = Log::default();
    let start = now();
    let (notes, world_in_tick) = (log.clone(), world);
    future_tick(move || {
        let before = now();
        world_in_tick.work(ms(3));
        notes.note(format!("constant: {}", now() == before));
        add_timer(Duration::ZERO, move || {
            notes.note(format!("advanced: {}", now() - before >= ms(3)));
        });
    });
    run().unwrap();
    assert_eq!(log.take(), "constant: true,advanced: true");
    assert!(now() >= start);
}

pub(crate) fn a_second_loop_on_a_thread_is_refused(_: impl World) {
    let _first = EventLoop::current();
    let clock = ManualClock::new();
    let second = EventLoop::install(ScriptedPoller::new(&clock), clock);
    assert_eq!(
        second.unwrap_err().to_string(),
        "installing an event loop failed: this thread already has one"
    );
}

#[test]
fn run_returns_the_error_of_a_failed_wait_and_may_be_called_again() {
    run_in(|world: Scripted| {
        let log = Log::default();
        world
            .poller
            .push(Step::Fail(std::io::ErrorKind::OutOfMemory));
        add_timer(ms(1), log.noting("timer"));
        let error = run().unwrap_err();
        assert_eq!(
            error.to_string(),
            "waiting for events failed: out of memory (ENOMEM)"
        );
        run().unwrap();
        assert_eq!(log.take(), "timer");
    });
}

#[test]
fn the_last_wait_of_an_empty_loop_does_not_block() {
    run_in(|world: Scripted| {
        let waits = Rc::new(RefCell::new(0));
        let count = Rc::clone(&waits);
        add_periodic_timer(ms(7), move |timer| {
            *count.borrow_mut() += 1;
            if *count.borrow() == 2 {
                timer.cancel();
            }
        });
        run().unwrap();
        // One wait for each firing, and one after the last, which does not block.
        assert_eq!(
            world.poller.waits(),
            [Some(ms(7)), Some(ms(7)), Some(Duration::ZERO)]
        );
    });
}

#[test]
fn the_system_clock_is_the_loops_clock() {
    run_in(|_: crate::world::System| {
        let begun = Instant::now();
        add_timer(ms(20), || ());
        run().unwrap();
        assert!(begun.elapsed() >= ms(20));
    });
}
