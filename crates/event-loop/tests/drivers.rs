//! Drivers: the interface for crates that add their own objects to the loop.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

use std::cell::RefCell;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::Duration;

use uptick_event_loop::driver::{self, Driver, Timestamp};
use uptick_event_loop::{
    EventLoop, Id, Interest, ManualClock, Poller, Readiness, ScriptedPoller, Step, Table, Token,
    Trigger, Wake, add_timer, future_tick, run,
};

/// An object with the callbacks of a test.
#[derive(Default)]
struct TestObject {
    on_ready: Callback,
    on_expired: Callback,
}

type Callback = Option<fn(Token)>;

thread_local! {
    static OBJECTS: RefCell<Table<TestObject>> = const { RefCell::new(Table::new()) };
    static LOG: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

struct TestDriver;

fn note(what: impl Into<String>) {
    LOG.with_borrow_mut(|log| log.push(what.into()));
}

fn taken() -> String {
    LOG.take().join(",")
}

impl TestDriver {
    fn call(token: Token, callback: fn(&TestObject) -> Callback) {
        let callback = OBJECTS.with_borrow(|objects| callback(objects.get(objects.find(token)?)?));
        if let Some(callback) = callback {
            callback(token);
        }
    }
}

impl Driver for TestDriver {
    fn ready(&self, token: Token, readiness: Readiness) {
        note(format!("ready {readiness:?}"));
        TestDriver::call(token, |object| object.on_ready);
    }

    fn flush(&self, _: Token) {
        note("flush");
    }

    fn expired(&self, token: Token) {
        note("expired");
        TestDriver::call(token, |object| object.on_expired);
    }

    fn reap(&self, token: Token) {
        let gone = OBJECTS.with_borrow_mut(|objects| {
            let id = objects.find(token)?;
            objects.remove(id)
        });
        note(format!("reap {}", gone.is_some()));
    }

    fn panicked(&self, _: Token, message: &str) {
        note(format!("panicked: {message}"));
        assert_ne!(message, "twice", "a report that panics");
    }
}

/// Installs a loop on a manual clock with one object.
fn set_up(object: TestObject) -> (ScriptedPoller, ManualClock, Id, Token) {
    let clock = ManualClock::new();
    let poller = ScriptedPoller::new(&clock);
    EventLoop::install(poller.clone(), clock.clone()).unwrap();
    let id = OBJECTS
        .with_borrow_mut(|objects| objects.insert(object))
        .unwrap();
    (poller, clock, id, id.token(driver::register(&TestDriver)))
}

fn iterate() -> bool {
    let event_loop = EventLoop::current();
    event_loop.run_once(Some(Duration::ZERO)).unwrap()
}

#[test]
fn an_iteration_ends_with_io_then_deadlines_then_one_flush_then_reaping() {
    let (poller, clock, id, token) = set_up(TestObject {
        on_ready: Some(driver::flush_later),
        on_expired: Some(driver::reap_later),
    });
    let (_peer, stream) = UnixStream::pair().unwrap();
    driver::watch(stream.as_fd(), token, Interest::Both, Trigger::Edge).unwrap();
    driver::arm_deadline(token, Duration::from_millis(100)).unwrap();
    clock.advance(Duration::from_millis(200));
    poller.push(Step::Ready(vec![(stream.as_raw_fd(), Readiness::READABLE)]));
    assert!(!iterate());
    assert_eq!(taken(), "ready {\"readable\"},expired,flush,reap true");
    assert!(OBJECTS.with_borrow(|objects| objects.get(id).is_none()));
}

#[test]
fn data_written_by_ticks_and_timers_is_flushed_before_the_wait() {
    let (_poller, _clock, _, token) = set_up(TestObject::default());
    future_tick(move || driver::flush_later(token));
    add_timer(Duration::ZERO, move || {
        note("timer");
        driver::flush_later(token);
    });
    future_tick(|| note("tick"));
    iterate();
    assert_eq!(taken(), "tick,timer,flush,flush");
}

#[test]
fn ready_later_is_called_in_the_next_iteration_which_does_not_wait() {
    let (poller, _clock, _, token) = set_up(TestObject {
        on_ready: Some(|token| {
            if LOG.with_borrow(|log| log.len() < 3) {
                driver::ready_later(token, Readiness::READABLE);
            }
        }),
        ..TestObject::default()
    });
    add_timer(Duration::from_secs(10), || note("timer"));
    driver::ready_later(token, Readiness::WRITABLE);
    run().unwrap();
    assert_eq!(
        taken(),
        "ready {\"writable\"},ready {\"readable\"},ready {\"readable\"},timer"
    );
    assert_eq!(poller.waits()[..3], [Some(Duration::ZERO); 3]);
}

#[test]
fn each_hold_keeps_the_loop_running_until_it_is_released() {
    set_up(TestObject::default());
    driver::hold();
    driver::hold();
    assert!(EventLoop::current().is_alive());
    driver::release();
    assert!(EventLoop::current().is_alive());
    driver::release();
    assert!(!EventLoop::current().is_alive());
    driver::release();
    driver::hold();
    assert!(EventLoop::current().is_alive());
}

#[test]
fn a_deadline_expires_at_most_100_ms_late_and_a_disarmed_one_does_not() {
    let (_poller, clock, _, token) = set_up(TestObject {
        on_expired: Some(|_| driver::release()),
        ..TestObject::default()
    });
    let start = driver::elapsed();
    let disarmed = driver::arm_deadline(token, start + Duration::from_millis(500)).unwrap();
    driver::arm_deadline(token, start + Duration::from_millis(1234)).unwrap();
    driver::disarm_deadline(disarmed);
    driver::hold();
    run().unwrap();
    assert_eq!(taken(), "expired");
    let late = clock.elapsed() - Duration::from_millis(1234);
    assert!(late <= Duration::from_millis(100), "{late:?}");
}

#[test]
fn events_during_a_stop_of_the_process_are_handled_before_a_deadline_expires() {
    let (poller, _clock, _, token) = set_up(TestObject::default());
    let (_peer, stream) = UnixStream::pair().unwrap();
    driver::watch(stream.as_fd(), token, Interest::Both, Trigger::Edge).unwrap();
    driver::arm_deadline(token, Duration::from_millis(100)).unwrap();
    driver::add_timeout(Duration::from_millis(50), || note("timeout"));
    poller.push(Step::Stopped(Duration::from_secs(3600)));
    poller.push(Step::Ready(vec![(stream.as_raw_fd(), Readiness::READABLE)]));
    iterate();
    assert_eq!(taken(), "");
    iterate();
    assert_eq!(taken(), "ready {\"readable\"},timeout,expired");
    assert_eq!(poller.waits()[1], Some(Duration::ZERO));
}

#[test]
fn events_during_a_long_callback_are_handled_before_a_timeout() {
    let (poller, clock, _, token) = set_up(TestObject::default());
    let (_peer, stream) = UnixStream::pair().unwrap();
    driver::watch(stream.as_fd(), token, Interest::Both, Trigger::Edge).unwrap();
    let late = driver::add_timeout(Duration::from_secs(1), || note("timeout"));
    let cancelled = driver::add_timeout(Duration::from_secs(1), || note("cancelled"));
    future_tick(move || clock.advance(Duration::from_secs(3)));
    add_timer(Duration::from_secs(2), move || cancelled.cancel());
    poller.push(Step::Ready(vec![(stream.as_raw_fd(), Readiness::READABLE)]));
    assert!(late.is_pending());
    run().unwrap();
    assert_eq!(taken(), "ready {\"readable\"},timeout");
    assert!(!late.is_pending());
}

#[test]
fn a_timeout_fires_in_time_and_a_cancelled_one_does_not() {
    let (_poller, clock, _, _) = set_up(TestObject::default());
    let cancelled = driver::add_timeout(Duration::from_millis(10), || note("never"));
    driver::add_timeout(Duration::from_millis(20), || note("timeout"));
    cancelled.cancel();
    run().unwrap();
    assert_eq!(taken(), "timeout");
    assert_eq!(clock.elapsed(), Duration::from_millis(20));
}

#[test]
fn a_panic_in_a_timeout_does_not_stop_the_others() {
    set_up(TestObject::default());
    driver::add_timeout(Duration::from_millis(1), || panic!("contained"));
    driver::add_timeout(Duration::from_millis(1), || note("second"));
    run().unwrap();
    assert_eq!(taken(), "second");
}

thread_local! {
    static CLOCK: RefCell<Option<ManualClock>> = const { RefCell::new(None) };
    static ACTIVE: RefCell<Timestamp> = RefCell::default();
}

#[test]
fn a_timeout_counts_from_activity_and_not_from_the_work_before_it() {
    const LIMIT: Duration = Duration::from_millis(300);
    let (_poller, clock, _, token) = set_up(TestObject {
        on_ready: Some(|token| {
            CLOCK.with_borrow(|clock| {
                let clock = clock.as_ref().unwrap();
                clock.advance(Duration::from_millis(500));
            });
            ACTIVE.set(Timestamp::now());
            let left = Timestamp::now().after(LIMIT).left();
            driver::arm_deadline(token, driver::elapsed() + left);
        }),
        on_expired: Some(|token| {
            if ACTIVE.with_borrow(|active| active.is_over(LIMIT)) {
                note("over");
            } else {
                driver::arm_deadline(token, driver::elapsed());
            }
        }),
    });
    CLOCK.set(Some(clock.clone()));
    driver::ready_later(token, Readiness::READABLE);
    iterate();
    let active = clock.elapsed();
    while !LOG.with_borrow(|log| log.contains(&"over".to_owned())) {
        clock.advance(Duration::from_millis(10));
        iterate();
    }
    let time = clock.elapsed() - active;
    assert!(time >= LIMIT, "{time:?}");
    assert!(time <= LIMIT + Duration::from_millis(200), "{time:?}");
}

/// A poller whose capacity is one event.
struct OneEventPoller(ScriptedPoller);

impl Poller for OneEventPoller {
    fn watch(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        self.0.watch(fd, token, interest, trigger)
    }

    fn change(
        &mut self,
        fd: BorrowedFd<'_>,
        token: Token,
        interest: Interest,
        trigger: Trigger,
    ) -> io::Result<()> {
        self.0.change(fd, token, interest, trigger)
    }

    fn forget(&mut self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.0.forget(fd)
    }

    fn wait(
        &mut self,
        events: &mut Vec<(Token, Readiness)>,
        timeout: Option<Duration>,
    ) -> io::Result<()> {
        self.0.wait(events, timeout)
    }

    fn waker(&self) -> Arc<dyn Wake> {
        self.0.waker()
    }

    fn capacity(&self) -> usize {
        1
    }
}

/// Installs a loop whose waits are full, with two descriptors that are ready in turn, and a deadline that is due.
fn set_up_full_waits(waits: usize) -> [UnixStream; 4] {
    let clock = ManualClock::new();
    let poller = ScriptedPoller::new(&clock);
    EventLoop::install(OneEventPoller(poller.clone()), clock.clone()).unwrap();
    let token = OBJECTS
        .with_borrow_mut(|objects| objects.insert(TestObject::default()))
        .unwrap()
        .token(driver::register(&TestDriver));
    let (first, second) = (UnixStream::pair().unwrap(), UnixStream::pair().unwrap());
    for stream in [&first.0, &second.0] {
        driver::watch(stream.as_fd(), token, Interest::Both, Trigger::Edge).unwrap();
    }
    driver::arm_deadline(token, Duration::from_millis(100)).unwrap();
    driver::add_timeout(Duration::from_millis(100), || note("timeout"));
    clock.advance(Duration::from_secs(1));
    for wait in 0..waits {
        let ready = if wait % 2 == 0 { &first.0 } else { &second.0 };
        poller.push(Step::Ready(vec![(ready.as_raw_fd(), Readiness::READABLE)]));
    }
    [first.0, first.1, second.0, second.1]
}

#[test]
fn events_left_by_a_full_wait_are_handled_before_anything_expires() {
    let _streams = set_up_full_waits(2);
    for _ in 0..3 {
        iterate();
    }
    assert_eq!(
        taken(),
        "ready {\"readable\"},ready {\"readable\"},timeout,expired"
    );
}

#[test]
fn full_waits_do_not_delay_deadlines_indefinitely() {
    let _streams = set_up_full_waits(1000);
    for _ in 0..1000 {
        iterate();
    }
    let log = taken();
    assert!(log.contains("expired") && log.contains("timeout"));
}

#[test]
fn a_panic_is_reported_to_the_driver_and_the_loop_continues() {
    let (_poller, _clock, _, token) = set_up(TestObject {
        on_ready: Some(|_| panic!("once")),
        on_expired: Some(|_| panic!("twice")),
    });
    driver::ready_later(token, Readiness::READABLE);
    driver::ready_later(token, Readiness::READABLE);
    driver::flush_later(token);
    iterate();
    assert_eq!(
        taken(),
        "flush,ready {\"readable\"},panicked: once,ready {\"readable\"},panicked: once"
    );
    driver::arm_deadline(token, Duration::ZERO).unwrap();
    add_timer(Duration::from_millis(500), || note("later"));
    run().unwrap();
    assert_eq!(taken(), "expired,panicked: twice,later");
}

#[test]
fn a_token_of_a_removed_object_finds_nothing() {
    let (_poller, _clock, id, token) = set_up(TestObject {
        on_ready: Some(|_| note("never")),
        ..TestObject::default()
    });
    OBJECTS.with_borrow_mut(|objects| {
        objects.remove(id).unwrap();
        // The new object reuses the slot.
        objects.insert(TestObject::default()).unwrap();
    });
    driver::ready_later(token, Readiness::READABLE);
    driver::reap_later(token);
    iterate();
    assert_eq!(taken(), "ready {\"readable\"},reap false");
}

#[test]
fn the_256th_driver_is_never_called() {
    let (_poller, _clock, id, _) = set_up(TestObject::default());
    for _ in 1..255 {
        driver::register(&TestDriver);
    }
    let one_too_many = driver::register(&TestDriver);
    driver::ready_later(id.token(one_too_many), Readiness::READABLE);
    iterate();
    assert_eq!(taken(), "");
}
