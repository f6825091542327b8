//! Sessions that start over a WebSocket.

use uptick_emitter::Emitter;
use uptick_socketio::engine::{Client, Transport};
use uptick_websocket::Message;
use uptick_websocket::protocol::Event;
use uptick_websocket::protocol::frame::Opcode;

use crate::support::{Fixture, settle};

#[test]
fn messages_are_sent_in_both_directions() {
    let fixture = Fixture::new();
    let mut ws = fixture.websocket("EIO=4&transport=websocket");
    let open = ws.text();
    assert!(open.contains(r#""upgrades":[]"#), "{open}");
    let client = fixture.client();
    assert_eq!(client.transport(), Some(Transport::WebSocket));
    assert!(client.is_writable());
    ws.send("4hello");
    ws.frame(Opcode::Binary, [1, 2, 3]);
    ws.send("bAQID");
    settle();
    assert_eq!(fixture.log.take(), "connection hello [1, 2, 3] [1, 2, 3]");
    assert!(client.send("a").is_taken());
    assert!(client.send(vec![1, 2, 3]).is_taken());
    assert_eq!(client.queued(), (0, 0));
    assert_eq!(ws.text(), "4a");
    let bytes = Message::Binary(vec![1, 2, 3].into());
    assert_eq!(ws.event(), Some(Event::Message(bytes)));
}

#[test]
fn messages_sent_by_connection_listeners_follow_the_handshake() {
    let fixture = Fixture::new();
    fixture.engine.on("connection", |client: Client| {
        client.send("first");
        client.send("second");
    });
    let (mut ws, _) = fixture.open_websocket();
    assert_eq!((ws.text(), ws.text()), ("4first".into(), "4second".into()));
}

#[test]
fn a_message_of_exactly_the_limit_is_accepted_and_a_larger_one_refused() {
    let fixture = Fixture::new();
    let (mut ws, _) = fixture.open_websocket();
    ws.send(&format!("4{}", "x".repeat(999)));
    ws.frame(Opcode::Binary, [0; 1000]);
    settle();
    assert!(fixture.client().is_open());
    fixture.log.take();
    ws.send(&format!("4{}", "x".repeat(1000)));
    assert_eq!(ws.closed(), 1009);
    assert_eq!(fixture.ended(), "(close:transport error)");
}

#[test]
fn invalid_utf8_closes_the_websocket_with_1007() {
    let fixture = Fixture::new();
    let (mut ws, _) = fixture.open_websocket();
    ws.frame(Opcode::Text, b"4\xff");
    assert_eq!(ws.closed(), 1007);
    assert_eq!(fixture.ended(), "connection (close:transport error)");
}

#[test]
fn an_invalid_packet_ends_the_session() {
    let fixture = Fixture::new();
    for (frame, reason) in [
        ("x", "parse error"),
        ("", "parse error"),
        ("2", "transport error"),
        ("1", "transport close"),
    ] {
        let (mut ws, _) = fixture.open_websocket();
        ws.send("4a");
        ws.send(frame);
        ws.send("4b");
        assert_eq!(ws.closed(), 1005, "{frame:?}");
        let expected = format!("connection a (close:{reason})");
        assert_eq!(fixture.ended(), expected, "{frame:?}");
    }
}

#[test]
fn closing_the_websocket_ends_the_session() {
    let fixture = Fixture::new();
    let (mut ws, _) = fixture.open_websocket();
    ws.close();
    assert_eq!(ws.closed(), 1005);
    assert_eq!(fixture.ended(), "connection (close:transport close)");
    let (ws, _) = fixture.open_websocket();
    drop(ws);
    assert_eq!(fixture.ended(), "connection (close:transport close)");
}

#[test]
fn http_requests_for_a_websocket_session_are_refused() {
    let fixture = Fixture::new();
    let (mut ws, sid) = fixture.open_websocket();
    for transport in ["polling", "websocket"] {
        let query = format!("EIO=4&transport={transport}&sid={sid}");
        let response = fixture.connect().get(&query);
        assert_eq!(response.show(), r#"400 {"code":3,"message":"Bad request"}"#);
    }
    let mut second = fixture.websocket(&format!("EIO=4&transport=websocket&sid={sid}"));
    assert_eq!(second.closed(), 1005);
    fixture.client().send("still here");
    assert_eq!(ws.text(), "4still here");
}

#[test]
fn a_panic_in_a_listener_ends_only_its_session() {
    let fixture = Fixture::new();
    let (mut other, _) = fixture.open_websocket();
    let survivor = fixture.client();
    fixture.engine.on("connection", |client: Client| {
        client.on("message", |message: Message| {
            assert!(
                message.as_text().unwrap() != "panic",
                "panicking on purpose"
            );
        });
    });
    let (mut ws, _) = fixture.open_websocket();
    ws.send("4panic");
    assert_eq!(ws.closed(), 1005);
    assert!(fixture.ended().ends_with("panic (close:forced close)"));
    survivor.send("a");
    assert_eq!(other.text(), "4a");

    let mut http = fixture.open();
    assert_eq!(http.post("4panic|4b"), "200 ok");
    assert!(fixture.ended().ends_with("panic (close:forced close)"));
}
