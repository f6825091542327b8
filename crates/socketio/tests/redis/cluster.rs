//! Broadcasts and changes of sockets between servers.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::sleep;
use uptick_socketio::adapter::redis::broker::Broker;
use uptick_socketio::adapter::redis::{RedisAdapter, ShardedRedisAdapter, SubscriptionMode};
use uptick_socketio::adapter::{AdapterFactory, redis::RedisAdapterStats};
use uptick_socketio::{Namespace, RecoveryOptions, Socket, SocketIoOptions};

use crate::broker::FakeRedis;
use crate::client::{Client, Fixture, run, until};

/// The adapter of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Classic,
    Static,
    Dynamic,
}

pub(crate) const KINDS: [Kind; 3] = [Kind::Classic, Kind::Static, Kind::Dynamic];

impl Kind {
    pub(crate) fn adapter(
        self,
        broker: impl Broker + 'static,
    ) -> (AdapterFactory, Box<dyn Fn() -> RedisAdapterStats>) {
        let mode = match self {
            Kind::Classic => {
                let adapter = RedisAdapter::with_broker(broker);
                return (adapter.factory(), Box::new(move || adapter.stats()));
            }
            Kind::Static => SubscriptionMode::Static,
            Kind::Dynamic => SubscriptionMode::Dynamic,
        };
        let adapter = ShardedRedisAdapter::with_broker(broker).subscription_mode(mode);
        (adapter.factory(), Box::new(move || adapter.stats()))
    }
}

/// A server of a cluster.
pub(crate) struct Server {
    pub(crate) fixture: Fixture,
    pub(crate) stats: Box<dyn Fn() -> RedisAdapterStats>,
}

impl Server {
    pub(crate) fn new(kind: Kind, broker: impl Broker + 'static) -> Server {
        Server::with(kind, broker, SocketIoOptions::new())
    }

    pub(crate) fn with(
        kind: Kind,
        broker: impl Broker + 'static,
        options: SocketIoOptions,
    ) -> Server {
        let (factory, stats) = kind.adapter(broker);
        let fixture = Fixture::with(options.adapter(factory));
        // Clients join a room with the event `join`.
        fixture.io.on("connection", |socket: Socket| {
            socket.on("join", move |room: String| socket.join(&room));
        });
        Server { fixture, stats }
    }

    /// Returns the namespace `/`.
    pub(crate) fn main(&self) -> Namespace {
        self.fixture.io.of("/")
    }

    /// Connects a client that has joined rooms.
    pub(crate) async fn client(&self, rooms: &[&str]) -> (Client, String) {
        let (client, id) = self.fixture.join("/").await;
        let socket = self.main().socket(&id).unwrap();
        for room in rooms {
            assert!(socket.join(room));
        }
        (client, id)
    }
}

/// Returns two servers of a cluster.
pub(crate) fn pair(kind: Kind, redis: &FakeRedis) -> [Server; 2] {
    [(); 2].map(|()| Server::new(kind, redis.connect()))
}

#[test]
fn broadcasts_reach_the_clients_of_all_servers_once() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let [one, two] = pair(kind, &redis);
            let (mut a, a_id) = one.client(&["r", "s"]).await;
            let (mut b, _) = two.client(&["r"]).await;
            let (mut c, _) = two.client(&["s", "x"]).await;
            let io = one.main();
            io.emit("all", &(1, "two"));
            io.to("r").emit("room", &());
            io.to("r").to("s").except("x").emit("rooms", &());
            let socket = io.socket(&a_id).unwrap();
            socket.broadcast().emit("others", &());
            two.main().to(&a_id).emit("private", &());
            two.main().to("r").local().emit("local", &());
            io.emit("end", &());
            a.expect(&["2[\"all\",1,\"two\"]", "2[\"room\"]", "2[\"rooms\"]"])
                .await;
            b.expect(&[
                "2[\"local\"]",
                "2[\"all\",1,\"two\"]",
                "2[\"room\"]",
                "2[\"rooms\"]",
                "2[\"others\"]",
                "2[\"end\"]",
            ])
            .await;
            c.expect(&["2[\"all\",1,\"two\"]", "2[\"others\"]", "2[\"end\"]"])
                .await;
            a.expect(&["2[\"end\"]", "2[\"private\"]"]).await;
        });
    }
}

#[test]
fn binary_data_reaches_other_servers() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let [one, two] = pair(kind, &redis);
            let (mut client, _) = two.client(&[]).await;
            let bytes = bytes::Bytes::from_static(&[1, 2, 3]);
            one.main().emit("file", &(bytes.clone(), "name"));
            assert_eq!(
                client.packet().await,
                r#"51-["file",{"_placeholder":true,"num":0},"name"]"#
            );
            assert_eq!(client.message().await.unwrap().as_bytes(), &bytes[..]);
        });
    }
}

#[test]
fn namespaces_are_separate() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let [one, two] = pair(kind, &redis);
            for server in [&one, &two] {
                server.fixture.io.of("/chat");
            }
            let (mut chat, _) = two.fixture.join("/chat").await;
            let (mut main, _) = two.client(&[]).await;
            one.fixture.io.of("/chat").emit("chat", &());
            one.main().emit("main", &());
            chat.expect(&["2/chat,[\"chat\"]"]).await;
            main.expect(&["2[\"main\"]"]).await;
            chat.expect_silence().await;
        });
    }
}

#[test]
fn sockets_of_other_servers_join_leave_and_are_disconnected() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let [one, two] = pair(kind, &redis);
            let (mut client, id) = two.client(&["r"]).await;
            let io = one.main();
            io.to("r").sockets_join(["x", "y"]);
            io.to("r").sockets_leave(["y"]);
            let socket = two.main().socket(&id).unwrap();
            until(|| socket.rooms().iter().any(|room| &**room == "x")).await;
            until(|| !socket.rooms().iter().any(|room| &**room == "y")).await;
            // In the dynamic mode, the room has a channel by now.
            io.to("x").emit("joined", &());
            client.expect(&["2[\"joined\"]"]).await;
            io.to("x").disconnect_sockets(false);
            client.expect(&["1"]).await;
            let (mut client, _) = two.client(&["x"]).await;
            io.to("x").disconnect_sockets(true);
            client.expect_close().await;
        });
    }
}

#[test]
fn broadcasts_to_rooms_that_are_empty_here_are_not_decoded() {
    run(async {
        let redis = FakeRedis::default();
        let [one, two] = pair(Kind::Classic, &redis);
        let (mut client, id) = two.client(&["here", "7"]).await;
        let io = one.main();
        for room in ["elsewhere", "here", &id, "7"] {
            io.to(room).emit(room, &());
        }
        let events = ["here", &id, "7"].map(|room| format!("2[\"{room}\"]"));
        client.expect(&events.each_ref().map(String::as_str)).await;
        let stats = (two.stats)();
        assert_eq!((stats.skipped, stats.received), (1, 3));
        let stats = (one.stats)();
        assert_eq!((stats.sent, stats.ignored, stats.received), (4, 4, 0));
    });
}

#[test]
fn in_dynamic_mode_a_broadcast_to_a_room_reaches_only_servers_that_have_it() {
    run(async {
        let redis = FakeRedis::default();
        let [one, two] = pair(Kind::Dynamic, &redis);
        let (client, id) = two.client(&["r", "twenty-characters-xx"]).await;
        let rooms = |redis: &FakeRedis| {
            let topics = redis.topics().into_iter();
            topics
                .filter(|topic| {
                    topic.matches('#').count() == 3 && !topic.contains("#/#0") && topic.len() < 40
                })
                .count()
        };
        assert!(
            redis
                .topics()
                .contains(&"Sharded(\"socket.io#/#r#\")".to_owned())
        );
        redis.published();
        let io = one.main();
        io.to("r").emit("e", &());
        io.to("elsewhere").emit("e", &());
        io.to(&id).emit("e", &());
        io.to("twenty-characters-xx").emit("e", &());
        io.to("r").to("q").emit("e", &());
        io.emit("e", &());
        let channels: Vec<String> = redis
            .published()
            .into_iter()
            .map(|(channel, _)| channel)
            .collect();
        let main = "socket.io#/#";
        assert_eq!(
            channels,
            [
                "socket.io#/#r#",
                "socket.io#/#elsewhere#",
                main,
                main,
                main,
                main
            ]
        );
        let before = rooms(&redis);
        client.close();
        until(move || rooms(&redis) < before).await;
        let _ = two;
    });
}

#[test]
fn a_closed_server_ends_its_subscriptions() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let server = Server::new(kind, redis.connect());
            let (_client, _) = server.client(&["a", "b"]).await;
            assert!(redis.topics().len() >= 2);
            server.fixture.io.close();
            until(move || redis.topics().is_empty()).await;
        });
    }
}

#[test]
fn lost_messages_are_counted_and_the_server_continues() {
    for kind in KINDS {
        run(async move {
            let redis = FakeRedis::default();
            let [one, two] = pair(kind, &redis);
            let (mut own, _) = one.client(&[]).await;
            let (mut other, _) = two.client(&[]).await;
            redis.set_down(true);
            one.main().emit("lost", &());
            let fetched = one.main().fetch_sockets().await;
            assert_eq!(fetched.unwrap_err().received.len(), 1);
            redis.set_down(false);
            one.main().emit("sent", &());
            own.expect(&["2[\"lost\"]", "2[\"sent\"]"]).await;
            other.expect(&["2[\"sent\"]"]).await;
            let stats = (one.stats)();
            assert_eq!((stats.lost, stats.sent), (2, 1), "{kind:?}");
        });
    }
}

#[test]
fn special_characters_of_patterns_are_escaped() {
    run(async {
        let redis = FakeRedis::default();
        let server = Server::new(Kind::Classic, redis.connect());
        server.fixture.io.of("/a*[b]?");
        let expected = r#"Pattern("socket.io#/a\\*\\[b\\]\\?#*")"#;
        assert!(
            redis.topics().contains(&expected.to_owned()),
            "{:?}",
            redis.topics()
        );
    });
}

#[test]
fn with_recovery_the_channel_of_an_empty_room_is_kept_for_clients_that_may_reconnect() {
    run(async {
        let redis = FakeRedis::default();
        let time = Duration::from_millis(50);
        let recovery = RecoveryOptions::new().max_disconnection(time);
        let options = SocketIoOptions::new().recovery(recovery);
        let server = Server::with(Kind::Dynamic, redis.connect(), options);
        let (_client, id) = server.client(&["r"]).await;
        let socket = server.main().socket(&id).unwrap();
        let has_channel = move || {
            let channel = "Sharded(\"socket.io#/#r#\")".to_owned();
            redis.topics().contains(&channel)
        };
        socket.leave("r");
        assert!(has_channel());
        // Joining the room again cancels the timer.
        socket.join("r");
        sleep(time * 2).await;
        assert!(has_channel());
        socket.leave("r");
        until(move || !has_channel()).await;
        assert!(socket.join("r"));
    });
}
