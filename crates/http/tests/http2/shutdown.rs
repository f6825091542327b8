//! Graceful shutdown.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::spawn;
use uptick_http::h2::ErrorCode;
use uptick_http::{HttpServer, Request, Responder, Response, ShutdownOptions};

use crate::client::{Client, pass, server};
use crate::frames::*;
use crate::support::{manual_clock, settle};

const MAX: u32 = i32::MAX as u32;
const NONE: ErrorCode = ErrorCode::NO_ERROR;

/// Starts a shutdown with a deadline of 10 s.
fn shut_down(http: HttpServer) {
    let shutdown = http.shutdown(Duration::from_secs(10));
    drop(spawn(async move {
        let _ = shutdown.await;
    }));
}

/// Adds a route whose responders are kept.
fn keep_responders(http: HttpServer) -> Rc<RefCell<Vec<Responder>>> {
    let waiting = Rc::<RefCell<Vec<Responder>>>::default();
    let place = Rc::clone(&waiting);
    http.get("/later", move |req: Request| {
        place.borrow_mut().push(req.responder())
    });
    waiting
}

#[test]
fn an_idle_connection_ends_as_soon_as_its_client_has_acknowledged() {
    manual_clock();
    let http = server();
    let mut client = Client::new(http);
    let id = client.get("/");
    client.response(id);
    shut_down(http);
    // The clock does not move.
    assert!(client.is_closed());
    assert_eq!(client.go_aways, [(MAX, NONE), (id, NONE)]);
    client.end();
    settle();
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_connection_ends_after_the_requests_of_a_client_that_goes_away() {
    manual_clock();
    let http = server();
    let waiting = keep_responders(http);
    let mut client = Client::new(http);
    let id = client.get("/later");
    client.send(frame(GOAWAY, 0, 0, &[0; 8]));
    client.read();
    assert!(!client.is_closed());
    for responder in waiting.take() {
        responder.send("last");
    }
    assert_eq!(client.response(id).text(), "last");
    assert!(client.is_closed());
    client.end();
    settle();
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn an_idle_client_that_does_not_acknowledge_has_a_short_time() {
    let clock = manual_clock();
    let http = server();
    let mut client = Client::new(http);
    client.acknowledges_pings = false;
    shut_down(http);
    client.read();
    assert_eq!(client.go_aways, [(MAX, NONE)]);
    pass(&clock, Duration::from_millis(200));
    assert!(!client.is_closed());
    pass(&clock, Duration::from_millis(300));
    assert!(client.is_closed());
    assert_eq!(client.go_aways.last(), Some(&(0, NONE)));
}

#[test]
fn requests_in_transit_are_answered_and_later_ones_are_refused() {
    manual_clock();
    let http = server();
    let waiting = keep_responders(http);
    let mut client = Client::new(http);
    let first = client.get("/later");
    client.read();
    shut_down(http);
    settle();
    // Sent before the client has read GOAWAY.
    let transit = client.get("/");
    assert_eq!(client.response(transit).text(), "hello");
    client.read();
    assert_eq!(client.go_aways, [(MAX, NONE), (transit, NONE)]);
    let late = client.get("/");
    assert_eq!(client.response(late).reset, Some(ErrorCode::REFUSED_STREAM));
    assert!(!client.is_closed());
    waiting.borrow_mut().pop().unwrap().send("done");
    assert_eq!(client.response(first).text(), "done");
    assert!(client.is_closed());
}

#[test]
fn a_connection_accepted_before_the_shutdown_may_send_its_first_request() {
    let clock = manual_clock();
    let http = server();
    let mut client = Client::silent(http);
    shut_down(http);
    settle();
    pass(&clock, Duration::from_millis(100));
    client.send([PREFACE, &frame(SETTINGS, 0, 0, &[])].concat());
    let id = client.get("/");
    assert_eq!(client.response(id).text(), "hello");
    assert_eq!(client.closed(), NONE);
}

#[test]
fn a_body_in_transit_is_received() {
    manual_clock();
    let http = server();
    let mut client = Client::new(http);
    let id = client.post("/echo");
    client.data(id, "be", false);
    client.read();
    shut_down(http);
    client.read();
    client.data(id, "gin", true);
    assert_eq!(client.response(id).text(), "begin");
    assert!(client.is_closed());
}

#[test]
fn the_deadline_closes_the_remaining_connections() {
    let clock = manual_clock();
    let http = server();
    let mut client = Client::new(http);
    let _open = client.get("/never");
    client.read();
    let closed = Rc::<RefCell<Option<usize>>>::default();
    let place = Rc::clone(&closed);
    let shutdown = http.shutdown(Duration::from_secs(3));
    drop(spawn(async move {
        *place.borrow_mut() = Some(shutdown.await);
    }));
    pass(&clock, Duration::from_millis(2500));
    assert!(!client.is_closed());
    pass(&clock, Duration::from_millis(1000));
    assert!(client.is_closed());
    assert_eq!(*closed.borrow(), Some(1));
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn event_streams_end_early() {
    manual_clock();
    let http = server();
    http.get("/events", |_: Request| {
        let (response, events) = Response::events();
        events.send("first");
        response
    });
    let mut client = Client::new(http);
    let ids = [(); 3].map(|()| client.get("/events"));
    client.read();
    assert!(client.streams.values().all(|stream| stream.status == 200));
    let shutdown = http.shutdown_with(ShutdownOptions::new().deadline(Duration::from_secs(10)));
    drop(spawn(async move {
        let _ = shutdown.await;
    }));
    for id in ids {
        assert!(client.response(id).ended);
    }
    assert!(client.is_closed());
}
