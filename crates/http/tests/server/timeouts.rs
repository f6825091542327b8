//! Timeouts of connections, request heads, bodies and handlers.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_event_loop::{ManualClock, add_timer};
use uptick_http::{HttpError, HttpServer, Request, Responder, Response};

use crate::support::{Client, get, manual_clock, server, settle};

/// Advances the clock in small steps.
fn pass(clock: &ManualClock, time: Duration) {
    for _ in 0..time.as_millis() / 100 {
        clock.advance(Duration::from_millis(100));
        settle();
    }
}

fn hello() -> HttpServer {
    let http = server();
    http.get("/", |_: Request| "hello");
    http.post("/", |req: Request| async move {
        Ok::<_, HttpError>(req.bytes(1 << 20).await?.len().to_string())
    });
    http
}

#[test]
fn a_connection_without_any_byte_is_closed_after_10_seconds() {
    let clock = manual_clock();
    let mut client = Client::new(hello());
    settle();
    pass(&clock, Duration::from_millis(9900));
    assert!(!client.is_closed());
    pass(&clock, Duration::from_millis(400));
    assert!(client.is_closed());
}

#[test]
fn a_connection_is_not_idle_while_its_client_reads_the_response() {
    let clock = manual_clock();
    let http = hello();
    http.get("/long", |_: Request| vec![b'x'; 40 << 20]);
    let mut client = Client::new(http);
    // Without a limit, the kernel could acknowledge much more than the client has read.
    client.set_receive_buffer(256 << 10);
    client.send(get("/long"));
    settle();
    for _ in 0..4 {
        // In each 30 s, the client reads enough for a window update: it is slow, but not stalled.
        client.read_exactly(6 << 20);
        pass(&clock, Duration::from_secs(25));
    }
    client.send(get("/"));
    assert_eq!(client.response().body.len(), 40 << 20);
    assert_eq!(client.response().body, "hello");
}

#[test]
fn a_connection_is_not_idle_while_its_client_reads_bytes_buffered_by_the_kernel() {
    let clock = manual_clock();
    let http = hello();
    http.get("/long", |_: Request| vec![b'x'; 2 << 20]);
    let mut client = Client::new(http);
    // A small buffer makes the kernel acknowledge in small steps.
    client.set_receive_buffer(16 << 10);
    client.send(get("/long"));
    settle();
    for _ in 0..4 {
        // The send buffer had room for the whole response.
        client.read_exactly(200 << 10);
        pass(&clock, Duration::from_secs(50));
    }
    client.send(get("/"));
    assert_eq!(client.response().body.len(), 2 << 20);
    assert_eq!(client.response().body, "hello");
}

#[test]
fn a_client_that_does_not_read_from_the_kernel_buffer_is_idle() {
    let clock = manual_clock();
    let http = hello();
    http.get("/long", |_: Request| vec![b'x'; 1 << 20]);
    let mut client = Client::new(http);
    client.send(get("/long"));
    settle();
    pass(&clock, Duration::from_secs(90));
    assert_eq!(http.open_connections(), 1);
    // The timeout is extended once, and again if the kernel acknowledged a part late.
    pass(&clock, Duration::from_secs(210));
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn an_idle_connection_is_closed_60_seconds_after_its_last_response() {
    let clock = manual_clock();
    let mut client = Client::new(hello());
    for _ in 0..3 {
        client.send(get("/"));
        assert_eq!(client.response().body, "hello");
        pass(&clock, Duration::from_secs(59));
        assert!(!client.is_closed());
    }
    pass(&clock, Duration::from_millis(1500));
    assert!(client.is_closed());
}

#[test]
fn a_slow_head_has_10_seconds_in_total() {
    let clock = manual_clock();
    let mut client = Client::new(hello());
    client.send(get("/"));
    assert_eq!(client.response().body, "hello");
    pass(&clock, Duration::from_secs(30));
    client.send("GET / HTTP/1.1\r\n");
    for _ in 0..9 {
        client.send("X: y\r\n");
        pass(&clock, Duration::from_secs(1));
    }
    assert_eq!(client.take_received(), "");
    pass(&clock, Duration::from_millis(1500));
    let response = client.response();
    assert_eq!((response.status(), response.closes()), (408, true));
    assert_eq!(client.rest(), "");
}

#[test]
fn a_body_slower_than_1_kib_per_second_is_answered_with_408() {
    let clock = manual_clock();
    let mut client = Client::new(hello());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 100000\r\n\r\n");
    for _ in 0..9 {
        client.send([b'x'; 100]);
        pass(&clock, Duration::from_secs(1));
    }
    assert_eq!(client.take_received(), "");
    pass(&clock, Duration::from_millis(1500));
    let response = client.response();
    assert_eq!((response.status(), response.closes()), (408, true));
}

#[test]
fn a_body_that_is_fast_enough_has_no_total_timeout() {
    let clock = manual_clock();
    let mut client = Client::new(hello());
    client.send("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 60000\r\n\r\n");
    for _ in 0..30 {
        client.send([b'x'; 2000]);
        pass(&clock, Duration::from_secs(1));
    }
    assert_eq!(client.response().body, "60000");
}

#[test]
fn the_rest_of_an_unread_body_has_10_seconds() {
    let clock = manual_clock();
    let http = hello();
    http.post("/unread", |_: Request| "unread");
    let mut client = Client::new(http);
    client.send("POST /unread HTTP/1.1\r\nHost: t\r\nContent-Length: 100\r\n\r\nx");
    let response = client.response();
    assert_eq!(
        (response.body.as_str(), response.closes()),
        ("unread", false)
    );
    for _ in 0..9 {
        client.send("x");
        pass(&clock, Duration::from_secs(1));
    }
    assert!(!client.is_closed());
    pass(&clock, Duration::from_millis(1500));
    assert!(client.is_closed());
}

#[test]
fn a_handler_that_never_responds_is_a_500_after_60_seconds() {
    let clock = manual_clock();
    let http = hello();
    http.get("/never", |req: Request| {
        req.responder();
    });
    http.get("/pending", |_: Request| std::future::pending::<&str>());
    for path in ["/never", "/pending"] {
        let mut client = Client::new(http);
        client.send(get(path));
        settle();
        pass(&clock, Duration::from_secs(59));
        assert_eq!(client.take_received(), "");
        pass(&clock, Duration::from_millis(1500));
        assert_eq!(client.response().status(), 500);
    }
}

#[test]
fn timeouts_can_be_set_and_disabled() {
    let clock = manual_clock();
    let http = hello()
        .first_byte_timeout(None)
        .idle_timeout(Some(Duration::from_secs(2)))
        .head_timeout(Some(Duration::from_secs(3)));
    let mut fresh = Client::new(http);
    settle();
    pass(&clock, Duration::from_secs(100));
    assert!(!fresh.is_closed());
    fresh.send("GET");
    settle();
    pass(&clock, Duration::from_millis(3500));
    assert_eq!(fresh.response().status(), 408);
    let mut idle = Client::new(http);
    idle.send(get("/"));
    idle.response();
    pass(&clock, Duration::from_millis(2500));
    assert!(idle.is_closed());
}

#[test]
fn a_handler_that_is_too_late_is_dropped() {
    let clock = manual_clock();
    let http = server().response_timeout(Some(Duration::from_secs(2)));
    let held = Rc::new(());
    let handler = Rc::clone(&held);
    http.get("/", move |_: Request| {
        let held = Rc::clone(&handler);
        async move {
            std::future::pending::<()>().await;
            drop(held);
        }
    });
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    assert_eq!(Rc::strong_count(&held), 3);
    pass(&clock, Duration::from_secs(3));
    assert_eq!(client.response().status(), 500);
    settle();
    assert_eq!(Rc::strong_count(&held), 2);
}

#[test]
fn a_stalled_client_is_closed_after_the_write_timeout() {
    let clock = manual_clock();
    let http = server().write_timeout(Some(Duration::from_secs(10)));
    http.get("/", |_: Request| vec![b'x'; 20 << 20]);
    let mut client = Client::new(http);
    client.send(get("/"));
    settle();
    assert_eq!(http.open_connections(), 1);
    pass(&clock, Duration::from_millis(9_500));
    assert_eq!(http.open_connections(), 1);
    // The kernel of the client may have acknowledged a part late.
    pass(&clock, Duration::from_secs(20));
    assert_eq!(http.open_connections(), 0);
    assert!(client.rest().len() < 20 << 20);
}

#[test]
fn a_client_that_does_not_close_has_the_linger_time() {
    let clock = manual_clock();
    let http = server().linger(Duration::from_secs(5));
    http.get("/", |_: Request| Response::plain("bye").close_connection());
    let mut client = Client::new(http);
    client.send(get("/"));
    assert!(client.response().closes());
    pass(&clock, Duration::from_millis(4_500));
    assert_eq!(http.open_connections(), 1);
    pass(&clock, Duration::from_secs(1));
    assert_eq!(http.open_connections(), 0);
}

#[test]
fn the_server_does_not_linger_for_a_client_that_sent_close() {
    let http = server();
    http.get("/", |_: Request| "bye");
    for request in [
        "GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n",
        "GET / HTTP/1.0\r\n\r\n",
    ] {
        let mut client = Client::new(http);
        client.send(request);
        let response = client.response();
        assert_eq!((response.closes(), &response.body[..]), (true, "bye"));
        settle();
        assert_eq!(http.open_connections(), 0);
        assert!(client.is_closed());
    }
}

#[test]
fn a_client_that_sent_close_and_more_bytes_receives_its_response() {
    let clock = manual_clock();
    let http = server().linger(Duration::from_secs(5));
    http.get("/", |_: Request| "bye");
    let mut client = Client::new(http);
    client.send("GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n");
    assert!(client.response().closes());
    pass(&clock, Duration::from_millis(4_500));
    assert_eq!(http.open_connections(), 1);
}

#[test]
fn a_connection_is_not_idle_after_a_long_running_handler() {
    let clock = manual_clock();
    let http = hello();
    let work = clock.clone();
    http.get("/long", move |_: Request| {
        work.advance(Duration::from_secs(300));
        "at last"
    });
    let mut client = Client::new(http);
    client.send(get("/long"));
    assert_eq!(client.response().body, "at last");
    pass(&clock, Duration::from_secs(59));
    client.send(get("/"));
    assert_eq!(client.response().body, "hello");
    pass(&clock, Duration::from_millis(60_400));
    assert!(client.is_closed());
}

#[test]
fn a_request_received_in_time_is_answered_after_a_long_callback() {
    let clock = manual_clock();
    let mut client = Client::new(hello());
    client.send("GET / HTTP/1.1\r\n");
    settle();
    client.send("Host: x\r\n\r\n");
    uptick_event_loop::future_tick(move || clock.advance(Duration::from_secs(300)));
    assert_eq!(client.response().status(), 200);
}

#[test]
fn a_malformed_body_does_not_shorten_the_response_timeout() {
    let clock = manual_clock();
    let http = server();
    http.post("/future", |req: Request| async move {
        let failed = req.bytes(100).await.is_err();
        uptick_event_loop::sleep(Duration::from_secs(30)).await;
        failed.to_string()
    });
    let errors = Rc::new(Cell::new(0));
    let count = Rc::clone(&errors);
    http.post("/events", move |req: Request, res: Responder| {
        let count = Rc::clone(&count);
        req.on("data", |_: Bytes| ());
        req.on(Request::ERROR, move |_| {
            count.set(count.get() + 1);
            add_timer(Duration::from_secs(30), move || res.send("true"));
        });
    });
    for path in ["/future", "/events"] {
        let mut client = Client::new(http);
        client.send(format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n!"
        ));
        settle();
        pass(&clock, Duration::from_secs(29));
        assert_eq!(client.take_received(), "", "{path}");
        pass(&clock, Duration::from_secs(2));
        let response = client.response();
        assert_eq!((response.status(), response.body.as_str()), (200, "true"));
        assert!(response.closes());
    }
    assert_eq!(errors.get(), 1);
}

#[test]
fn a_request_is_a_500_60_seconds_after_its_body_has_failed() {
    let clock = manual_clock();
    let http = server();
    http.post("/", |req: Request, _: Responder| {
        req.on("data", |_: Bytes| ());
        req.on(Request::ERROR, |_| ());
    });
    let mut client = Client::new(http);
    client.send("POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n");
    pass(&clock, Duration::from_secs(5));
    client.send("!");
    settle();
    pass(&clock, Duration::from_secs(59));
    assert_eq!(client.take_received(), "");
    pass(&clock, Duration::from_secs(2));
    assert_eq!(client.response().status(), 500);
}
