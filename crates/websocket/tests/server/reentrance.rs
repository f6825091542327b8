use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_http::{HttpError, Request, StatusCode};
use uptick_websocket::protocol::frame::{Flags, Opcode};
use uptick_websocket::protocol::{CloseFrame, Event};
use uptick_websocket::{
    Accept, CloseCode, Closed, Message, Sent, Subscription, WebSocket, WebSocketOptions,
    WebSocketRoutes,
};

use crate::support::{Client, Log, manual_clock, pass, run_until, server, settle, show};

#[test]
fn what_is_done_in_close_does_nothing() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    let place = Rc::new(Cell::new(None));
    let there = Rc::clone(&place);
    http.websocket("/", move |ws: WebSocket| {
        ws.set_extension(String::from("kept"));
        ws.subscribe("news");
        there.set(Some(ws));
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
    // And a handle of one that is gone finds nothing, also when its place is taken.
    let old = place.get().unwrap();
    let mut other = Client::open(http, "/");
    let new = place.get().unwrap();
    assert!(old != new && old.extension::<String>().is_none() && old.id().is_none());
    assert_eq!(old.send("to nobody"), Sent::Dropped);
    old.terminate();
    new.send("to the other");
    assert_eq!(other.message(), "to the other");
}

#[test]
fn a_subscription_may_be_answered_with_others() {
    let http = server();
    let hub = http.hub();
    hub.on("subscription", move |change: Subscription| {
        if &*change.topic == "first" && change.now > change.before {
            change.socket.subscribe("second");
            hub.publish("first", format!("{} here", change.now));
        }
        if &*change.topic == "second" && change.now > change.before {
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
fn subscribers_that_are_ended_during_a_publish_are_passed_over() {
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
    // It was for those who were subscribed when it began, and are open.
    assert_eq!(count, 2);
    assert_eq!(clients[0].message(), "inner");
    assert_eq!(clients[0].message(), "hello");
    assert_eq!(clients[2].message(), "hello");
    assert!(clients[1].is_over());
}

#[test]
fn a_listener_may_take_itself_off_or_close_while_more_messages_wait() {
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
fn a_client_that_goes_before_its_gate_has_decided_is_no_websocket() {
    let clock = manual_clock();
    let http = server();
    let log = Log::default();
    let (asked, opened) = (log.clone(), log.clone());
    http.websocket_with("/", WebSocketOptions::new(), move |_: Request| {
        asked.add("asked");
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
    // A reset, not an end: half of a connection could still get an answer.
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(stream);
    settle();
    pass(&clock, Duration::from_secs(3));
    assert!(!log.text().contains("open"), "{}", log.text());
}

#[test]
fn frames_that_come_before_a_gate_has_decided_are_messages_after_it() {
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
    let mut client = Client::raw(http, &request);
    assert_eq!(client.message(), "early");
}

#[test]
fn a_gate_may_refuse_later() {
    let http = server();
    http.websocket_with("/", WebSocketOptions::new(), |_: Request| async {
        uptick_event_loop::sleep(Duration::from_millis(1)).await;
        Err::<Accept, _>(HttpError::from_status(StatusCode::FORBIDDEN))
    });
    let client = Client::ask(http, "/", "");
    assert!(client.head.starts_with("HTTP/1.1 403 "), "{}", client.head);
}

#[test]
fn a_shutdown_does_not_wait_for_clients_that_do_not_answer() {
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
    let came = client.so_far();
    assert!(
        matches!(&came[..], [Event::Close(Some(frame))] if frame.code == CloseCode::GOING_AWAY),
        "{came:?}"
    );
    pass(&clock, Duration::from_millis(5_300));
    assert_eq!(log.text(), "1006::unclean");
    pass(&clock, Duration::from_secs(5));
    assert!(ended.get());
}

#[test]
fn a_close_waits_behind_what_is_queued_and_ends_for_who_does_not_read() {
    let clock = manual_clock();
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    let place = Rc::new(Cell::new(None));
    let there = Rc::clone(&place);
    http.websocket("/", move |ws: WebSocket| {
        seen.listen(ws);
        there.set(Some(ws));
    });
    let _client = Client::open(http, "/");
    let ws = place.get().unwrap();
    let filling = "x".repeat(64 * 1024);
    while ws.send(&filling).is_taken() {
        settle();
    }
    ws.close(CloseCode::NORMAL, "");
    assert!(!ws.is_open() && ws.buffered() > 0);
    // What the peer's kernel has room for is acknowledged late, and the clock below does not wait for that.
    let acknowledged = || ws.connection().map(|conn| conn.acknowledged());
    let mut before = None;
    while before != acknowledged() {
        before = acknowledged();
        std::thread::sleep(Duration::from_millis(200));
        settle();
    }
    pass(&clock, Duration::from_secs(25));
    assert_eq!(log.text(), "");
    // That is as long as a connection waits for a peer that acknowledges nothing, a fourth of it, and the precision of each look.
    pass(&clock, Duration::from_secs(14));
    assert!(log.text().ends_with("1006::unclean"), "{}", log.text());
    assert_eq!(ws.buffered(), 0);
}

#[test]
fn a_paused_websocket_is_closed_all_the_same() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    let place = Rc::new(Cell::new(None));
    let there = Rc::clone(&place);
    http.websocket("/", move |ws: WebSocket| {
        seen.listen(ws);
        ws.pause();
        there.set(Some(ws));
    });
    let mut client = Client::open(http, "/");
    client.text("never");
    settle();
    place.get().unwrap().close(CloseCode::NORMAL, "");
    assert_eq!(client.closed(), 1000);
    client.close(Some(CloseFrame::new(CloseCode::NORMAL, "")));
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "1000::clean");
}

#[test]
fn a_flood_of_pings_from_who_reads_is_answered_in_order() {
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
