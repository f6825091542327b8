//! The emitter for programs outside of the cluster.

use serde::Deserialize;
use uptick_socketio::Ack;
use uptick_socketio::adapter::redis::RedisEmitter;

use crate::broker::FakeRedis;
use crate::client::{Log, run, until};
use crate::cluster::{Kind, Server};

#[derive(Deserialize)]
struct Captured {
    operation: String,
    channel: String,
    text: Option<String>,
    hex: Option<String>,
}

#[derive(Deserialize)]
struct Captures {
    classic: Vec<Captured>,
}

#[test]
fn the_emitter_publishes_the_same_bytes_as_the_official_one() {
    run(async {
        let captures: Captures =
            serde_json::from_str(include_str!("../fixtures/redis_messages.json")).unwrap();
        let redis = FakeRedis::default();
        let emitter = RedisEmitter::with_broker(redis.connect());
        emitter.emit("from-emitter", &1);
        emitter.to("room1").emit("from-emitter", &2);
        emitter.to("cliA").sockets_join(["e"]);
        emitter.server_side_emit("hi", "there");
        emitter.of("chat").except("a").emit("x", &());
        let published = redis.published();
        let expected = captures.classic.iter();
        let expected = expected.filter(|captured| captured.operation.starts_with("emitter"));
        let expected: Vec<&Captured> = expected.collect();
        assert_eq!(published.len(), expected.len());
        for ((channel, payload), expected) in published.iter().zip(expected) {
            assert_eq!(*channel, expected.channel);
            let hex: String = payload.iter().map(|byte| format!("{byte:02x}")).collect();
            match &expected.text {
                Some(text) => assert_eq!(payload, text, "{}", expected.operation),
                None => assert_eq!(Some(hex), expected.hex, "{}", expected.operation),
            }
        }
    });
}

#[test]
fn the_servers_handle_all_messages_of_an_emitter() {
    run(async {
        let redis = FakeRedis::default();
        let server = Server::new(Kind::Classic, redis.connect());
        let (mut client, id) = server.client(&["r"]).await;
        let (log, io) = (Log::default(), server.main());
        let kept = log.clone();
        io.on_server_side("hi", move |text: String, _: Ack| kept.add(text));
        let emitter = RedisEmitter::with_broker(redis.connect());
        emitter.to("r").emit("event", &(1, "x"));
        emitter
            .to("other")
            .to("r")
            .volatile()
            .compress(false)
            .emit("both", &());
        emitter.to("r").except("r").emit("excluded", &());
        emitter.sockets_join(["new"]);
        emitter.to("r").sockets_leave(["r"]);
        emitter.server_side_emit("hi", "there");
        client
            .expect(&["2[\"event\",1,\"x\"]", "2[\"both\"]"])
            .await;
        until(|| log.len() == 1).await;
        assert_eq!(log.take(), ["there"]);
        let rooms = io.socket(&id).unwrap().rooms();
        assert!(
            rooms.iter().any(|room| &**room == "new") && !rooms.iter().any(|room| &**room == "r")
        );
        emitter.to("new").disconnect_sockets(false);
        client.expect(&["1"]).await;
        assert_eq!(emitter.stats().sent, 7);
        // The name of the event is reserved.
        emitter.emit("disconnect", &());
        redis.set_down(true);
        emitter.emit("lost", &());
        until(move || emitter.stats().lost == 2).await;
    });
}
