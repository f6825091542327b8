//! Timeouts of connections, heads, bodies and handlers.

use std::time::Duration;

use uptick_http::h2::ErrorCode;
use uptick_http::{HttpServer, Request, Response};

use crate::client::{Client, pass, request, server};
use crate::frames::*;
use crate::support::{capture_logs, manual_clock, settle};

const fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

/// Checks that a client is closed after `limit`, and not 400 ms before. Returns the code.
#[track_caller]
fn closed_after(
    clock: &uptick_event_loop::ManualClock,
    client: &mut Client,
    limit: Duration,
) -> ErrorCode {
    pass(clock, limit - ms(400));
    assert!(!client.is_closed());
    pass(clock, ms(800));
    client.closed()
}

#[test]
fn a_connection_without_a_request_is_closed_after_10_seconds() {
    let clock = manual_clock();
    let mut client = Client::new(server());
    let code = closed_after(&clock, &mut client, Duration::from_secs(10));
    assert_eq!(code, ErrorCode::NO_ERROR);
    let mut silent = Client::silent(server());
    pass(&clock, Duration::from_secs(11));
    assert!(silent.is_closed());
}

#[test]
fn an_incomplete_preface_is_limited_by_the_first_byte_timeout() {
    let clock = manual_clock();
    for length in [1, 5, 23] {
        let mut client = Client::silent(server());
        client.send(&PREFACE[..length]);
        settle();
        pass(&clock, ms(9600));
        assert!(!client.is_closed(), "{length}");
        pass(&clock, ms(800));
        assert!(client.is_closed(), "{length}");
    }
}

#[test]
fn an_idle_connection_is_closed_after_60_seconds() {
    let clock = manual_clock();
    let mut client = Client::new(server());
    for _ in 0..2 {
        let id = client.get("/");
        assert_eq!(client.response(id).text(), "hello");
        pass(&clock, Duration::from_secs(50));
    }
    let code = closed_after(&clock, &mut client, Duration::from_secs(10));
    assert_eq!(code, ErrorCode::NO_ERROR);
}

#[test]
fn a_partial_frame_is_limited_by_the_head_timeout() {
    let clock = manual_clock();
    let head = headers(1, END_STREAM, &request("GET", "/"));
    for part in [1, 8, 9, 12, head.len() - 1] {
        let mut client = Client::new(server());
        client.send(&head[..part]);
        settle();
        let code = closed_after(&clock, &mut client, Duration::from_secs(10));
        assert_eq!(code, ErrorCode::ENHANCE_YOUR_CALM, "{part}");
    }
}

#[test]
fn a_busy_connection_whose_reads_end_within_heads_is_not_slow() {
    let clock = manual_clock();
    let mut client = Client::new(server());
    client.opens_windows = false;
    let mut rest = Vec::new();
    for _ in 0..30 {
        let id = client.next_id();
        let head = headers(id, END_STREAM, &request("GET", "/"));
        let (one, two) = head.split_at(15);
        client.send([&rest[..], one].concat());
        rest = two.to_vec();
        pass(&clock, ms(900));
        assert!(!client.is_closed());
    }
    client.send(rest);
    client.read();
    assert_eq!(client.order.len(), 30);
}

#[test]
fn a_slow_upload_within_a_frame_is_limited_by_its_rate_only() {
    let clock = manual_clock();
    let mut client = Client::new(server());
    let id = client.post("/echo");
    let data = frame(DATA, END_STREAM, id, &[b'x'; 16_000]);
    // 2 KB per second, in pieces that end within the frame.
    for piece in data.chunks(1000) {
        client.send(piece);
        pass(&clock, ms(500));
    }
    let data: Vec<u8> = (0..3)
        .flat_map(|_| frame(DATA, 0, id + 2, &[b'x'; 16_000]))
        .collect();
    assert_eq!(client.response(id).body.len(), 16_000);
    let id = client.post("/echo");
    for piece in data.chunks(1000) {
        client.send(piece);
        pass(&clock, ms(500));
        assert!(!client.ended);
    }
    client.data(id, "", true);
    assert_eq!(client.response(id).body.len(), 48_000);
}

#[test]
fn a_body_that_is_too_slow_is_answered_with_408() {
    let clock = manual_clock();
    let mut client = Client::new(server());
    let slow = client.post("/echo");
    let fast = client.post("/echo");
    for _ in 0..11 {
        client.data(slow, [b'x'; 100], false);
        client.data(fast, [b'x'; 2000], false);
        pass(&clock, Duration::from_secs(1));
    }
    assert_eq!(client.response(slow).status, 408);
    client.data(fast, "", true);
    assert_eq!(client.response(fast).body.len(), 22_000);
    assert!(!client.is_closed());
}

#[test]
fn a_client_is_not_slow_while_other_bodies_use_the_window_of_the_connection() {
    let clock = manual_clock();
    let http = server();
    let held = std::rc::Rc::<std::cell::RefCell<Vec<Request>>>::default();
    let hold = std::rc::Rc::clone(&held);
    http.post("/held", move |req: Request| {
        let _ = req.responder();
        hold.borrow_mut().push(req);
    });
    let mut client = Client::new(http);
    for _ in 0..4 {
        let id = client.post("/held");
        for _ in 0..16 {
            client.data(id, [b'x'; 16_000], false);
        }
    }
    let waits = client.post("/echo");
    pass(&clock, Duration::from_secs(25));
    assert_eq!(client.seen(waits).status, 0);
    for held in held.borrow().iter() {
        held.responder().send("done");
    }
    client.data(waits, "end", true);
    assert_eq!(client.response(waits).text(), "end");
}

#[test]
fn a_handler_without_response_is_answered_with_500_after_60_seconds() {
    let clock = manual_clock();
    let mut client = Client::new(server());
    let id = client.get("/never");
    client.read();
    capture_logs(|| {
        pass(&clock, ms(59_600));
        assert_eq!(client.seen(id).status, 0);
        pass(&clock, ms(800));
        assert_eq!(client.seen(id).status, 500);
    });
    let next = client.get("/");
    assert_eq!(client.response(next).text(), "hello");
}

#[test]
fn a_connection_with_an_open_stream_is_not_idle() {
    let clock = manual_clock();
    let http = server();
    http.get("/events", |_: Request| {
        let pending = futures::stream::pending::<Result<String, std::convert::Infallible>>();
        Response::plain(uptick_http::BodyStream::new(pending))
    });
    let mut client = Client::new(http);
    let id = client.get("/events");
    client.read();
    pass(&clock, Duration::from_secs(200));
    assert!(!client.is_closed());
    client.send(reset(id, ErrorCode::CANCEL));
    client.read();
    let code = closed_after(&clock, &mut client, Duration::from_secs(60));
    assert_eq!(code, ErrorCode::NO_ERROR);
}

#[test]
fn a_connection_whose_reset_requests_are_still_used_is_idle() {
    let clock = manual_clock();
    let http = HttpServer::new();
    let held = std::rc::Rc::<std::cell::RefCell<Vec<Request>>>::default();
    let hold = std::rc::Rc::clone(&held);
    http.get("/held", move |req: Request| {
        let _ = req.responder();
        hold.borrow_mut().push(req);
    });
    let mut client = Client::new(http);
    let id = client.get("/held");
    client.read();
    client.send(reset(id, ErrorCode::CANCEL));
    client.read();
    let code = closed_after(&clock, &mut client, Duration::from_secs(60));
    assert_eq!(code, ErrorCode::NO_ERROR);
    client.end();
    settle();
    assert_eq!((held.borrow().len(), http.open_connections()), (1, 0));
}
