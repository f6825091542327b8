//! Callbacks that close WebSockets or change subscriptions, and gates that respond later.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_http::{HttpError, Request, StatusCode};
use uptick_websocket::protocol::frame::{Flags, Opcode};
use uptick_websocket::protocol::{CloseFrame, Event};
use uptick_websocket::{
    Accept, CloseCode, Closed, Message, Sent, SubscriptionChange, WebSocket, WebSocketOptions,
    WebSocketRoutes,
};

use crate::support::{Client, Log, manual_clock, pass, run_until, server, settle, show};

#[test]
fn methods_do_nothing_in_a_close_listener() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    let slot = Rc::new(Cell::new(None));
    let shared = Rc::clone(&slot);
    http.websocket("/", move |ws: WebSocket| {
        ws.set_extension(String::from("kept"));
        ws.subscribe("news");
        shared.set(Some(ws));
        let seen = seen.clone();
        ws.on("close", move |_: Closed| {
            assert_eq!(*ws.extension::<String>().unwrap(), "kept");
            assert!(!ws.is_open() && !ws.is_subscribed("news"));
            assert_eq!(ws.send("late"), Sent::Dropped);
            assert_eq!(ws.send_first("late"), Sent::Dropped);
            assert_eq!(ws.ping("late"), Sent::Dropped);
            assert!(!ws.subscribe("news"));
            assert_eq!(ws.publish("news", "late"), 0);
            ws.close(CloseCode::NORMAL, "again");
            ws.terminate();
            ws.pause();
            ws.resume();
            seen.add("close");
        });
    });
    let mut client = Client::open(http, "/");
    client.close(None);
    assert_eq!(client.closed(), 1005);
    run_until(|| log.len() == 1);
    settle();
    assert_eq!(log.text(), "close");
    assert_eq!(http.hub().subscribers("news"), 0);
    // A stale handle finds nothing, even after its slot is reused.
    let old = slot.get().unwrap();
    let mut other = Client::open(http, "/");
    let new = slot.get().unwrap();
    assert!(old != new && old.extension::<String>().is_none() && old.id().is_none());
    assert_eq!(old.send("to a stale handle"), Sent::Dropped);
    old.terminate();
    new.send("to the other");
    assert_eq!(other.message(), "to the other");
}

#[test]
fn a_subscription_listener_may_change_subscriptions() {
    let http = server();
    let hub = http.hub();
    hub.on("subscription", move |change: SubscriptionChange| {
        if &*change.topic == "first" && change.count > change.previous_count {
            change.socket.subscribe("second");
            hub.publish("first", format!("{} here", change.count));
        }
        if &*change.topic == "second" && change.count > change.previous_count {
            change.socket.unsubscribe("first");
        }
    });
    http.websocket("/", |ws: WebSocket| {
        ws.on("message", move |_: Message| ws.subscribe("first"));
    });
    let mut client = Client::open(http, "/");
    client.text("go");
    run_until(|| hub.subscribers("second") == 1);
    settle();
    assert_eq!(hub.subscribers("first"), 0);
    assert_eq!(http.publish("second", "last"), 1);
    assert_eq!(client.message(), "1 here");
    assert_eq!(client.message(), "last");
}

#[test]
fn subscribers_closed_during_a_publish_are_skipped() {
    let http = server();
    let hub = http.hub();
    http.websocket("/", |ws: WebSocket| {
        ws.subscribe("news");
    });
    let mut clients: Vec<Client> = (0..3).map(|_| Client::open(http, "/")).collect();
    let sockets = hub.sockets("news");
    let [first, second, third] = sockets[..] else {
        panic!("{sockets:?}")
    };
    let count = hub.publish_where("news", "hello", |ws| {
        if ws == first {
            second.terminate();
            third.unsubscribe("news");
            hub.publish("news", "inner");
        }
        true
    });
    // The receivers are those subscribed at the start of the call that are still open.
    assert_eq!(count, 2);
    assert_eq!(clients[0].message(), "inner");
    assert_eq!(clients[0].message(), "hello");
    assert_eq!(clients[2].message(), "hello");
    assert!(clients[1].is_closed());
}

#[test]
fn a_listener_may_remove_itself_or_close_while_more_messages_are_buffered() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket("/", move |ws: WebSocket| {
        let (once, all) = (seen.clone(), seen.clone());
        ws.once("message", move |_: Message| {
            once.add("once");
            let added = all.clone();
            ws.on("message", move |message: Message| {
                added.add(message.as_text().unwrap());
                if message.as_bytes() == b"c" {
                    ws.close(CloseCode::from(4000), "");
                }
            });
        });
        let closed = seen.clone();
        ws.on("close", move |end: Closed| closed.add(show(&end)));
    });
    let mut client = Client::open(http, "/");
    let frames: Vec<u8> = ["a", "b", "c", "d"]
        .iter()
        .flat_map(|text| crate::support::framed(Opcode::Text, Flags::FIN, text))
        .collect();
    client.write(frames);
    assert_eq!(client.closed(), 4000);
    assert_eq!(log.text(), "once b c");
    client.close(Some(CloseFrame::new(CloseCode::from(4000), "")));
    run_until(|| log.len() == 4);
    assert!(log.text().ends_with("4000::clean"));
}

#[test]
fn a_client_that_disconnects_before_the_gate_decides_opens_no_websocket() {
    let clock = manual_clock();
    let http = server();
    let log = Log::default();
    let (requested, opened) = (log.clone(), log.clone());
    http.websocket_with("/", WebSocketOptions::new(), move |_: Request| {
        requested.add("requested");
        let opened = opened.clone();
        async move {
            uptick_event_loop::sleep(Duration::from_secs(1)).await;
            opened.add("decided");
            let opened = opened.clone();
            Ok::<_, HttpError>(Accept::new(move |_| opened.add("open")))
        }
    });
    let address = http.address().unwrap();
    let mut stream = std::net::TcpStream::connect(&address["tcp://".len()..]).unwrap();
    let request = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                   Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n";
    std::io::Write::write_all(&mut stream, request.as_bytes()).unwrap();
    run_until(|| log.len() == 1);
    // A reset, because a half-closed connection could still receive a response.
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
    settle();
    pass(&clock, Duration::from_secs(3));
    assert!(!log.text().contains("open"), "{}", log.text());
}

#[test]
fn frames_received_before_the_gate_decides_are_delivered_after_it() {
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |_: Request| async {
        uptick_event_loop::sleep(Duration::from_millis(1)).await;
        Ok::<_, HttpError>(Accept::new(|ws: WebSocket| {
            ws.on("message", move |message: Message| ws.send(message));
        }))
    });
    let early = crate::support::framed(Opcode::Text, Flags::FIN, "early");
    let mut request = b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        .to_vec();
    request.extend(early);
    let mut client = Client::send_bytes(http, &request);
    assert_eq!(client.message(), "early");
}

#[test]
fn a_gate_may_reject_asynchronously() {
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |_: Request| async {
        uptick_event_loop::sleep(Duration::from_millis(1)).await;
        Err::<Accept, _>(HttpError::from_status(StatusCode::FORBIDDEN))
    });
    let client = Client::request(http, "/", "");
    assert!(client.head.starts_with("HTTP/1.1 403 "), "{}", client.head);
}

#[test]
fn a_shutdown_does_not_wait_for_clients_that_do_not_respond() {
    let clock = manual_clock();
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket("/", move |ws: WebSocket| seen.listen(ws));
    let mut client = Client::open(http, "/");
    client.frame(Opcode::Text, Flags::empty(), "half of a message");
    settle();
    let ended = Rc::new(Cell::new(false));
    let done = Rc::clone(&ended);
    let shutdown = http.shutdown(Duration::from_secs(10));
    drop(uptick_event_loop::spawn(async move {
        shutdown.await;
        done.set(true);
    }));
    settle();
    let events = client.settle_and_read();
    assert!(
        matches!(&events[..], [Event::Close(Some(frame))] if frame.code == CloseCode::GOING_AWAY),
        "{events:?}"
    );
    pass(&clock, Duration::from_millis(5_300));
    assert_eq!(log.text(), "1006::unclean");
    pass(&clock, Duration::from_secs(5));
    assert!(ended.get());
}

#[test]
fn a_close_frame_follows_queued_messages_and_times_out_for_a_slow_client() {
    let clock = manual_clock();
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    let slot = Rc::new(Cell::new(None));
    let shared = Rc::clone(&slot);
    http.websocket("/", move |ws: WebSocket| {
        seen.listen(ws);
        shared.set(Some(ws));
    });
    let _client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    let filling = "x".repeat(64 * 1024);
    while ws.send(&filling).is_taken() {
        settle();
    }
    ws.close(CloseCode::NORMAL, "");
    assert!(!ws.is_open() && ws.buffered() > 0);
    // The peer's kernel acknowledges bytes with a delay, independent of the manual clock.
    let acknowledged = || ws.connection().map(|conn| conn.acknowledged());
    let mut before = None;
    while before != acknowledged() {
        before = acknowledged();
        std::thread::sleep(Duration::from_millis(200));
        settle();
    }
    pass(&clock, Duration::from_secs(25));
    assert_eq!(log.text(), "");
    // The write timeout of the connection, a quarter of it, and the precision of each check.
    pass(&clock, Duration::from_secs(14));
    assert!(log.text().ends_with("1006::unclean"), "{}", log.text());
    assert_eq!(ws.buffered(), 0);
}

#[test]
fn a_paused_websocket_can_be_closed() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    let slot = Rc::new(Cell::new(None));
    let shared = Rc::clone(&slot);
    http.websocket("/", move |ws: WebSocket| {
        seen.listen(ws);
        ws.pause();
        shared.set(Some(ws));
    });
    let mut client = Client::open(http, "/");
    client.text("never");
    settle();
    slot.get().unwrap().close(CloseCode::NORMAL, "");
    assert_eq!(client.closed(), 1000);
    client.close(Some(CloseFrame::new(CloseCode::NORMAL, "")));
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "1000::clean");
}

#[test]
fn a_flood_of_pings_is_answered_in_order() {
    let http = server();
    http.websocket("/", |_| ());
    let mut client = Client::open(http, "/");
    for batch in 0..20 {
        let pings: Vec<u8> = (0..500)
            .flat_map(|i| {
                let text = format!("{}", batch * 500 + i);
                crate::support::framed(Opcode::Ping, Flags::FIN, text)
            })
            .collect();
        client.write(pings);
        for i in 0..500 {
            let event = client.event();
            let expected = format!("{}", batch * 500 + i);
            assert!(
                matches!(&event, Some(Event::Pong(bytes)) if bytes == &expected),
                "{event:?} is not {expected}"
            );
        }
    }
}
