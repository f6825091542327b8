//! Middleware and header callbacks of the application.

use std::cell::Cell;
use std::rc::Rc;

use uptick_http::{HeaderMap, HeaderValue, Next, Request, Response};

use crate::support::{Fixture, UPGRADE, settle};

#[test]
fn middleware_runs_only_for_requests_to_the_engine() {
    let fixture = Fixture::new();
    fixture.http.get("/other", |_: Request| "other");
    for n in ["1", "2"] {
        fixture.engine.wrap(move |req: Request, next: Next| {
            next.run(req).map(move |response| {
                let seen = response.get("x-seen").unwrap_or_default().to_owned();
                response.header("x-seen", format!("{seen}{n}"))
            })
        });
    }
    let mut http = fixture.open();
    let query = format!("EIO=4&transport=polling&sid={}", http.sid);
    // An immediate response, a delayed one, and a refusal.
    fixture.client().send("a");
    assert_eq!(http.get(&query).field("x-seen"), Some("21"));
    http.begin_poll();
    settle();
    fixture.client().send("b");
    let response = http.response();
    assert_eq!(
        (response.body.as_str(), response.field("x-seen")),
        ("4b", Some("21"))
    );
    assert_eq!(http.get("").field("x-seen"), Some("21"));
    let mut other = fixture.connect();
    other.send("GET /other HTTP/1.1\r\nHost: test\r\n\r\n");
    assert_eq!(other.response().field("x-seen"), None);
}

#[test]
fn middleware_may_return_its_own_response() {
    let fixture = Fixture::new();
    fixture
        .engine
        .wrap(|req: Request, next: Next| match req.header("x-token") {
            Some(_) => next.run(req),
            None => Response::plain("who are you?").into(),
        });
    let mut http = fixture.connect();
    let query = "EIO=4&transport=polling";
    assert_eq!(http.get(query).body, "who are you?");
    assert_eq!(fixture.engine.clients_count(), 0);
    http.request("GET", query, "X-Token: a\r\n");
    assert_eq!(fixture.engine.clients_count(), 1);
}

#[test]
fn callbacks_change_the_headers_of_responses() {
    let fixture = Fixture::new();
    let count = Rc::new(Cell::new(0));
    let counted = Rc::clone(&count);
    fixture
        .engine
        .on_initial_headers(|headers: &mut HeaderMap, req: &Request| {
            let value = req.header("x-name").unwrap_or("nobody");
            headers.insert("set-cookie", HeaderValue::from_str(value).unwrap());
        })
        .on_headers(move |headers: &mut HeaderMap, _: &Request| {
            counted.set(counted.get() + 1);
            headers.insert("x-count", HeaderValue::from(counted.get()));
        });
    let query = "EIO=4&transport=polling";
    let response = fixture.connect().request("GET", query, "X-Name: Ada\r\n");
    assert_eq!(response.field("set-cookie"), Some("Ada"));
    assert_eq!(response.field("x-count"), Some("1"));
    let mut http = fixture.open();
    assert_eq!(http.post("4a"), "200 ok");
    let query = format!("EIO=4&transport=polling&sid={}", http.sid);
    http.begin_poll();
    settle();
    fixture.client().send("b");
    let response = http.response();
    assert_eq!(response.field("set-cookie"), None);
    assert_eq!(response.field("x-count"), Some("4"));
    let websocket = query.replace("polling", "websocket");
    let response = fixture.connect().request("GET", &websocket, UPGRADE);
    assert_eq!(
        (response.status, response.field("x-count")),
        (101, Some("5"))
    );
}
