//! Handles that outlive their exchange, and handlers that close their connection or server.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use uptick_emitter::Emitter;
use uptick_event_loop::{sleep, spawn};
use uptick_http::{BodyError, BodyReader, Request, Responder, Response};
use uptick_socket::Connection;

use crate::support::{Client, Log, get, post, run_until, server, settle};

fn closing(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
}

#[test]
fn stale_handles_do_not_affect_the_next_exchange() {
    let http = server();
    let kept: Rc<RefCell<Vec<(Request, Responder, BodyReader)>>> = Rc::default();
    let keep = Rc::clone(&kept);
    http.post("/{n}", move |req: Request| {
        let (responder, reader) = (req.responder(), req.body_stream());
        responder.send(req.param("n").unwrap_or("?").to_owned());
        keep.borrow_mut().push((req, responder, reader));
    });
    let held: Rc<Cell<Option<Responder>>> = Rc::default();
    let hold = Rc::clone(&held);
    http.get("/held", move |req: Request| hold.set(Some(req.responder())));
    let mut client = Client::new(http);
    for n in 0..100 {
        client.send(post(&format!("/{n}"), "abc"));
        assert_eq!(client.response().body, n.to_string());
    }
    client.send(get("/held"));
    settle();
    for (n, (req, responder, mut reader)) in kept.take().into_iter().enumerate() {
        assert_eq!(req.path(), format!("/{n}"));
        assert!(!responder.is_open() && !responder.send("late") && !responder.write("late"));
        assert!(!req.responder().send("late"));
        req.on("data", |_: Bytes| panic!("the body has ended"));
        req.resume();
        let read = Rc::new(RefCell::new(None));
        let result = Rc::clone(&read);
        spawn(async move {
            *result.borrow_mut() = reader.next().await;
        });
        settle();
        assert!(matches!(*read.borrow(), Some(Err(BodyError::Closed))));
    }
    assert_eq!(client.take_received(), "");
    assert!(held.get().unwrap().send("the next one"));
    assert_eq!(client.response().body, "the next one");
}

#[test]
fn close_is_not_emitted_after_the_response() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.get("/", move |req: Request| {
        let (request, responder) = (notes.clone(), notes.clone());
        req.on("close", move |()| request.add("request"));
        req.responder()
            .on("close", move |()| responder.add("responder"));
        "done"
    });
    for request in [closing("/"), "GET / HTTP/1.0\r\n\r\n".to_owned()] {
        let mut client = Client::new(http);
        client.send(request);
        assert_eq!(client.response().body, "done");
        assert_eq!(client.rest(), "");
        run_until(|| http.open_connections() == 0);
    }
    assert_eq!(log.text(), "");
}

/// A value that panics on drop.
struct PanicOnDrop;

impl Drop for PanicOnDrop {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            panic!("on purpose");
        }
    }
}

#[test]
fn a_panic_in_the_drop_of_a_listener_does_not_leak_the_connection() {
    let http = server();
    http.get("/", move |req: Request| {
        let bomb = PanicOnDrop;
        req.on("close", move |()| {
            let _ = &bomb;
        });
        req.responder();
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    assert_eq!(http.open_connections(), 1);
    client.reset();
    settle();
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_panic_in_the_drop_of_a_listener_does_not_prevent_an_upgrade() {
    let http = server();
    http.get("/", move |req: Request| {
        let bomb = PanicOnDrop;
        req.on("close", move |()| {
            let _ = &bomb;
        });
        Response::upgrade("echo", |conn: Connection| conn.end_with("next"))
    });
    let mut client = Client::new(http);
    client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n");
    assert_eq!(client.response().status(), 101);
    assert_eq!(client.rest(), "next");
    assert_eq!(http.open_connections(), http.open_upgrades());
    drop(client);
    settle();
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_handler_that_closes_its_connection_ends_the_pipeline() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.get("/{n}", move |req: Request| {
        notes.add(req.path());
        if req.path() == "/close" {
            req.connection().unwrap().close();
        }
        "x"
    });
    let mut client = Client::new(http);
    client.send([get("/1"), get("/close"), get("/2")].concat());
    client.rest();
    assert_eq!(log.text(), "/1 /close");
    assert_eq!(http.open_connections(), 0);
    let mut client = Client::new(http);
    client.send(get("/3"));
    assert_eq!(client.response().body, "x");
}

#[test]
fn the_500_for_a_panic_in_a_pipeline_is_in_order_and_closes_the_connection() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.get("/{n}", move |req: Request| {
        notes.add(req.path());
        assert_ne!(req.path(), "/panic", "on purpose");
        "x"
    });
    let mut client = Client::new(http);
    client.send([get("/1"), get("/2"), get("/panic"), get("/3")].concat());
    let statuses: Vec<u16> = (0..3).map(|_| client.response().status()).collect();
    assert_eq!(statuses, [200, 200, 500]);
    assert_eq!(client.rest(), "");
    assert_eq!(log.text(), "/1 /2 /panic");
}

#[test]
fn a_handler_that_shuts_the_server_down_ends_the_pipeline_with_its_response() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.get("/{n}", move |req: Request| {
        notes.add(req.path());
        if req.path() == "/stop" {
            drop(http.shutdown(Duration::from_secs(5)));
        }
        "x"
    });
    let mut idle = Client::new(http);
    idle.send(get("/0"));
    assert!(!idle.response().closes());
    let mut client = Client::new(http);
    client.send([get("/1"), get("/stop"), get("/2")].concat());
    assert!(!client.response().closes());
    assert!(client.response().closes());
    assert_eq!((client.rest(), idle.rest()), (String::new(), String::new()));
    assert_eq!(log.text(), "/0 /1 /stop");
}

#[test]
fn requests_after_a_body_an_expectation_and_a_slow_handler_are_handled_in_order() {
    let http = server();
    http.post("/echo", |req: Request| async move { req.text().await });
    http.post("/ignore", |_: Request| "ignored");
    http.get("/slow", |_: Request| async {
        sleep(Duration::from_millis(2)).await;
        "slow"
    });
    let expecting =
        "POST /echo HTTP/1.1\r\nHost: t\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc";
    let requests = [
        post("/echo", "one"),
        get("/slow"),
        expecting.to_owned(),
        post("/ignore", "two"),
        get("/slow"),
        closing("/slow"),
    ]
    .concat();
    for piece in [1, 7, requests.len()] {
        let mut client = Client::new(http);
        for part in requests.as_bytes().chunks(piece) {
            client.send(part);
            if piece > 1 {
                settle();
            }
        }
        let mut bodies = Vec::new();
        while bodies.len() < 6 {
            let response = client.response();
            if response.status() != 100 {
                bodies.push(response.body);
            }
        }
        assert_eq!(bodies, ["one", "slow", "abc", "ignored", "slow", "slow"]);
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn bytes_after_an_upgrade_belong_to_the_new_protocol_for_any_division() {
    let http = server();
    http.get("/{how}", |req: Request| async move {
        if req.path() == "/later" {
            sleep(Duration::from_millis(1)).await;
        }
        match req.path() {
            "/refuse" => Response::plain("refused"),
            _ => Response::upgrade("echo", |conn: Connection| {
                conn.on("data", move |chunk: Bytes| conn.write(chunk));
            }),
        }
    });
    let upgrade = |path: &str| {
        format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
    };
    for path in ["/now", "/later"] {
        let request = format!(
            "{}{}GET / HTTP/1.1 is data",
            upgrade("/refuse"),
            upgrade(path)
        );
        for at in (1..request.len()).step_by(3) {
            let mut client = Client::new(http);
            let (first, second) = request.split_at(at);
            client.send(first);
            settle();
            client.send(second);
            assert_eq!(client.response().body, "refused");
            assert_eq!(client.response().status(), 101);
            client.end();
            assert_eq!(client.rest(), "GET / HTTP/1.1 is data", "{path} {at}");
        }
    }
}
