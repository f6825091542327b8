//! Rooms and broadcasts.

use uptick_emitter::Emitter;
use uptick_socketio::{RoomMember, Socket, SocketIoOptions};

use crate::support::{Fixture, Log, last_socket, run, until};

/// Connects clients that join rooms. Each string in `rooms` lists the rooms of one client.
async fn in_rooms<const N: usize>(
    server: Fixture,
    rooms: [&str; N],
) -> Vec<(crate::support::Client, Socket)> {
    let last = last_socket(server.io);
    let mut clients = Vec::new();
    for names in rooms {
        let client = server.connect().await;
        let socket = last.get().unwrap();
        for room in names.split_whitespace() {
            assert!(socket.join(room));
        }
        clients.push((client, socket));
    }
    clients
}

#[test]
fn a_socket_in_several_rooms_receives_an_event_once() {
    run(async {
        let server = Fixture::new();
        let mut clients = in_rooms(server, ["a", "a b", "b", "b c", ""]).await;
        let io = server.io;
        assert_eq!(io.emit("all", &()), 5);
        assert_eq!(io.to("a").to("b").emit("union", &()), 4);
        assert_eq!(io.to("b").except("c").emit("except", &()), 2);
        assert_eq!(io.except("a").except("b").emit("rest", &()), 1);
        assert_eq!(io.to("none").emit("none", &()), 0);
        let expected: [&[&str]; 5] = [
            &["all", "union"],
            &["all", "union", "except"],
            &["all", "union", "except"],
            &["all", "union"],
            &["all", "rest"],
        ];
        for ((client, _), events) in clients.iter_mut().zip(expected) {
            for event in events {
                client.expect(&[&format!(r#"2["{event}"]"#)]).await;
            }
            client.expect_silence().await;
        }
    });
}

#[test]
fn a_socket_does_not_receive_its_own_broadcasts() {
    run(async {
        let server = Fixture::new();
        let mut clients = in_rooms(server, ["a", "a", ""]).await;
        let (sender, id) = (clients[0].1, clients[1].1.id());
        assert_eq!(sender.to("a").emit("room", &()), 1);
        assert_eq!(sender.broadcast().emit("others", &()), 2);
        assert_eq!(sender.except("a").emit("outside", &()), 1);
        // Each socket is the only member of the room named after its id, and the sender is excluded from its own.
        assert_eq!(sender.to(id).emit("direct", &()), 1);
        assert_eq!(sender.to(sender.id()).emit("self", &()), 0);
        assert_eq!(server.io.to(sender.id()).to(id).to("a").emit("ids", &()), 2);
        clients[0].0.expect(&[r#"2["ids"]"#]).await;
        let second = [
            r#"2["room"]"#,
            r#"2["others"]"#,
            r#"2["direct"]"#,
            r#"2["ids"]"#,
        ];
        clients[1].0.expect(&second).await;
        clients[2]
            .0
            .expect(&[r#"2["others"]"#, r#"2["outside"]"#])
            .await;
    });
}

#[test]
fn sockets_leave_rooms_and_rooms_are_freed() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let namespace = server.io.of("/");
        let clients = in_rooms(server, ["", ""]).await;
        for event in ["create-room", "delete-room"] {
            let entries = log.clone();
            namespace.on(event, move |room: String| {
                entries.add(format!("{event} {room}"))
            });
        }
        for event in ["join-room", "leave-room"] {
            let entries = log.clone();
            namespace.on(event, move |member: RoomMember| {
                entries.add(format!("{event} {}", member.room));
            });
        }
        let [one, two] = [clients[0].1, clients[1].1];
        one.join("a");
        two.join("a");
        assert_eq!(one.rooms().len(), 2);
        assert_eq!(*one.rooms()[0], *one.id());
        assert_eq!(namespace.members("a"), [one.id(), two.id()]);
        one.leave("a");
        one.leave("a");
        clients[1].0.close();
        until(|| !two.is_connected()).await;
        assert!(namespace.rooms().is_empty());
        let expected = [
            "create-room a",
            "join-room a",
            "join-room a",
            "leave-room a",
            "leave-room a",
            "delete-room a",
        ];
        assert_eq!(log.take(), expected);
        assert!(!two.join("b"));
        assert!(two.rooms().is_empty());
    });
}

#[test]
fn a_socket_can_leave_the_room_of_its_id() {
    run(async {
        let server = Fixture::new();
        let clients = in_rooms(server, [""]).await;
        let socket = clients[0].1;
        let id = socket.id();
        socket.leave(id);
        assert_eq!(server.io.to(id).emit("x", &()), 0);
        assert!(socket.rooms().is_empty());
        socket.join(id);
        assert_eq!(server.io.to(id).emit("x", &()), 1);
    });
}

#[test]
fn the_number_of_rooms_is_bounded() {
    run(async {
        let server = Fixture::with(SocketIoOptions::new().max_rooms(1));
        let clients = in_rooms(server, ["a"]).await;
        assert!(clients[0].1.join("a"));
        assert!(!clients[0].1.join("b"));
        clients[0].1.leave("a");
        assert!(clients[0].1.join("b"));
    });
}

#[test]
fn groups_of_sockets_join_rooms_are_listed_and_disconnected() {
    run(async {
        let server = Fixture::new();
        let mut clients = in_rooms(server, ["a", "a", "b"]).await;
        clients[0].1.set_data(&7).unwrap();
        server.io.to("a").sockets_join(["c", "d"]);
        server.io.to("c").sockets_leave(["d"]);
        let sockets = server.io.to("c").fetch_sockets().await.unwrap();
        assert_eq!(sockets.len(), 2);
        assert_eq!(sockets[0].id, *clients[0].1.id());
        assert_eq!(sockets[0].rooms[1..], ["a", "c"]);
        assert_eq!(sockets[0].data, 7.into());
        let handshake = &sockets[0].handshake;
        let url = "/socket.io/?EIO=4&transport=websocket";
        assert_eq!(handshake.get("url"), Some(&url.into()));
        let query = handshake.get("query").unwrap();
        assert_eq!(query.get("EIO"), Some(&"4".into()));
        server.io.to("b").disconnect_sockets(false);
        clients[2].0.expect(&["1"]).await;
        clients[2].0.expect_silence().await;
        server.io.to("a").disconnect_sockets(true);
        clients[0].0.expect_close().await;
        assert!(server.io.of("/").sockets().is_empty());
    });
}

#[test]
fn an_empty_list_of_rooms_addresses_no_socket() {
    run(async {
        let server = Fixture::new();
        let _clients = in_rooms(server, ["a", "b", ""]).await;
        let all = server.io.broadcast();
        assert_eq!(all.clone().to_any(["a", "b"]).emit("x", &()), 2);
        assert_eq!(all.clone().to_any([""; 0]).emit("x", &()), 0);
        assert_eq!(all.clone().to_any([""; 0]).to("a").emit("x", &()), 1);
        assert_eq!(all.to("a").to_any([""; 0]).emit("x", &()), 1);
    });
}
