//! Clients that disconnect, and half-closed clients.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::ManualClock;
use uptick_http::{
    BodyStream, HttpError, HttpServer, LimitConcurrency, Request, Responder, Response,
};

use crate::support::{Client, Log, get, manual_clock, post, server, settle};

/// Advances the clock in small steps.
fn pass(clock: &ManualClock, time: Duration) {
    for _ in 0..time.as_millis() / 100 {
        clock.advance(Duration::from_millis(100));
        settle();
    }
}

/// A time longer than the grace period and the probe that follows.
const AFTER_GRACE: Duration = Duration::from_millis(2500);

/// Returns a client that has sent a request.
fn connect_and_send(http: HttpServer, request: impl AsRef<[u8]>) -> Client {
    let mut client = Client::new(http);
    client.send(request);
    client
}

/// Returns a client that has sent a request and half-closed the connection.
fn half_closed(http: HttpServer, request: impl AsRef<[u8]>) -> Client {
    let client = connect_and_send(http, request);
    client.end();
    settle();
    client
}

struct Dropped(Log);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.add("dropped");
    }
}

/// Returns a server whose handlers never respond, and a log of their dropped futures.
fn pending_server() -> (HttpServer, Log) {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.route("GET|POST", "/", move |_: Request| {
        let guard = Dropped(notes.clone());
        async move {
            std::future::pending::<()>().await;
            drop(guard);
        }
    });
    (http, log)
}

#[test]
fn the_future_is_dropped_when_the_client_disconnects() {
    let clock = manual_clock();
    let (http, log) = pending_server();
    let client = connect_and_send(http, get("/"));
    settle();
    pass(&clock, Duration::from_millis(500));
    drop(client);
    settle();
    pass(&clock, AFTER_GRACE);
    assert_eq!(log.text(), "dropped");
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_disconnect_is_detected_after_the_grace_period() {
    let clock = manual_clock();
    for (grace, before, after) in [(None, 900, 300), (Some(3000), 2900, 300)] {
        let (http, log) = pending_server();
        if let Some(grace) = grace {
            http.disconnect_grace(Duration::from_millis(grace));
        }
        let client = connect_and_send(http, get("/"));
        drop(client);
        settle();
        pass(&clock, Duration::from_millis(before));
        assert_eq!(log.text(), "");
        pass(&clock, Duration::from_millis(after));
        assert_eq!(log.text(), "dropped");
    }
}

#[test]
fn half_closed_clients_are_not_probed_if_half_open_connections_are_allowed() {
    let clock = manual_clock();
    let (http, log) = pending_server();
    http.allow_half_open(true);
    let client = connect_and_send(http, get("/"));
    drop(client);
    settle();
    pass(&clock, Duration::from_secs(20));
    assert_eq!((log.text(), http.open_connections()), (String::new(), 1));
}

#[test]
fn a_half_closed_client_is_probed_with_the_first_bytes_of_its_response() {
    let clock = manual_clock();
    let (http, gate) = gated();
    let mut client = half_closed(http, get("/"));
    let mut sent = String::new();
    for expected in ["H", "HT", "HTT", "HTT"] {
        pass(&clock, Duration::from_millis(1100));
        sent += &client.take_received();
        assert_eq!(sent, expected);
    }
    gate.take().unwrap().send(HttpError::not_found());
    assert!(client.rest().starts_with("P/1.1 404 Not Found\r\n"));
}

#[test]
fn a_disconnect_after_pipelined_requests_is_detected() {
    let clock = manual_clock();
    let (http, log) = pending_server();
    let client = connect_and_send(http, get("/").repeat(3));
    settle();
    drop(client);
    pass(&clock, AFTER_GRACE);
    assert_eq!(log.text(), "dropped");
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_disconnect_after_an_unread_body_is_detected() {
    let clock = manual_clock();
    let (http, log) = pending_server();
    // One read is buffered; the rest and the end of stream stay in the socket.
    for length in [10, 90_000] {
        let client = connect_and_send(http, post("/", &"x".repeat(length)));
        settle();
        drop(client);
        pass(&clock, AFTER_GRACE);
        assert_eq!(http.open_connections(), 0, "{length}");
    }
    assert_eq!(log.text(), "dropped dropped");
}

#[test]
fn the_concurrency_permits_of_disconnected_clients_are_released() {
    let clock = manual_clock();
    let gates: Rc<RefCell<Vec<Responder>>> = Rc::default();
    let http = server().wrap(LimitConcurrency::new(1).queue(2));
    let held = Rc::clone(&gates);
    http.get("/", move |req: Request| {
        held.borrow_mut().push(req.responder());
        std::future::pending::<&str>()
    });
    let fetch = |_| {
        let client = connect_and_send(http, get("/"));
        settle();
        client
    };
    drop((0..3).map(fetch).collect::<Vec<_>>());
    pass(&clock, AFTER_GRACE);
    assert_eq!((http.open_connections(), gates.borrow().len()), (0, 1));
    let mut next = connect_and_send(http, get("/"));
    settle();
    let responder = gates.borrow().last().copied().unwrap();
    assert!(responder.send("next"));
    assert_eq!(next.response().body, "next");
}

#[test]
fn idle_streams_emit_close_when_the_client_disconnects() {
    let clock = manual_clock();
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.get("/events", move |_: Request| {
        let (response, events) = Response::events();
        let log = notes.clone();
        events
            .keep_alive(None)
            .on("close", move |()| log.add("events"));
        response
    });
    let notes = log.clone();
    http.get("/pieces", move |_: Request| {
        let guard = Dropped(notes.clone());
        let pieces = futures::stream::once(async move {
            std::future::pending::<()>().await;
            drop(guard);
            Ok::<_, HttpError>("never").map_err(|_| std::io::Error::other(""))
        });
        Response::plain(BodyStream::new(pieces).with_length(5))
    });
    let notes = log.clone();
    http.get("/responder", move |req: Request| {
        let (responder, log) = (req.responder(), notes.clone());
        responder.on("close", move |()| log.add("responder"));
        responder.start(Response::plain("part"));
    });
    for (version, path) in [
        ("1.1", "/events"),
        ("1.0", "/events"),
        ("1.1", "/pieces"),
        ("1.1", "/responder"),
        ("1.0", "/responder"),
    ] {
        let mut client = connect_and_send(
            http,
            format!("GET {path} HTTP/{version}\r\nHost: test\r\n\r\n"),
        );
        settle();
        assert!(client.take_received().contains("200 OK"));
        drop(client);
        pass(&clock, AFTER_GRACE);
        assert_eq!(http.open_connections(), 0, "{version} {path}");
    }
    assert_eq!(log.text(), "events events dropped responder responder");
}

#[test]
fn a_closed_unix_socket_is_detected() {
    let clock = manual_clock();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let (http, log) = pending_server();
    http.listen(uptick_socket::Server::bind(&*format!("unix://{}", path.display())).unwrap());
    let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut client, get("/").as_bytes()).unwrap();
    settle();
    drop(client);
    settle();
    pass(&clock, AFTER_GRACE);
    assert_eq!(log.text(), "dropped");
}

/// Returns a server whose responder the test uses, to send a complete response or single pieces.
fn gated() -> (HttpServer, Rc<Cell<Option<Responder>>>) {
    let http = server();
    let gate: Rc<Cell<Option<Responder>>> = Rc::default();
    let opened = Rc::clone(&gate);
    http.get("/", move |req: Request| opened.set(Some(req.responder())));
    (http, gate)
}

#[test]
fn a_half_closed_client_receives_a_late_response() {
    let clock = manual_clock();
    let (http, gate) = gated();
    for version in ["1.1", "1.0"] {
        let mut client = half_closed(http, format!("GET / HTTP/{version}\r\nHost: test\r\n\r\n"));
        pass(&clock, Duration::from_secs(20));
        assert!(gate.take().unwrap().send("late"), "{version}");
        let response = client.response();
        assert_eq!((response.status(), &*response.body), (200, "late"));
        assert!(response.closes());
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn all_requests_of_a_half_closed_client_are_answered() {
    let clock = manual_clock();
    let (http, gate) = gated();
    let mut client = half_closed(http, get("/").repeat(3));
    for n in 0..3 {
        settle();
        pass(&clock, Duration::from_secs(5));
        assert!(gate.take().unwrap().send(format!("response {n}")), "{n}");
    }
    for n in 0..3 {
        assert_eq!(client.response().body, format!("response {n}"));
    }
    assert_eq!(client.rest(), "");
}

#[test]
fn a_half_closed_client_receives_all_pieces_of_its_response() {
    let clock = manual_clock();
    let (http, gate) = gated();
    let mut client = half_closed(http, get("/"));
    pass(&clock, AFTER_GRACE);
    let responder = gate.take().unwrap();
    responder.start(Response::plain("one "));
    for piece in ["two ", "three"] {
        pass(&clock, Duration::from_secs(5));
        assert!(responder.write(piece));
    }
    pass(&clock, Duration::from_secs(5));
    responder.end();
    assert_eq!(client.response().body, "one two three");
    assert_eq!(client.rest(), "");
}

#[test]
fn half_close_is_emitted_immediately() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.get("/", move |req: Request, res: Responder| {
        let notes = notes.clone();
        req.on("half_close", move |()| {
            notes.add("half_close");
            res.send("still there?");
        });
    });
    let mut client = half_closed(http, get("/"));
    assert_eq!(log.text(), "half_close");
    assert_eq!(client.response().body, "still there?");
}
