//! Server statistics.

use std::time::Duration;

use uptick_event_loop::sleep;
use uptick_http::{BodyStream, Request, Responder, Response, StatusCode};
use uptick_socket::Connection;

use crate::support::{Client, get, manual_clock, server, settle};

#[test]
fn responses_are_counted_by_status_class() {
    let http = server();
    http.get("/", |_: Request| "ok");
    http.get("/stream", |_: Request| {
        let pieces = futures::stream::iter([Ok::<_, std::io::Error>("piece")]);
        Response::plain(BodyStream::new(pieces))
    });
    http.get("/none", |_: Request| StatusCode::NO_CONTENT);
    http.get("/away", |_: Request| Response::redirect("/"));
    http.get("/fails", |_: Request| StatusCode::BAD_GATEWAY);
    http.get("/raw", |_: Request| {
        Response::upgrade("raw", |conn: Connection| conn.end())
    });
    let mut client = Client::new(http);
    for path in ["/", "/", "/stream", "/none", "/away", "/fails", "/missing"] {
        client.send(get(path));
        client.response();
    }
    client.send("GET /raw HTTP/1.1\r\nHost: t\r\nConnection: Upgrade\r\nUpgrade: raw\r\n\r\n");
    assert_eq!(client.response().status(), 101);
    let mut other = Client::new(http);
    other.send("this is no request\r\n\r\n");
    assert_eq!(other.response().status(), 400);
    http.test().get("/").send().unwrap();
    let stats = http.stats();
    assert_eq!(
        (stats.connections, stats.upgrades, stats.requests),
        (2, 1, 9)
    );
    let classes = [
        stats.responses_2xx,
        stats.responses_3xx,
        stats.responses_4xx,
        stats.responses_5xx,
    ];
    assert_eq!(classes, [5, 1, 2, 1]);
}

#[test]
fn handler_times_are_counted_if_enabled() {
    let clock = manual_clock();
    let http = server();
    http.get("/", |_: Request| "ok");
    http.get("/future", |_: Request| async {
        sleep(Duration::from_millis(20)).await;
        "ok"
    });
    http.get("/responder", |_: Request, res: Responder| {
        uptick_event_loop::add_timer(Duration::from_millis(200), move || res.send("ok"));
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    assert_eq!(client.response().body, "ok");
    assert_eq!(http.handler_time().count(), 0);
    http.measure_handlers(true);
    for (path, time) in [("/", 0), ("/future", 20), ("/responder", 200)] {
        client.send(get(path));
        settle();
        clock.advance(Duration::from_millis(time));
        assert_eq!(client.response().body, "ok");
    }
    let times = http.handler_time();
    assert_eq!(
        (times.count(), times.sum()),
        (3, Duration::from_millis(220))
    );
    http.measure_handlers(false);
    client.send(get("/"));
    assert_eq!(client.response().body, "ok");
    assert_eq!(http.handler_time().count(), 3);
}
