//! Connections that close while requests are open.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_http::h2::ErrorCode;
use uptick_http::{HttpServer, Request};

use crate::client::{Client, server};
use crate::frames::*;
use crate::support::{Log, capture_logs};

/// Adds a route whose requests log their end.
fn log_ends(http: HttpServer) -> Log {
    let log = Log::default();
    let ends = log.clone();
    http.any("/open", move |req: Request| {
        let ends = ends.clone();
        let _responder = req.responder();
        req.on("close", move |()| ends.add("close"));
    });
    log
}

#[test]
fn all_requests_are_closed_with_their_connection() {
    for by_client in [true, false] {
        let http = server();
        let log = log_ends(http);
        let mut client = Client::new(http);
        for _ in 0..3 {
            client.get("/open");
        }
        client.post("/open");
        client.read();
        match by_client {
            true => drop(client),
            false => client.conn.close(),
        }
        crate::support::run_until(|| http.open_connections() == 0);
        // The body of the last request ends early if the client ends, which is answered.
        let count = if by_client { 3 } else { 4 };
        assert_eq!(log.entries(), vec!["close"; count]);
    }
}

#[test]
fn a_panic_of_a_listener_does_not_affect_the_others() {
    struct PanicsInDrop(Rc<Cell<usize>>);

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            self.0.set(self.0.get() + 1);
            panic!("in drop");
        }
    }

    let http = server();
    let log = log_ends(http);
    let drops = Rc::<Cell<usize>>::default();
    let count = Rc::clone(&drops);
    http.get("/panic", move |req: Request| {
        let _responder = req.responder();
        let value = PanicsInDrop(Rc::clone(&count));
        req.on("close", move |()| {
            let _value = &value;
            panic!("in close");
        });
    });
    let mut client = Client::new(http);
    for path in ["/open", "/panic", "/open", "/panic", "/open"] {
        client.get(path);
    }
    client.read();
    let lines = capture_logs(|| client.conn.close());
    assert_eq!(log.text(), "close close close");
    assert_eq!(drops.get(), 2);
    let errors = lines.iter().filter(|line| line.starts_with("ERROR"));
    assert_eq!(errors.count(), 4, "{lines:#?}");
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_panic_in_the_drop_of_a_listener_ends_the_connection() {
    struct PanicsInDrop;

    impl Drop for PanicsInDrop {
        fn drop(&mut self) {
            panic!("in drop");
        }
    }

    let http = server();
    let log = log_ends(http);
    http.get("/panic", |req: Request| {
        let value = PanicsInDrop;
        req.on("close", move |()| {
            let _value = &value;
        });
        "sent"
    });
    let mut client = Client::new(http);
    let _open = client.get("/open");
    client.read();
    let lines = capture_logs(|| {
        client.get("/panic");
        client.read();
    });
    assert!(client.is_closed());
    assert_eq!(log.text(), "close");
    assert!(
        lines.iter().any(|line| line.contains("in drop")),
        "{lines:?}"
    );
    client.end();
    crate::support::settle();
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn a_request_that_closes_the_connection_in_a_callback_ends_all() {
    let http = server();
    let log = log_ends(http);
    http.post("/closes", |req: Request| {
        let _responder = req.responder();
        let conn = req.connection().unwrap();
        req.on("data", move |_: bytes::Bytes| conn.close());
    });
    let mut client = Client::new(http);
    let _open = client.get("/open");
    let closes = client.post("/closes");
    let later = client.next_id();
    let data = frame(DATA, 0, closes, b"x");
    client.send(
        [
            data.clone(),
            data,
            headers(later, END_STREAM, &crate::client::request("GET", "/open")),
        ]
        .concat(),
    );
    assert!(client.is_closed());
    assert_eq!(log.text(), "close");
}

#[test]
fn a_connection_error_ends_all_requests_and_is_announced() {
    let http = server();
    let log = log_ends(http);
    let mut client = Client::new(http);
    let ids = [client.get("/open"), client.post("/open")];
    client.read();
    client.send(frame(DATA, 0, 0, b"x"));
    assert_eq!(client.closed(), ErrorCode::PROTOCOL_ERROR);
    assert_eq!(client.go_aways, [(ids[1], ErrorCode::PROTOCOL_ERROR)]);
    assert_eq!(log.text(), "close close");
    assert_eq!(http.stats().requests, 2);
}

#[test]
fn the_slots_of_reset_requests_are_free_once_the_program_drops_them() {
    let http = server();
    let held = Rc::<RefCell<Vec<Request>>>::default();
    let hold = Rc::clone(&held);
    http.get("/held", move |req: Request| {
        let _ = req.responder();
        hold.borrow_mut().push(req);
    });
    let mut client = Client::new(http);
    for _ in 0..128 {
        let id = client.get("/held");
        client.send(reset(id, ErrorCode::CANCEL));
    }
    client.read();
    let refused = client.get("/");
    assert_eq!(
        client.response(refused).reset,
        Some(ErrorCode::REFUSED_STREAM)
    );
    held.borrow_mut().clear();
    let served = client.get("/");
    assert_eq!(client.response(served).text(), "hello");
}
