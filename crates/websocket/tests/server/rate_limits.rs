//! Rate limits for received messages and bytes.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_http::HttpServer;
use uptick_websocket::protocol::Event;
use uptick_websocket::protocol::frame::{Flags, Opcode};
use uptick_websocket::{Accept, RatePolicy, WebSocket, WebSocketOptions, WebSocketRoutes};

use crate::support::{Client, Log, framed, manual_clock, pass, run_until, server, settle};

/// A server that records its WebSockets, and the most recent WebSocket.
fn recorded(options: WebSocketOptions) -> (HttpServer, Log, Rc<Cell<Option<WebSocket>>>) {
    let (http, log, last) = (server(), Log::default(), Rc::new(Cell::new(None)));
    let (record, slot) = (log.clone(), Rc::clone(&last));
    http.websocket_with("/", options, move |_| {
        let (record, slot) = (record.clone(), Rc::clone(&slot));
        Accept::new(move |ws: WebSocket| {
            record.listen(ws);
            slot.set(Some(ws));
        })
    });
    (http, log, last)
}

/// Returns the frames of texts with the numbers from `first`.
fn numbers(first: usize, count: usize) -> Vec<u8> {
    let numbers = first..first + count;
    numbers
        .flat_map(|number| framed(Opcode::Text, Flags::FIN, number.to_string()))
        .collect()
}

#[test]
fn a_peer_that_exceeds_the_message_rate_is_closed_with_1008() {
    let _clock = manual_clock();
    let (http, log, _) = recorded(WebSocketOptions::new().message_rate(3));
    let mut client = Client::open(http, "/");
    client.write(numbers(1, 5));
    assert_eq!(client.closed(), 1008);
    assert_eq!(log.text(), "1 2 3");
    client.close(None);
    run_until(|| log.len() == 4);
    assert_eq!(log.text(), "1 2 3 1008:too many messages:clean");
}

#[test]
fn a_peer_within_its_rate_stays_connected() {
    let clock = manual_clock();
    let options = WebSocketOptions::new().message_rate(10).byte_rate(100);
    let (http, log, _) = recorded(options);
    let mut client = Client::open(http, "/");
    for second in 0..3 {
        client.write(numbers(0, 10));
        run_until(|| log.len() == 10 * (second + 1));
        pass(&clock, Duration::from_secs(1));
    }
    assert!(client.settle_and_read().is_empty());
}

#[test]
fn fragmented_messages_and_pings_are_counted() {
    let _clock = manual_clock();
    let (http, log, _) = recorded(WebSocketOptions::new().message_rate(2));
    let mut client = Client::open(http, "/");
    client.frame(Opcode::Text, Flags::default(), "in ");
    client.frame(Opcode::Continuation, Flags::FIN, "parts");
    client.frame(Opcode::Ping, Flags::FIN, "a");
    client.frame(Opcode::Ping, Flags::FIN, "b");
    assert!(matches!(client.event(), Some(Event::Pong(payload)) if payload == "a"));
    assert_eq!(client.closed(), 1008);
    assert_eq!(log.text(), "in parts");
}

#[test]
fn a_message_longer_than_the_byte_rate_is_charged_against_the_following_seconds() {
    let clock = manual_clock();
    let (http, log, _) = recorded(WebSocketOptions::new().byte_rate(10));
    let mut client = Client::open(http, "/");
    client.text(&"x".repeat(30));
    run_until(|| log.len() == 1);
    pass(&clock, Duration::from_millis(2500));
    client.text("in time");
    run_until(|| log.len() == 2);
    client.text("at once");
    client.text("too much");
    assert_eq!(client.closed(), 1008);
    assert_eq!(log.len(), 2);
}

#[test]
fn reading_is_paused_until_the_peer_is_within_its_rate() {
    let clock = manual_clock();
    let options = WebSocketOptions::new()
        .message_rate(2)
        .rate_policy(RatePolicy::Pause);
    let (http, log, _) = recorded(options);
    let mut client = Client::open(http, "/");
    client.write(numbers(1, 6));
    settle();
    assert_eq!(log.text(), "1 2");
    pass(&clock, Duration::from_millis(400));
    assert_eq!(log.text(), "1 2");
    pass(&clock, Duration::from_millis(200));
    assert_eq!(log.text(), "1 2 3");
    pass(&clock, Duration::from_secs(2));
    assert_eq!(log.text(), "1 2 3 4 5 6");
    assert!(client.settle_and_read().is_empty());
}

#[test]
fn a_pause_by_the_program_and_one_by_the_rate_are_independent() {
    let clock = manual_clock();
    let options = WebSocketOptions::new()
        .message_rate(1)
        .rate_policy(RatePolicy::Pause);
    let (http, log, last) = recorded(options);
    let mut client = Client::open(http, "/");
    client.write(numbers(1, 3));
    run_until(|| log.len() == 1);
    let ws = last.get().unwrap();
    ws.pause();
    ws.resume();
    settle();
    assert_eq!(log.text(), "1");
    ws.pause();
    pass(&clock, Duration::from_secs(5));
    assert_eq!(log.text(), "1");
    ws.resume();
    settle();
    // The held messages are counted from now on.
    assert_eq!(log.text(), "1 2");
}

#[test]
fn a_throttled_websocket_closes_and_leaves_no_timer() {
    let clock = manual_clock();
    let options = WebSocketOptions::new()
        .byte_rate(1)
        .rate_policy(RatePolicy::Pause);
    let (http, log, last) = recorded(options);
    let mut client = Client::open(http, "/");
    client.text(&"x".repeat(100_000));
    run_until(|| log.len() == 1);
    // A throttled WebSocket is not idle.
    pass(&clock, Duration::from_secs(300));
    last.get().unwrap().close(1000, "done");
    assert_eq!(client.closed(), 1000);
    client.close(None);
    run_until(|| log.len() == 2);
    assert!(log.text().ends_with(" 1000:done:clean"));
    http.close();
    drop(client);
    // The loop ends, so the long timer of the rate limit is gone.
    uptick_event_loop::run().unwrap();
}
