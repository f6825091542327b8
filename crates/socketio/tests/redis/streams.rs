//! Servers that are connected by a stream of a Redis server.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::{sleep, spawn};
use uptick_redis::{Error, Redis};
use uptick_socketio::adapter::redis::{RedisStreamsAdapter, RedisStreamsError};
use uptick_socketio::{Ack, RecoveryOptions, Socket, SocketIoOptions};

use crate::client::{Client, Fixture, Log, run, until};
use crate::cluster::Server;
use crate::requests::acknowledge;
use crate::server::RedisServer;

/// Creates a server, and a log of the errors of its adapter.
fn server(
    redis: Redis,
    options: SocketIoOptions,
    configure: impl FnOnce(RedisStreamsAdapter) -> RedisStreamsAdapter,
) -> (Server, Log) {
    redis.on("error", |error: Error| eprintln!("{error}"));
    let adapter = configure(RedisStreamsAdapter::new(redis));
    let errors = Log::default();
    let shared = errors.clone();
    adapter.on("error", move |error: RedisStreamsError| {
        shared.add(error.to_string());
    });
    let fixture = Fixture::with(options.adapter(adapter.factory()));
    let stats = Box::new(move || adapter.stats());
    (Server { fixture, stats }, errors)
}

fn recoverable(redis: Redis) -> Server {
    let options = SocketIoOptions::new().recovery(RecoveryOptions::new());
    server(redis, options, |adapter| adapter).0
}

/// Waits until the servers read the stream: adds entries with another client.
async fn started(redis: Redis, servers: &[&Server]) {
    for server in servers {
        // Redis has confirmed the subscriptions afterwards.
        server.main().fetch_sockets().await.unwrap();
        let (mut client, _) = server.client(&["started"]).await;
        let is_started = Rc::new(Cell::new(false));
        let flag = Rc::clone(&is_started);
        spawn(async move {
            let data = r#"{"packet":{"type":2,"data":["started"]},"opts":{"rooms":["started"]}}"#;
            while !flag.get() {
                let fields = [("uid", "u"), ("nsp", "/"), ("type", "3"), ("data", data)];
                redis.xadd("socket.io", fields).await.unwrap();
                sleep(Duration::from_millis(5)).await;
            }
        });
        client.packet().await;
        is_started.set(true);
        client.close();
    }
}

/// Reads the offset of an event, and returns the rest of the event.
fn without_offset(packet: &str) -> (&str, &str) {
    let (event, offset) = packet.rsplit_once(",\"").unwrap();
    (event, offset.strip_suffix("\"]").unwrap())
}

async fn event(client: &mut Client) -> String {
    let packet = client.packet().await;
    without_offset(&packet).0.to_owned()
}

#[test]
fn servers_exchange_all_messages_over_a_stream() {
    let Some(redis) = RedisServer::start() else {
        return;
    };
    for sharded in [false, true] {
        let clients = [redis.connect(), redis.connect()];
        run(async move {
            let [one, two] = clients.map(|redis| {
                let options = SocketIoOptions::new();
                let configure = |adapter: RedisStreamsAdapter| adapter.sharded_channels(sharded);
                server(redis, options, configure).0
            });
            started(clients[0], &[&one, &two]).await;
            let (a, _) = one.client(&["r"]).await;
            let (mut b, b_id) = two.client(&["r", "s"]).await;
            two.main()
                .on_server_side("ping", |number: i64, ack: Ack| ack.send(&(number + 1)));
            acknowledge(&a, "a");
            acknowledge(&b, "b");
            let fetched = one.main().to("s").fetch_sockets().await.unwrap();
            let ids: Vec<_> = fetched.iter().map(|socket| &*socket.id).collect();
            assert_eq!(ids, [&*b_id]);
            let pongs = one.main();
            let pongs = pongs.server_side_emit_with_ack::<i64, _>("ping", &1).await;
            assert_eq!(pongs, Ok(vec![2]));
            let acks = one.main().to("r");
            let mut acks = acks.emit_with_ack::<String, _>("q", &()).await.unwrap();
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
            one.main().to("s").sockets_join(["added"]);
            one.main().to("added").sockets_leave(["r"]);
            let socket = two.main().socket(&b_id).unwrap();
            until(move || socket.rooms().iter().all(|room| &**room != "r")).await;
            one.main().to("added").disconnect_sockets(true);
            b.expect_close().await;
            clients.into_iter().for_each(Redis::disconnect);
        });
    }
}

#[test]
fn a_client_recovers_on_another_server() {
    let Some(redis) = RedisServer::start() else {
        return;
    };
    let clients = [redis.connect(), redis.connect()];
    run(async move {
        let [one, two] = clients.map(recoverable);
        started(clients[0], &[&one, &two]).await;
        let mut client = one.fixture.open().await;
        client.send("0");
        let connected = client.packet().await;
        let pid = connected.split("\"pid\":\"").nth(1).unwrap()[..20].to_owned();
        let id = connected.split("\"sid\":\"").nth(1).unwrap()[..20].to_owned();
        let socket = one.main().socket(&id).unwrap();
        socket.join("r");
        socket.set_data(&7).unwrap();
        socket.emit("first", &());
        let first = client.packet().await;
        let (event_text, offset) = without_offset(&first);
        assert_eq!(event_text, "2[\"first\"");
        client.close();
        until(move || !socket.is_connected()).await;
        one.main().to("r").emit("missed", &1);
        two.main().to("r").emit("missed", &2);
        two.main().broadcast().volatile().emit("volatile", &());
        two.main().to("x").emit("other room", &());
        one.main().emit("missed", &3);
        // Read by the other server, which has no clients.
        let (mut observer, _) = two.client(&[]).await;
        one.main().emit("end", &());
        while event(&mut observer).await != "2[\"end\"" {}
        let recovered = Rc::new(Cell::new(None::<Socket>));
        let shared = Rc::clone(&recovered);
        two.fixture.io.on("connection", move |socket: Socket| {
            shared.set(Some(socket));
            socket.emit("welcome", &());
        });
        let auth = format!("{{\"pid\":\"{pid}\",\"offset\":\"{offset}\"}}");
        let (mut client, again) = two.fixture.open().await.join("/", &auth).await;
        assert_eq!(again, id);
        let mut missed = Vec::new();
        while missed.last().is_none_or(|last| last != "2[\"welcome\"") {
            missed.push(event(&mut client).await);
        }
        missed.sort();
        assert_eq!(
            missed,
            [
                "2[\"end\"",
                "2[\"missed\",1",
                "2[\"missed\",2",
                "2[\"missed\",3",
                "2[\"welcome\""
            ]
        );
        let socket = recovered.get().unwrap();
        assert!(socket.is_recovered());
        assert_eq!(socket.data::<i64>(), Some(7));
        assert_eq!(two.main().members("r").len(), 1);
        // The state was used.
        let (_, other) = one.fixture.open().await.join("/", &auth).await;
        assert_ne!(other, id);
        clients.into_iter().for_each(Redis::disconnect);
    });
}

#[test]
fn entries_beyond_the_limit_of_the_queue_are_errors() {
    let Some(mut redis) = RedisServer::start() else {
        return;
    };
    let clients = [redis.connect(), redis.connect()];
    let servers = Rc::new(clients.map(|redis| {
        let configure = |adapter: RedisStreamsAdapter| adapter.queue_limit(3, usize::MAX);
        server(redis, SocketIoOptions::new(), configure)
    }));
    let (shared, remote) = (Rc::clone(&servers), Rc::new(Cell::new(None)));
    let kept = Rc::clone(&remote);
    run(async move {
        let [(one, _), (two, _)] = &*shared;
        started(clients[0], &[one, two]).await;
        let (mut client, _) = two.client(&["r"]).await;
        one.main().to("r").emit("before", &());
        client.expect(&["2[\"before\"]"]).await;
        kept.set(Some(client));
    });
    redis.kill();
    let shared = Rc::clone(&servers);
    run(async move {
        let [(one, errors), _] = &*shared;
        until(|| !clients.iter().any(|redis| redis.is_ready())).await;
        errors.take();
        let lost = (one.stats)().lost;
        let (mut own, _) = one.client(&["r"]).await;
        for number in 0..5 {
            one.main().to("r").emit("away", &number);
        }
        for number in 0..5 {
            own.expect(&[&format!("2[\"away\",{number}]")]).await;
        }
        assert_eq!((one.stats)().lost, lost + 2);
        let reported = errors.take();
        let full: Vec<_> = reported
            .iter()
            .filter(|text| text.contains("ENOBUFS"))
            .collect();
        assert_eq!(full.len(), 1, "{reported:?}");
        assert!(full[0].contains("3 entries"), "{full:?}");
    });
    // The data is lost: the ids of the next entries do not depend on the previous ones.
    redis.restart();
    run(async move {
        let mut client = remote.take().unwrap();
        for number in 0..3 {
            client.expect(&[&format!("2[\"away\",{number}]")]).await;
        }
        client.expect_silence().await;
        clients.into_iter().for_each(Redis::disconnect);
    });
}

#[test]
fn malformed_entries_are_counted_and_ignored() {
    let Some(redis) = RedisServer::start() else {
        return;
    };
    let (client, other) = (redis.connect(), redis.connect());
    run(async move {
        let (server, _) = server(client, SocketIoOptions::new(), |adapter| adapter);
        started(other, &[&server]).await;
        let (mut socket, id) = server.client(&["r"]).await;
        let before = (server.stats)();
        let deep = format!("{{\"opts\":{}", "[".repeat(100_000));
        let disconnect = r#"{"opts":{"except":[]},"close":true}"#;
        let entries: [[&str; 4]; 8] = [
            ["u", "/", "x", "{}"],
            ["u", "/", "-1", "{}"],
            ["u", "/", "99", "{}"],
            ["u", "/", "3", "{}"],
            ["u", "/", "3", "not Base64"],
            ["u", "/", "3", "gA=="],
            ["u", "/", "3", &deep],
            ["u", "/", "6", disconnect],
        ];
        let add = |[uid, namespace, kind, data]: [&str; 4]| {
            let fields = [
                ("uid", uid),
                ("nsp", namespace),
                ("type", kind),
                ("data", data),
            ];
            other.xadd("socket.io", fields)
        };
        other.xadd("socket.io", [("a", "b")]).await.unwrap();
        for entry in entries {
            add(entry).await.unwrap();
        }
        add(["u", "/x", "3", "{}"]).await.unwrap();
        add(["u", "/", "2", ""]).await.unwrap();
        let broadcast = r#"{"packet":{"type":2,"data":["hi",1]},"opts":{"rooms":["r"],"except":[],"flags":{}}}"#;
        add(["u", "/", "3", broadcast]).await.unwrap();
        socket.expect(&["2[\"hi\",1]"]).await;
        assert!(server.main().socket(&id).is_some());
        let after = (server.stats)();
        assert_eq!(after.malformed - before.malformed, 9);
        [client, other].into_iter().for_each(Redis::disconnect);
    });
}
