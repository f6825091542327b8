//! Pipelined requests, persistent connections and malformed requests.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{add_timer, sleep};
use uptick_http::{Request, Responder, Response};

use crate::support::{Client, get, server, settle};

#[test]
fn a_request_is_answered_with_length_type_and_date() {
    let http = server();
    http.get("/", |_: Request| Response::html("<h1>Hello</h1>"));
    let mut client = Client::new(http);
    client.send(get("/"));
    let response = client.response();
    assert_eq!(response.status(), 200);
    assert_eq!(response.body, "<h1>Hello</h1>");
    assert_eq!(response.field("content-length"), Some("14"));
    assert!(
        response
            .field("content-type")
            .unwrap()
            .starts_with("text/html")
    );
    assert!(response.field("date").unwrap().ends_with(" GMT"));
    assert_eq!(response.field("connection"), None);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let http = server();
    http.get("/{n}", |req: Request| {
        req.param("n").unwrap_or("?").to_owned()
    });
    let mut client = Client::new(http);
    let requests: String = (0..500).map(|n| get(&format!("/{n}"))).collect();
    client.send(requests);
    for n in 0..500 {
        assert_eq!(client.response().body, n.to_string());
    }
}

#[test]
fn responses_have_the_order_of_requests_even_if_the_first_is_late() {
    let http = server();
    http.get("/slow", |_: Request| async {
        sleep(Duration::from_millis(30)).await;
        "slow"
    });
    http.get("/fast", |_: Request| "fast");
    let mut client = Client::new(http);
    client.send([get("/slow"), get("/fast"), get("/slow"), get("/fast")].concat());
    let bodies: Vec<String> = (0..4).map(|_| client.response().body).collect();
    assert_eq!(bodies, ["slow", "fast", "slow", "fast"]);
}

#[test]
fn a_request_is_not_handled_before_the_previous_one_is_answered() {
    let http = server();
    let waiting: Rc<RefCell<HashMap<String, Responder>>> = Rc::default();
    let all = Rc::clone(&waiting);
    http.get("/{n}", move |req: Request| {
        let name = req.param("n").unwrap_or("?").to_owned();
        all.borrow_mut().insert(name, req.responder());
    });
    let mut client = Client::new(http);
    client.send([get("/a"), get("/b")].concat());
    settle();
    assert_eq!(waiting.borrow().keys().collect::<Vec<_>>(), ["a"]);
    let first = waiting.borrow()["a"];
    assert!(first.send("A"));
    assert_eq!(client.response().body, "A");
    settle();
    let second = waiting.borrow()["b"];
    assert!(second.send("B"));
    assert_eq!(client.response().body, "B");
}

#[test]
fn a_request_received_byte_by_byte_is_answered_once() {
    let http = server();
    http.get("/", |_: Request| "whole");
    let mut client = Client::new(http);
    for byte in get("/").bytes() {
        assert_eq!(client.take_received(), "");
        client.send([byte]);
    }
    assert_eq!(client.response().body, "whole");
    assert_eq!(client.take_received(), "");
}

#[test]
fn http_1_1_connections_are_kept_unless_the_client_sends_close() {
    let http = server();
    http.get("/", |_: Request| "x");
    let mut client = Client::new(http);
    client.send(get("/"));
    assert!(!client.response().closes());
    client.send("GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n");
    assert!(client.response().closes());
    assert_eq!(client.rest(), "");
}

#[test]
fn http_1_0_connections_are_closed_unless_the_client_sends_keep_alive() {
    let http = server();
    http.get("/", |_: Request| "x");
    let mut client = Client::new(http);
    client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(client.response().field("connection"), Some("keep-alive"));
    client.send("GET / HTTP/1.0\r\n\r\n");
    assert!(client.response().closes());
    assert_eq!(client.rest(), "");
}

#[test]
fn a_malformed_request_gets_one_response_and_closes_the_connection() {
    let http = server();
    http.get("/", |_: Request| "x");
    let mut client = Client::new(http);
    client.send([get("/").as_str(), "GARBAGE\r\n\r\n", &get("/")].concat());
    assert_eq!(client.response().body, "x");
    let refusal = client.response();
    assert_eq!(refusal.status(), 400);
    assert!(refusal.closes());
    assert_eq!(client.rest(), "");
}

#[test]
fn a_half_closed_client_receives_its_response() {
    let http = server();
    http.get("/", |req: Request| {
        let responder = req.responder();
        add_timer(Duration::from_millis(20), move || responder.send("late"));
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    client.end();
    assert_eq!(client.response().body, "late");
    assert_eq!(client.rest(), "");
}

#[test]
fn head_has_the_headers_of_get_without_the_body() {
    let http = server();
    http.get("/", |_: Request| "12345");
    let mut client = Client::new(http);
    client.send("HEAD / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n");
    let text = client.rest();
    assert!(text.contains("content-length: 5\r\n"), "{text}");
    assert!(text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn empty_lines_before_a_request_are_counted_per_connection() {
    let http = server();
    http.get("/", |_: Request| "hello");
    for _ in 0..4 {
        let mut client = Client::new(http);
        client.send("\r\n");
        settle();
        client.send(get("/"));
        assert_eq!(client.response().status(), 200);
    }
}
