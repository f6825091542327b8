use std::cell::RefCell;
use std::rc::Rc;

use futures::task::noop_waker_ref;
use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller};

use super::*;
use crate::Body;
use crate::response::Pieces;

type Log = Rc<RefCell<Vec<String>>>;

/// Creates the body of an event stream, its handle, and a log of the emitted events.
fn open() -> (Pieces, EventStream, Log) {
    let (mut response, events) = Response::events();
    let log = Log::default();
    let seen = Rc::clone(&log);
    events.on("close", move |()| seen.borrow_mut().push("close".into()));
    let seen = Rc::clone(&log);
    events.on("drain", move |()| seen.borrow_mut().push("drain".into()));
    let seen = Rc::clone(&log);
    events.on("error", move |e: EventError| {
        seen.borrow_mut().push(e.to_string())
    });
    let Body::Stream(body) = response.take_body() else {
        panic!("the body is not a stream");
    };
    (body.into_parts().0, events, log)
}

/// Polls the body: returns its next text, `...` if it is pending, the error, or `end`.
fn next(body: &mut Pieces) -> String {
    let mut context = Context::from_waker(noop_waker_ref());
    match body.as_mut().poll_next(&mut context) {
        Poll::Ready(Some(Ok(piece))) => String::from_utf8(piece.to_vec()).unwrap(),
        Poll::Ready(Some(Err(error))) => error.to_string(),
        Poll::Ready(None) => "end".into(),
        Poll::Pending => "...".into(),
    }
}

#[test]
fn the_response_has_the_headers_of_an_event_stream() {
    let (response, _) = Response::events();
    assert_eq!(response.get("content-type"), Some("text/event-stream"));
    assert_eq!(response.get("cache-control"), Some("no-store"));
    assert_eq!(response.body().len(), None);
}

#[test]
fn events_that_are_sent_together_are_one_piece() {
    let (mut body, events, _) = open();
    assert_eq!(next(&mut body), "...");
    assert!(events.send("a"));
    assert!(events.send(ServerEvent::new("b").id("2")));
    assert_eq!(next(&mut body), "data: a\n\nid: 2\ndata: b\n\n");
    assert_eq!(next(&mut body), "...");
}

#[test]
fn the_response_ends_after_the_sent_events() {
    let (mut body, events, _) = open();
    events.send("a");
    events.end();
    assert!(!events.is_open());
    assert!(!events.send("b"));
    assert_eq!(next(&mut body), "data: a\n\n");
    assert_eq!(next(&mut body), "end");
}

#[test]
fn dropping_the_body_closes_the_stream() {
    let (body, events, log) = open();
    drop(body);
    assert_eq!(*log.borrow(), ["close"]);
    assert!(!events.is_open());
    assert!(!events.send("a"));
    assert_eq!(events.keep_alive(Some(Duration::from_secs(1))), events);
    assert_eq!(log.borrow().len(), 1);
}

#[test]
fn a_response_that_is_not_sent_closes_the_stream() {
    let (response, events) = Response::events();
    drop(response.with_body("something else"));
    assert!(!events.is_open());
}

#[test]
fn a_slow_client_causes_backpressure() {
    let (mut body, events, log) = open();
    assert!(!events.send("x".repeat(SOFT_LIMIT)));
    assert!(!events.send("y"));
    assert!(log.borrow().is_empty());
    assert!(next(&mut body).ends_with("data: y\n\n"));
    assert_eq!(*log.borrow(), ["drain"]);
    assert!(events.send("z"));
}

#[test]
fn the_stream_of_a_client_that_is_too_slow_is_aborted() {
    let (mut body, events, log) = open();
    events.send("x".repeat(HARD_LIMIT));
    assert!(events.is_open());
    assert!(!events.send("y"));
    assert!(!events.is_open());
    let error = "sending an event failed: 1048576 bytes are waiting for the client (ENOBUFS)";
    assert_eq!(*log.borrow(), [error]);
    assert_eq!(next(&mut body), error);
    drop(body);
    assert_eq!(*log.borrow(), [error, "close"]);
}

#[test]
fn an_invalid_event_is_an_error_and_the_stream_continues() {
    let (mut body, events, log) = open();
    assert!(!events.send(ServerEvent::new("a").id("1\n2")));
    assert_eq!(log.borrow().len(), 1);
    assert!(events.send("b"));
    assert_eq!(next(&mut body), "data: b\n\n");
}

#[test]
fn a_callback_may_send() {
    let (mut body, events, _) = open();
    events.on("drain", move |()| events.send("more"));
    events.send("x".repeat(SOFT_LIMIT));
    assert!(next(&mut body).starts_with("data: xxx"));
    assert_eq!(next(&mut body), "data: more\n\n");
}

#[test]
fn a_stream_without_events_is_kept_alive_by_comments() {
    let clock = ManualClock::new();
    let poller = ScriptedPoller::new(&clock);
    let event_loop = EventLoop::install(poller, clock).unwrap();
    let (mut body, events, _) = open();
    let pass = || {
        event_loop.run_once(None).unwrap();
    };
    // An iteration runs due timers, then waits for the next one.
    pass();
    assert_eq!(next(&mut body), "...");
    for _ in 0..2 {
        pass();
        assert_eq!(next(&mut body), ":\n\n");
    }
    events.send("a");
    assert_eq!(next(&mut body), "data: a\n\n");
    pass();
    assert_eq!(next(&mut body), "...");
    pass();
    assert_eq!(next(&mut body), ":\n\n");
    drop(body);
    assert!(!event_loop.is_alive());
}
