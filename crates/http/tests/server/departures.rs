//! Clients that go away, and clients that only end their side.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::ManualClock;
use uptick_http::{
    BodyStream, HttpError, HttpServer, LimitConcurrency, Request, Responder, Response,
};

use crate::support::{Client, Log, get, manual_clock, post, server, settle};

/// Moves the clock on in small steps, as it would move by itself.
fn pass(clock: &ManualClock, time: Duration) {
    for _ in 0..time.as_millis() / 100 {
        clock.advance(Duration::from_millis(100));
        settle();
    }
}

/// Longer than the grace and everything that follows it.
const A_WHILE: Duration = Duration::from_millis(2500);

/// A client that has sent a request.
fn asking(http: HttpServer, request: impl AsRef<[u8]>) -> Client {
    let mut client = Client::new(http);
    client.send(request);
    client
}

/// A client that has sent a request and ended its side.
fn half_closed(http: HttpServer, request: impl AsRef<[u8]>) -> Client {
    let client = asking(http, request);
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

/// A server whose handlers never answer, and note when their futures are dropped.
fn waiting() -> (HttpServer, Log) {
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
fn the_future_of_a_client_that_closes_while_it_waits_is_dropped() {
    let clock = manual_clock();
    let (http, log) = waiting();
    let client = asking(http, get("/"));
    settle();
    pass(&clock, Duration::from_millis(500));
    drop(client);
    settle();
    pass(&clock, A_WHILE);
    assert_eq!(log.text(), "dropped");
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_client_that_closes_is_noticed_after_the_grace_and_not_before() {
    let clock = manual_clock();
    for (grace, before, after) in [(None, 900, 300), (Some(3000), 2900, 300)] {
        let (http, log) = waiting();
        if let Some(grace) = grace {
            http.disconnect_grace(Duration::from_millis(grace));
        }
        let client = asking(http, get("/"));
        drop(client);
        settle();
        pass(&clock, Duration::from_millis(before));
        assert_eq!(log.text(), "");
        pass(&clock, Duration::from_millis(after));
        assert_eq!(log.text(), "dropped");
    }
}

#[test]
fn a_client_that_closes_is_not_tested_where_half_open_connections_are_allowed() {
    let clock = manual_clock();
    let (http, log) = waiting();
    http.allow_half_open(true);
    let client = asking(http, get("/"));
    drop(client);
    settle();
    pass(&clock, Duration::from_secs(20));
    assert_eq!((log.text(), http.open_connections()), (String::new(), 1));
}

#[test]
fn a_client_that_has_ended_its_side_is_tested_with_the_first_bytes_of_its_response() {
    let clock = manual_clock();
    let (http, gate) = gated();
    let mut client = half_closed(http, get("/"));
    let mut sent = String::new();
    for expected in ["H", "HT", "HTT", "HTT"] {
        pass(&clock, Duration::from_millis(1100));
        sent += &client.so_far();
        assert_eq!(sent, expected);
    }
    gate.take().unwrap().send(HttpError::not_found());
    assert!(client.rest().starts_with("P/1.1 404 Not Found\r\n"));
}

#[test]
fn a_client_that_closes_behind_further_requests_is_noticed() {
    let clock = manual_clock();
    let (http, log) = waiting();
    let client = asking(http, get("/").repeat(3));
    settle();
    drop(client);
    pass(&clock, A_WHILE);
    assert_eq!(log.text(), "dropped");
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_client_that_closes_behind_a_body_that_nobody_reads_is_noticed() {
    let clock = manual_clock();
    let (http, log) = waiting();
    // One read is taken ahead, and the rest waits in the socket with the end behind it.
    for length in [10, 90_000] {
        let client = asking(http, post("/", &"x".repeat(length)));
        settle();
        drop(client);
        pass(&clock, A_WHILE);
        assert_eq!(http.open_connections(), 0, "{length}");
    }
    assert_eq!(log.text(), "dropped dropped");
}

#[test]
fn places_of_clients_that_have_closed_are_free_again() {
    let clock = manual_clock();
    let gates: Rc<RefCell<Vec<Responder>>> = Rc::default();
    let http = server().wrap(LimitConcurrency::new(1).queue(2));
    let held = Rc::clone(&gates);
    http.get("/", move |req: Request| {
        held.borrow_mut().push(req.responder());
        std::future::pending::<&str>()
    });
    let ask = |_| {
        let client = asking(http, get("/"));
        settle();
        client
    };
    drop((0..3).map(ask).collect::<Vec<_>>());
    pass(&clock, A_WHILE);
    assert_eq!((http.open_connections(), gates.borrow().len()), (0, 1));
    let mut next = asking(http, get("/"));
    settle();
    let responder = gates.borrow().last().copied().unwrap();
    assert!(responder.send("next"));
    assert_eq!(next.answer().body, "next");
}

#[test]
fn silent_streams_of_a_client_that_has_closed_emit_close() {
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
        let mut client = asking(
            http,
            format!("GET {path} HTTP/{version}\r\nHost: test\r\n\r\n"),
        );
        settle();
        assert!(client.so_far().contains("200 OK"));
        drop(client);
        pass(&clock, A_WHILE);
        assert_eq!(http.open_connections(), 0, "{version} {path}");
    }
    assert_eq!(log.text(), "events events dropped responder responder");
}

#[test]
fn a_client_that_closes_its_unix_socket_is_noticed() {
    let clock = manual_clock();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("socket");
    let (http, log) = waiting();
    http.listen(uptick_socket::Server::bind(&*format!("unix://{}", path.display())).unwrap());
    let mut client = std::os::unix::net::UnixStream::connect(&path).unwrap();
    std::io::Write::write_all(&mut client, get("/").as_bytes()).unwrap();
    settle();
    drop(client);
    settle();
    pass(&clock, A_WHILE);
    assert_eq!(log.text(), "dropped");
}

/// A server that answers when the test says so, in full or piece by piece.
fn gated() -> (HttpServer, Rc<Cell<Option<Responder>>>) {
    let http = server();
    let gate: Rc<Cell<Option<Responder>>> = Rc::default();
    let opened = Rc::clone(&gate);
    http.get("/", move |req: Request| opened.set(Some(req.responder())));
    (http, gate)
}

#[test]
fn a_client_that_ends_its_side_with_its_request_gets_the_answer_however_long_it_takes() {
    let clock = manual_clock();
    let (http, gate) = gated();
    for version in ["1.1", "1.0"] {
        let mut client = half_closed(http, format!("GET / HTTP/{version}\r\nHost: test\r\n\r\n"));
        pass(&clock, Duration::from_secs(20));
        assert!(gate.take().unwrap().send("late"), "{version}");
        let answer = client.answer();
        assert_eq!((answer.status(), &*answer.body), (200, "late"));
        assert!(answer.closes());
        assert_eq!(client.rest(), "");
    }
}

#[test]
fn all_requests_of_a_client_that_has_ended_its_side_are_answered() {
    let clock = manual_clock();
    let (http, gate) = gated();
    let mut client = half_closed(http, get("/").repeat(3));
    for n in 0..3 {
        settle();
        pass(&clock, Duration::from_secs(5));
        assert!(gate.take().unwrap().send(format!("answer {n}")), "{n}");
    }
    for n in 0..3 {
        assert_eq!(client.answer().body, format!("answer {n}"));
    }
    assert_eq!(client.rest(), "");
}

#[test]
fn a_client_that_has_ended_its_side_gets_all_pieces_of_its_answer() {
    let clock = manual_clock();
    let (http, gate) = gated();
    let mut client = half_closed(http, get("/"));
    pass(&clock, A_WHILE);
    let responder = gate.take().unwrap();
    responder.start(Response::plain("one "));
    for piece in ["two ", "three"] {
        pass(&clock, Duration::from_secs(5));
        assert!(responder.write(piece));
    }
    pass(&clock, Duration::from_secs(5));
    responder.end();
    assert_eq!(client.answer().body, "one two three");
    assert_eq!(client.rest(), "");
}

#[test]
fn a_request_learns_at_once_that_its_client_has_ended_its_side() {
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
    assert_eq!(client.answer().body, "still there?");
}
