//! Handlers, which receive events in place of listeners.

use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_websocket::protocol::frame::{Flags, Opcode};
use uptick_websocket::{Closed, Error, Message, WebSocket, WebSocketHandler, WebSocketRoutes};

use crate::support::{Client, Log, run_until, server, show};

/// A handler that echoes messages and records events.
struct Handler(Log);

impl Drop for Handler {
    fn drop(&mut self) {
        self.0.add("dropped");
    }
}

impl WebSocketHandler for Handler {
    fn message(&self, ws: WebSocket, message: Message) {
        self.0.add(message.as_text().unwrap());
        ws.send(message);
    }

    fn drain(&self, _: WebSocket) {
        self.0.add("drain");
    }

    fn error(&self, _: WebSocket, error: Error) {
        self.0.add(matches!(error, Error::Protocol(_)));
    }

    fn close(&self, _: WebSocket, closed: Closed) {
        self.0.add(show(&closed));
    }
}

#[test]
fn a_handler_receives_events_in_place_of_listeners() {
    let (http, log) = (server(), Log::default());
    let record = log.clone();
    http.websocket("/", move |ws: WebSocket| {
        record.listen(ws);
        let pings = record.clone();
        ws.on(WebSocket::PING, move |_| pings.add("ping"));
        ws.set_handler(Rc::new(Handler(record.clone())));
    });
    let mut client = Client::open(http, "/");
    client.text("a");
    assert_eq!(client.message(), "a");
    client.frame(Opcode::Ping, Flags::FIN, "");
    client.frame(Opcode::Text, Flags::FIN, b"\xff");
    run_until(|| log.text().ends_with("dropped"));
    let text = log.text();
    assert!(text.starts_with("a ping true 1007:"), "{text}");
    assert!(text.ends_with("unclean dropped"), "{text}");
}

#[test]
fn a_handler_is_notified_when_the_write_queue_has_been_sent() {
    let (http, log) = (server(), Log::default());
    let record = log.clone();
    http.websocket("/", move |ws: WebSocket| {
        ws.set_handler(Rc::new(Handler(record.clone())));
        for _ in 0..20 {
            ws.send(vec![0; 50_000]);
        }
    });
    let mut client = Client::open(http, "/");
    for _ in 0..20 {
        client.event().unwrap();
    }
    run_until(|| log.text() == "drain");
}
