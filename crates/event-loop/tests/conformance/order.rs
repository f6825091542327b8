//! The order of events within an iteration.

use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{
    EventLoop, add_read_stream, add_timer, add_write_stream, future_tick, remove_read_stream,
    remove_write_stream, run,
};

use crate::world::{BOTH, Log, READABLE, World, at};

fn readable_pair() -> (UnixStream, Rc<UnixStream>) {
    let (mut ours, theirs) = UnixStream::pair().unwrap();
    ours.write_all(b"x").unwrap();
    (ours, Rc::new(theirs))
}

/// Watches a readable descriptor until it is reported once.
fn read_once(source: &Rc<UnixStream>, mut callback: impl FnMut() + 'static) {
    let watched = Rc::clone(source);
    add_read_stream(Rc::clone(source), move || {
        remove_read_stream(&watched);
        callback();
    })
    .unwrap();
}

pub(crate) fn an_iteration_runs_ticks_then_timers_then_reads_then_writes(world: impl World) {
    let log = Log::default();
    let (_peer, stream) = readable_pair();
    let (writer, mut note) = (Rc::clone(&stream), log.noting("write"));
    add_write_stream(Rc::clone(&stream), move || {
        remove_write_stream(&writer);
        note();
    })
    .unwrap();
    read_once(&stream, log.noting("read"));
    add_timer(Duration::ZERO, log.noting("timer"));
    future_tick(log.noting("tick"));
    world.expect(&[at(&stream, BOTH)]);
    EventLoop::current().run_once(None).unwrap();
    assert_eq!(log.take(), "tick,timer,read,write");
}

pub(crate) fn ticks_run_in_the_order_of_the_calls(_: impl World) {
    let log = Log::default();
    for name in ["a", "b", "c", "d"] {
        future_tick(log.noting(name));
    }
    run().unwrap();
    assert_eq!(log.take(), "a,b,c,d");
}

pub(crate) fn a_tick_queued_by_a_tick_runs_in_the_next_iteration(_: impl World) {
    let log = Log::default();
    let nested = log.noting("nested");
    let mut note = log.noting("a");
    future_tick(move || {
        note();
        future_tick(nested);
    });
    future_tick(log.noting("b"));
    let event_loop = EventLoop::current();
    event_loop.run_once(None).unwrap();
    assert_eq!(log.take(), "a,b");
    event_loop.run_once(None).unwrap();
    assert_eq!(log.take(), "nested");
}

pub(crate) fn a_zero_timer_added_by_a_tick_fires_before_a_tick_nested_in_that_tick(_: impl World) {
    let log = Log::default();
    let (nested, timer) = (log.noting("nested"), log.noting("timer"));
    future_tick(move || {
        future_tick(nested);
        add_timer(Duration::ZERO, timer);
    });
    EventLoop::current().run_once(None).unwrap();
    assert_eq!(log.take(), "timer");
    run().unwrap();
    assert_eq!(log.take(), "nested");
}

pub(crate) fn ticks_run_before_ready_io_and_do_not_wait_for_it(world: impl World) {
    let log = Log::default();
    let (_peer, quiet) = UnixStream::pair().unwrap();
    let quiet = Rc::new(quiet);
    read_once(&quiet, log.noting("never"));
    let (_ready_peer, ready) = readable_pair();
    read_once(&ready, log.noting("read"));
    let (nested, mut note) = (log.noting("nested"), log.noting("tick"));
    let stop_watching = Rc::clone(&quiet);
    future_tick(move || {
        note();
        future_tick(nested);
        future_tick(move || remove_read_stream(&stop_watching));
    });
    world.expect(&[at(&ready, READABLE)]);
    world.expect_nothing();
    run().unwrap();
    assert_eq!(log.take(), "tick,read,nested");
}

pub(crate) fn a_tick_queued_by_io_runs_before_the_next_io(world: impl World) {
    let log = Log::default();
    let (_peer, first) = readable_pair();
    let (_other_peer, second) = readable_pair();
    let (source, tick, second_read) =
        (Rc::clone(&second), log.noting("tick"), log.noting("second"));
    let mut ticks = Some((tick, second_read));
    let mut note = log.noting("first");
    read_once(&first, move || {
        note();
        if let Some((tick, second_read)) = ticks.take() {
            future_tick(tick);
            read_once(&source, second_read);
        }
    });
    world.expect(&[at(&first, READABLE)]);
    world.expect(&[at(&second, READABLE)]);
    run().unwrap();
    assert_eq!(log.take(), "first,tick,second");
}
