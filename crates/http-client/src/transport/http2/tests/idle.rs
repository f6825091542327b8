//! Idle sessions.

use std::time::Duration;

use http::Method;
use uptick_event_loop::driver::Timestamp;
use uptick_event_loop::{EventLoop, ManualClock};

use super::support::*;
use crate::transport::OutgoingBody;

fn pass(clock: &ManualClock, time: Duration) {
    for _ in 0..time.as_millis() / 10 {
        clock.advance(Duration::from_millis(10));
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

#[test]
fn an_idle_session_closes_at_its_time() {
    let clock = manual_clock();
    let mut fixture = Fixture::new();
    fixture
        .session
        .set_idle(Some(Timestamp::now().after(Duration::from_secs(10))));
    pass(&clock, Duration::from_millis(9900));
    assert!(fixture.conn.is_open() && fixture.session.is_reusable());
    pass(&clock, Duration::from_millis(300));
    assert!(!fixture.conn.is_open() && !fixture.session.is_reusable());
    assert_eq!(fixture.owner.calls(), "closed");
    assert_eq!(fixture.peer.events(), "go away NO_ERROR, closed");
}

#[test]
fn a_request_ends_the_idle_time() {
    let clock = manual_clock();
    let mut fixture = Fixture::new();
    for _ in 0..3 {
        fixture
            .session
            .set_idle(Some(Timestamp::now().after(Duration::from_secs(2))));
        pass(&clock, Duration::from_secs(1));
        let exchange = fixture.get();
        let id = fixture.peer.events();
        let id: u32 = id.split(' ').next().unwrap().parse().unwrap();
        pass(&clock, Duration::from_secs(4));
        fixture.peer.send(head(id, END_STREAM, "200", &[]));
        assert_eq!(outcome(&exchange), ok(200, ""));
    }
    assert!(fixture.conn.is_open());
}

#[test]
fn an_idle_session_without_an_end_stays_open() {
    let clock = manual_clock();
    let fixture = Fixture::new();
    fixture.session.set_idle(None);
    pass(&clock, Duration::from_secs(200));
    assert!(fixture.conn.is_open());
}

/// Runs the loop while a thread closes the server side of `fixture` after 100 ms.
fn run_until_closed_by_server(fixture: &mut Fixture) {
    let socket = fixture.peer.take_socket();
    let thread = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(100));
        drop(socket);
    });
    uptick_event_loop::run().unwrap();
    assert!(!fixture.conn.is_open());
    thread.join().unwrap();
}

#[test]
fn an_idle_session_does_not_keep_the_loop_running_and_a_request_does() {
    let mut fixture = Fixture::new();
    fixture.session.set_idle(None);
    fixture.session.set_idle(None);
    uptick_event_loop::run().unwrap();
    assert!(fixture.conn.is_open());
    let exchange = fixture.get();
    settle();
    run_until_closed_by_server(&mut fixture);
    assert!(exchange.is_done());
}

#[test]
fn the_close_of_an_idle_session_leaves_other_sessions_running() {
    let mut other = Fixture::new();
    let idle = Fixture::new();
    idle.session.set_idle(None);
    idle.session.close();
    settle();
    run_until_closed_by_server(&mut other);
}

#[test]
fn a_session_whose_server_has_closed_is_not_reusable() {
    for sends_first in [false, true] {
        let mut fixture = Fixture::new();
        fixture.session.set_idle(None);
        settle();
        assert!(fixture.session.is_reusable());
        let mut socket = fixture.peer.take_socket();
        if sends_first {
            std::io::Write::write_all(&mut socket, &frame(PING, 0, 0, &[0; 8])).unwrap();
        }
        drop(socket);
        // The loop has not read the end yet.
        run_until_unreusable(&fixture);
        assert!(fixture.conn.is_open());
        settle();
        assert_eq!(fixture.owner.calls(), "closed");
    }
}

/// Waits without the loop.
fn run_until_unreusable(fixture: &Fixture) {
    let start = std::time::Instant::now();
    while fixture.session.is_reusable() {
        assert!(start.elapsed() < Duration::from_secs(10));
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn frames_of_the_connection_do_not_end_an_idle_session() {
    let mut fixture = Fixture::new();
    fixture.session.set_idle(None);
    let bytes = [frame(PING, 0, 0, &[7; 8]), frame(SETTINGS, 0, 0, &[])];
    fixture.peer.send(bytes.concat());
    assert!(fixture.session.is_reusable());
    let exchange = fixture.get();
    fixture.peer.events();
    fixture.peer.send(head(1, END_STREAM, "200", &[]));
    assert_eq!(outcome(&exchange), ok(200, ""));
}

#[test]
fn a_response_on_an_idle_session_ends_it() {
    let mut fixture = Fixture::new();
    fixture.session.set_idle(None);
    fixture.peer.send(head(1, END_STREAM, "200", &[]));
    assert!(!fixture.session.is_reusable());
    assert_eq!(fixture.owner.calls(), "retired");
    let refused = fixture
        .session
        .begin(request(&Method::GET, OutgoingBody::Empty, settings()));
    assert!(refused.is_err());
}

#[test]
fn a_session_whose_memory_was_freed_can_be_used_again() {
    let clock = manual_clock();
    let mut fixture = Fixture::new();
    for round in 0..3 {
        let exchanges: Vec<_> = (0..50).map(|_| fixture.get()).collect();
        fixture.peer.events();
        for index in 0..50 {
            let id = 2 * (50 * round + index) + 1;
            fixture.peer.send(head(id, END_STREAM, "200", &[]));
        }
        assert!(exchanges.iter().all(|exchange| exchange.is_done()));
        fixture.session.set_idle(None);
        pass(&clock, Duration::from_secs(2));
    }
}
