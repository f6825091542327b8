//! How many requests are handled at a time.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod support;

use std::cell::RefCell;
use std::rc::Rc;

use futures::channel::oneshot;
use support::{Client, get, server, settle};
use uptick_http::{HttpServer, LimitConcurrency, Request};

type Gates = Rc<RefCell<Vec<oneshot::Sender<&'static str>>>>;

/// A server whose handlers wait until the test opens their gates, one handler at a time, and one request more may wait.
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

fn ask(http: HttpServer) -> Client {
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    client
}

#[test]
fn a_request_waits_until_another_is_answered_and_one_too_many_is_503() {
    let (http, gates) = gated();
    let (mut first, mut second, mut third) = (ask(http), ask(http), ask(http));
    assert_eq!(third.answer().status(), 503);
    assert_eq!(gates.borrow().len(), 1);
    gates.borrow_mut().remove(0).send("first").unwrap();
    assert_eq!(first.answer().body, "first");
    settle();
    gates.borrow_mut().remove(0).send("second").unwrap();
    assert_eq!(second.answer().body, "second");
}

#[test]
fn clients_that_go_away_give_their_places_back() {
    let (http, gates) = gated();
    let (first, second) = (ask(http), ask(http));
    second.reset();
    settle();
    let mut third = ask(http);
    first.reset();
    settle();
    assert_eq!(gates.borrow().len(), 2);
    gates.borrow_mut().remove(1).send("third").unwrap();
    assert_eq!(third.answer().body, "third");
}
