//! Callbacks that call back into the socket, the namespace or the server.

use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::sleep;
use uptick_socketio::{
    Ack, AckError, DisconnectReason, Namespace, RecoveryOptions, Refusal, RoomMember, Socket,
    SocketIo, SocketIoOptions,
};

use crate::support::{Fixture, Log, last_socket, run, until};

/// Calls every operation that changes a socket or its server, except operations that disconnect the socket.
fn call_everything(io: SocketIo, socket: Socket) {
    socket.join("stirred");
    socket.set_data(&1).unwrap();
    socket.emit("to one", &1);
    socket.volatile().emit("to one", &2);
    io.emit("to all", &3);
    socket.to("stirred").emit("to others", &4);
    io.to("stirred").except("none").local().emit("to room", &5);
    drop(socket.emit_with_ack::<u8, _>("ack", &()));
    let timeout = Duration::from_millis(1);
    let broadcast = io.broadcast().timeout(timeout);
    drop(broadcast.emit_with_ack::<u8, _>("acks", &()));
    drop(io.fetch_sockets());
    io.broadcast().sockets_join(["joined"]);
    io.broadcast().sockets_leave(["joined"]);
    let id = socket.on("other", |()| ());
    socket.off(id);
    let id = socket.on_any(|_, _| ());
    socket.off_any(id);
    let id = socket.on_any_outgoing(|_, _| ());
    socket.off_any_outgoing(id);
    socket.wrap(|_, _| Ok(()));
    assert!(
        io.namespaces()
            .iter()
            .all(|namespace| namespace.server() == Some(io))
    );
    let _ = (
        socket.rooms(),
        socket.data::<u8>(),
        socket.id(),
        io.sockets(),
    );
    socket.leave("stirred");
}

/// Registers callbacks for all events, each of which calls [`call_everything`].
fn register_everywhere(io: SocketIo) {
    io.wrap(move |socket: Socket| {
        call_everything(io, socket);
        Ok::<(), Refusal>(())
    });
    let namespace = io.of("/");
    for event in ["join-room", "leave-room"] {
        namespace.on(event, move |member: RoomMember| {
            assert!(namespace.server().is_some());
            namespace.to(&*member.room).emit("room", &member.id);
        });
    }
    io.on("connection", move |socket: Socket| {
        call_everything(io, socket);
        socket.on_any(move |_, _| {
            socket.on("other", |()| ());
            socket.remove_listeners("other");
        });
        socket.on_any_outgoing(move |name, _| {
            if name == "to one" {
                io.emit("outgoing", &());
            }
        });
        socket.wrap(move |_, _| {
            call_everything(io, socket);
            Ok(())
        });
        socket.on("event", move |()| call_everything(io, socket));
        socket.on_ack("acked", move |(), ack: Ack| {
            call_everything(io, socket);
            ack.send(&());
            call_everything(io, socket);
        });
        for event in ["disconnecting", "disconnect"] {
            socket.on(event, move |_: DisconnectReason| {
                call_everything(io, socket);
                socket.disconnect();
                socket.disconnect_client();
            });
        }
    });
}

#[test]
fn callbacks_may_call_all_operations() {
    run(async {
        let server = Fixture::with(SocketIoOptions::new().recovery(RecoveryOptions::new()));
        let socket = last_socket(server.io);
        register_everywhere(server.io);
        let clients = [server.connect().await, server.connect().await];
        for client in &clients {
            client.send(r#"2["event"]"#);
            client.send(r#"21["acked"]"#);
        }
        let socket = socket.get().unwrap();
        let log = Log::default();
        let entries = log.clone();
        let (io, reply) = (server.io, socket.emit_with_ack::<u8, _>("last", &()));
        reply.then(move |acknowledged| {
            call_everything(io, socket);
            entries.add(format!("{acknowledged:?}"));
        });
        sleep(Duration::from_millis(20)).await;
        assert_eq!(server.io.sockets().len(), 2);
        socket.disconnect();
        assert_eq!(
            log.take(),
            [format!("{:?}", Err::<u8, _>(AckError::Disconnected))]
        );
        clients[0].close();
        clients[1].close();
        until(|| server.io.clients_count() == 0).await;
        assert!(server.io.sockets().is_empty());
        assert!(server.io.of("/").rooms().is_empty());
    });
}

/// A function that registers callbacks, one of which closes the server.
type Register = fn(SocketIo);

#[test]
fn any_callback_may_close_the_server() {
    run(async {
        let closers: [(&str, Register); 6] = [
            ("middleware", |io| {
                io.wrap(move |_: Socket| {
                    io.close();
                    Ok::<(), Refusal>(())
                });
            }),
            ("connection", |io| {
                io.on("connection", move |_: Socket| io.close());
            }),
            ("event", |io| {
                io.on("connection", move |socket: Socket| {
                    socket.on("event", move |()| io.close());
                });
            }),
            ("disconnecting", |io| {
                io.on("connection", move |socket: Socket| {
                    socket.on("event", move |()| socket.disconnect());
                    socket.on("disconnecting", move |_: DisconnectReason| io.close());
                });
            }),
            ("disconnect", |io| {
                io.on("connection", move |socket: Socket| {
                    socket.on("event", move |()| socket.disconnect());
                    socket.on("disconnect", move |_: DisconnectReason| io.close());
                });
            }),
            ("join-room", |io| {
                io.of("/").on("join-room", move |_: RoomMember| io.close());
                io.on("connection", move |socket: Socket| {
                    socket.on("event", move |()| socket.join("room"));
                });
            }),
        ];
        for (callback, register) in closers {
            let server = Fixture::new();
            register(server.io);
            let mut client = server.open().await;
            client.send("0");
            client.send(r#"2["event"]"#);
            while let Some(message) = client.message().await {
                let text = String::from_utf8_lossy(message.as_bytes()).into_owned();
                assert!(
                    text == "1" || text.starts_with("40{") || text == "41",
                    "{callback}: {text}"
                );
            }
            assert_eq!(server.io.clients_count(), 0, "{callback}");
            assert!(server.io.namespaces().is_empty(), "{callback}");
            assert_eq!(server.io.of("/"), server.io.of("/other"), "{callback}");
        }
    });
}

#[test]
fn a_namespace_may_be_created_while_another_one_is_created() {
    run(async {
        let server = Fixture::new();
        let io = server.io;
        let log = Log::default();
        let entries = log.clone();
        io.on("new_namespace", move |namespace: Namespace| {
            entries.add(&*namespace.name());
            if &*namespace.name() == "/1" {
                io.of("/2");
            }
        });
        io.of_dynamic(move |name| {
            io.of("/other");
            name == "/1"
        });
        server.join("/1").await;
        assert_eq!(log.take(), ["/other", "/1", "/2"]);
    });
}
