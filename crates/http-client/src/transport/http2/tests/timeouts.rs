//! Timeouts of requests, and PING frames.

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http::Method;
use uptick_event_loop::{EventLoop, ManualClock};
use uptick_http::h2::Limits;

use super::support::*;
use crate::error::ErrorKind;
use crate::transport::{Exchange, ExchangeSettings, OutgoingBody};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Advances the clock, in steps of 10 ms.
fn pass(clock: &ManualClock, time: Duration) {
    for _ in 0..time.as_millis() / 10 {
        clock.advance(ms(10));
        EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
    }
}

/// Checks that an exchange fails between 20 ms before and 500 ms after `limit`.
#[track_caller]
fn assert_fails_after(clock: &ManualClock, exchange: &Exchange, limit: Duration, kind: ErrorKind) {
    pass(clock, limit - ms(20));
    assert!(!exchange.is_done(), "it failed too early");
    pass(clock, ms(520));
    assert!(exchange.is_done(), "it did not fail in time");
    let kinds = [outcome(exchange).err(), body_error(exchange)];
    assert!(kinds.contains(&Some(kind)), "{kinds:?}");
}

fn body_error(exchange: &Exchange) -> Option<ErrorKind> {
    match exchange.poll_body(&context()) {
        std::task::Poll::Ready(Some(Err(failure))) => Some(failure.kind),
        _ => None,
    }
}

fn timeouts(write: u64, first_byte: u64, read: u64) -> ExchangeSettings {
    ExchangeSettings {
        write_timeout: Some(ms(write)),
        first_byte_timeout: Some(ms(first_byte)),
        read_timeout: Some(ms(read)),
        ..settings()
    }
}

fn get(fixture: &Fixture, settings: ExchangeSettings) -> Rc<Exchange> {
    fixture.begin(&Method::GET, OutgoingBody::Empty, settings)
}

fn assert_first_byte_timeout(limit: u64) {
    let clock = manual_clock();
    let mut fixture = Fixture::new();
    let exchange = get(&fixture, timeouts(30_000, limit, 30_000));
    let other = get(&fixture, timeouts(30_000, 20_000, 30_000));
    fixture.peer.events();
    assert_fails_after(&clock, &exchange, ms(limit), ErrorKind::FirstByteTimeout);
    assert_eq!(fixture.peer.events(), "1 reset CANCEL");
    assert!(!other.is_done());
    assert_eq!(fixture.owner.calls(), "available");
}

#[test]
fn a_response_must_begin_within_the_first_byte_timeout() {
    assert_first_byte_timeout(1000);
}

#[test]
fn a_short_first_byte_timeout_is_not_late() {
    assert_first_byte_timeout(50);
}

#[test]
fn interim_responses_do_not_end_the_wait_for_the_first_byte() {
    let clock = manual_clock();
    let mut fixture = Fixture::new();
    let exchange = get(&fixture, timeouts(30_000, 1000, 30_000));
    fixture.peer.events();
    pass(&clock, ms(500));
    fixture.peer.send(head(1, 0, "103", &[]));
    assert_fails_after(&clock, &exchange, ms(500), ErrorKind::FirstByteTimeout);
}

#[test]
fn the_first_byte_timeout_starts_after_the_last_byte_of_the_request() {
    let clock = manual_clock();
    let mut fixture = Fixture::new();
    let own = timeouts(1000, 1000, 1000);
    let exchange = fixture.begin(&Method::POST, OutgoingBody::Stream, own);
    fixture.peer.events();
    pass(&clock, ms(3000));
    exchange.write(Bytes::from_static(b"piece"));
    pass(&clock, ms(3000));
    exchange.end(None);
    assert_fails_after(&clock, &exchange, ms(1000), ErrorKind::FirstByteTimeout);
}

#[test]
fn a_closed_window_is_limited_by_the_write_timeout() {
    let clock = manual_clock();
    let mut fixture = Fixture::with(&Limits::default().stream_window(1024));
    fixture.peer.credits = false;
    let own = timeouts(1000, 30_000, 30_000);
    let body = OutgoingBody::Bytes(Bytes::from(vec![0; 100_000]));
    let exchange = fixture.begin(&Method::POST, body, own);
    fixture.peer.events();
    for _ in 0..5 {
        pass(&clock, ms(800));
        assert!(!exchange.is_done());
        fixture.peer.send(frame(8, 0, 1, &100u32.to_be_bytes()));
    }
    assert_fails_after(&clock, &exchange, ms(1000), ErrorKind::WriteTimeout);
}

#[test]
fn a_server_that_reads_nothing_is_limited_by_the_write_timeout() {
    let clock = manual_clock();
    let mut fixture = Fixture::new();
    // The windows are larger than the buffers of the kernel.
    let window = 100_000_000u32;
    fixture.peer.send(frame(
        SETTINGS,
        0,
        0,
        &[&[0, 4], &window.to_be_bytes()[..]].concat(),
    ));
    fixture.peer.send(frame(8, 0, 0, &window.to_be_bytes()));
    let body = OutgoingBody::Bytes(Bytes::from(vec![0; 50_000_000]));
    let exchange = fixture.begin(&Method::POST, body, timeouts(1000, 30_000, 30_000));
    settle();
    assert!(fixture.conn.is_sending());
    assert_fails_after(&clock, &exchange, ms(1000), ErrorKind::WriteTimeout);
}

#[test]
fn a_pause_of_the_response_is_limited_by_the_read_timeout() {
    let clock = manual_clock();
    let mut fixture = Fixture::new();
    let exchange = get(&fixture, timeouts(30_000, 30_000, 1000));
    fixture.peer.events();
    pass(&clock, ms(2000));
    fixture.peer.send(head(1, 0, "200", &[]));
    for _ in 0..3 {
        pass(&clock, ms(800));
        fixture.peer.send(data(1, 0, "x"));
    }
    // Bytes of another stream are none of this response.
    let _other = fixture.get();
    fixture.peer.events();
    pass(&clock, ms(500));
    fixture.peer.send(head(3, 0, "200", &[]));
    assert_fails_after(&clock, &exchange, ms(500), ErrorKind::ReadTimeout);
    assert_eq!(fixture.peer.events(), "1 reset CANCEL");
}

#[test]
fn the_read_timeout_does_not_run_while_the_reader_pauses() {
    let clock = manual_clock();
    let mut fixture = Fixture::new();
    let mut own = timeouts(30_000, 30_000, 1000);
    own.read_ahead = 10;
    let exchange = get(&fixture, own);
    fixture.peer.events();
    fixture
        .peer
        .send([head(1, 0, "200", &[]), data(1, 0, "0123456789")].concat());
    pass(&clock, ms(20_000));
    assert!(!exchange.is_done());
    assert_eq!(fixture.peer.events(), "");
    assert!(exchange.poll_body(&context()).is_ready());
    assert_fails_after(&clock, &exchange, ms(1000), ErrorKind::ReadTimeout);
}

/// Passes time until the server has received a PING frame, which its codec acknowledges.
fn pings(fixture: &mut Fixture, clock: &ManualClock, time: Duration) -> usize {
    let mut count = 0;
    for _ in 0..time.as_millis() / 100 {
        pass(clock, ms(100));
        count += fixture.peer.pings();
    }
    count
}

#[test]
fn a_ping_is_sent_only_while_a_request_waits_and_nothing_is_received() {
    let clock = manual_clock();
    let mut fixture = Fixture::new();
    assert_eq!(pings(&mut fixture, &clock, ms(20_000)), 0);
    let exchange = fixture.get();
    assert_eq!(pings(&mut fixture, &clock, ms(4900)), 0);
    assert_eq!(pings(&mut fixture, &clock, ms(600)), 1);
    // The acknowledgement proves that the server is alive.
    assert_eq!(pings(&mut fixture, &clock, ms(4400)), 0);
    assert_eq!(pings(&mut fixture, &clock, ms(1200)), 1);
    assert!(!exchange.is_done());
    fixture.peer.send(head(1, 0, "200", &[]));
    for _ in 0..10 {
        assert_eq!(pings(&mut fixture, &clock, ms(3000)), 0);
        fixture.peer.send(data(1, 0, "x"));
    }
    fixture.peer.send(data(1, END_STREAM, ""));
    assert!(exchange.is_done());
    assert_eq!(pings(&mut fixture, &clock, ms(20_000)), 0);
}

#[test]
fn a_server_that_does_not_answer_a_ping_loses_the_connection() {
    let clock = manual_clock();
    let mut fixture = Fixture::new();
    let exchanges = [fixture.get(), fixture.get()];
    fixture.peer.events();
    pass(&clock, ms(9900));
    assert!(!exchanges[0].is_done() && fixture.conn.is_open());
    pass(&clock, ms(600));
    for exchange in &exchanges {
        let failed = failure(exchange);
        assert_eq!((failed.kind, failed.unprocessed), (ErrorKind::Http2, false));
        assert_eq!(
            failed.reason,
            "the server did not answer a PING frame within 5 s"
        );
    }
    assert_eq!(fixture.owner.calls(), "retired closed");
}
