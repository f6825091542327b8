//! The upgrade from polling to a WebSocket.

use uptick_emitter::Emitter;
use uptick_socketio::engine::{Client, Transport};
use uptick_websocket::Message;

use crate::support::{Fixture, Http, Ws, fast_heartbeat, manual_clock, options, pass, settle};
use std::time::Duration;

/// Opens a WebSocket for the upgrade of a polling session, and exchanges the probe.
#[track_caller]
fn candidate(fixture: &Fixture, http: &Http) -> Ws {
    let mut ws = fixture.websocket(&format!("EIO=4&transport=websocket&sid={}", http.sid));
    ws.send("2probe");
    assert_eq!(ws.text(), "3probe");
    ws
}

#[test]
fn an_upgrade_releases_the_poll_and_moves_the_queue() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    http.begin_poll();
    settle();
    let mut ws = candidate(&fixture, &http);
    assert_eq!(http.response().show(), "200 6");
    let client = fixture.client();
    client.send("a");
    client.send("b");
    settle();
    assert_eq!(client.transport(), Some(Transport::Polling));
    ws.send("5");
    assert_eq!((ws.text(), ws.text()), ("4a".into(), "4b".into()));
    assert_eq!(client.transport(), Some(Transport::WebSocket));
    ws.send("4c");
    settle();
    assert_eq!(fixture.log.take(), "connection (upgrade:websocket) c");
    assert_eq!(fixture.engine.stats().upgrades, 1);
}

#[test]
fn no_message_is_lost_or_duplicated_in_a_burst_during_an_upgrade() {
    let fixture = Fixture::new();
    fixture.engine.on("connection", |client: Client| {
        client.on("message", move |message: Message| client.send(message));
    });
    let mut http = fixture.open();
    let mut got = Vec::new();
    let packets = |response: String| -> Vec<String> {
        let body = response.strip_prefix("200 ").unwrap();
        body.split('|').map(str::to_owned).collect()
    };
    http.begin_poll();
    let mut post = http.another_connection(&fixture);
    assert_eq!(post.post("40|41|42"), "200 ok");
    got.extend(packets(http.response().show()));
    http.begin_poll();
    let mut ws = candidate(&fixture, &http);
    assert_eq!(post.post("43|44"), "200 ok");
    got.extend(packets(http.response().show()));
    assert_eq!(post.post("45"), "200 ok");
    ws.send("5");
    for n in 6..100 {
        ws.send(&format!("4{n}"));
    }
    got.retain(|packet| packet != "6");
    while got.len() < 100 {
        got.push(ws.text());
    }
    let expected: Vec<_> = (0..100).map(|n| format!("4{n}")).collect();
    assert_eq!(got, expected);
}

#[test]
fn a_failed_upgrade_does_not_affect_polling() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    let query = format!("EIO=4&transport=websocket&sid={}", http.sid);
    // A message before the probe.
    let mut ws = fixture.websocket(&query);
    ws.send("4a");
    assert_eq!(ws.closed(), 1005);
    // A client that disconnects after the probe.
    drop(candidate(&fixture, &http));
    settle();
    // An invalid frame.
    let mut ws = candidate(&fixture, &http);
    ws.frame(uptick_websocket::protocol::frame::Opcode::Text, b"\xff");
    assert_eq!(ws.closed(), 1007);
    // Two candidates at the same time.
    let mut first = candidate(&fixture, &http);
    let mut second = fixture.websocket(&query);
    assert_eq!(second.closed(), 1005);
    fixture.client().send("a");
    assert_eq!(http.poll(), "200 4a");
    first.send("5");
    settle();
    assert_eq!(fixture.log.take(), "connection (upgrade:websocket)");
}

#[test]
fn an_upgrade_must_complete_in_time() {
    let clock = manual_clock();
    let fixture = Fixture::with(
        options()
            .ping_interval(Duration::from_secs(60))
            .upgrade_timeout(Duration::from_secs(2)),
    );
    let http = fixture.open();
    let mut ws = candidate(&fixture, &http);
    for _ in 0..19 {
        pass(&clock, Duration::from_millis(100));
    }
    assert_eq!(ws.received_events(), []);
    pass(&clock, Duration::from_millis(100));
    assert_eq!(ws.closed(), 1005);
    assert!(fixture.client().is_open());
}

#[test]
fn upgrades_can_be_disabled() {
    let fixture = Fixture::with(options().allow_upgrades(false));
    let http = fixture.open();
    let mut ws = fixture.websocket(&format!("EIO=4&transport=websocket&sid={}", http.sid));
    assert_eq!(ws.closed(), 1005);
    assert!(fixture.client().is_open());
}

#[test]
fn a_client_closed_during_an_upgrade_receives_the_queue_before_the_close() {
    let fixture = Fixture::new();
    let http = fixture.open();
    let mut ws = candidate(&fixture, &http);
    let client = fixture.client();
    client.send("bye");
    client.close();
    settle();
    ws.send("5");
    assert_eq!(ws.text(), "4bye");
    assert_eq!(ws.closed(), 1005);
    assert!(fixture.ended().ends_with("(close:forced close)"));
}

#[test]
fn the_heartbeat_continues_after_an_upgrade() {
    let clock = manual_clock();
    let fixture = Fixture::with(fast_heartbeat());
    let mut http = fixture.open();
    http.begin_poll();
    let mut ws = candidate(&fixture, &http);
    assert_eq!(http.response().show(), "200 6");
    ws.send("5");
    settle();
    pass(&clock, Duration::from_millis(300));
    assert_eq!(ws.text(), "2");
    ws.send("3");
    settle();
    assert_eq!(
        fixture.log.take(),
        "connection (upgrade:websocket) (heartbeat)"
    );
    pass(&clock, Duration::from_millis(300));
    assert_eq!(ws.text(), "2");
    pass(&clock, Duration::from_millis(200));
    assert_eq!(ws.closed(), 1005);
    assert_eq!(fixture.ended(), "(close:ping timeout)");
}
