//! Acknowledgements in both directions.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_socketio::{Ack, AckError, Incomplete, Socket, SocketIoOptions};

use crate::support::{Fixture, Log, last_socket, run, until};

#[test]
fn an_ack_is_sent_now_or_later_and_only_if_requested() {
    run(async {
        let server = Fixture::new();
        server.io.on("connection", |socket: Socket| {
            socket.on_ack("sum", |(a, b): (i64, i64), ack| ack.send(&(a + b)));
            socket.on_ack("later", |(), ack: Ack| {
                uptick_event_loop::future_tick(move || ack.send(&("a", 1)));
            });
            socket.on_ack("wanted", move |(), ack: Ack| {
                socket.emit("wanted", &ack.is_requested());
                ack.send(&());
            });
        });
        let mut client = server.connect().await;
        client.send(r#"20["later"]"#);
        client.expect(&[r#"30["a",1]"#]).await;
        client.send(r#"21["sum",2,3]"#);
        client.send(r#"2["wanted"]"#);
        client.send(r#"22["wanted"]"#);
        client
            .expect(&[
                "31[5]",
                r#"2["wanted",false]"#,
                r#"2["wanted",true]"#,
                "32[]",
            ])
            .await;
    });
}

#[test]
fn the_client_acknowledges_an_event() {
    run(async {
        let server = Fixture::new();
        let socket = last_socket(server.io);
        let mut client = server.connect().await;
        let socket = socket.get().unwrap();
        let single = socket.emit_with_ack::<String, _>("question", "Tea?");
        let pair = socket.emit_with_ack::<(u8, u8), _>("pair", &());
        let wrong = socket.emit_with_ack::<u8, _>("wrong", &());
        client
            .expect(&[
                r#"20["question","Tea?"]"#,
                r#"21["pair"]"#,
                r#"22["wrong"]"#,
            ])
            .await;
        client.send(r#"32["text"]"#);
        client.send("31[1,2]");
        client.send(r#"30["yes"]"#);
        // An acknowledgement without an event, and a duplicate.
        client.send(r#"39["yes"]"#);
        client.send(r#"30["no"]"#);
        assert_eq!(single.await, Ok("yes".to_owned()));
        assert_eq!(pair.await, Ok((1, 2)));
        assert!(matches!(wrong.await, Err(AckError::Arguments(_))));
        assert!(socket.is_connected());
    });
}

#[test]
fn an_ack_fails_after_a_timeout_or_when_the_client_disconnects() {
    run(async {
        let server = Fixture::new();
        let socket = last_socket(server.io);
        let client = server.connect().await;
        let socket = socket.get().unwrap();
        let timeout = Duration::from_millis(5);
        let late = socket.timeout(timeout).emit_with_ack::<u8, _>("late", &());
        assert_eq!(late.await, Err(AckError::Timeout));
        let lost = socket.emit_with_ack::<u8, _>("lost", &());
        client.close();
        assert_eq!(lost.await, Err(AckError::Disconnected));
        let stale = socket.emit_with_ack::<u8, _>("stale", &());
        assert_eq!(stale.await, Err(AckError::Disconnected));
    });
}

#[test]
fn the_number_of_pending_acks_is_bounded() {
    run(async {
        let server = Fixture::with(SocketIoOptions::new().max_pending_acks(1));
        let socket = last_socket(server.io);
        let mut client = server.connect().await;
        let socket = socket.get().unwrap();
        let first = socket.emit_with_ack::<u8, _>("a", &());
        let second = socket.emit_with_ack::<u8, _>("b", &());
        assert_eq!(second.await, Err(AckError::TooMany { limit: 1 }));
        client.expect(&[r#"20["a"]"#]).await;
        client.send("30[1]");
        assert_eq!(first.await, Ok(1));
        client.expect_silence().await;
    });
}

#[test]
fn a_broadcast_collects_the_acks_of_all_sockets() {
    run(async {
        let server = Fixture::new();
        let mut one = server.connect().await;
        let mut two = server.connect().await;
        let all = server.io.of("/").broadcast();
        let votes = all.emit_with_ack::<u8, _>("vote", "now");
        one.expect(&[r#"20["vote","now"]"#]).await;
        two.expect(&[r#"20["vote","now"]"#]).await;
        two.send("30[2]");
        one.send("30[1,9]");
        let mut votes = votes.await.unwrap();
        votes.sort_unstable();
        assert_eq!(votes, [1, 2]);
        let none = server.io.to("empty").emit_with_ack::<u8, _>("vote", &());
        assert_eq!(none.await, Ok(vec![]));
    });
}

#[test]
fn a_broadcast_returns_the_acks_received_in_time() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let mut one = server.connect().await;
        let _silent = server.connect().await;
        let all = server.io.of("/").broadcast();
        let votes = all.timeout(Duration::from_millis(200));
        let votes = votes.emit_with_ack("vote", &());
        one.expect(&[r#"20["vote"]"#]).await;
        one.send("30[1]");
        let entries = log.clone();
        votes.then(move |votes: Result<Vec<u8>, Incomplete<u8>>| {
            entries.add(format!("{:?}", votes.unwrap_err().received));
        });
        until(|| log.len() > 0).await;
        assert_eq!(log.take(), ["[1]"]);
    });
}

#[test]
fn all_pending_acks_fail_at_a_disconnect_even_if_a_callback_panics() {
    run(async {
        let server = Fixture::new();
        let socket = last_socket(server.io);
        let client = server.connect().await;
        let socket = socket.get().unwrap();
        let failed = Log::default();
        for event in ["a", "b", "c"] {
            let failed = failed.clone();
            let reply = socket.emit_with_ack::<u8, _>(event, &());
            reply.then(move |acknowledged| {
                assert_eq!(acknowledged, Err(AckError::Disconnected));
                failed.add(event);
                panic!("on purpose");
            });
        }
        client.close();
        until(|| !socket.is_connected()).await;
        assert_eq!(failed.len(), 3);
    });
}
