//! Timers, one-shot and periodic.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::driver::time_of_call;
use uptick_event_loop::{
    EventLoop, Step, Timer, add_periodic_timer, add_timer, cancel_timer, future_tick, now, run,
    sleep, spawn,
};

use crate::world::{Dropped, Log, Scripted, World, ms, run_in};

pub(crate) fn timers_fire_by_deadline_and_equal_ones_in_the_order_in_which_they_were_added(
    _: impl World,
) {
    let log = Log::default();
    let timers = log.clone();
    future_tick(move || {
        for (name, time) in [("d", 3), ("a", 1), ("e", 3), ("b", 1), ("c", 2), ("f", 3)] {
            add_timer(ms(time), timers.noting(name));
        }
    });
    run().unwrap();
    assert_eq!(log.take(), "a,b,c,d,e,f");
}

pub(crate) fn a_zero_timer_fires_in_the_next_iteration(_: impl World) {
    let log = Log::default();
    add_timer(Duration::ZERO, log.noting("timer"));
    EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    assert_eq!(log.take(), "timer");
}

pub(crate) fn a_timer_does_not_fire_early(_: impl World) {
    let added = now();
    let fired = Rc::new(Cell::new(added));
    let when = Rc::clone(&fired);
    add_timer(ms(5), move || when.set(now()));
    run().unwrap();
    assert!(fired.get() - added >= ms(5), "{:?}", fired.get() - added);
}

/// Calls `begin` after 20 ms of work in the same callback, and returns the time from that call to its callback.
fn time_after_work<W: World>(world: W, begin: fn(Box<dyn FnOnce()>)) -> Duration {
    let times = Rc::new(Cell::new((Duration::ZERO, Duration::ZERO)));
    let noted = Rc::clone(&times);
    future_tick(move || {
        world.work(ms(20));
        noted.set((time_of_call(), Duration::ZERO));
        let called = Rc::clone(&noted);
        begin(Box::new(move || {
            called.set((called.get().0, time_of_call()));
        }));
    });
    run().unwrap();
    let (began, called) = times.get();
    called.checked_sub(began).unwrap()
}

pub(crate) fn a_timer_counts_from_the_call_after_a_long_callback(world: impl World) {
    let time = time_after_work(world, |callback| {
        add_timer(ms(10), callback);
    });
    assert!(time >= ms(10), "{time:?}");
}

pub(crate) fn a_periodic_timer_counts_from_the_call_after_a_long_callback(world: impl World) {
    let time = time_after_work(world, |callback| {
        let mut callback = Some(callback);
        add_periodic_timer(ms(10), move |timer| {
            timer.cancel();
            callback.take().unwrap()();
        });
    });
    assert!(time >= ms(10), "{time:?}");
}

pub(crate) fn a_sleep_counts_from_the_call_after_a_long_callback(world: impl World) {
    let time = time_after_work(world, |callback| {
        let sleep = sleep(ms(10));
        drop(spawn(async move {
            sleep.await;
            callback();
        }));
    });
    assert!(time >= ms(10), "{time:?}");
}

pub(crate) fn a_timer_added_by_a_timer_does_not_run_in_that_pass(_: impl World) {
    let log = Log::default();
    let (nested, mut note) = (log.noting("nested"), log.noting("a"));
    add_timer(Duration::ZERO, move || {
        note();
        add_timer(Duration::ZERO, nested);
    });
    add_timer(Duration::ZERO, log.noting("b"));
    let event_loop = EventLoop::current();
    event_loop.run_once(None).unwrap();
    assert_eq!(log.take(), "a,b");
    event_loop.run_once(None).unwrap();
    assert_eq!(log.take(), "nested");
}

pub(crate) fn a_timer_cancelled_by_an_earlier_one_of_the_same_pass_does_not_fire(_: impl World) {
    let log = Log::default();
    let victim = Rc::new(Cell::new(None::<Timer>));
    let cancelled = Rc::clone(&victim);
    let mut note = log.noting("first");
    add_timer(Duration::ZERO, move || {
        note();
        cancelled.get().unwrap().cancel();
    });
    victim.set(Some(add_timer(Duration::ZERO, log.noting("victim"))));
    add_timer(Duration::ZERO, log.noting("last"));
    run().unwrap();
    assert_eq!(log.take(), "first,last");
}

pub(crate) fn a_periodic_timer_fires_again_and_again_until_it_is_cancelled(_: impl World) {
    let log = Log::default();
    let mut note = log.noting("tick");
    let mut left = 3;
    add_periodic_timer(ms(1), move |timer| {
        note();
        left -= 1;
        if left == 0 {
            future_tick(move || cancel_timer(timer));
        }
    });
    run().unwrap();
    assert_eq!(log.take(), "tick,tick,tick");
}

pub(crate) fn a_periodic_timer_may_cancel_itself(_: impl World) {
    let log = Log::default();
    let gone = Dropped(log.clone(), "dropped");
    let mut left = 3;
    let mut note = log.noting("tick");
    add_periodic_timer(ms(1), move |timer| {
        let _alive = &gone;
        note();
        left -= 1;
        if left == 0 {
            timer.cancel();
            timer.cancel();
        }
    });
    run().unwrap();
    assert_eq!(log.take(), "tick,tick,tick,dropped");
}

pub(crate) fn a_periodic_timer_is_pending_inside_its_own_callback_and_a_single_one_is_not(
    _: impl World,
) {
    let log = Log::default();
    let single = Rc::new(Cell::new(None::<Timer>));
    let (known, notes) = (Rc::clone(&single), log.clone());
    single.set(Some(add_timer(Duration::ZERO, move || {
        notes.note(format!("single {}", known.get().unwrap().is_pending()));
    })));
    let notes = log.clone();
    add_periodic_timer(ms(1), move |timer| {
        notes.note(format!("periodic {}", timer.is_pending()));
        timer.cancel();
        notes.note(format!("cancelled {}", timer.is_pending()));
    });
    run().unwrap();
    assert_eq!(log.take(), "single false,periodic true,cancelled false");
}

pub(crate) fn cancelling_a_timer_that_has_fired_or_was_cancelled_does_nothing(_: impl World) {
    let log = Log::default();
    let fired = add_timer(Duration::ZERO, log.noting("fired"));
    let cancelled = add_timer(Duration::ZERO, log.noting("cancelled"));
    cancelled.cancel();
    run().unwrap();
    fired.cancel();
    cancelled.cancel();
    add_timer(Duration::ZERO, log.noting("later"));
    run().unwrap();
    assert_eq!(log.take(), "fired,later");
}

pub(crate) fn a_stale_handle_does_not_cancel_the_timer_that_reuses_its_slot(_: impl World) {
    let log = Log::default();
    let stale = add_timer(Duration::ZERO, log.noting("old"));
    run().unwrap();
    let new = add_timer(Duration::ZERO, log.noting("new"));
    assert_ne!(stale, new);
    stale.cancel();
    assert!(new.is_pending() && !stale.is_pending());
    run().unwrap();
    assert_eq!(log.take(), "old,new");
}

pub(crate) fn cancelling_a_timer_drops_its_callback_at_once(_: impl World) {
    let log = Log::default();
    let captured = Dropped(log.clone(), "dropped");
    let timer = add_timer(ms(3_600_000), move || drop(captured));
    timer.cancel();
    log.note("cancelled");
    assert_eq!(log.take(), "dropped,cancelled");
}

pub(crate) fn a_timer_in_the_far_future_waits_and_can_be_cancelled(_: impl World) {
    let log = Log::default();
    let far = add_timer(Duration::MAX, log.noting("far"));
    let farther = add_periodic_timer(Duration::MAX, |_| ());
    let event_loop = EventLoop::current();
    assert!(event_loop.timeout().unwrap() > Duration::from_secs(100 * 365 * 24 * 3600));
    add_timer(ms(1), move || {
        far.cancel();
        farther.cancel();
    });
    run().unwrap();
    assert_eq!(log.take(), "");
}

pub(crate) fn a_cancelled_timer_does_not_keep_the_loop_running(_: impl World) {
    let timer = add_timer(Duration::from_secs(3600), || ());
    timer.cancel();
    assert!(!EventLoop::current().is_alive());
    run().unwrap();
}

fn scripted(test: fn(Scripted)) {
    run_in(test);
}

#[test]
fn a_periodic_timer_does_not_catch_up_in_a_burst() {
    scripted(|world| {
        let log = Log::default();
        let (clock, notes) = (world.clock.clone(), log.clone());
        let mut calls = 0;
        add_periodic_timer(ms(10), move |timer| {
            notes.note(clock.elapsed().as_millis().to_string());
            calls += 1;
            if calls == 2 {
                clock.advance(ms(100));
            }
            if calls == 5 {
                timer.cancel();
            }
        });
        run().unwrap();
        // The call at 20 ms takes until 120 ms. The call that was due at 30 ms follows, and the next one a whole period later.
        assert_eq!(log.take(), "10,20,120,130,140");
    });
}

#[test]
fn the_run_time_of_a_timer_does_not_delay_the_next_one() {
    scripted(|world| {
        let log = Log::default();
        let clock = world.clock.clone();
        add_timer(ms(10), move || clock.advance(ms(30)));
        let (clock, notes) = (world.clock.clone(), log.clone());
        add_timer(ms(50), move || {
            notes.note(clock.elapsed().as_millis().to_string());
        });
        run().unwrap();
        assert_eq!(log.take(), "50");
        assert_eq!(world.poller.waits()[..2], [Some(ms(10)), Some(ms(10))]);
    });
}

#[test]
fn a_clock_that_jumps_forwards_fires_all_due_timers_in_order() {
    scripted(|world| {
        let log = Log::default();
        for (name, time) in [("c", 300), ("a", 10), ("b", 20)] {
            add_timer(ms(time), log.noting(name));
        }
        let clock = world.clock.clone();
        future_tick(move || clock.advance(Duration::from_secs(86_400)));
        EventLoop::current().run_once(None).unwrap();
        assert_eq!(log.take(), "a,b,c");
    });
}

#[test]
fn the_time_stands_still_when_the_clock_jumps_backwards() {
    scripted(|world| {
        let log = Log::default();
        world.clock.set(ms(1000));
        let start = now();
        add_timer(ms(10), log.noting("timer"));
        world.clock.set(ms(200));
        assert_eq!(now(), start);
        // The loop's time advances again once the clock has caught up.
        for _ in 0..100 {
            world.poller.push(Step::Sleep(ms(10)));
        }
        run().unwrap();
        assert_eq!(log.take(), "timer");
        assert!(world.clock.elapsed() >= ms(1010));
    });
}

#[test]
fn a_clock_at_its_end_does_not_overflow() {
    scripted(|world| {
        let log = Log::default();
        let before = now();
        world.clock.set(Duration::MAX);
        assert!(now() >= before);
        add_timer(Duration::MAX, log.noting("timer"));
        run().unwrap();
        assert_eq!(log.take(), "timer");
    });
}

#[test]
fn one_wait_may_last_for_years() {
    scripted(|world| {
        let years = Duration::from_secs(500 * 365 * 24 * 3600);
        let before = now();
        let log = Log::default();
        let notes = log.clone();
        add_timer(years, move || {
            notes.note(format!("{}", now() - before == years))
        });
        run().unwrap();
        assert_eq!(log.take(), "true");
        assert_eq!(world.poller.waits()[0], Some(years));
    });
}

#[test]
fn an_interrupted_wait_is_resumed() {
    scripted(|world| {
        let log = Log::default();
        world.poller.push(Step::Sleep(ms(4)));
        world.poller.push(Step::Interrupted);
        world.poller.push(Step::Interrupted);
        add_timer(ms(10), log.noting("timer"));
        run().unwrap();
        assert_eq!(log.take(), "timer");
        assert_eq!(world.clock.elapsed(), ms(10));
        let waits = world.poller.waits();
        assert_eq!(waits[..4], [ms(10), ms(6), ms(6), ms(6)].map(Some));
    });
}

#[test]
fn a_period_under_a_millisecond_counts_as_one() {
    scripted(|world| {
        let mut left = 3;
        add_periodic_timer(Duration::ZERO, move |timer| {
            left -= 1;
            if left == 0 {
                timer.cancel();
            }
        });
        run().unwrap();
        assert_eq!(world.clock.elapsed(), ms(3));
    });
}
