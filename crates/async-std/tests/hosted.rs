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
/// Time limit for every wait; generous, as it is reached only when a test fails.
const TEST_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs the loop to its end; returns the number of polls of its future.
async fn run_counting_polls() -> u32 {
    let polls = Rc::new(Cell::new(0));
    count_polls(&polls).await;
    polls.get()
}

/// Runs the loop to its end, counting the polls of its future.
async fn count_polls(polls: &Cell<u32>) {
    let mut event_loop = pin!(run());
    let counting = poll_fn(|context| {
        polls.set(polls.get() + 1);
        event_loop.as_mut().poll(context)
    });
    timeout(TEST_TIMEOUT, counting).await.unwrap().unwrap();
}

/// Runs futures as separate tasks: each is polled only when it is woken.
fn run_as_tasks(futures: impl IntoIterator<Item = LocalBoxFuture<'static, ()>>) {
    let all: FuturesUnordered<_> = futures.into_iter().collect();
    block_on(all.collect::<()>());
}

/// Keeps the loop running until the timer is cancelled, or until the test has failed.
fn hold() -> Timer {
    add_timer(10 * TEST_TIMEOUT, || ())
}

#[test]
fn a_loop_with_nothing_to_wait_for_ends_at_once() {
    assert_eq!(block_on(run_counting_polls()), 1);
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
    let polls = block_on(run_counting_polls());
    assert_eq!(*order.borrow(), ["tick", "timer: 10 ms", "timer: 20 ms"]);
    assert!(polls < 20, "{polls} polls for two timers and a tick");
}

#[test]
fn an_idle_loop_is_not_polled() {
    let timer = hold();
    let polls = Rc::new(Cell::new(0));
    let counting = Rc::clone(&polls);
    let event_loop = async move { count_polls(&counting).await }.boxed_local();
    let other = async move {
        sleep(50 * MS).await;
        let before = polls.get();
        sleep(200 * MS).await;
        assert_eq!(polls.get(), before, "the idle loop was polled");
        timer.cancel();
    };
    run_as_tasks([event_loop, other.boxed_local()]);
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
    let polls = block_on(run_counting_polls());
    assert!(polls <= 50, "{polls} polls for 10 timers");
}

#[test]
fn other_futures_of_the_thread_wake_the_loop() {
    let timer = hold();
    let event_loop = async { assert!(run_counting_polls().await > 1) }.boxed_local();
    let (sender, ticked) = futures::channel::oneshot::channel();
    let other = async move {
        sleep(20 * MS).await;
        future_tick(move || sender.send(()).unwrap());
        timeout(TEST_TIMEOUT, ticked).await.unwrap().unwrap();
        sleep(20 * MS).await;
        let (sender, fired) = futures::channel::oneshot::channel();
        add_timer(MS, move || sender.send(()));
        timeout(TEST_TIMEOUT, fired).await.unwrap().unwrap();
        sleep(20 * MS).await;
        timer.cancel();
    };
    run_as_tasks([event_loop, other.boxed_local()]);
}

#[test]
fn tasks_of_the_loop_await_futures_of_async_std() {
    let done = Rc::new(Cell::new(false));
    let flag = Rc::clone(&done);
    spawn(async move {
        sleep(10 * MS).await;
        let file = async_std::fs::metadata("/").await;
        flag.set(file.unwrap().is_dir());
    });
    let polls = block_on(run_counting_polls());
    assert!(done.get());
    assert!(polls < 30, "{polls} polls for a task that waits twice");
}

#[test]
fn tasks_await_futures_of_async_std_while_the_loop_runs_on_its_own() {
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
    block_on(run_counting_polls());
    thread.join().unwrap();
    assert!(
        timer.is_pending(),
        "the loop ended instead of being stopped"
    );
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
fn the_loop_runs_again_after_its_future_is_dropped() {
    let fired = Rc::new(Cell::new(false));
    let flag = Rc::clone(&fired);
    add_timer(50 * MS, move || flag.set(true));
    block_on(async {
        assert!(timeout(MS, run()).await.is_err(), "the loop ended early");
        assert!(!fired.get());
        run().await.unwrap();
    });
    assert!(fired.get());
}

#[test]
fn only_one_future_runs_the_loop_of_a_thread() {
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
fn any_executor_runs_the_loop() {
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
