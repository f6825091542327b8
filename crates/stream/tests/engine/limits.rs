use std::time::Duration;

use uptick_event_loop::{Readiness, Step, add_timer};

use crate::support::{Log, arrived, fill, manual_clock, pair, send, turn};

#[test]
fn a_peer_that_never_reads_gets_30_seconds() {
    let (clock, _poller) = manual_clock();
    let (stream, _peer) = pair();
    let log = Log::of(stream);
    clock.advance(Duration::from_secs(1000));
    fill(stream);
    let began = clock.elapsed();
    uptick_event_loop::run().unwrap();
    let waited = clock.elapsed() - began;
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
    assert!(waited >= Duration::from_secs(30), "{waited:?}");
    assert!(waited < Duration::from_millis(30_400), "{waited:?}");
}

#[test]
fn a_peer_that_reads_a_little_now_and_then_does_not_stall() {
    use std::os::fd::AsRawFd;
    let (clock, poller) = manual_clock();
    let (stream, mut peer) = pair();
    let log = Log::of(stream);
    fill(stream);
    stream.write(vec![0; 4 << 20]);
    let descriptor = poller.watched()[0];
    assert_ne!(descriptor, peer.as_raw_fd());
    for _ in 0..5 {
        turn_for(&clock, Duration::from_secs(20));
        arrived(&mut peer);
        poller.push(Step::Ready(vec![(descriptor, Readiness::WRITABLE)]));
        turn();
        assert_eq!(log.take(), "");
    }
    uptick_event_loop::run().unwrap();
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
}

/// Has the time pass while the loop runs.
fn turn_for(clock: &uptick_event_loop::ManualClock, time: Duration) {
    let until = clock.elapsed() + time;
    add_timer(time, || ());
    while clock.elapsed() < until {
        uptick_event_loop::EventLoop::current()
            .run_once(None)
            .unwrap();
    }
}

#[test]
fn a_stall_counts_from_when_the_descriptor_was_full_not_from_when_the_stream_began() {
    let (clock, _poller) = manual_clock();
    let (stream, _peer) = pair();
    let log = Log::of(stream);
    // An armed deadline of another kind.
    stream.set_idle_timeout(Some(Duration::from_secs(500)));
    turn_for(&clock, Duration::from_secs(100));
    fill(stream);
    let began = clock.elapsed();
    uptick_event_loop::run().unwrap();
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
    let waited = clock.elapsed() - began;
    assert!(waited >= Duration::from_secs(30), "{waited:?}");
}

#[test]
fn the_stall_limit_can_be_switched_off() {
    let (clock, _poller) = manual_clock();
    let (stream, mut peer) = pair();
    let log = Log::of(stream);
    stream.set_write_timeout(None);
    fill(stream);
    turn_for(&clock, Duration::from_secs(3600));
    assert_eq!(log.take(), "");
    arrived(&mut peer);
    stream.close();
}

#[test]
fn an_idle_stream_is_closed_and_activity_keeps_it() {
    let (clock, poller) = manual_clock();
    let (stream, mut peer) = pair();
    let log = Log::of(stream);
    stream.set_idle_timeout(Some(Duration::from_secs(10)));
    let descriptor = poller.watched()[0];
    for _ in 0..3 {
        turn_for(&clock, Duration::from_secs(8));
        send(&mut peer, "x");
        poller.push(Step::Ready(vec![(descriptor, Readiness::READABLE)]));
        turn();
        turn_for(&clock, Duration::from_secs(8));
        stream.write("y");
        turn();
    }
    assert_eq!(log.take(), "x,x,x");
    let began = clock.elapsed();
    uptick_event_loop::run().unwrap();
    let waited = clock.elapsed() - began;
    assert_eq!(log.take(), "error (ETIMEDOUT),close");
    assert!(waited >= Duration::from_secs(9) && waited < Duration::from_millis(10_400));
}

#[test]
fn a_soft_limit_of_nothing_still_drains() {
    let (stream, mut peer) = pair();
    let log = Log::of(stream);
    stream.set_write_limits(0, 1 << 20);
    stream.write("x");
    fill(stream);
    for _ in 0..4 {
        arrived(&mut peer);
        turn();
    }
    assert!(log.take().ends_with("drain"));
    assert!(stream.write("all of it goes at once"));
}
