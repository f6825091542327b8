//! Joining a namespace.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use serde_json::json;
use uptick_emitter::Emitter;
use uptick_event_loop::sleep;
use uptick_socketio::{Refusal, Socket, SocketIoOptions};

use crate::support::{Fixture, Log, last_socket, run, until};

#[test]
fn a_client_has_a_different_id_in_each_namespace() {
    run(async {
        let server = Fixture::new();
        server.io.of("/a");
        let (client, root) = server.join("/").await;
        let (mut client, other) = client.join("/a", "").await;
        assert_ne!(root, other);
        server.io.emit("x", &());
        server.io.of("a").emit("y", &());
        client.expect(&[r#"2["x"]"#, r#"2/a,["y"]"#]).await;
        assert_eq!(server.io.clients_count(), 1);
    });
}

#[test]
fn an_unknown_namespace_is_refused() {
    run(async {
        let server = Fixture::new();
        let mut client = server.open().await;
        client.send("0/nothing,");
        client
            .expect(&[r#"4/nothing,{"message":"Invalid namespace"}"#])
            .await;
        client.join("/", "").await;
    });
}

#[test]
fn middleware_accepts_and_refuses_in_order() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let namespace = server.io.of("/a");
        let entries = log.clone();
        namespace.wrap(move |socket: Socket| {
            entries.add("first");
            assert!(!socket.is_connected());
            match socket.auth::<serde_json::Value>() {
                Ok(auth) if auth["token"] == "secret" => Ok(()),
                _ => {
                    let data = json!({ "code": 401 });
                    Err(Refusal::new("not authorized").with_data(&data))
                }
            }
        });
        let entries = log.clone();
        namespace.wrap(move |_: Socket| {
            let log = entries.clone();
            async move {
                sleep(Duration::from_millis(1)).await;
                log.add("second");
                Ok::<(), Refusal>(())
            }
        });
        let entries = log.clone();
        namespace.on("connection", move |_: Socket| entries.add("connection"));
        let mut client = server.open().await;
        client.send("0/a,");
        client
            .expect(&[r#"4/a,{"message":"not authorized","data":{"code":401}}"#])
            .await;
        client.join("/a", r#"{"token":"secret"}"#).await;
        assert_eq!(log.take(), ["first", "first", "second", "connection"]);
    });
}

#[test]
fn a_client_that_leaves_during_middleware_is_not_connected() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let entries = log.clone();
        let gate = Rc::new(Cell::new(false));
        let open = Rc::clone(&gate);
        server.io.wrap(move |_: Socket| {
            let (log, open) = (entries.clone(), Rc::clone(&open));
            async move {
                log.add("started");
                until(|| open.get()).await;
                log.add("finished");
                Ok::<(), Refusal>(())
            }
        });
        let entries = log.clone();
        server
            .io
            .on("connection", move |_: Socket| entries.add("connection"));
        let client = server.open().await;
        client.send("0");
        until(|| log.len() == 1).await;
        client.close();
        until(|| server.io.clients_count() == 0).await;
        gate.set(true);
        until(|| log.len() == 2).await;
        sleep(Duration::from_millis(5)).await;
        assert_eq!(log.take(), ["started", "finished"]);
        assert!(server.io.of("/").sockets().is_empty());
    });
}

#[test]
fn unexpected_and_invalid_packets_close_the_connection() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let entries = log.clone();
        server.io.on("connection", move |socket: Socket| {
            let log = entries.clone();
            socket.on("disconnect", move |reason: String| log.add(reason));
        });
        for packet in [
            "0",
            r#"4{"message":"x"}"#,
            r#"2/other,["event"]"#,
            "nonsense",
            r#"2["connect"]"#,
            r#"50-["x"]"#,
            r#"2["x",{]"#,
        ] {
            let mut client = server.connect().await;
            client.send(packet);
            client.expect_close().await;
            until(|| log.len() > 0).await;
            assert_eq!(log.take(), ["forced close"], "{packet}");
        }
        let mut client = server.open().await;
        client.send(r#"2["too early"]"#);
        client.expect_close().await;
        until(|| server.io.clients_count() == 0).await;
    });
}

#[test]
fn deeply_nested_json_closes_only_the_connection_of_its_sender() {
    run(async {
        let server = Fixture::new();
        let mut other = server.connect().await;
        let mut client = server.connect().await;
        let deep = format!(r#"2["x",{}{}]"#, "[".repeat(5000), "]".repeat(5000));
        client.send(&deep);
        client.expect_close().await;
        server.io.emit("alive", &());
        other.expect(&[r#"2["alive"]"#]).await;
    });
}

#[test]
fn a_client_that_joins_no_namespace_is_closed() {
    run(async {
        let options = SocketIoOptions::new().connect_timeout(Duration::from_millis(20));
        let server = Fixture::with(options);
        let mut idle = server.open().await;
        let joined = server.connect().await;
        idle.expect_close().await;
        sleep(Duration::from_millis(30)).await;
        assert!(joined.ws.is_open());
    });
}

#[test]
fn the_handshake_is_available_to_listeners() {
    run(async {
        let server = Fixture::new();
        let socket = last_socket(server.io);
        let _client = server.open().await.join("/", r#"{"a":1}"#).await;
        let socket = socket.get().unwrap();
        let handshake = socket.handshake().unwrap();
        assert_eq!(handshake.query_value("EIO").as_deref(), Some("4"));
        assert_eq!(socket.auth::<serde_json::Value>().unwrap()["a"], 1);
        assert_eq!(socket.transport().unwrap().name(), "websocket");
        assert!(!socket.is_recovered());
    });
}

#[test]
fn a_socket_may_join_rooms_during_middleware() {
    run(async {
        let server = Fixture::new();
        server.io.wrap(|socket: Socket| {
            assert!(socket.join("a") && socket.join("b"));
            socket.leave("b");
            Ok::<(), Refusal>(())
        });
        let namespace = server.io.of("/");
        let mut client = server.open().await;
        client.send("0");
        client.packet().await;
        assert_eq!(namespace.members("a").len(), 1);
        assert!(namespace.members("b").is_empty());
    });
}

#[test]
fn a_panic_in_middleware_closes_the_client_and_frees_the_namespace() {
    run(async {
        let server = Fixture::new();
        let all = server.io.of_dynamic(|name| name.starts_with("/dyn-"));
        all.wrap(|socket: Socket| {
            assert_ne!(&*socket.namespace().name(), "/dyn-now", "on purpose");
            Ok::<(), Refusal>(())
        });
        all.wrap(|socket: Socket| async move {
            sleep(Duration::from_millis(1)).await;
            assert_ne!(&*socket.namespace().name(), "/dyn-later", "on purpose");
            Ok::<(), Refusal>(())
        });
        all.on("connection", |socket: Socket| {
            assert_ne!(&*socket.namespace().name(), "/dyn-joined", "on purpose");
        });
        for name in ["/dyn-now", "/dyn-later", "/dyn-joined"] {
            let mut client = server.open().await;
            client.send(&format!("0{name},"));
            loop {
                match client.message().await {
                    Some(message) if message.as_bytes().starts_with(b"40") => {
                        assert_eq!(name, "/dyn-joined");
                    }
                    Some(_) => {}
                    None => break,
                }
            }
            until(|| server.io.namespaces().len() == 1).await;
        }
        server.join("/dyn-1").await;
    });
}

#[test]
fn unfinished_middleware_counts_after_the_client_has_left_the_namespace() {
    run(async {
        let server = Fixture::with(SocketIoOptions::new().max_namespaces_per_client(2));
        server.io.of("/a").wrap(|_: Socket| async {
            sleep(Duration::from_millis(20)).await;
            Ok::<(), Refusal>(())
        });
        let mut client = server.open().await;
        for packet in ["0/a,", "1/a,", "0/a,", "1/a,", "0/a,"] {
            client.send(packet);
        }
        client
            .expect(&[r#"4/a,{"message":"Too many namespaces"}"#])
            .await;
        sleep(Duration::from_millis(40)).await;
        client.join("/a", "").await;
    });
}
