//! Pings of slow peers, and the frame queue.

use std::cell::{Cell, RefCell};
use std::net::Shutdown;
use std::rc::Rc;

use bytes::Bytes;
use uptick_emitter::Emitter;
use uptick_event_loop::spawn;
use uptick_http::HttpServer;
use uptick_websocket::protocol::Event;
use uptick_websocket::protocol::frame::{Flags, Opcode};
use uptick_websocket::{
    Accept, Message, Sent, WebSocket, WebSocketConnector, WebSocketOptions, WebSocketRoutes,
};

use crate::support::{Client, framed, run_until, server, settle};

const LENGTH: usize = 64 * 1024;

/// Returns options whose limits are high enough that no message is dropped.
fn large_limits() -> WebSocketOptions {
    WebSocketOptions::new()
        .max_buffered(256 << 20)
        .max_message(256 << 20)
}

/// A server, and the WebSocket that was opened last.
fn start_server() -> (HttpServer, Rc<Cell<Option<WebSocket>>>) {
    let http = server();
    let slot = Rc::new(Cell::new(None));
    let shared = Rc::clone(&slot);
    http.websocket_with("/", large_limits(), move |_| {
        let shared = Rc::clone(&shared);
        Accept::new(move |ws: WebSocket| {
            ws.subscribe("all");
            shared.set(Some(ws));
        })
    });
    (http, slot)
}

/// Returns a message that starts with its number.
fn numbered(number: usize) -> Message {
    let mut bytes = vec![b'x'; LENGTH];
    bytes[..8].copy_from_slice(&(number as u64).to_be_bytes());
    Message::from(bytes)
}

/// Sends numbered messages until `bytes` are queued in this process; returns the number of messages.
fn flood(ws: WebSocket, bytes: usize) -> usize {
    let mut count = 0;
    while ws.buffered() < bytes {
        assert!(ws.send(numbered(count)).is_taken());
        count += 1;
        settle();
    }
    count
}

#[test]
fn a_ping_is_answered_ahead_of_queued_messages() {
    let (http, slot) = start_server();
    let mut client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    let count = flood(ws, 4 << 20);
    // A published message keeps its position among directly sent ones.
    ws.hub().unwrap().publish("all", "many");
    assert_eq!(ws.send(""), Sent::Buffered);
    let waiting = ws.buffered();
    let pings = ["first", "last"].map(|payload| framed(Opcode::Ping, Flags::FIN, payload));
    client.write(pings.concat());
    settle();
    assert_eq!(ws.buffered(), waiting);
    let (mut before, mut pong) = (0, None);
    for number in 0..count {
        let mut event = client.event();
        if let Some(Event::Pong(payload)) = event {
            assert_eq!(pong.replace((number, payload)), None);
            event = client.event();
        }
        let Some(Event::Message(message)) = event else {
            panic!("expected message {number}, received {event:?}")
        };
        assert!(message == numbered(number), "{number}");
        before = number;
    }
    assert_eq!(
        (client.message(), client.message()),
        ("many".into(), "".into())
    );
    let (slot, payload) = pong.unwrap();
    assert_eq!(payload, "last");
    // Only messages in the connection's write queue precede the pong: up to its limit, plus the message that exceeded it.
    let after = (before + 1 - slot) * LENGTH;
    assert!(after + 3 * LENGTH >= waiting, "{after} of {waiting}");
    assert_eq!((ws.buffered(), ws.send("end")), (0, Sent::Sent));
    assert_eq!(client.message(), "end");
}

#[test]
fn a_pong_is_sent_between_the_fragments_of_a_message() {
    let (http, slot) = start_server();
    let mut client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    ws.send_first(vec![b'x'; LENGTH]);
    let mut length = LENGTH;
    while ws.buffered() < 1 << 20 {
        assert!(ws.send_fragment(vec![b'x'; LENGTH]).is_taken());
        length += LENGTH;
        settle();
    }
    ws.send_last("");
    client.frame(Opcode::Ping, Flags::FIN, "here?");
    settle();
    assert_eq!(client.event(), Some(Event::Pong("here?".into())));
    match client.event() {
        Some(Event::Message(message)) => assert_eq!(message.len(), length),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_sent_ping_keeps_its_position_among_queued_messages() {
    let (http, slot) = start_server();
    let mut client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    let count = flood(ws, 1 << 20);
    assert_eq!(ws.ping("here?"), Sent::Buffered);
    ws.send("after");
    for number in 0..count {
        assert!(client.event() == Some(Event::Message(numbered(number))));
    }
    assert_eq!(client.event(), Some(Event::Ping("here?".into())));
    assert_eq!(client.message(), "after");
}

#[test]
fn drain_is_emitted_when_the_write_queue_has_been_sent() {
    let (http, slot) = start_server();
    let mut client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    let count = flood(ws, 2 << 20);
    let left = Rc::new(RefCell::new(Vec::new()));
    let seen = Rc::clone(&left);
    ws.on("drain", move |()| seen.borrow_mut().push(ws.buffered()));
    for _ in 0..count {
        client.event();
    }
    settle();
    let left = left.borrow();
    assert!(left.len() == 1 && left[0] < LENGTH, "{left:?}");
}

#[test]
fn queued_messages_reach_a_half_closed_client() {
    let (http, slot) = start_server();
    let mut client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    let count = flood(ws, 2 << 20);
    client.stream.shutdown(Shutdown::Write).unwrap();
    settle();
    for number in 0..count {
        assert!(client.event() == Some(Event::Message(numbered(number))));
    }
    assert_eq!(client.event(), None);
}

#[test]
fn a_client_answers_pings_ahead_of_queued_messages() {
    let (http, slot) = start_server();
    let connected: Rc<Cell<Option<WebSocket>>> = Rc::default();
    let shared = Rc::clone(&connected);
    let connector = WebSocketConnector::default().options(large_limits());
    let url = http.address().unwrap().replace("tcp", "ws");
    drop(spawn(async move {
        shared.set(Some(connector.connect(url).await.unwrap()));
    }));
    run_until(|| connected.get().is_some() && slot.get().is_some());
    let (client, ws) = (connected.get().unwrap(), slot.get().unwrap());
    let log: Rc<RefCell<Vec<usize>>> = Rc::default();
    let (messages, pongs) = (Rc::clone(&log), Rc::clone(&log));
    ws.on("message", move |message: Message| {
        messages.borrow_mut().push(message.len());
    });
    ws.on("pong", move |payload: Bytes| {
        assert_eq!(payload, "last");
        pongs.borrow_mut().push(0);
    });
    ws.pause();
    let count = flood(client, 4 << 20);
    ws.ping("first");
    ws.ping("last");
    settle();
    ws.resume();
    run_until(|| log.borrow().len() == count + 1);
    let log = log.borrow();
    let at = log.iter().position(|length| *length == 0);
    assert!(at.is_some_and(|at| at + 50 < count), "{at:?} of {count}");
}

#[test]
fn the_kernel_holds_few_unsent_bytes() {
    let (http, slot) = start_server();
    let _client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    let mut sent = 0;
    while ws.buffered() < 1 << 20 {
        ws.send(vec![b'x'; LENGTH]);
        sent += LENGTH;
        settle();
    }
    // The client's receive buffer, bytes in flight, and the limit of 128 KiB.
    let unacknowledged = {
        let conn = ws.connection().unwrap();
        conn.bytes_written() - conn.acknowledged()
    };
    if cfg!(target_os = "linux") {
        assert!(unacknowledged <= 512 * 1024, "{unacknowledged} of {sent}");
    }
}
