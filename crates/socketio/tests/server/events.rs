//! Events from clients and to clients.

use bytes::Bytes;
use serde::Deserialize;
use uptick_emitter::Emitter;
use uptick_socketio::{Ack, Arguments, Refusal, Sent, Socket};
use uptick_websocket::Message;

use crate::support::{Fixture, Log, last_socket, run};

#[test]
fn events_arrive_in_order_with_typed_arguments() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let entries = log.clone();
        server.io.on("connection", move |socket: Socket| {
            let log = entries.clone();
            socket.on("one", move |text: String| log.add(text));
            let log = entries.clone();
            socket.on("two", move |(number, flag): (u8, bool)| {
                log.add(format!("{number} {flag}"));
            });
            let log = entries.clone();
            socket.on("all", move |arguments: Arguments| {
                log.add(arguments.len().to_string());
            });
            socket.on_ack("done", |(), ack: Ack| ack.send(&()));
        });
        let mut client = server.connect().await;
        client.send(r#"2["one","a","ignored"]"#);
        client.send(r#"2["two",1,true]"#);
        client.send(r#"2["all",1,[2],{}]"#);
        client.send(r#"2["one","b"]"#);
        client.send(r#"21["done"]"#);
        client.expect(&["31[]"]).await;
        assert_eq!(log.take(), ["a", "1 true", "3", "b"]);
    });
}

#[test]
fn values_of_all_kinds_are_sent() {
    run(async {
        let server = Fixture::new();
        let socket = last_socket(server.io);
        let mut client = server.connect().await;
        let socket = socket.get().unwrap();
        assert_eq!(socket.emit("none", &()), Sent::Sent);
        socket.emit("one", "text");
        socket.emit("tuple", &(1, None::<u8>, [2.5, 3.0]));
        socket.emit("binary", &(Bytes::from_static(b"\x00\xff"), "x"));
        socket.send("message");
        client
            .expect(&[
                r#"2["none"]"#,
                r#"2["one","text"]"#,
                r#"2["tuple",1,null,[2.5,3.0]]"#,
                r#"51-["binary",{"_placeholder":true,"num":0},"x"]"#,
            ])
            .await;
        let bytes = client.message().await;
        assert_eq!(
            bytes,
            Some(Message::Binary(Bytes::from_static(b"\x00\xff")))
        );
        client.expect(&[r#"2["message","message"]"#]).await;
    });
}

#[test]
fn binary_arguments_replace_their_placeholders() {
    run(async {
        #[derive(Deserialize)]
        struct File {
            name: String,
            content: Bytes,
        }
        let server = Fixture::new();
        server.io.on("connection", |socket: Socket| {
            socket.on_ack("file", |file: File, ack: Ack| {
                ack.send(&(file.name, file.content));
            });
        });
        let mut client = server.connect().await;
        client.send(r#"51-7["file",{"name":"a","content":{"_placeholder":true,"num":0}}]"#);
        client.ws.send(vec![1, 2, 3]);
        client
            .expect(&[r#"61-7["a",{"_placeholder":true,"num":0}]"#])
            .await;
        assert_eq!(client.message().await, Some(Message::from(vec![1, 2, 3])));
    });
}

#[test]
fn invalid_arguments_are_reported_and_the_socket_stays_connected() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let entries = log.clone();
        server.io.on("connection", move |socket: Socket| {
            socket.on_ack("number", |number: u8, ack: Ack| ack.send(&number));
            let log = entries.clone();
            socket.on("error", move |refusal: Refusal| log.add(refusal.message()));
        });
        let mut client = server.connect().await;
        client.send(r#"20["number","text"]"#);
        client.send(r#"21["number",256]"#);
        client.send(r#"22["number",7]"#);
        client.expect(&["32[7]"]).await;
        let errors = log.take();
        assert_eq!(errors.len(), 2);
        let start = r#"parsing the arguments of the event "number" failed: invalid type"#;
        assert!(errors[0].starts_with(start), "{}", errors[0]);
    });
}

#[test]
fn catch_all_listeners_run_before_middleware_and_listeners() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let entries = log.clone();
        server.io.on("connection", move |socket: Socket| {
            let logger = |entry: &'static str| {
                let log = entries.clone();
                move |name: &str, _: &Arguments| log.add(format!("{entry} {name}"))
            };
            socket.on_any(logger("any"));
            socket.prepend_any(logger("first"));
            let log = entries.clone();
            socket.wrap(move |name, _| {
                log.add(format!("middleware {name}"));
                match name {
                    "bad" => Err(Refusal::new("bad event")),
                    _ => Ok(()),
                }
            });
            let log = entries.clone();
            socket.on("good", move |()| log.add("good"));
            let log = entries.clone();
            socket.on("bad", move |()| log.add("bad"));
            let log = entries.clone();
            socket.on("error", move |refusal: Refusal| log.add(refusal.message()));
            socket.on_ack("done", |(), ack: Ack| ack.send(&()));
        });
        let mut client = server.connect().await;
        client.send(r#"2["bad"]"#);
        client.send(r#"2["good"]"#);
        client.send(r#"20["done"]"#);
        client.expect(&["30[]"]).await;
        let expected = [
            "first bad",
            "any bad",
            "middleware bad",
            "bad event",
            "first good",
            "any good",
            "middleware good",
            "good",
        ];
        assert_eq!(log.take()[..8], expected);
    });
}

#[test]
fn outgoing_listeners_are_called_for_events_and_broadcasts() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let socket = last_socket(server.io);
        let mut client = server.connect().await;
        let socket = socket.get().unwrap();
        let entries = log.clone();
        let id = socket.on_any_outgoing(move |name, arguments| {
            entries.add(format!("{name} {}", arguments.len()));
        });
        socket.emit("own", &(1, 2));
        server.io.emit("all", "x");
        client.expect(&[r#"2["own",1,2]"#, r#"2["all","x"]"#]).await;
        assert_eq!(log.take(), ["own 2", "all 1"]);
        assert!(socket.off_any_outgoing(id));
        assert!(!socket.off_any_outgoing(id));
        server.io.emit("all", "y");
        client.expect(&[r#"2["all","y"]"#]).await;
        assert_eq!(log.len(), 0);
    });
}

#[test]
fn once_and_off_remove_listeners() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let entries = log.clone();
        server.io.on("connection", move |socket: Socket| {
            let log = entries.clone();
            socket.once("a", move |()| log.add("once"));
            let log = entries.clone();
            let id = socket.on("a", move |()| log.add("always"));
            socket.on_ack("off", move |(), ack: Ack| {
                ack.send(&(socket.off(id), socket.off(id)));
            });
        });
        let mut client = server.connect().await;
        client.send(r#"2["a"]"#);
        client.send(r#"2["a"]"#);
        client.send(r#"20["off"]"#);
        client.send(r#"2["a"]"#);
        client.send(r#"21["off"]"#);
        client.expect(&["30[true,false]", "31[false,false]"]).await;
        assert_eq!(log.take(), ["once", "always", "always"]);
    });
}

#[test]
fn an_event_without_data_is_ignored() {
    run(async {
        let server = Fixture::new();
        server.io.on("connection", |socket: Socket| {
            socket.on_ack("done", |(), ack: Ack| ack.send(&()));
        });
        let mut client = server.connect().await;
        client.send("2");
        client.send(r#"20["done"]"#);
        client.expect(&["30[]"]).await;
    });
}

#[test]
fn a_panic_in_a_listener_closes_only_its_client() {
    run(async {
        let server = Fixture::new();
        server.io.on("connection", |socket: Socket| {
            socket.on("panic", |()| panic!("on purpose"));
            socket.on_ack("done", |(), ack: Ack| ack.send(&()));
        });
        let mut other = server.connect().await;
        let mut client = server.connect().await;
        client.send(r#"2["panic"]"#);
        client.expect_close().await;
        other.send(r#"20["done"]"#);
        other.expect(&["30[]"]).await;
        assert_eq!(server.io.of("/").sockets().len(), 1);
    });
}

#[test]
fn clients_cannot_send_reserved_events() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let entries = log.clone();
        server.io.on("connection", move |socket: Socket| {
            for event in ["drain", "error"] {
                let log = entries.clone();
                socket.on(event, move |_: Arguments| log.add(event));
            }
            socket.on_ack("done", |(), ack: Ack| ack.send(&()));
        });
        let mut client = server.connect().await;
        client.send(r#"2["drain"]"#);
        client.send(r#"2["error",{"message":"x"}]"#);
        client.send(r#"20["done"]"#);
        client.expect(&["30[]"]).await;
        assert_eq!(log.len(), 0);
    });
}
