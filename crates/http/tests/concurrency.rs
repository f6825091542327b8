//! Concurrency limits.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use futures::channel::oneshot;
use support::{Client, get, server, settle};
use uptick_http::{HttpServer, LimitConcurrency, Request};

type Gates = Rc<RefCell<Vec<oneshot::Sender<&'static str>>>>;

/// Returns a server whose handlers wait for the test. One handler runs at a time, and one more request can wait.
fn gated() -> (HttpServer, Gates) {
    let gates = Gates::default();
    let added = Rc::clone(&gates);
    let http = server().wrap(LimitConcurrency::new(1).queue(1));
    http.get("/", move |_: Request| {
        let (sender, gate) = oneshot::channel();
        added.borrow_mut().push(sender);
        async move { gate.await.unwrap_or("nothing") }
    });
    (http, gates)
}

fn fetch(http: HttpServer) -> Client {
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    client
}

#[test]
fn a_request_over_the_limit_waits_and_one_over_the_queue_is_answered_with_503() {
    let (http, gates) = gated();
    let (mut first, mut second, mut third) = (fetch(http), fetch(http), fetch(http));
    assert_eq!(third.response().status(), 503);
    assert_eq!(gates.borrow().len(), 1);
    gates.borrow_mut().remove(0).send("first").unwrap();
    assert_eq!(first.response().body, "first");
    settle();
    gates.borrow_mut().remove(0).send("second").unwrap();
    assert_eq!(second.response().body, "second");
}

#[test]
fn disconnected_clients_release_their_permits() {
    let (http, gates) = gated();
    let (first, second) = (fetch(http), fetch(http));
    second.reset();
    settle();
    let mut third = fetch(http);
    first.reset();
    settle();
    assert_eq!(gates.borrow().len(), 2);
    gates.borrow_mut().remove(1).send("third").unwrap();
    assert_eq!(third.response().body, "third");
}
