//! Known attacks on servers of HTTP/2: each is stopped by a limit, and the memory of the connection stays bounded.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use uptick_http::h2::{ErrorCode, Limits};
use uptick_http::{HttpServer, Request};

use crate::allocator::allocated;
use crate::client::{Client, pass, request, server};
use crate::frames::*;
use crate::support::{manual_clock, settle};

const CALM: ErrorCode = ErrorCode::ENHANCE_YOUR_CALM;

/// Maximum number of bytes that a connection may allocate, with its sockets' read and write buffers.
const MEMORY: isize = 1024 * 1024;

/// Adds a route whose handler never responds, and returns the number of its calls.
fn count_calls(http: HttpServer, path: &str) -> Rc<Cell<usize>> {
    let calls = Rc::<Cell<usize>>::default();
    let count = Rc::clone(&calls);
    http.any(path, move |_: Request| {
        count.set(count.get() + 1);
        std::future::pending::<&str>()
    });
    calls
}

/// Limits without a budget for frames that transport little.
fn without_overhead() -> Limits {
    Limits::default().overhead(u32::MAX, u32::MAX)
}

#[test]
fn rapid_reset_ends_the_connection() {
    manual_clock();
    let http = server();
    let calls = count_calls(http, "/slow");
    let mut client = Client::new(http);
    for n in 0..2_000 {
        let id = client.next_id();
        let head = headers(id, END_STREAM, &request("GET", "/slow"));
        client.send([head, reset(id, ErrorCode::CANCEL)].concat());
        if n % 50 == 0 {
            // Cancelled tasks are dropped in the next iteration.
            client.read();
        }
    }
    assert_eq!(client.closed(), CALM);
    assert!((900..=1001).contains(&calls.get()), "{}", calls.get());
}

#[test]
fn a_stream_counts_until_its_handler_has_ended() {
    manual_clock();
    let http = server().http2_limits(Limits::default().concurrent_streams(10));
    let held = Rc::<RefCell<Vec<Request>>>::default();
    let hold = Rc::clone(&held);
    http.get("/held", move |req: Request| {
        hold.borrow_mut().push(req);
        std::future::pending::<&str>()
    });
    let mut client = Client::new(http);
    for _ in 0..50 {
        let id = client.get("/held");
        client.send(reset(id, ErrorCode::CANCEL));
    }
    client.read();
    assert_eq!(held.borrow().len(), 10);
    let refused = client.get("/");
    let response = client.response(refused);
    assert_eq!(response.reset, Some(ErrorCode::REFUSED_STREAM));
    held.borrow_mut().clear();
    let last = client.get("/");
    assert_eq!(client.response(last).text(), "hello");
}

#[test]
fn resets_that_the_client_provokes_end_the_connection() {
    manual_clock();
    let http = server();
    let calls = count_calls(http, "/slow");
    let mut client = Client::new(http);
    for n in 0..2_000 {
        let id = client.next_id();
        let head = headers(id, END_STREAM, &request("GET", "/slow"));
        let provocation = match n % 3 {
            0 => window_update(id, 0),
            1 => frame(DATA, 0, id, b"late"),
            _ => [
                window_update(id, i32::MAX as u32),
                window_update(id, i32::MAX as u32),
            ]
            .concat(),
        };
        client.send([head, provocation].concat());
        if n % 50 == 0 {
            client.read();
        }
    }
    assert_eq!(client.closed(), CALM);
    assert!((900..=1001).contains(&calls.get()), "{}", calls.get());
}

#[test]
fn a_flood_of_continuation_frames_ends_the_connection() {
    let http = server();
    let calls = count_calls(http, "/slow");
    let mut client = Client::new(http);
    let block = block(&request("GET", "/slow"));
    client.send(frame(HEADERS, END_STREAM, 1, &block));
    client.send(frame(CONTINUATION, 0, 1, b"").repeat(8));
    client.read();
    assert!(!client.ended);
    client.send(frame(CONTINUATION, 0, 1, b""));
    assert_eq!(client.closed(), CALM);
    assert_eq!(calls.get(), 0);
}

#[test]
fn a_header_block_without_end_ends_with_the_head_timeout() {
    let clock = manual_clock();
    let http = server();
    let calls = count_calls(http, "/slow");
    let mut client = Client::new(http);
    client.send(frame(
        HEADERS,
        END_STREAM,
        1,
        &block(&request("GET", "/slow")),
    ));
    for _ in 0..7 {
        pass(&clock, Duration::from_millis(1300));
        client.send(frame(CONTINUATION, 0, 1, b""));
        assert!(!client.is_closed());
    }
    pass(&clock, Duration::from_millis(1300));
    assert_eq!(client.closed(), CALM);
    assert_eq!(calls.get(), 0);
}

#[test]
fn a_bomb_of_indexed_fields_is_refused_before_it_is_decoded() {
    let http = server();
    let calls = count_calls(http, "/slow");
    let mut client = Client::with_window(http, 0);
    // A field of 4,000 bytes in the dynamic table, which each further byte repeats.
    let mut bomb = block(&request("GET", "/slow"));
    bomb.extend_from_slice(&[0x40, 1, b'x', 0x7f, 0xa1, 0x1e]);
    bomb.extend_from_slice(&[b'y'; 4000]);
    bomb.extend_from_slice(&[0xbe; 12_000]);
    let before = allocated();
    for _ in 0..100 {
        let id = client.next_id();
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, id, &bomb));
    }
    client.read();
    assert_eq!(calls.get(), 0);
    assert_eq!(client.streams.len(), 100);
    assert!(client.streams.values().all(|stream| stream.status == 431));
    client.streams.clear();
    assert!(allocated() - before < MEMORY, "{}", allocated() - before);
}

#[test]
fn a_bomb_of_cookie_parts_is_refused_while_the_window_is_closed() {
    let http = server();
    let calls = count_calls(http, "/slow");
    let mut client = Client::with_window(http, 0);
    let mut bomb = block(&request("GET", "/slow"));
    // The indexed field `cookie` without a value.
    bomb.extend_from_slice(&[0xa0; 16_000]);
    let before = allocated();
    for _ in 0..100 {
        let id = client.next_id();
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, id, &bomb));
    }
    client.read();
    assert_eq!(calls.get(), 0);
    assert!(client.streams.values().all(|stream| stream.status == 431));
    client.streams.clear();
    assert!(allocated() - before < MEMORY, "{}", allocated() - before);
}

#[test]
fn heads_within_the_limits_use_bounded_memory_while_the_window_is_closed() {
    let http = server();
    http.get("/cookies", |_: Request| "answer");
    let mut client = Client::with_window(http, 0);
    let mut fields = block(&request("GET", "/cookies"));
    fields.extend_from_slice(&[0xa0; 200]);
    let before = allocated();
    for _ in 0..2_000 {
        let id = client.next_id();
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, id, &fields));
    }
    client.read();
    client.streams.clear();
    assert!(allocated() - before < MEMORY, "{}", allocated() - before);
}

#[test]
fn a_flood_of_empty_data_frames_ends_the_connection() {
    manual_clock();
    let mut client = Client::new(server());
    let id = client.post("/echo");
    client.send(frame(DATA, 0, id, b"").repeat(25_000));
    assert_eq!(client.closed(), CALM);
}

#[test]
fn a_flood_of_tiny_data_frames_ends_the_connection() {
    manual_clock();
    let mut client = Client::new(server());
    let id = client.post("/echo");
    client.send(frame(DATA, 0, id, b"x").repeat(25_000));
    assert_eq!(client.closed(), CALM);
}

#[test]
fn a_flood_of_padding_is_limited_by_the_windows() {
    manual_clock();
    let http = server().http2_limits(without_overhead().glitches(u32::MAX, u32::MAX));
    let mut client = Client::new(http);
    let id = client.post("/echo");
    let padded = frame(DATA, PADDED, id, &[&[255][..], &[0; 255]].concat());
    let before = allocated();
    // The padding is credited, and no byte of it is kept.
    client.send(padded.repeat(10_000));
    client.read();
    client.control.clear();
    assert!(!client.ended);
    assert!(allocated() - before < MEMORY, "{}", allocated() - before);
    client.data(id, b"end", true);
    assert_eq!(client.response(id).text(), "end");
}

/// Sends frames that the server answers, and reads nothing. Returns the number of sent bytes.
fn flood(http: HttpServer, frames: &[u8]) -> usize {
    let mut client = Client::new(http);
    let before = allocated();
    let sent = client.send_some(&frames.repeat((32 << 20) / frames.len()));
    let used = allocated() - before;
    assert!(used < MEMORY, "{used}");
    assert!(
        client.conn.buffered() < 256 * 1024,
        "{}",
        client.conn.buffered()
    );
    sent
}

#[test]
fn unread_answers_to_pings_stop_reading() {
    manual_clock();
    let http = server().http2_limits(without_overhead());
    let sent = flood(http, &frame(PING, 0, 0, &[7; 8]));
    assert!(sent < 2 << 20, "{sent}");
}

#[test]
fn unread_acknowledgements_of_settings_stop_reading() {
    manual_clock();
    let http = server().http2_limits(without_overhead());
    let sent = flood(http, &frame(SETTINGS, 0, 0, &[]));
    assert!(sent < 2 << 20, "{sent}");
}

#[test]
fn unread_resets_stop_reading() {
    manual_clock();
    let http = server().http2_limits(without_overhead().glitches(u32::MAX, u32::MAX));
    let mut client = Client::new(http);
    // An uppercase name makes a request malformed.
    let mut requests = Vec::new();
    for n in 0..500_000 {
        requests.extend(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            2 * n + 1,
            &[0, 1, b'X', 1, b'y'],
        ));
    }
    let before = allocated();
    let sent = client.send_some(&requests);
    assert!(sent < 2 << 20, "{sent}");
    assert!(allocated() - before < MEMORY, "{}", allocated() - before);
    assert!(client.conn.buffered() < 256 * 1024);
}

#[test]
fn unread_responses_stop_reading() {
    manual_clock();
    let http = server().http2_limits(without_overhead());
    let mut client = Client::new(http);
    let block = block(&request("GET", "/"));
    let mut requests = Vec::new();
    for n in 0..200_000 {
        requests.extend(frame(HEADERS, END_STREAM | END_HEADERS, 2 * n + 1, &block));
    }
    let before = allocated();
    let sent = client.send_some(&requests);
    assert!(sent < 2 << 20, "{sent}");
    assert!(
        allocated() - before < 2 * MEMORY,
        "{}",
        allocated() - before
    );
}

#[test]
fn a_flood_of_pings_ends_the_connection_although_the_answers_are_read() {
    manual_clock();
    let mut client = Client::new(server());
    for _ in 0..50 {
        client.send(frame(PING, 0, 0, &[7; 8]).repeat(500));
        client.read();
    }
    assert_eq!(client.closed(), CALM);
}

#[test]
fn a_flood_of_settings_ends_the_connection_although_the_answers_are_read() {
    manual_clock();
    let mut client = Client::new(server());
    for n in 0..50 {
        client.send(frame(SETTINGS, 0, 0, &setting(4, 1000 + n)).repeat(500));
        client.read();
    }
    assert_eq!(client.closed(), CALM);
}

#[test]
fn a_settings_frame_with_many_entries_ends_the_connection() {
    let mut client = Client::new(server());
    client.send(frame(SETTINGS, 0, 0, &setting(0xff, 1).repeat(33)));
    assert_eq!(client.closed(), CALM);
}

#[test]
fn a_stream_whose_window_stays_closed_is_reset_after_the_write_timeout() {
    let clock = manual_clock();
    let http = server();
    let mut client = Client::with_window(http, 1000);
    let stalled = client.get("/long");
    assert_eq!(client.seen(stalled).body.len(), 1000);
    pass(&clock, Duration::from_secs(29));
    assert!(!client.seen(stalled).is_over());
    let other = client.get("/");
    assert_eq!(client.response(other).text(), "hello");
    pass(&clock, Duration::from_secs(2));
    assert_eq!(client.seen(stalled).reset, Some(ErrorCode::CANCEL));
    let next = client.get("/");
    assert_eq!(client.response(next).text(), "hello");
}

#[test]
fn a_client_that_never_opens_the_window_of_the_connection_is_limited_by_the_write_timeout() {
    let clock = manual_clock();
    let http = server().write_timeout(Some(Duration::from_secs(5)));
    let mut client = Client::with_window(http, 1 << 20);
    let ids: Vec<u32> = (0..3).map(|_| client.get("/long")).collect();
    client.read();
    let received: usize = client
        .streams
        .values()
        .map(|stream| stream.body.len())
        .sum();
    assert_eq!(received, 65_535);
    pass(&clock, Duration::from_secs(6));
    for id in ids {
        assert_eq!(client.seen(id).reset, Some(ErrorCode::CANCEL));
    }
    assert_eq!(http.open_connections(), 1);
}

#[test]
fn responses_for_closed_windows_wait_within_the_limit() {
    let clock = manual_clock();
    let http = server().http2_limits(Limits::default().queued_output(1 << 20));
    let calls = Rc::<Cell<usize>>::default();
    let count = Rc::clone(&calls);
    http.get("/big", move |_: Request| {
        count.set(count.get() + 1);
        vec![b'x'; 300_000]
    });
    let mut client = Client::with_window(http, 0);
    let before = allocated();
    let ids: Vec<u32> = (0..100).map(|_| client.get("/big")).collect();
    client.read();
    assert_eq!(calls.get(), 4);
    assert!(
        allocated() - before < 3 * MEMORY,
        "{}",
        allocated() - before
    );
    // The others start when the first ones are reset.
    pass(&clock, Duration::from_secs(31));
    client.read();
    assert_eq!(calls.get(), 8);
    for id in ids {
        client.send(reset(id, ErrorCode::CANCEL));
    }
    client.read();
    let last = client.get("/");
    assert_eq!(client.seen(last).status, 200);
}

#[test]
fn data_in_tiny_windows_uses_bounded_memory() {
    manual_clock();
    let mut client = Client::with_window(server(), 0);
    let ids: Vec<u32> = (0..10).map(|_| client.get("/long")).collect();
    client.read();
    let before = allocated();
    for _ in 0..300 {
        for id in &ids {
            client.send(window_update(*id, 1));
        }
    }
    client.read();
    assert!(allocated() - before < MEMORY, "{}", allocated() - before);
    for id in &ids {
        assert_eq!(client.seen(*id).body.len(), 300);
    }
}

#[test]
fn window_updates_without_use_end_the_connection() {
    manual_clock();
    let mut client = Client::new(server());
    let _open = client.get("/never");
    client.send(window_update(0, 1).repeat(25_000));
    assert_eq!(client.closed(), CALM);
}

#[test]
fn changes_of_priorities_end_the_connection() {
    for update in [
        frame(PRIORITY, 0, 1, &[0, 0, 0, 9, 1]),
        frame(PRIORITY_UPDATE, 0, 0, b"\0\0\0\x01u=3"),
        frame(PRIORITY_UPDATE, 0, 0, b"\0\x01\0\x01u=3,i"),
    ] {
        let mut client = Client::new(server());
        let open = client.get("/never");
        assert_eq!(open, 1);
        client.send(update.repeat(60_000));
        assert_eq!(client.closed(), CALM);
    }
}

#[test]
fn zero_length_names_are_malformed() {
    manual_clock();
    let http = server();
    let calls = count_calls(http, "/slow");
    let mut client = Client::new(http);
    let mut block = block(&request("GET", "/slow"));
    block.extend_from_slice(&[0, 0, 1, b'v']);
    for _ in 0..1_500 {
        let id = client.next_id();
        client.send(frame(HEADERS, END_STREAM | END_HEADERS, id, &block));
    }
    assert_eq!(client.closed(), CALM);
    let resets = client.streams.values().map(|stream| stream.reset);
    assert!(resets.clone().count() >= 900);
    assert!(
        resets
            .flatten()
            .all(|code| code == ErrorCode::PROTOCOL_ERROR)
    );
    assert_eq!(calls.get(), 0);
}

#[test]
fn pings_do_not_keep_a_connection_open() {
    let clock = manual_clock();
    let mut client = Client::new(server());
    let id = client.get("/");
    assert_eq!(client.response(id).text(), "hello");
    for _ in 0..11 {
        pass(&clock, Duration::from_secs(5));
        client.send(frame(PING, 0, 0, &[1; 8]));
        client.send(frame(PRIORITY_UPDATE, 0, 0, b"\0\x01\0\x01u=3"));
        client.send(window_update(0, 1));
        assert!(!client.is_closed());
    }
    pass(&clock, Duration::from_secs(6));
    assert_eq!(client.closed(), ErrorCode::NO_ERROR);
    settle();
}

#[test]
fn refused_streams_are_glitches() {
    manual_clock();
    let http = server().http2_limits(Limits::default().concurrent_streams(2).glitches(50, 1));
    let calls = count_calls(http, "/slow");
    let mut client = Client::new(http);
    for _ in 0..100 {
        client.get("/slow");
    }
    assert_eq!(client.closed(), CALM);
    assert_eq!(calls.get(), 2);
}
