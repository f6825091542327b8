//! Topics with many subscribers.

use std::cell::RefCell;
use std::rc::Rc;

use uptick_http::HttpServer;
use uptick_websocket::protocol::Event;
use uptick_websocket::{Accept, Message, WebSocket, WebSocketOptions, WebSocketRoutes};

use crate::support::{Client, run_until, server, settle};

const CLIENTS: usize = 1000;
const ROUNDS: usize = 30;
const MAX_BUFFERED: usize = 64 * 1024;

/// Opens many WebSockets, all subscribed to `news`.
fn crowd(http: HttpServer) -> (Vec<Client>, Vec<WebSocket>) {
    let all = Rc::new(RefCell::new(Vec::new()));
    let shared = Rc::clone(&all);
    let options = WebSocketOptions::new().max_buffered(MAX_BUFFERED);
    http.websocket_with("/", options, move |_| {
        let shared = Rc::clone(&shared);
        Accept::new(move |ws: WebSocket| {
            ws.subscribe("news");
            shared.borrow_mut().push(ws);
        })
    });
    let clients = (0..CLIENTS).map(|_| Client::open(http, "/")).collect();
    (clients, all.take())
}

/// Returns the numbers of the received messages.
fn numbers(events: Vec<Event>) -> Vec<usize> {
    let texts = events.into_iter().filter_map(|event| match event {
        Event::Message(Message::Text(text)) => text.split(':').next()?.parse().ok(),
        _ => None,
    });
    texts.collect()
}

#[test]
fn slow_subscribers_do_not_delay_the_others() {
    let http = server();
    let (mut clients, sockets) = crowd(http);
    let is_slow = |index: usize| index.is_multiple_of(100);
    // Fills the buffers of the kernel for the slow clients.
    let filling = "x".repeat(MAX_BUFFERED);
    for ws in sockets.iter().step_by(100) {
        while ws.send(&filling).is_taken() {
            settle();
        }
    }
    let tail = "y".repeat(600);
    for round in 0..ROUNDS {
        let before: u64 = sockets.iter().map(|ws| ws.dropped()).sum();
        let taken = http.publish("news", format!("{round}:{tail}"));
        let dropped: u64 = sockets.iter().map(|ws| ws.dropped()).sum();
        assert_eq!(taken as u64 + dropped - before, CLIENTS as u64);
        settle();
        for (index, client) in clients.iter_mut().enumerate() {
            if !is_slow(index) {
                // It arrives immediately, without any other message.
                assert_eq!(numbers(client.read_events()), [round], "client {index}");
            }
        }
    }
    for (index, ws) in sockets.iter().enumerate() {
        let waits = ws.buffered();
        match is_slow(index) {
            true => assert!(
                ws.dropped() > 0 && waits > 0 && waits <= MAX_BUFFERED + 14,
                "{waits}"
            ),
            false => assert!(ws.dropped() == 0 && waits == 0, "{waits}"),
        }
        assert!(ws.is_open());
    }
    // A slow client receives its messages in order.
    let slow = &mut clients[0];
    let mut last = Vec::new();
    let mut sent_last = false;
    run_until(|| {
        last.extend(numbers(slow.read_events()));
        if !sent_last && sockets[0].buffered() == 0 {
            http.publish("news", format!("{ROUNDS}:"));
            sent_last = true;
        }
        last.last() == Some(&ROUNDS)
    });
    assert!(last.is_sorted(), "{last:?}");
}

#[test]
fn disconnected_subscribers_are_removed() {
    let http = server();
    let (clients, sockets) = crowd(http);
    let hub = http.hub();
    assert_eq!(hub.subscribers("news"), CLIENTS);
    drop(clients);
    run_until(|| hub.subscribers("news") == 0);
    assert!(sockets.iter().all(|ws| ws.connection().is_none()));
    assert_eq!(http.publish("news", "dropped"), 0);
    assert!(hub.topics().is_empty());
}
