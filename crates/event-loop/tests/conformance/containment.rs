//! Panics in callbacks are caught.

use std::cell::Cell;
use std::future::{pending, poll_fn};
use std::io::Write;
use std::os::unix::net::UnixStream;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use uptick_event_loop::{
    Error, EventLoop, add_periodic_timer, add_read_stream, add_timer, add_write_stream, block_on,
    future_tick, run, spawn,
};

use crate::world::{BOTH, Log, World, at, ms};

pub(crate) fn a_panic_in_a_tick_does_not_stop_the_others(_: impl World) {
    let log = Log::default();
    future_tick(log.noting("a"));
    future_tick(|| panic!("a tick that panics"));
    future_tick(log.noting("b"));
    run().unwrap();
    assert_eq!(log.take(), "a,b");
}

pub(crate) fn a_panic_in_a_timer_does_not_stop_the_others(_: impl World) {
    let log = Log::default();
    add_timer(Duration::ZERO, log.noting("a"));
    add_timer(Duration::ZERO, || panic!("a timer that panics"));
    add_timer(Duration::ZERO, log.noting("b"));
    run().unwrap();
    assert_eq!(log.take(), "a,b");
}

pub(crate) fn a_panic_in_a_periodic_timer_leaves_it_armed(_: impl World) {
    let log = Log::default();
    let mut calls = 0;
    let mut note = log.noting("call");
    add_periodic_timer(ms(1), move |timer| {
        note();
        calls += 1;
        if calls == 2 {
            timer.cancel();
        }
        panic!("a periodic timer that panics");
    });
    run().unwrap();
    assert_eq!(log.take(), "call,call");
}

pub(crate) fn a_panic_in_a_read_callback_keeps_the_watches(world: impl World) {
    let log = Log::default();
    let (mut peer, stream) = UnixStream::pair().unwrap();
    peer.write_all(b"x").unwrap();
    let stream = Rc::new(stream);
    let mut note = log.noting("read");
    add_read_stream(Rc::clone(&stream), move || {
        note();
        panic!("a read callback that panics");
    })
    .unwrap();
    add_write_stream(Rc::clone(&stream), log.noting("write")).unwrap();
    for _ in 0..2 {
        world.expect(&[at(&stream, BOTH)]);
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
    assert_eq!(log.take(), "read,write,read,write");
}

pub(crate) fn a_panic_in_a_task_is_its_result(_: impl World) {
    let log = Log::default();
    spawn(async { panic!("a task that is not awaited") });
    let notes = log.clone();
    spawn(async move { notes.note("another task") });
    let result: Result<u32, Error> = block_on(async {
        let task = spawn(async { panic!("with {}", "arguments") });
        task.await
    })
    .unwrap();
    assert_eq!(
        result.unwrap_err().to_string(),
        "a task panicked: with arguments"
    );
    assert_eq!(log.take(), "another task");
    let error = block_on::<()>(async { panic!("outermost") }).unwrap_err();
    assert_eq!(error.to_string(), "a task panicked: outermost");
}

struct PanicsOnDrop(Rc<Cell<bool>>);

impl Drop for PanicsOnDrop {
    fn drop(&mut self) {
        self.0.set(true);
        panic!("a destructor that panics");
    }
}

pub(crate) fn a_panic_in_the_destructor_of_a_cancelled_task_is_contained(_: impl World) {
    let log = Log::default();
    let dropped = Rc::new(Cell::new(false));
    let captured = PanicsOnDrop(Rc::clone(&dropped));
    let task = spawn(async move {
        let _held = &captured;
        pending::<()>().await;
    });
    add_timer(ms(1), move || task.cancel());
    add_timer(ms(2), log.noting("later timer"));
    run().unwrap();
    assert!(dropped.get());
    assert_eq!(log.take(), "later timer");
}

pub(crate) fn a_panic_in_the_destructor_of_a_finished_task_is_contained(_: impl World) {
    let captured = PanicsOnDrop(Rc::default());
    let task = spawn(poll_fn(move |_| {
        let _held = &captured;
        Poll::Ready(7)
    }));
    assert_eq!(block_on(task).unwrap().unwrap(), 7);
}

pub(crate) fn a_panic_in_the_destructor_of_a_cancelled_timer_is_contained(_: impl World) {
    let dropped = Rc::new(Cell::new(false));
    let captured = PanicsOnDrop(Rc::clone(&dropped));
    add_periodic_timer(ms(1), move |timer| {
        let _captured = &captured;
        timer.cancel();
    });
    run().unwrap();
    assert!(dropped.get());
}
