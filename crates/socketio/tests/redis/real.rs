//! Servers that are connected over a Redis server.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::sleep;
use uptick_redis::{Error, Redis};
use uptick_socketio::adapter::redis::{
    RedisAdapter, RedisAdapterStats, RedisEmitter, ShardedRedisAdapter, SubscriptionMode,
};
use uptick_socketio::{Ack, SocketIoOptions};

use crate::client::{Fixture, run, until};
use crate::cluster::{KINDS, Kind, Server};
use crate::requests::acknowledge;
use crate::server::RedisServer;

fn server(kind: Kind, redis: Redis) -> Server {
    redis.on("error", |error: Error| eprintln!("{error}"));
    let (factory, stats): (_, Box<dyn Fn() -> RedisAdapterStats>) = match kind {
        Kind::Classic => {
            let adapter = RedisAdapter::new(redis);
            (adapter.factory(), Box::new(move || adapter.stats()))
        }
        sharded => {
            let adapter = ShardedRedisAdapter::new(redis).subscription_mode(match sharded {
                Kind::Static => SubscriptionMode::Static,
                _ => SubscriptionMode::Dynamic,
            });
            (adapter.factory(), Box::new(move || adapter.stats()))
        }
    };
    let fixture = Fixture::with(SocketIoOptions::new().adapter(factory));
    Server { fixture, stats }
}

#[test]
fn servers_exchange_all_messages_over_a_redis_server() {
    let Some(redis) = RedisServer::start() else {
        return;
    };
    for kind in KINDS {
        let clients = [redis.connect(), redis.connect()];
        run(async move {
            let [one, two] = clients.map(|redis| server(kind, redis));
            // Right after the start.
            assert_eq!(one.main().fetch_sockets().await.unwrap(), []);
            assert_eq!(two.main().fetch_sockets().await.unwrap(), []);
            let (a, _) = one.client(&["r"]).await;
            let (mut b, b_id) = two.client(&["r", "s"]).await;
            two.main()
                .on_server_side("ping", |number: i64, ack: Ack| ack.send(&(number + 1)));
            acknowledge(&a, "a");
            acknowledge(&b, "b");
            let fetched = one.main().to("s").fetch_sockets().await.unwrap();
            assert_eq!(
                fetched.iter().map(|socket| &*socket.id).collect::<Vec<_>>(),
                [&*b_id]
            );
            let pongs = one
                .main()
                .server_side_emit_with_ack::<i64, _>("ping", &1)
                .await;
            assert_eq!(pongs, Ok(vec![2]));
            let mut acks = one
                .main()
                .to("r")
                .emit_with_ack::<String, _>("q", &())
                .await
                .unwrap();
            acks.sort();
            assert_eq!(acks, ["a", "b"]);
            assert!(b.packet().await.ends_with("[\"q\"]"));
            one.main().to("s").emit("room", &(1, "é"));
            one.main().except("s").emit("excepted", &());
            one.main()
                .emit("binary", &bytes::Bytes::from(vec![7; 100_000]));
            b.expect(&[
                "2[\"room\",1,\"é\"]",
                "51-[\"binary\",{\"_placeholder\":true,\"num\":0}]",
            ])
            .await;
            assert_eq!(b.message().await.unwrap().as_bytes(), vec![7; 100_000]);
            one.main().to("s").disconnect_sockets(true);
            b.expect_close().await;
            for (server, redis) in [one, two].into_iter().zip(clients) {
                server.fixture.io.close();
                redis.close();
            }
        });
    }
}

#[test]
fn the_servers_continue_after_redis_was_killed_and_restarted() {
    let Some(mut redis) = RedisServer::start() else {
        return;
    };
    for kind in KINDS {
        let clients = [redis.connect(), redis.connect()];
        let redis = &mut redis;
        let servers = std::rc::Rc::new(clients.map(|redis| server(kind, redis)));
        let (shared, received) = (std::rc::Rc::clone(&servers), crate::client::Log::default());
        let log = received.clone();
        run(async move {
            let [one, two] = &*shared;
            let (mut client, _) = two.client(&["r"]).await;
            one.main().fetch_sockets().await.unwrap();
            one.main().to("r").emit("before", &());
            client.expect(&["2[\"before\"]"]).await;
            uptick_event_loop::spawn(async move {
                while let Some(message) = client.message().await {
                    log.add(String::from_utf8_lossy(message.as_bytes()));
                }
            });
        });
        redis.kill();
        let shared = std::rc::Rc::clone(&servers);
        run(async move {
            let [one, _] = &*shared;
            until(|| !clients.iter().any(|redis| redis.is_ready())).await;
            let (mut own, _) = one.client(&[]).await;
            one.main().emit("away", &());
            own.expect(&["2[\"away\"]"]).await;
        });
        redis.restart();
        let shared = std::rc::Rc::clone(&servers);
        run(async move {
            let [one, _] = &*shared;
            while !received.take().iter().any(|event| event.contains("again")) {
                one.main().to("r").emit("again", &());
                sleep(Duration::from_millis(20)).await;
            }
            assert!(!one.main().fetch_sockets().await.unwrap().is_empty());
            clients.into_iter().for_each(Redis::disconnect);
        });
    }
}

#[test]
fn ten_thousand_rooms_have_channels() {
    let Some(redis) = RedisServer::start() else {
        return;
    };
    let clients = [redis.connect(), redis.connect()];
    run(async move {
        let [one, two] = clients.map(|redis| server(Kind::Dynamic, redis));
        let (mut client, id) = two.client(&[]).await;
        let socket = two.main().socket(&id).unwrap();
        let rooms = || (0..9999).map(|number| format!("room-{number}"));
        assert!(rooms().all(|room| socket.join(&room)));
        // A request reaches Redis after the subscriptions.
        two.main().fetch_sockets().await.unwrap();
        for room in ["room-0", "room-9998", "room-9999", "room-5000"] {
            one.main().to(room).emit(room, &());
        }
        client
            .expect(&["2[\"room-0\"]", "2[\"room-9998\"]", "2[\"room-5000\"]"])
            .await;
        assert_eq!((two.stats)().refused, 0);
        client.close();
        until(|| !socket.is_connected()).await;
        clients.into_iter().for_each(Redis::disconnect);
    });
}

#[test]
fn an_emitter_reaches_the_servers_over_a_redis_server() {
    let Some(redis) = RedisServer::start() else {
        return;
    };
    let clients = [redis.connect(), redis.connect()];
    run(async move {
        let [own, other] = clients;
        let server = server(Kind::Classic, own);
        server.main().fetch_sockets().await.unwrap();
        let (mut client, _) = server.client(&["r"]).await;
        let emitter = RedisEmitter::new(other);
        emitter.to("r").emit("event", &(1, 2));
        client.expect(&["2[\"event\",1,2]"]).await;
        until(move || emitter.stats().sent == 1).await;
        clients.into_iter().for_each(Redis::disconnect);
    });
}
