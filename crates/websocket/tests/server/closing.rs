//! The closing handshake, protocol errors, pings and the maximum lifetime.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::block_on;
use uptick_http::HttpServer;
use uptick_websocket::protocol::frame::{Flags, Opcode};
use uptick_websocket::protocol::{CloseFrame, Event};
use uptick_websocket::{
    Accept, CloseCode, Message, Sent, SlowPolicy, WebSocket, WebSocketOptions, WebSocketRoutes,
};

use crate::support::{Client, Log, manual_clock, pass, run_until, server, settle};

/// A server that records its WebSockets, and the most recent WebSocket.
fn recording(options: WebSocketOptions) -> (HttpServer, Log, Rc<Cell<Option<WebSocket>>>) {
    let http = server();
    let log = Log::default();
    let slot = Rc::new(Cell::new(None));
    let (seen, shared) = (log.clone(), Rc::clone(&slot));
    http.websocket_with("/", options, move |_| {
        let (seen, shared) = (seen.clone(), Rc::clone(&shared));
        Accept::new(move |ws: WebSocket| {
            seen.listen(ws);
            shared.set(Some(ws));
        })
    });
    (http, log, slot)
}

#[test]
fn a_close_frame_of_the_client_is_echoed_with_its_code() {
    for (frame, code, shown) in [
        (
            Some(CloseFrame::new(CloseCode::NORMAL, "bye")),
            1000,
            "1000:bye:clean",
        ),
        (
            Some(CloseFrame::new(CloseCode::from(4242), "")),
            4242,
            "4242::clean",
        ),
        (None, 1005, "1005::clean"),
    ] {
        let (http, log, _) = recording(WebSocketOptions::new());
        let mut client = Client::open(http, "/");
        client.close(frame);
        assert_eq!(client.closed(), code);
        assert!(client.is_closed());
        assert_eq!(log.text(), shown);
    }
}

#[test]
fn the_server_waits_for_the_close_frame_of_the_client() {
    let (http, log, slot) = recording(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    ws.close(4000, "enough");
    ws.close(4001, "twice");
    assert!(!ws.is_open());
    assert_eq!(ws.send("late"), Sent::Dropped);
    client.text("crossing");
    assert_eq!(client.closed(), 4000);
    assert_eq!(log.text(), "");
    client.close(Some(CloseFrame::new(CloseCode::from(4000), "")));
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "4000:enough:clean");
    assert!(client.is_closed());
}

#[test]
fn both_may_close_at_once() {
    let (http, log, slot) = recording(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    client.close(Some(CloseFrame::new(CloseCode::GOING_AWAY, "")));
    slot.get().unwrap().close(CloseCode::NORMAL, "");
    assert_eq!(client.closed(), 1000);
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "1000::clean");
}

#[test]
fn a_client_that_disconnects_without_a_close_frame_has_code_1006() {
    let (http, log, slot) = recording(WebSocketOptions::new());
    drop(Client::open(http, "/"));
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "1006::unclean");
    let ws = slot.get().unwrap();
    assert!(!ws.is_open() && ws.connection().is_none());
    assert_eq!(ws.send("late"), Sent::Dropped);
    ws.close(CloseCode::NORMAL, "");
    ws.terminate();
}

#[test]
fn the_closing_handshake_times_out_after_5_s() {
    let clock = manual_clock();
    let (http, log, slot) = recording(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    slot.get().unwrap().close(CloseCode::NORMAL, "");
    assert_eq!(client.closed(), 1000);
    pass(&clock, Duration::from_millis(4900));
    assert_eq!(log.text(), "");
    pass(&clock, Duration::from_millis(300));
    assert_eq!(log.text(), "1006::unclean");
    assert!(client.is_closed());
}

#[test]
fn the_close_timeout_starts_when_the_write_queue_has_been_sent() {
    let clock = manual_clock();
    let (http, log, slot) = recording(WebSocketOptions::new().max_buffered(64 << 20));
    let mut client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    for _ in 0..24 {
        ws.send(vec![b'x'; 1 << 20]);
    }
    ws.close(CloseCode::NORMAL, "");
    pass(&clock, Duration::from_secs(20));
    assert_eq!(log.text(), "");
    for _ in 0..24 {
        assert!(matches!(client.event(), Some(Event::Message(_))));
    }
    assert_eq!(client.closed(), 1000);
    pass(&clock, Duration::from_secs(11));
    assert_eq!(log.text(), "1006::unclean");
}

#[test]
fn a_close_frame_within_a_message_closes() {
    let (http, log, _) = recording(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    client.frame(Opcode::Text, Flags::empty(), "never");
    client.close(None);
    assert_eq!(client.closed(), 1005);
    assert_eq!(log.text(), "1005::clean");
}

#[test]
fn protocol_violations_are_refused_with_the_matching_code() {
    for (bytes, code) in [
        (&b"\x81\x05hello"[..], 1002),
        (b"\xc1\x80\x01\x02\x03\x04", 1002),
        (b"\x83\x80\x01\x02\x03\x04", 1002),
        (b"\x80\x80\x01\x02\x03\x04", 1002),
        (b"\x89\xfe\x00\x7e\x01\x02\x03\x04", 1002),
        (
            b"\x82\xff\x80\x00\x00\x00\x00\x00\x00\x00\x01\x02\x03\x04",
            1002,
        ),
        (
            b"\x82\xff\x00\x00\x00\x00\x40\x00\x00\x00\x01\x02\x03\x04",
            1009,
        ),
        (b"\x81\x81\x00\x00\x00\x00\xff", 1007),
        (b"\x88\x81\x00\x00\x00\x00\x03", 1002),
    ] {
        let (http, log, _) = recording(WebSocketOptions::new());
        let mut client = Client::open(http, "/");
        client.write(bytes);
        assert_eq!(client.closed(), code, "{bytes:?}");
        run_until(|| log.len() == 2);
        assert!(log.text().starts_with("error("), "{}", log.text());
        assert!(log.text().contains(&format!("{code}:")), "{}", log.text());
        assert!(client.is_closed());
    }
}

#[test]
fn an_idle_client_is_sent_a_ping_after_104_s_and_times_out_after_120_s() {
    let clock = manual_clock();
    let (http, log, slot) = recording(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    acknowledged(slot.get().unwrap());
    pass(&clock, Duration::from_millis(103_900));
    assert!(client.settle_and_read().is_empty());
    pass(&clock, Duration::from_millis(300));
    assert!(matches!(client.settle_and_read()[..], [Event::Ping(_)]));
    pass(&clock, Duration::from_secs(15));
    assert_eq!(log.text(), "");
    pass(&clock, Duration::from_secs(2));
    assert!(log.text().ends_with("1006::unclean"), "{}", log.text());
    assert!(log.text().contains("idle timeout") && client.is_closed());
}

#[test]
fn the_round_trip_time_of_an_automatic_ping_is_recorded() {
    let clock = manual_clock();
    let (http, _, slot) = recording(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    acknowledged(slot.get().unwrap());
    pass(&clock, Duration::from_secs(105));
    let Event::Ping(payload) = client.settle_and_read().remove(0) else {
        panic!("no ping was received");
    };
    client.frame(Opcode::Pong, Flags::FIN, "12345678");
    settle();
    assert_eq!(http.websockets().ping_time.count(), 0);
    client.frame(Opcode::Pong, Flags::FIN, &payload);
    run_until(|| http.websockets().ping_time.count() == 1);
    let times = http.websockets().ping_time;
    assert!(times.sum() <= Duration::from_secs(2), "{times:?}");
}

#[test]
fn a_client_that_responds_to_pings_stays_connected() {
    let clock = manual_clock();
    let (http, log, slot) = recording(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    for _ in 0..3 {
        acknowledged(slot.get().unwrap());
        pass(&clock, Duration::from_secs(110));
        assert!(matches!(client.settle_and_read()[..], [Event::Ping(_)]));
        client.frame(Opcode::Pong, Flags::FIN, "");
        settle();
    }
    assert_eq!(log.text(), "");
}

/// Waits until the client's kernel has acknowledged all sent bytes.
#[track_caller]
fn acknowledged(ws: WebSocket) {
    settle();
    let conn = ws.connection().unwrap();
    run_until(|| conn.acknowledged() == conn.bytes_written());
}

#[test]
fn a_client_that_acknowledges_messages_is_not_idle() {
    let clock = manual_clock();
    let (http, log, slot) = recording(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    let mut pings = 0;
    for _ in 0..40 {
        ws.send("news");
        acknowledged(ws);
        pass(&clock, Duration::from_secs(10));
        let events = client.settle_and_read();
        pings += events
            .iter()
            .filter(|event| matches!(event, Event::Ping(_)))
            .count();
    }
    assert_eq!((log.text(), pings), (String::new(), 3));
    acknowledged(ws);
    pass(&clock, Duration::from_secs(130));
    assert!(log.text().ends_with("1006::unclean"), "{}", log.text());
}

#[test]
fn a_client_that_reads_slowly_is_not_idle_and_is_sent_no_ping() {
    let clock = manual_clock();
    let options = WebSocketOptions::new().max_buffered(256 << 20);
    let (http, log, slot) = recording(options);
    let mut client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    let conn = ws.connection().unwrap();
    conn.set_write_timeout(None);
    let socket = socket2::SockRef::from(&client.stream);
    socket.set_recv_buffer_size(128 * 1024).unwrap();
    while ws.buffered() < 24 << 20 {
        ws.send(vec![b'x'; 50_000]);
    }
    for _ in 0..8 {
        pass(&clock, Duration::from_secs(50));
        // Reads enough for its kernel to announce a larger window.
        let before = conn.acknowledged();
        let read = || {
            for event in client.read_events() {
                assert!(matches!(event, Event::Message(_)), "{event:?}");
            }
            conn.acknowledged() > before
        };
        run_until(read);
    }
    assert_eq!(log.text(), "");
    assert!(ws.buffered() > 0);
    // Its kernel may still announce the window of the last read.
    for _ in 0..9 {
        pass(&clock, Duration::from_secs(50));
    }
    assert!(log.text().contains("idle timeout"), "{}", log.text());
}

#[test]
fn a_websocket_is_closed_with_1001_after_its_maximum_lifetime() {
    let clock = manual_clock();
    let options = WebSocketOptions::new().max_lifetime(Some(Duration::from_secs(300)));
    let (http, log, _) = recording(options);
    let mut client = Client::open(http, "/");
    for count in 1..=3 {
        pass(&clock, Duration::from_secs(99));
        client.text("alive");
        run_until(|| log.len() == count);
        client.settle_and_read();
    }
    assert_eq!(log.text(), "alive alive alive");
    pass(&clock, Duration::from_secs(4));
    assert_eq!(client.closed(), 1001);
}

#[test]
fn a_shutdown_of_the_server_closes_with_1001() {
    let (http, log, _) = recording(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    let shutdown = http.shutdown(Duration::from_secs(10));
    assert_eq!(client.closed(), 1001);
    client.close(Some(CloseFrame::new(CloseCode::GOING_AWAY, "")));
    run_until(|| log.len() == 1);
    assert_eq!(log.text(), "1001::clean");
    assert_eq!(block_on(shutdown).unwrap(), 0);
}

#[test]
fn a_callback_that_panics_closes_its_own_connection_only() {
    let http = server();
    let log = Log::default();
    let seen = log.clone();
    http.websocket("/", move |ws: WebSocket| {
        seen.listen(ws);
        ws.on("message", move |message: Message| {
            assert!(message.as_bytes() != b"panic", "test panic");
            ws.send(message)
        });
    });
    let mut other = Client::open(http, "/");
    let mut client = Client::open(http, "/");
    client.text("panic");
    run_until(|| log.text().contains("1006"));
    assert!(client.is_closed());
    other.text("still here");
    assert_eq!(other.message(), "still here");
}

/// Sends to a client that does not read until a message is dropped; returns the number of accepted messages.
fn flood(ws: WebSocket) -> usize {
    let message = "x".repeat(64 * 1024);
    let mut taken = 0;
    for _ in 0..10_000 {
        if ws.send(&message).is_taken() {
            taken += 1;
        } else {
            return taken;
        }
        settle();
    }
    panic!("{taken} messages were accepted")
}

#[test]
fn messages_to_a_slow_client_are_dropped_and_counted() {
    let options = WebSocketOptions::new().max_buffered(200_000);
    let (http, log, slot) = recording(options);
    let mut client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    let drops = Log::default();
    let seen = drops.clone();
    ws.on(WebSocket::DROPPED, move |bytes| seen.add(bytes));
    let drained = Log::default();
    let seen = drained.clone();
    ws.on(WebSocket::DRAIN, move |()| seen.add("drain"));
    let taken = flood(ws);
    assert_eq!(drops.text(), "65536");
    assert!(ws.buffered() <= 200_000 && ws.dropped() == 1);
    assert_eq!(http.websockets().dropped, 1);
    // The accepted messages arrive in order and complete.
    for _ in 0..taken {
        assert_eq!(client.message().len(), 64 * 1024);
    }
    run_until(|| drained.len() > 0);
    assert_eq!(ws.send("again"), Sent::Sent);
    assert_eq!(client.message(), "again");
    assert_eq!(log.text(), "");
}

#[test]
fn the_close_policy_closes_a_slow_client() {
    let options = WebSocketOptions::new()
        .max_buffered(100_000)
        .slow_policy(SlowPolicy::Close);
    let (http, log, slot) = recording(options);
    let _client = Client::open(http, "/");
    flood(slot.get().unwrap());
    assert_eq!(log.text(), "1006::unclean");
}

#[test]
fn the_error_policy_reports_a_slow_client() {
    let options = WebSocketOptions::new()
        .max_buffered(100_000)
        .slow_policy(SlowPolicy::Error);
    let (http, log, slot) = recording(options);
    let _client = Client::open(http, "/");
    let ws = slot.get().unwrap();
    flood(ws);
    assert!(log.text().starts_with("error(a message of 65536 bytes"));
    assert!(ws.is_open());
}

#[test]
fn a_flood_of_pings_from_a_slow_client_uses_no_memory() {
    let (http, _, slot) = recording(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    let pings = crate::support::framed(Opcode::Ping, Flags::FIN, [0; 125]).repeat(10_000);
    for _ in 0..20 {
        client.write(&pings);
        settle();
        assert!(slot.get().unwrap().buffered() <= 200_000);
    }
}

#[test]
fn the_code_no_status_sends_a_close_frame_without_a_code() {
    let (http, log, slot) = recording(WebSocketOptions::new());
    let mut client = Client::open(http, "/");
    slot.get().unwrap().close(CloseCode::NO_STATUS, "ignored");
    assert_eq!(client.closed(), 1005);
    client.close(None);
    assert!(client.is_closed());
    assert_eq!(log.text(), "1005::clean");
}
