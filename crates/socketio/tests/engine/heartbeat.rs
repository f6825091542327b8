//! Pings, and sessions whose clients do not answer them.

use std::time::{Duration, Instant};

use crate::support::{
    Fixture, clock_that_moves_in_waits, fast_heartbeat, manual_clock, pass, run_until, settle,
};

const MS: Duration = Duration::from_millis(1);

#[test]
fn the_first_ping_follows_one_interval_after_the_handshake() {
    let clock = manual_clock();
    let fixture = Fixture::with(fast_heartbeat());
    let (mut ws, _) = fixture.open_websocket();
    let mut http = fixture.open();
    http.begin_poll();
    pass(&clock, 299 * MS);
    assert_eq!(ws.received_events(), []);
    assert!(http.received_response().is_none());
    pass(&clock, MS);
    assert_eq!(ws.text(), "2");
    assert_eq!(http.response().show(), "200 2");
}

#[test]
fn a_session_without_pongs_ends_after_the_timeout() {
    let clock = manual_clock();
    let fixture = Fixture::with(fast_heartbeat());
    let mut http = fixture.open();
    pass(&clock, 300 * MS);
    assert_eq!(http.poll(), "200 2");
    pass(&clock, 199 * MS);
    http.begin_poll();
    settle();
    assert!(fixture.client().is_open());
    pass(&clock, MS);
    assert_eq!(http.response().show(), "200 1");
    assert_eq!(fixture.ended(), "connection (close:ping timeout)");
    assert!(http.poll().starts_with(r#"400 {"code":1"#));
}

#[test]
fn a_poll_received_after_the_deadline_finds_no_session() {
    let (clock, by) = clock_that_moves_in_waits();
    let fixture = Fixture::with(fast_heartbeat());
    let mut http = fixture.open();
    pass(&clock, 300 * MS);
    assert_eq!(http.poll(), "200 2");
    pass(&clock, 150 * MS);
    // The poll ends the wait during which the deadline passes, so it is received after the deadline.
    http.begin_poll();
    by.set(60 * MS);
    let response = http.response().show();
    assert!(response.starts_with(r#"400 {"code":1"#), "{response}");
    assert_eq!(fixture.ended(), "connection (close:ping timeout)");
}

#[test]
fn pongs_keep_a_session_alive() {
    let clock = manual_clock();
    let fixture = Fixture::with(fast_heartbeat());
    let (mut ws, _) = fixture.open_websocket();
    let mut http = fixture.open();
    let mut post = http.another_connection(&fixture);
    for _ in 0..5 {
        http.begin_poll();
        pass(&clock, 300 * MS);
        assert_eq!(ws.text(), "2");
        assert_eq!(http.response().show(), "200 2");
        pass(&clock, 150 * MS);
        ws.send("3");
        assert_eq!(post.post("3"), "200 ok");
    }
    assert_eq!(fixture.engine.clients_count(), 2);
}

#[test]
fn a_silent_session_ends_after_interval_and_timeout_on_the_real_clock() {
    let fixture = Fixture::with(fast_heartbeat());
    let start = Instant::now();
    let mut http = fixture.open();
    let opened = Instant::now();
    let client = fixture.client();
    http.begin_poll();
    run_until(|| !client.is_open());
    assert!(start.elapsed() >= 500 * MS);
    // The machine may be busy, but not for several seconds.
    assert!(opened.elapsed() < 5000 * MS, "{:?}", opened.elapsed());
    assert_eq!(http.response().show(), "200 2");
    assert_eq!(fixture.ended(), "connection (close:ping timeout)");
}
