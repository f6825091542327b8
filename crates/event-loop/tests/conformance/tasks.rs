//! Local futures, sleeping and `block_on`.

use std::cell::{Cell, RefCell};
use std::future::{pending, poll_fn};
use std::rc::Rc;
use std::task::{Poll, Waker};
use std::time::Duration;

use uptick_event_loop::{
    Error, EventLoop, add_timer, block_on, future_tick, now, run, sleep, spawn, stop,
};

use crate::world::{Dropped, Log, World, ms};

/// Yields to other tasks.
async fn yield_now() {
    let mut yielded = false;
    poll_fn(move |context| {
        if yielded {
            return Poll::Ready(());
        }
        yielded = true;
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

pub(crate) fn a_task_first_runs_in_the_next_iteration_and_run_waits_for_it(_: impl World) {
    let log = Log::default();
    let notes = log.clone();
    spawn(async move {
        notes.note("begun");
        sleep(ms(2)).await;
        notes.note("done");
    });
    log.note("spawned");
    run().unwrap();
    assert_eq!(log.take(), "spawned,begun,done");
}

pub(crate) fn a_handle_returns_the_output_of_the_task(_: impl World) {
    let task = spawn(async { 6 * 7 });
    assert!(!task.is_finished());
    run().unwrap();
    assert!(task.is_finished());
    assert_eq!(block_on(task).unwrap().unwrap(), 42);
}

pub(crate) fn a_task_continues_after_its_handle_is_dropped(_: impl World) {
    let log = Log::default();
    let notes = log.clone();
    drop(spawn(async move {
        yield_now().await;
        notes.note("done");
    }));
    run().unwrap();
    assert_eq!(log.take(), "done");
}

pub(crate) fn a_cancelled_task_is_dropped_while_it_waits(_: impl World) {
    let log = Log::default();
    let notes = log.clone();
    let task = spawn(async move {
        let _alive = Dropped(notes.clone(), "dropped");
        notes.note("waiting");
        pending::<()>().await;
        notes.note("never");
    });
    add_timer(ms(1), move || task.cancel());
    run().unwrap();
    assert_eq!(log.take(), "waiting,dropped");
}

pub(crate) fn a_task_may_wait_for_another_one(_: impl World) {
    let text = block_on(async {
        let inner = spawn(async {
            sleep(ms(1)).await;
            "inner"
        });
        format!("{} and outer", inner.await.unwrap())
    });
    assert_eq!(text.unwrap(), "inner and outer");
}

pub(crate) fn a_task_that_wakes_itself_lets_others_run(_: impl World) {
    let log = Log::default();
    for name in ["a", "b"] {
        let notes = log.clone();
        spawn(async move {
            for n in 1..=2 {
                notes.note(format!("{name}{n}"));
                yield_now().await;
            }
        });
    }
    add_timer(Duration::ZERO, log.noting("timer"));
    run().unwrap();
    assert_eq!(log.take(), "a1,b1,timer,a2,b2");
}

pub(crate) fn block_on_returns_the_output_of_the_future(_: impl World) {
    let log = Log::default();
    let notes = log.clone();
    let timer = add_timer(Duration::from_secs(3600), || ());
    let result = block_on(async move {
        sleep(ms(1)).await;
        notes.note("inside");
        7
    });
    assert_eq!(result.unwrap(), 7);
    assert!(timer.is_pending(), "other work stays on the loop");
    assert_eq!(log.take(), "inside");
}

pub(crate) fn block_on_inside_a_callback_is_an_error_and_drops_the_future(_: impl World) {
    let log = Log::default();
    let notes = log.clone();
    future_tick(move || {
        let captured = Dropped(notes.clone(), "dropped");
        let result = block_on(async move {
            let _alive = captured;
            pending::<()>().await;
        });
        assert!(matches!(result, Err(Error::AlreadyRunning)));
        notes.note("refused");
        future_tick(notes.noting("next iteration"));
    });
    run().unwrap();
    assert_eq!(log.take(), "refused,dropped,next iteration");
}

pub(crate) fn block_on_is_cancelled_by_stop_and_leaves_the_loop_usable(_: impl World) {
    let log = Log::default();
    let captured = Dropped(log.clone(), "dropped");
    future_tick(stop);
    let result = block_on(async move {
        let _alive = captured;
        pending::<()>().await;
    });
    assert!(matches!(result, Err(Error::TaskCancelled)));
    let nested = log.noting("second iteration");
    future_tick(move || future_tick(nested));
    run().unwrap();
    assert_eq!(log.take(), "dropped,second iteration");
}

pub(crate) fn sleep_waits_for_the_duration(_: impl World) {
    let before = now();
    block_on(sleep(ms(3))).unwrap();
    assert!(now() - before >= ms(3));
}

pub(crate) fn dropping_a_sleep_cancels_its_timer(_: impl World) {
    let waiting = sleep(Duration::from_secs(3600));
    assert!(EventLoop::current().is_alive());
    drop(waiting);
    assert!(!EventLoop::current().is_alive());
}

/// The test starts another thread, whose loop ends with tasks that wait for different events.
pub(crate) fn a_loop_drops_its_tasks_when_its_thread_ends<W: World>(_: W) {
    let (sender, dropped) = std::sync::mpsc::channel::<&str>();
    struct SendOnDrop(std::sync::mpsc::Sender<&'static str>, &'static str);
    impl Drop for SendOnDrop {
        fn drop(&mut self) {
            let _ = self.0.send(self.1);
        }
    }
    crate::world::on_a_new_thread(move || {
        let world = W::set_up();
        let send_on_drop = |what| SendOnDrop(sender.clone(), what);
        let (sleeping, waiting, ready) = (
            send_on_drop("sleeping"),
            send_on_drop("waiting"),
            send_on_drop("ready"),
        );
        let unused_waker: Rc<RefCell<Option<Waker>>> = Rc::default();
        let kept = Rc::clone(&unused_waker);
        spawn(async move {
            let _alive = sleeping;
            sleep(Duration::from_secs(3600)).await;
        });
        let inner = spawn(async move {
            let _alive = waiting;
            poll_fn::<(), _>(|context| {
                *kept.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            })
            .await;
        });
        let outer = send_on_drop("outer");
        spawn(async move {
            let _alive = outer;
            inner.await
        });
        let polled = Rc::new(Cell::new(false));
        let flag = Rc::clone(&polled);
        future_tick(move || flag.set(true));
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
        assert!(polled.get());
        spawn(async move { drop(ready) });
        drop(world);
    });
    let mut names: Vec<&str> = dropped.try_iter().collect();
    names.sort_unstable();
    assert_eq!(names, ["outer", "ready", "sleeping", "waiting"]);
}
