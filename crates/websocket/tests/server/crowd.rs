use std::cell::RefCell;
use std::rc::Rc;

use uptick_http::HttpServer;
use uptick_websocket::protocol::Event;
use uptick_websocket::{Accept, Message, WebSocket, WebSocketOptions, WebSocketRoutes};

use crate::support::{Client, run_until, server, settle};

const CLIENTS: usize = 1000;
const ROUNDS: usize = 30;
const MOST: usize = 64 * 1024;

/// A server with a crowd, which is subscribed to `news`.
fn crowd(http: HttpServer) -> (Vec<Client>, Vec<WebSocket>) {
    let all = Rc::new(RefCell::new(Vec::new()));
    let there = Rc::clone(&all);
    let options = WebSocketOptions::new().max_buffered(MOST);
    http.websocket_with("/", options, move |_| {
        let there = Rc::clone(&there);
        Accept::new(move |ws: WebSocket| {
            ws.subscribe("news");
            there.borrow_mut().push(ws);
        })
    });
    let clients = (0..CLIENTS).map(|_| Client::open(http, "/")).collect();
    (clients, all.take())
}

/// The numbers of the messages among what has come.
fn numbers(came: Vec<Event>) -> Vec<usize> {
    let texts = came.into_iter().filter_map(|event| match event {
        Event::Message(Message::Text(text)) => text.split(':').next()?.parse().ok(),
        _ => None,
    });
    texts.collect()
}

#[test]
fn of_a_thousand_subscribers_one_in_a_hundred_that_does_not_read_is_late_alone() {
    let http = server();
    let (mut clients, sockets) = crowd(http);
    let is_slow = |index: usize| index.is_multiple_of(100);
    // The systems on both sides have buffers, which are full now.
    let filling = "x".repeat(MOST);
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
                // It is there at once, and nothing else is.
                assert_eq!(numbers(client.came()), [round], "client {index}");
            }
        }
    }
    for (index, ws) in sockets.iter().enumerate() {
        let waits = ws.buffered();
        match is_slow(index) {
            true => assert!(
                ws.dropped() > 0 && waits > 0 && waits <= MOST + 14,
                "{waits}"
            ),
            false => assert!(ws.dropped() == 0 && waits == 0, "{waits}"),
        }
        assert!(ws.is_open());
    }
    // What the slow ones get at last is in order.
    let slow = &mut clients[0];
    let mut last = Vec::new();
    let mut told = false;
    run_until(|| {
        last.extend(numbers(slow.came()));
        if !told && sockets[0].buffered() == 0 {
            http.publish("news", format!("{ROUNDS}:"));
            told = true;
        }
        last.last() == Some(&ROUNDS)
    });
    assert!(last.is_sorted(), "{last:?}");
}

#[test]
fn a_crowd_that_leaves_leaves_nothing_behind() {
    let http = server();
    let (clients, sockets) = crowd(http);
    let hub = http.hub();
    assert_eq!(hub.subscribers("news"), CLIENTS);
    drop(clients);
    run_until(|| hub.subscribers("news") == 0);
    assert!(sockets.iter().all(|ws| ws.connection().is_none()));
    assert_eq!(http.publish("news", "nobody"), 0);
    assert!(hub.topics().is_empty());
}
