//! Event sources over connections to a server of the same thread.
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::{add_timer, run};
use uptick_http::{HttpServer, Request, Response, ServerEvent, StatusCode};
use uptick_http_client::{
    Browser, Error, ErrorKind, EventSource, EventSourceRetry, MessageEvent, ReadyState,
};
use uptick_socket::Server;

/// Starts a server. Returns it, and its URL.
fn listen(http: HttpServer) -> String {
    http.listen(Server::bind("127.0.0.1:0").unwrap());
    http.address().unwrap().replace("tcp", "http")
}

type Log = Rc<RefCell<Vec<String>>>;

fn record(source: EventSource, http: HttpServer) -> Log {
    let log = Log::default();
    let seen = Rc::clone(&log);
    source.on("event", move |event: MessageEvent| {
        let (name, id, data) = (&event.event, &event.last_event_id, &event.data);
        seen.borrow_mut().push(format!("{name} {id}: {data}"));
    });
    let seen = Rc::clone(&log);
    source.on("error", move |error: Error| {
        seen.borrow_mut().push(error.kind().name().to_owned());
    });
    let seen = Rc::clone(&log);
    source.on("close", move |()| {
        seen.borrow_mut().push("close".to_owned());
        http.close();
    });
    log
}

#[test]
fn events_of_the_server_are_received_and_continued_after_their_id() {
    let http = HttpServer::new();
    let requests = Rc::new(Cell::new(0));
    let count = Rc::clone(&requests);
    http.get("/moved", |_: Request| Response::redirect("/events"));
    http.get("/events", move |req: Request| {
        count.set(count.get() + 1);
        assert_eq!(req.header("accept"), Some("text/event-stream"));
        assert_eq!(req.header("cache-control"), Some("no-store"));
        assert_eq!(req.header("x-key"), Some("secret"));
        if count.get() == 3 {
            assert_eq!(req.last_event_id(), Some("5"));
            return Response::new(StatusCode::NO_CONTENT);
        }
        let (response, events) = Response::events();
        let next: u32 = req
            .last_event_id()
            .map_or(0, |id| id.parse::<u32>().unwrap() + 1);
        events.send(ServerEvent::reconnect_after(Duration::from_millis(20)));
        for id in next..next + 2 {
            events.send(ServerEvent::new(format!("line\nof {id}")).id(id.to_string()));
        }
        let last = next + 2;
        add_timer(Duration::from_millis(10), move || {
            events.send(
                ServerEvent::new("späť 🎉")
                    .name("named")
                    .id(last.to_string()),
            );
            events.end();
        });
        response
    });
    let url = listen(http);
    let source = Browser::new()
        .event_source(format!("{url}/moved"))
        .header("x-key", "secret")
        .connect();
    let log = record(source, http);
    let seen = Rc::clone(&log);
    let origin = url.clone();
    source.on_event("named", move |event: MessageEvent| {
        assert_eq!(&*event.origin, origin);
        seen.borrow_mut().push("by name".to_owned());
    });
    source.on("open", move |()| {
        assert_eq!(source.ready_state(), ReadyState::Open)
    });
    let retries = Rc::new(Cell::new(0));
    let count = Rc::clone(&retries);
    source.on("retry", move |retry: EventSourceRetry| {
        count.set(count.get() + 1);
        assert!(retry.reason.is_none() && retry.delay < Duration::from_millis(30));
        assert_eq!(source.ready_state(), ReadyState::Connecting);
    });
    run().unwrap();
    assert_eq!(
        *log.borrow(),
        [
            "message 0: line\nof 0",
            "message 1: line\nof 1",
            "named 2: späť 🎉",
            "by name",
            "message 3: line\nof 3",
            "message 4: line\nof 4",
            "named 5: späť 🎉",
            "by name",
            "close",
        ]
    );
    assert_eq!((requests.get(), retries.get()), (3, 2));
}

#[test]
fn a_response_that_is_not_a_stream_of_events_fails_the_source() {
    for (path, kind) in [
        ("/page", ErrorKind::ContentType),
        ("/missing", ErrorKind::Status),
        ("/broken", ErrorKind::Status),
    ] {
        let http = HttpServer::new();
        http.get("/page", |_: Request| Response::html("<p>no events</p>"));
        http.get("/broken", |_: Request| {
            Response::new(StatusCode::BAD_GATEWAY)
        });
        let url = listen(http);
        let source = EventSource::connect(&Browser::new(), format!("{url}{path}"));
        let log = record(source, http);
        run().unwrap();
        assert_eq!(*log.borrow(), [kind.name(), "close"], "{path}");
    }
}

#[test]
fn an_invalid_url_or_header_fails_the_source() {
    let browser = Browser::new();
    for (source, kind) in [
        (browser.event_source("no url"), ErrorKind::InvalidUrl),
        (
            browser.event_source("ftp://a/"),
            ErrorKind::UnsupportedScheme,
        ),
        (
            browser
                .event_source("http://127.0.0.1:9/")
                .header("x", "a\nb"),
            ErrorKind::InvalidRequest,
        ),
    ] {
        let log = record(source.connect(), HttpServer::new());
        run().unwrap();
        assert_eq!(*log.borrow(), [kind.name(), "close"]);
    }
}

#[test]
fn closing_ends_the_stream_of_the_server() {
    let http = HttpServer::new();
    let ended = Rc::new(Cell::new(false));
    let flag = Rc::clone(&ended);
    http.get("/", move |_: Request| {
        let (response, events) = Response::events();
        events.send("hello");
        let flag = Rc::clone(&flag);
        events.on("close", move |()| {
            flag.set(true);
            http.close();
        });
        response
    });
    let source = EventSource::connect(&Browser::new(), listen(http));
    source.on("message", move |event: MessageEvent| {
        assert_eq!(event.data, "hello");
        source.close();
        assert_eq!(source.ready_state(), ReadyState::Closed);
    });
    run().unwrap();
    assert!(ended.get());
}

#[test]
fn a_source_waits_for_a_server_that_starts_later() {
    let http = HttpServer::new();
    http.get("/", |_: Request| {
        let (response, events) = Response::events();
        events.send("hello");
        response
    });
    let reserved = Server::bind("127.0.0.1:0").unwrap();
    let address = reserved.address().unwrap();
    reserved.close();
    let source = Browser::new()
        .event_source(address.replace("tcp", "http"))
        .retry_delay(Duration::from_millis(30))
        .connect();
    let failures = Rc::new(Cell::new(0));
    let count = Rc::clone(&failures);
    source.on("retry", move |retry: EventSourceRetry| {
        assert_eq!(retry.reason.unwrap().kind(), ErrorKind::Connect);
        count.set(count.get() + 1);
        assert_eq!(retry.failed, count.get());
        if count.get() == 2 {
            http.listen(Server::bind(&*address).unwrap());
        }
    });
    source.on("message", move |_: MessageEvent| {
        source.close();
        http.close();
    });
    run().unwrap();
    assert_eq!(failures.get(), 2);
}
