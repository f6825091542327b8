//! Disconnecting of sockets.

use uptick_emitter::Emitter;
use uptick_socketio::engine::{Client, CloseReason};
use uptick_socketio::{DisconnectReason, Sent, Socket, SocketIo};
use uptick_websocket::test;

use crate::support::{Fixture, Log, last_socket, run, until};

/// Logs the disconnect events of each socket, with the number of its rooms.
fn log_disconnects(server: Fixture) -> Log {
    let log = Log::default();
    let entries = log.clone();
    server.io.on("connection", move |socket: Socket| {
        socket.join("room");
        for event in ["disconnecting", "disconnect"] {
            let log = entries.clone();
            socket.on(event, move |reason: DisconnectReason| {
                log.add(format!("{event}: {reason}, {} rooms", socket.rooms().len()));
            });
        }
    });
    log
}

fn ended(reason: &str) -> [String; 2] {
    [
        format!("disconnecting: {reason}, 2 rooms"),
        format!("disconnect: {reason}, 0 rooms"),
    ]
}

#[test]
fn disconnect_reasons_match_the_official_server() {
    run(async {
        let server = Fixture::new();
        let log = log_disconnects(server);
        let socket = last_socket(server.io);

        let client = server.connect().await;
        client.send("1");
        until(|| log.len() == 2).await;
        assert_eq!(log.take(), ended("client namespace disconnect"));

        let mut client = server.connect().await;
        socket.get().unwrap().disconnect();
        client.expect(&["1"]).await;
        assert_eq!(log.take(), ended("server namespace disconnect"));

        let mut client = server.connect().await;
        socket.get().unwrap().disconnect_client();
        client.expect(&["1"]).await;
        client.expect_close().await;
        assert_eq!(log.take(), ended("server namespace disconnect"));

        let client = server.connect().await;
        client.close();
        until(|| log.len() == 2).await;
        assert_eq!(log.take(), ended("transport close"));

        let mut client = server.connect().await;
        socket.get().unwrap().client().unwrap().close();
        client.expect_close().await;
        until(|| log.len() == 2).await;
        assert_eq!(log.take(), ended("forced close"));

        let client = server.connect().await;
        client.ws.send("x");
        until(|| log.len() == 2).await;
        assert_eq!(log.take(), ended("parse error"));

        let mut client = server.connect().await;
        server.io.close();
        client.expect_close().await;
        assert_eq!(log.take(), ended("server shutting down"));
    });
}

#[test]
fn the_handle_of_a_disconnected_socket_does_nothing() {
    run(async {
        let server = Fixture::new();
        let socket = last_socket(server.io);
        let client = server.connect().await;
        let socket = socket.get().unwrap();
        client.close();
        until(|| !socket.is_connected()).await;
        assert_eq!(socket.emit("x", &()), Sent::Dropped);
        assert!(!socket.join("a"));
        assert!(socket.rooms().is_empty());
        assert!(socket.handshake().is_none());
        assert_eq!(socket.to("a").emit("x", &()), 0);
        socket.on("x", |()| ());
        socket.disconnect();
    });
}

#[test]
fn leaving_one_namespace_keeps_the_others() {
    run(async {
        let server = Fixture::new();
        server.io.of("/a");
        let client = server.connect().await;
        let (mut client, _) = client.join("/a", "").await;
        client.send("1/a,");
        until(|| server.io.of("/a").sockets().is_empty()).await;
        server.io.emit("x", &());
        client.expect(&[r#"2["x"]"#]).await;
        // The client may join the namespace again.
        client.join("/a", "").await;
    });
}

#[test]
fn a_listener_may_disconnect_its_socket() {
    run(async {
        let server = Fixture::new();
        server.io.on("connection", |socket: Socket| {
            socket.on("leave", move |()| socket.disconnect());
            socket.on("leave", move |()| panic!("not called"));
        });
        let mut client = server.connect().await;
        client.send(r#"2["leave"]"#);
        client.expect(&["1"]).await;
        client.join("/", "").await;
    });
}

#[test]
fn packets_after_a_disconnect_by_a_listener_close_the_connection() {
    run(async {
        let server = Fixture::new();
        server
            .io
            .on("connection", |socket: Socket| socket.disconnect());
        let mut client = server.open().await;
        client.send("0");
        let connected = client.packet().await;
        assert!(connected.starts_with("0{"), "{connected}");
        client.expect(&["1"]).await;
        client.send(r#"2["x"]"#);
        client.expect_close().await;
    });
}

#[test]
fn the_client_of_a_socket_emits_close() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let entries = log.clone();
        server.io.engine().on("connection", move |client: Client| {
            entries.add("connection");
            let log = entries.clone();
            client.on("close", move |reason: CloseReason| log.add(reason.name()));
        });
        let sockets = log.clone();
        server.io.on("connection", move |socket: Socket| {
            let log = sockets.clone();
            socket.on("disconnect", move |reason: DisconnectReason| {
                log.add(format!("disconnect: {reason}"));
            });
        });
        let client = server.connect().await;
        client.close();
        until(|| log.len() == 3).await;
        assert_eq!(
            log.take(),
            [
                "connection",
                "disconnect: transport close",
                "transport close"
            ]
        );
    });
}

#[test]
fn the_path_of_a_closed_server_refuses_clients_and_stays_in_use() {
    run(async {
        let server = Fixture::new();
        server.io.close();
        let path = "/socket.io/?EIO=4&transport=websocket";
        assert!(test::connect(server.http, path).await.is_err());
        let mounted = std::panic::catch_unwind(|| {
            server.http.mount("/socket.io/", &SocketIo::new());
        });
        assert!(mounted.is_err());
        // A new server can be mounted at another path.
        let io = SocketIo::new();
        server.http.mount("/new/", &io);
        let path = "/new/?EIO=4&transport=websocket";
        test::connect(server.http, path).await.unwrap();
        until(|| io.clients_count() == 1).await;
    });
}
