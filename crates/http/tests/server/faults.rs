//! Faults of handlers and response bodies, and clients that disconnect.

use std::cell::{Cell, RefCell};
use std::convert::Infallible;
use std::io::{ErrorKind, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::sleep;
use uptick_http::{BodyStream, HttpError, Request, Responder, Response, StatusCode};

use crate::support::{
    Client, Log, get, post, run_on_thread, run_until, server, settle, socket_address,
};

#[test]
fn a_handler_that_panics_is_a_500_and_the_server_continues() {
    let http = server();
    http.get("/now", |_: Request| -> &str { panic!("now") });
    http.get("/later", |_: Request| async {
        sleep(Duration::from_millis(1)).await;
        panic!("later");
        #[allow(
            unreachable_code,
            reason = "it determines the output type of the future"
        )]
        "never"
    });
    http.get("/", |_: Request| "fine");
    for path in ["/now", "/later"] {
        let mut client = Client::new(http);
        client.send(get(path));
        let response = client.response();
        assert_eq!((response.status(), response.closes()), (500, true));
        assert!(!response.body.contains(&path[1..]), "{}", response.body);
        assert_eq!(client.rest(), "");
    }
    let mut client = Client::new(http);
    client.send(get("/"));
    assert_eq!(client.response().body, "fine");
}

#[test]
fn a_panic_in_a_body_stream_aborts_the_response() {
    let http = server();
    http.get("/", |_: Request| {
        let pieces = (0..2).map(|n| match n {
            0 => Ok::<_, Infallible>("piece"),
            _ => panic!("no more"),
        });
        let pieces = futures::stream::iter(pieces);
        Response::plain(BodyStream::new(pieces))
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    let text = client.rest();
    assert!(!text.contains("0\r\n\r\n"), "{text}");
}

#[test]
fn an_aborted_body_is_a_reset_in_http_1_0() {
    let http = server();
    http.get("/", |_: Request| {
        let pieces = [Ok("piece"), Err(std::io::Error::other("no more"))];
        Response::plain(BodyStream::new(futures::stream::iter(pieces)))
    });
    let address = socket_address(http);
    let end = run_on_thread(move || {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
        std::io::copy(&mut stream, &mut std::io::sink())
    });
    assert_eq!(end.unwrap_err().kind(), ErrorKind::ConnectionReset);
}

/// Returns a stream that is always ready, with a limit that no test should reach.
fn endless(taken: &Rc<Cell<usize>>) -> BodyStream {
    let taken = Rc::clone(taken);
    BodyStream::new(futures::stream::iter((0..MOST).map(move |_| {
        taken.set(taken.get() + 1);
        Ok::<_, Infallible>(vec![b'.'; 8192])
    })))
}

const MOST: usize = 200_000;

#[test]
fn an_endless_stream_stops_when_its_client_disconnects() {
    let (http, taken) = (server(), Rc::new(Cell::new(0)));
    let pieces = Rc::clone(&taken);
    http.get("/", move |_: Request| Response::plain(endless(&pieces)));
    for _ in 0..10 {
        let mut client = Client::new(http);
        client.send(get("/"));
        drop(client);
        settle();
        run_until(|| http.open_connections() == 0);
    }
    let count = taken.get();
    assert!(0 < count && count < MOST, "{count}");
}

#[test]
fn a_status_that_is_not_a_final_response_is_a_500() {
    let http = server();
    let status = |req: &Request| StatusCode::from_bytes(&req.path().as_bytes()[1..]).unwrap();
    http.get("/{status}", move |req: Request| Response::new(status(&req)));
    http.post("/{status}", move |req: Request| {
        let responder = req.responder();
        assert!(!responder.start(Response::new(status(&req))));
        assert!(!responder.write("piece"));
    });
    let mut client = Client::new(http);
    for path in ["/100", "/101", "/103"] {
        for request in [get(path), post(path, "")] {
            client.send(request);
            let response = client.response();
            assert_eq!((response.status(), response.closes()), (500, false));
        }
    }
    assert_eq!(client.take_received(), "");
}

#[test]
fn a_response_that_cannot_be_started_is_a_500() {
    let http = server();
    http.get("/field", |req: Request| {
        let responder = req.responder();
        assert!(!responder.start(Response::plain("a").header("x", "a\nb")));
        assert!(!responder.write("b"));
    });
    http.get("/stream", |req: Request| {
        let stream = BodyStream::new(futures::stream::iter([Ok::<_, Infallible>("a")]));
        assert!(!req.responder().start(Response::plain(stream)));
    });
    let mut client = Client::new(http);
    for path in ["/field", "/stream"] {
        client.send(get(path));
        let response = client.response();
        assert_eq!(response.status(), 500);
        assert_eq!(response.body, "Internal Server Error\n");
    }
}

#[test]
fn a_handler_that_neither_responds_nor_takes_the_responder_is_a_500() {
    let http = server();
    http.get("/", |_: Request| ());
    http.get("/later", |_: Request| async {});
    let mut client = Client::new(http);
    client.send([get("/"), get("/later")].concat());
    assert_eq!(client.response().status(), 500);
    assert_eq!(client.response().status(), 500);
}

#[test]
fn a_second_response_is_ignored() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.get("/", move |req: Request| {
        let responder = req.responder();
        notes.add(responder.send("first"));
        notes.add(responder.send("second"));
        notes.add(responder.is_open());
        "third"
    });
    let mut client = Client::new(http);
    client.send([get("/"), get("/")].concat());
    assert_eq!(client.response().body, "first");
    assert_eq!(client.response().body, "first");
    assert_eq!(client.take_received(), "");
    assert_eq!(log.text(), "true false false true false false");
}

#[test]
fn a_response_to_a_disconnected_client_is_ignored() {
    let (http, log) = (server(), Log::default());
    let held: Rc<RefCell<Option<Responder>>> = Rc::default();
    let (hold, notes) = (Rc::clone(&held), log.clone());
    http.get("/", move |req: Request| {
        let responder = req.responder();
        let log = notes.clone();
        responder.on("close", move |()| log.add("close"));
        *hold.borrow_mut() = Some(responder);
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    client.reset();
    settle();
    assert_eq!(log.text(), "close");
    let responder = held.borrow().unwrap();
    assert!(!responder.is_open() && !responder.send("late"));
}

#[test]
fn the_future_of_a_disconnected_client_is_dropped() {
    struct Dropped(Log);
    impl Drop for Dropped {
        fn drop(&mut self) {
            self.0.add("dropped");
        }
    }
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.get("/", move |_: Request| {
        let guard = Dropped(notes.clone());
        async move {
            std::future::pending::<()>().await;
            drop(guard);
        }
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    assert_eq!(log.text(), "");
    client.reset();
    settle();
    assert_eq!(log.text(), "dropped");
}

#[test]
fn a_response_with_an_invalid_header_is_a_500_without_it() {
    let http = server();
    http.get("/", |req: Request| {
        let value = req.query_value("v").unwrap_or_default().into_owned();
        Response::plain("x").header("X-Echo", value)
    });
    let mut client = Client::new(http);
    client.send(get("/?v=a%0d%0aSet-Cookie:%20b"));
    let response = client.response();
    assert_eq!(response.status(), 500);
    assert_eq!(response.field("set-cookie"), None);
    client.send(get("/?v=fine"));
    assert_eq!(client.response().field("x-echo"), Some("fine"));
}

#[test]
fn the_error_callback_renders_asynchronous_errors_too() {
    let http = server();
    http.get("/now", |_: Request| HttpError::not_found());
    http.get("/later", |_: Request| async { HttpError::not_found() });
    http.get("/sent", |req: Request| {
        req.responder().send(HttpError::not_found());
    });
    http.error(|error, req| Response::plain(format!("{} {}", error.status().as_u16(), req.path())));
    let mut client = Client::new(http);
    for path in ["/now", "/later", "/sent", "/nowhere"] {
        client.send(get(path));
        let response = client.response();
        assert_eq!(response.status(), StatusCode::NOT_FOUND.as_u16());
        assert_eq!(response.body, format!("404 {path}"));
    }
}

#[test]
fn a_thousand_idle_connections_do_not_disturb_a_busy_one() {
    let http = server();
    http.get("/", |_: Request| "busy");
    let mut idle: Vec<Client> = Vec::new();
    for n in 0..1000 {
        idle.push(Client::new(http));
        if n % 100 == 0 {
            settle();
        }
    }
    let mut busy = Client::new(http);
    for _ in 0..200 {
        busy.send(get("/"));
        assert_eq!(busy.response().body, "busy");
    }
    assert_eq!(http.open_connections(), 1001);
    for client in idle.iter_mut().step_by(100) {
        client.send(get("/"));
        assert_eq!(client.response().body, "busy");
    }
    drop((idle, busy));
    settle();
    run_until(|| http.open_connections() == 0);
}
