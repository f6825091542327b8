//! The loop as a future on async-std's executor.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::pin;
use std::rc::Rc;
use std::task::Poll;
use std::thread;
use std::time::Duration;

use async_std::future::timeout;
use async_std::task::{block_on, sleep};
use futures::future::{LocalBoxFuture, poll_fn};
use futures::stream::{FuturesUnordered, StreamExt};
use futures::{FutureExt, join};
use uptick_async_std::run;
use uptick_event_loop::{
    Error, Timer, add_periodic_timer, add_timer, future_tick, handle, spawn, stop,
};

const MS: Duration = Duration::from_millis(1);
/// How long a test waits for anything: long, as it only counts when something is broken.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs the loop to its end, and gives how often its future was polled.
async fn counted() -> u32 {
    let polls = Rc::new(Cell::new(0));
    polled(&polls).await;
    polls.get()
}

/// Runs the loop to its end, counting how often its future is polled.
async fn polled(polls: &Cell<u32>) {
    let mut event_loop = pin!(run());
    let counting = poll_fn(|context| {
        polls.set(polls.get() + 1);
        event_loop.as_mut().poll(context)
    });
    timeout(PATIENCE, counting).await.unwrap().unwrap();
}

/// Runs futures as separate tasks: each is polled only when it is woken itself.
fn together(futures: impl IntoIterator<Item = LocalBoxFuture<'static, ()>>) {
    let all: FuturesUnordered<_> = futures.into_iter().collect();
    block_on(all.collect::<()>());
}

/// Keeps the loop running until it is cancelled, or until the test has failed.
fn hold() -> Timer {
    add_timer(10 * PATIENCE, || ())
}

#[test]
fn a_loop_with_nothing_to_wait_for_ends_at_once() {
    assert_eq!(block_on(counted()), 1);
}

#[test]
fn the_loop_ends_when_nothing_is_left_to_wait_for() {
    let order = Rc::new(RefCell::new(Vec::new()));
    for (time, name) in [(20, "timer: 20 ms"), (10, "timer: 10 ms")] {
        let order = Rc::clone(&order);
        add_timer(time * MS, move || order.borrow_mut().push(name));
    }
    let ticked = Rc::clone(&order);
    future_tick(move || ticked.borrow_mut().push("tick"));
    let polls = block_on(counted());
    assert_eq!(*order.borrow(), ["tick", "timer: 10 ms", "timer: 20 ms"]);
    assert!(polls < 20, "{polls} polls for two timers and a tick");
}

#[test]
fn an_idle_loop_is_not_polled() {
    let timer = hold();
    let polls = Rc::new(Cell::new(0));
    let counting = Rc::clone(&polls);
    let event_loop = async move { polled(&counting).await }.boxed_local();
    let other = async move {
        sleep(50 * MS).await;
        let before = polls.get();
        sleep(200 * MS).await;
        assert_eq!(polls.get(), before, "the idle loop was polled");
        timer.cancel();
    };
    together([event_loop, other.boxed_local()]);
}

#[test]
fn a_periodic_timer_costs_few_polls() {
    let mut left = 10;
    add_periodic_timer(5 * MS, move |timer: Timer| {
        left -= 1;
        if left == 0 {
            timer.cancel();
        }
    });
    let polls = block_on(counted());
    assert!(polls <= 50, "{polls} polls for 10 timers");
}

#[test]
fn other_futures_of_the_thread_wake_the_loop() {
    let timer = hold();
    let event_loop = async { assert!(counted().await > 1) }.boxed_local();
    let (sender, ticked) = futures::channel::oneshot::channel();
    let other = async move {
        sleep(20 * MS).await;
        future_tick(move || sender.send(()).unwrap());
        timeout(PATIENCE, ticked).await.unwrap().unwrap();
        sleep(20 * MS).await;
        let (sender, fired) = futures::channel::oneshot::channel();
        add_timer(MS, move || sender.send(()));
        timeout(PATIENCE, fired).await.unwrap().unwrap();
        sleep(20 * MS).await;
        timer.cancel();
    };
    together([event_loop, other.boxed_local()]);
}

#[test]
fn tasks_of_the_loop_await_what_async_std_has() {
    let done = Rc::new(Cell::new(false));
    let flag = Rc::clone(&done);
    spawn(async move {
        sleep(10 * MS).await;
        let file = async_std::fs::metadata("/").await;
        flag.set(file.unwrap().is_dir());
    });
    let polls = block_on(counted());
    assert!(done.get());
    assert!(polls < 30, "{polls} polls for a task that waits twice");
}

#[test]
fn tasks_await_what_async_std_has_while_the_loop_runs_by_itself() {
    let done = Rc::new(Cell::new(false));
    let flag = Rc::clone(&done);
    spawn(async move {
        sleep(10 * MS).await;
        flag.set(async_std::task::spawn(async { true }).await);
    });
    uptick_event_loop::run().unwrap();
    assert!(done.get());
}

#[test]
fn a_post_from_another_thread_wakes_the_loop() {
    let timer = hold();
    let handle = handle();
    let thread = thread::spawn(move || {
        thread::sleep(20 * MS);
        handle.post(stop).unwrap();
    });
    block_on(counted());
    thread.join().unwrap();
    assert!(timer.is_pending(), "the loop was stopped, not over");
}

#[test]
fn stop_ends_the_future_and_the_loop_can_be_run_again() {
    let fired = Rc::new(Cell::new(false));
    let flag = Rc::clone(&fired);
    future_tick(stop);
    add_timer(10 * MS, move || flag.set(true));
    block_on(run()).unwrap();
    assert!(!fired.get());
    block_on(run()).unwrap();
    assert!(fired.get());
}

#[test]
fn a_future_that_is_dropped_leaves_the_loop_to_the_next() {
    let fired = Rc::new(Cell::new(false));
    let flag = Rc::clone(&fired);
    add_timer(50 * MS, move || flag.set(true));
    block_on(async {
        assert!(timeout(MS, run()).await.is_err(), "it was not to end");
        assert!(!fired.get());
        run().await.unwrap();
    });
    assert!(fired.get());
}

#[test]
fn a_thread_has_one_future_that_runs_its_loop() {
    add_timer(10 * MS, || ());
    let (first, second) = block_on(async { join!(run(), run()) });
    first.unwrap();
    assert!(matches!(second, Err(Error::AlreadyRunning)));
}

#[test]
fn a_callback_cannot_run_the_loop() {
    let result = Rc::new(RefCell::new(None));
    let slot = Rc::clone(&result);
    let timer = hold();
    future_tick(move || {
        *slot.borrow_mut() = run().now_or_never();
        timer.cancel();
    });
    uptick_event_loop::run().unwrap();
    let result = result.take();
    assert!(matches!(result, Some(Err(Error::AlreadyRunning))));
}

#[test]
fn any_executor_will_do() {
    let fired = Rc::new(Cell::new(false));
    let flag = Rc::clone(&fired);
    add_timer(10 * MS, move || flag.set(true));
    futures::executor::block_on(run()).unwrap();
    assert!(fired.get());
}

#[test]
fn other_futures_run_between_the_iterations() {
    fn tick() {
        future_tick(tick);
    }
    tick();
    let busy = async { run().await.unwrap() };
    let others = async {
        let mut turns = 0;
        poll_fn(|context| {
            turns += 1;
            context.waker().wake_by_ref();
            if turns < 100 {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
        stop_later();
    };
    block_on(async { join!(busy, others) });
}

/// Stops the loop in its next iteration.
fn stop_later() {
    future_tick(stop);
}
