//! Slow clients: full queues, backpressure and the slow-client policy.

use uptick_socketio::engine::Client;
use uptick_websocket::protocol::Event;
use uptick_websocket::{Message, Sent, SlowPolicy};

use crate::support::{Fixture, Ws, options, run_until, settle};

/// Sends messages until one is dropped, at most `most`. Returns the number of accepted messages.
fn fill(client: Client, most: usize) -> usize {
    for n in 0..most {
        match client.send(format!("{n:0>10000}")) {
            Sent::Dropped => return n,
            _ if n % 16 == 0 => settle(),
            _ => {}
        }
    }
    most
}

fn number(ws: &mut Ws) -> usize {
    match ws.event() {
        Some(Event::Message(Message::Text(text))) => text.as_str()[1..].parse().unwrap(),
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_slow_websocket_receives_everything_in_order_and_drain_follows() {
    let fixture = Fixture::new();
    let (mut ws, _) = fixture.open_websocket();
    let client = fixture.client();
    assert_eq!(fill(client, 1500), 1500);
    assert!(!client.is_writable());
    let (packets, bytes) = client.queued();
    assert!(packets > 0 && bytes > packets * 10_000, "{packets} {bytes}");
    assert_eq!(client.send("last"), Sent::Buffered);
    for n in 0..1500 {
        assert_eq!(number(&mut ws), n);
    }
    assert_eq!(ws.text(), "4last");
    run_until(|| fixture.log.text() == "connection (drain)");
    assert!(client.is_writable());
    assert_eq!(client.send("a"), Sent::Sent);
}

#[test]
fn messages_to_a_polling_client_are_buffered() {
    let fixture = Fixture::new();
    let mut http = fixture.open();
    let client = fixture.client();
    let large = "x".repeat(40_000);
    assert_eq!(client.send(large.clone()), Sent::Sent);
    assert_eq!(client.send(large.clone()), Sent::Buffered);
    settle();
    assert_eq!(fixture.log.text(), "connection");
    assert_eq!(http.poll(), format!("200 4{large}|4{large}"));
    assert_eq!(fixture.log.text(), "connection (drain)");
}

#[test]
fn a_full_queue_closes_the_session() {
    let fixture = Fixture::with(options().queue_bytes(100_000));
    let (_ws, _) = fixture.open_websocket();
    let client = fixture.client();
    assert!(fill(client, 5000) < 5000);
    assert!(!client.is_open());
    assert!(fixture.ended().ends_with("(close:transport error)"));
    let stats = fixture.engine.stats();
    assert_eq!((stats.dropped, stats.slow_closes), (1, 1));

    let _http = fixture.open();
    let client = fixture.client();
    assert_eq!(fill(client, 5000), 10);
    assert!(fixture.ended().ends_with("(close:transport error)"));
}

#[test]
fn a_full_queue_may_drop_the_packet_instead() {
    let fixture = Fixture::with(options().queue_packets(3).slow_policy(SlowPolicy::Drop));
    let mut http = fixture.open();
    let client = fixture.client();
    for n in 0..5 {
        assert_eq!(client.send(format!("{n}")).is_taken(), n < 3);
    }
    assert_eq!(http.poll(), "200 40|41|42");
    assert!(client.send("5").is_taken());
    assert_eq!(http.poll(), "200 45");
    let stats = fixture.engine.stats();
    assert_eq!((stats.dropped, stats.slow_closes), (2, 0));
}
