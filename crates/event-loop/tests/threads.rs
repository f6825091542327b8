//! Access from other threads: posts, stops, wake-ups, blocking jobs, and the end of the loop's thread.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod child;

use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::mpsc;
use std::sync::{Arc, Mutex};
use std::task::{Poll, Waker};
use std::thread;
use std::time::Duration;

use uptick_event_loop::{
    Error, EventLoop, LoopHandle, add_timer, block_on, future_tick, handle, run, sleep, spawn,
    spawn_blocking, stop,
};

/// Runs the loop until it is stopped, for at most a minute.
fn run_until_stopped() {
    let limit = add_timer(Duration::from_secs(60), || {
        panic!("the loop was not stopped")
    });
    run().unwrap();
    limit.cancel();
}

thread_local! {
    static ARRIVED: RefCell<Vec<(usize, usize)>> = const { RefCell::new(Vec::new()) };
}

#[test]
fn posts_of_four_threads_all_arrive_in_the_order_of_each_thread() {
    const EACH: usize = 2_500;
    let handle = handle();
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            let handle = handle.clone();
            thread::spawn(move || {
                for n in 0..EACH {
                    let arrive = move || {
                        let all = ARRIVED.with_borrow_mut(|arrived| {
                            arrived.push((thread, n));
                            arrived.len()
                        });
                        if all == 4 * EACH {
                            stop();
                        }
                    };
                    handle.post(arrive).unwrap();
                }
            })
        })
        .collect();
    run_until_stopped();
    for thread in threads {
        thread.join().unwrap();
    }
    let arrived = ARRIVED.take();
    for thread in 0..4 {
        let of_thread = arrived.iter().filter(|(from, _)| *from == thread);
        assert!(of_thread.map(|(_, n)| *n).eq(0..EACH));
    }
}

#[test]
fn a_post_ends_the_wait_of_a_loop() {
    let poster = handle();
    let (waiting, is_waiting) = mpsc::channel();
    let thread = thread::spawn(move || {
        is_waiting.recv().unwrap();
        poster.post(stop).unwrap();
    });
    // The loop has taken its ticks before the other thread posts.
    future_tick(move || waiting.send(()).unwrap());
    run_until_stopped();
    thread.join().unwrap();
}

#[test]
fn a_stop_from_another_thread_ends_the_wait_of_a_loop() {
    let stopper = handle();
    let (waiting, is_waiting) = mpsc::channel();
    let thread = thread::spawn(move || {
        is_waiting.recv().unwrap();
        stopper.stop();
    });
    future_tick(move || waiting.send(()).unwrap());
    run_until_stopped();
    thread.join().unwrap();
}

#[test]
fn a_posted_stop_ends_a_run_that_begins_later() {
    let handle = handle();
    thread::spawn(move || handle.post(stop).unwrap())
        .join()
        .unwrap();
    run_until_stopped();
}

#[test]
fn run_calls_callbacks_that_were_posted_before() {
    let (sender, called) = mpsc::channel();
    handle()
        .post(move || sender.send(thread::current().id()).unwrap())
        .unwrap();
    assert!(called.try_recv().is_err());
    run().unwrap();
    assert_eq!(called.try_recv(), Ok(thread::current().id()));
}

#[test]
fn a_handle_does_not_keep_the_loop_running() {
    let _handle = handle();
    run().unwrap();
}

#[test]
fn posting_to_a_loop_whose_thread_has_ended_is_an_error_and_drops_the_callback() {
    let gone: LoopHandle = thread::spawn(handle).join().unwrap();
    let captured = Arc::new(());
    let call = Arc::clone(&captured);
    let error = gone.post(move || drop(call)).unwrap_err();
    assert!(matches!(error, Error::LoopGone));
    assert_eq!(
        error.to_string(),
        "using an event loop failed: its thread has ended"
    );
    assert_eq!(Arc::strong_count(&captured), 1);
    gone.stop();
}

#[test]
fn posts_that_never_ran_are_dropped_with_the_thread() {
    let captured = Arc::new(());
    let call = Arc::clone(&captured);
    thread::spawn(move || handle().post(move || drop(call)).unwrap())
        .join()
        .unwrap();
    assert_eq!(Arc::strong_count(&captured), 1);
}

/// Waits until another thread sets the flag and wakes the task.
async fn wait_for(done: Arc<Mutex<(bool, Option<Waker>)>>) {
    poll_fn(|context| {
        let mut done = done.lock().unwrap();
        if done.0 {
            return Poll::Ready(());
        }
        done.1 = Some(context.waker().clone());
        Poll::Pending
    })
    .await;
}

#[test]
fn a_task_woken_from_another_thread_runs_on_its_own_thread() {
    let shared = Arc::new(Mutex::new((false, None::<Waker>)));
    let waiting = Arc::clone(&shared);
    let ran_on = block_on(async move {
        let waker = Arc::clone(&waiting);
        thread::spawn(move || {
            loop {
                let mut shared = waker.lock().unwrap();
                if let Some(waker) = shared.1.take() {
                    shared.0 = true;
                    drop(shared);
                    return waker.wake();
                }
                drop(shared);
                thread::yield_now();
            }
        });
        wait_for(waiting).await;
        thread::current().id()
    });
    assert_eq!(ran_on.unwrap(), thread::current().id());
}

#[test]
fn a_task_is_dropped_with_its_thread_even_if_another_thread_holds_its_waker() {
    let shared = Arc::new(Mutex::new((false, None::<Waker>)));
    let captured = Arc::new(());
    let (waiting, alive) = (Arc::clone(&shared), Arc::clone(&captured));
    thread::spawn(move || {
        spawn(async move {
            let _alive = alive;
            wait_for(waiting).await;
        });
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    })
    .join()
    .unwrap();
    assert_eq!(Arc::strong_count(&captured), 1);
    let waker = shared.lock().unwrap().1.take().unwrap();
    waker.wake_by_ref();
    waker.wake();
}

#[test]
fn a_blocking_job_runs_on_another_thread_and_returns_its_result() {
    let here = thread::current().id();
    let (ran_on, came_back) = block_on(async move {
        let ran_on = spawn_blocking(|| thread::current().id()).await.unwrap();
        (ran_on, thread::current().id())
    })
    .unwrap();
    assert_ne!(ran_on, here);
    assert_eq!(came_back, here);
}

#[test]
fn run_waits_for_a_blocking_job_whose_handle_was_dropped() {
    let (sender, done) = mpsc::channel();
    drop(spawn_blocking(move || sender.send(()).unwrap()));
    run().unwrap();
    done.try_recv().unwrap();
}

#[test]
fn a_panic_in_a_blocking_job_is_its_result() {
    let result = block_on(spawn_blocking(|| -> u8 { panic!("no such disk") }));
    assert_eq!(
        result.unwrap().unwrap_err().to_string(),
        "a task panicked: no such disk"
    );
}

#[test]
fn the_loop_continues_while_a_job_blocks() {
    let (release, released) = mpsc::channel::<()>();
    let result = block_on(async move {
        let job = spawn_blocking(move || released.recv().map(|()| "released"));
        sleep(Duration::from_millis(1)).await;
        release.send(()).unwrap();
        job.await.unwrap().unwrap()
    });
    assert_eq!(result.unwrap(), "released");
}

struct AtExit;

impl Drop for AtExit {
    fn drop(&mut self) {
        // These succeed if the loop still exists, and are refused silently if it is being destroyed or gone.
        spawn(async {});
        future_tick(|| ());
        add_timer(Duration::ZERO, || ()).cancel();
        let _ = handle().post(stop);
        let _ = run();
        let _ = block_on(async {});
        stop();
    }
}

thread_local! {
    static BEFORE: AtExit = const { AtExit };
    static AFTER: AtExit = const { AtExit };
}

#[test]
fn destructors_of_a_thread_that_ends_may_use_the_loop() {
    let thread = thread::spawn(|| {
        BEFORE.with(|_| ());
        let captured = AtExit;
        add_timer(Duration::from_secs(3600), move || drop(captured));
        let captured = AtExit;
        spawn(async move {
            sleep(Duration::from_secs(3600)).await;
            drop(captured);
        });
        AFTER.with(|_| ());
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    });
    thread.join().unwrap();
}

#[test]
fn a_callback_may_end_the_process() {
    if child::is_child() {
        spawn(sleep(Duration::from_secs(3600)));
        add_timer(Duration::from_millis(1), || std::process::exit(7));
        run().unwrap();
    }
    let (output, stderr) = child::run("a_callback_may_end_the_process");
    assert_eq!(output.status.code(), Some(7), "{stderr}");
}

#[test]
fn a_task_may_end_the_process() {
    if child::is_child() {
        spawn(sleep(Duration::from_secs(3600)));
        spawn(async {
            sleep(Duration::from_millis(1)).await;
            std::process::exit(7);
        });
        run().unwrap();
    }
    let (output, stderr) = child::run("a_task_may_end_the_process");
    assert_eq!(output.status.code(), Some(7), "{stderr}");
}
