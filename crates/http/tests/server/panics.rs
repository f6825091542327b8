//! Panics in handlers and middleware.

use std::convert::Infallible;
use std::time::Duration;

use uptick_event_loop::sleep;
use uptick_http::{BodyStream, HttpServer, Next, Request, Response};

use crate::support::{Client, Log, capture_logs, get, server, settle};

/// Returns a server with all layers that a response passes.
fn layered() -> HttpServer {
    let http = server();
    http.wrap(|req: Request, next: Next| {
        next.run(req)
            .map(|response| response.header("access-control-allow-origin", "*"))
    });
    http.error(|error, req| Response::plain(format!("{} {}", error.status(), req.path())));
    http.on_response(|response| response.header("x-seen", "yes"));
    http
}

fn boom() {
    panic!("on purpose");
}

#[track_caller]
fn is_shaped(http: HttpServer, path: &str) {
    let lines = capture_logs(|| {
        let mut client = Client::new(http);
        client.send(get(path));
        let response = client.response();
        assert_eq!(
            (response.status(), response.closes()),
            (500, true),
            "{path}"
        );
        assert_eq!(response.body, format!("500 Internal Server Error {path}"));
        assert_eq!(
            response.field("access-control-allow-origin"),
            Some("*"),
            "{path}"
        );
        assert_eq!(response.field("x-seen"), Some("yes"), "{path}");
        assert_eq!(client.rest(), "");
    });
    let errors: Vec<_> = lines
        .iter()
        .filter(|line| line.starts_with("ERROR"))
        .collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    for part in ["method=GET", &*format!("path=\"{path}\""), "on purpose"] {
        assert!(errors[0].contains(part), "{part} is not in {errors:?}");
    }
}

#[test]
fn the_500_for_a_panic_passes_the_error_callback_and_the_middleware() {
    let http = layered();
    http.get("/sync", |_: Request| -> &str { panic!("on purpose") });
    http.get("/async", |_: Request| async {
        sleep(Duration::from_millis(1)).await;
        panic!("on purpose");
        #[allow(
            unreachable_code,
            reason = "it determines the output type of the future"
        )]
        "never"
    });
    http.get("/responder", |req: Request| -> () {
        req.responder();
        panic!("on purpose");
    });
    http.get("/nothing", |_: Request| async {
        sleep(Duration::from_millis(1)).await;
        boom();
    });
    http.group("/sync-layer", |group| {
        group.wrap(|_: Request, _: Next| -> &str { panic!("on purpose") });
        group.get("/", |_: Request| "never");
    });
    http.group("/async-layer", |group| {
        group.wrap(|req: Request, next: Next| async {
            next.run(req).await?;
            panic!("on purpose");
            #[allow(
                unreachable_code,
                reason = "it determines the output type of the future"
            )]
            None
        });
        group.get("/", |_: Request| "never");
    });
    for (path, later) in [("/map", false), ("/map-later", true)] {
        http.group(path, |group| {
            group.wrap(|req: Request, next: Next| next.run(req).map(|_| panic!("on purpose")));
            match later {
                false => group.get("/", |_: Request| "never"),
                true => group.get("/", |_: Request| async { "never" }),
            };
        });
    }
    for path in [
        "/sync",
        "/async",
        "/responder",
        "/nothing",
        "/sync-layer/",
        "/async-layer/",
        "/map/",
        "/map-later/",
    ] {
        is_shaped(http, path);
    }
}

#[test]
fn middleware_receives_the_error_of_a_panic_before_it_is_rendered() {
    let (http, log) = (server(), Log::default());
    let notes = log.clone();
    http.wrap(move |req: Request, next: Next| {
        let log = notes.clone();
        next.run(req).map(move |response| {
            let error = response.failure().map(|error| error.status().as_u16());
            log.add(format!("middleware {error:?}"));
            response
                .header("x-page", "of the middleware")
                .header("x-layer", "yes")
        })
    });
    let notes = log.clone();
    http.error(move |_, _| {
        notes.add("error");
        Response::plain("page").header("x-page", "of the callback")
    });
    let notes = log.clone();
    http.on_response(move |response| {
        notes.add("on_response");
        response
    });
    http.get("/", |_: Request| -> &str { panic!("on purpose") });
    let mut client = Client::new(http);
    client.send(get("/"));
    let received = client.response();
    assert_eq!((received.status(), &*received.body), (500, "page"));
    assert_eq!(received.field("x-page"), Some("of the callback"));
    assert_eq!(received.field("x-layer"), Some("yes"));
    assert_eq!(log.text(), "middleware Some(500) error on_response");
}

#[test]
fn a_complete_response_is_sent_although_its_handler_panics_afterwards() {
    let http = layered();
    http.get("/", |req: Request| -> () {
        req.responder().send("whole");
        panic!("on purpose");
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    assert_eq!(client.response().body, "whole");
    assert_eq!(client.rest(), "");
}

#[test]
fn a_started_response_is_aborted_when_its_handler_panics() {
    let http = layered();
    http.get("/", |req: Request| -> () {
        let responder = req.responder();
        responder.start(Response::plain("part"));
        panic!("on purpose");
    });
    let lines = capture_logs(|| {
        let mut client = Client::new(http);
        client.send(get("/"));
        assert!(!client.rest().contains("0\r\n\r\n"));
    });
    assert!(
        lines.iter().any(|line| line.contains("path=\"/\"")),
        "{lines:?}"
    );
}

#[test]
fn the_log_names_the_request_whose_body_stream_panics() {
    let http = layered();
    http.get("/body", |_: Request| {
        let pieces = [0].map(|_| -> Result<&str, Infallible> { Ok("piece") });
        let pieces = pieces
            .into_iter()
            .chain(std::iter::from_fn(|| panic!("on purpose")));
        Response::plain(BodyStream::new(futures::stream::iter(pieces)))
    });
    let lines = capture_logs(|| {
        let mut client = Client::new(http);
        client.send(get("/body"));
        client.rest();
    });
    let line = lines
        .iter()
        .find(|line| line.contains("on purpose"))
        .unwrap();
    assert!(
        line.contains("method=GET") && line.contains("path=\"/body\""),
        "{line}"
    );
}

#[test]
fn the_log_names_the_request_of_a_500_from_the_server() {
    let http = layered();
    http.get("/interim", |_: Request| http::StatusCode::CONTINUE);
    http.get("/silent", |_: Request| ());
    for path in ["/interim", "/silent"] {
        let lines = capture_logs(|| {
            let mut client = Client::new(http);
            client.send(get(path));
            let response = client.response();
            assert_eq!(response.body, format!("500 Internal Server Error {path}"));
        });
        let errors: Vec<_> = lines
            .iter()
            .filter(|line| line.starts_with("ERROR"))
            .collect();
        assert!(
            errors.len() == 1 && errors[0].contains("method=GET"),
            "{errors:?}"
        );
    }
}

#[test]
fn a_panic_in_a_body_listener_is_a_500_for_the_error_callback() {
    let (http, log) = (layered(), Log::default());
    let notes = log.clone();
    http.post("/data", move |req: Request| {
        use uptick_emitter::Emitter;
        let responder = req.responder();
        let log = notes.clone();
        responder.on("close", move |()| log.add("close"));
        req.on("data", |_: bytes::Bytes| panic!("on purpose"));
    });
    let mut client = Client::new(http);
    client.send(crate::support::post("/data", "abc"));
    let response = client.response();
    assert_eq!((response.status(), response.closes()), (500, true));
    assert_eq!(response.body, "500 Internal Server Error /data");
    settle();
}
