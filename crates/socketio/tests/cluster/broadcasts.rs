//! Rooms and broadcasts across workers.

use uptick_socketio::adapter::BusAdapter;
use uptick_socketio::{DisconnectReason, RecoveryOptions, SocketIoOptions};
use uptick_workers::bus::ThreadBus;

use crate::client::until;
use crate::support::{App, Fixture, Worker, wait};

#[test]
fn rooms_span_workers_and_a_socket_receives_an_event_once() {
    let group = ThreadBus::new();
    let [one, two, three] = [(); 3].map(|()| Worker::start(&group));
    one.run(|app| {
        app.connect("a b");
        app.connect("");
    });
    let id = two.run(|app| {
        app.connect("b c");
        app.connect("a");
        app.connect("c")
    });
    let private = id.clone();
    three.run(move |app| {
        let io = app.io();
        assert_eq!(io.emit("all", &()), 0);
        io.to("a").to("b").emit("union", &());
        io.to("a").to("b").except("c").emit("except", &());
        io.except("a").emit("rest", &());
        io.to("none").emit("none", &());
        io.to("c").local().emit("local", &());
        io.to(&private).emit("private", &());
        io.emit("end", &());
    });
    let events = |app: &mut App| {
        let clients = 0..app.clients.len();
        clients.map(|client| app.events(client)).collect::<Vec<_>>()
    };
    assert_eq!(one.run(events), ["all union except", "all rest"]);
    assert_eq!(
        two.run(events),
        ["all union rest", "all union except", "all rest private"]
    );

    // A socket does not receive its own broadcasts, and another socket may join the room named after its id.
    one.run(move |app| {
        app.sockets[1].join(&id);
        app.sockets[0].to("b").emit("others", &"x");
        app.io().emit("end", &());
    });
    assert_eq!(two.run(|app| app.events(0)), "others");
    assert_eq!(one.run(events), ["", ""]);
    two.run(|app| {
        let own = app.sockets[2].id();
        app.io().to(own).emit("private", &());
        app.io().emit("end", &());
    });
    assert_eq!(one.run(events), ["", "private"]);
}

#[test]
fn messages_are_sent_only_to_workers_with_the_room_or_the_socket() {
    let group = ThreadBus::new();
    let [one, two, three] = [(); 3].map(|()| Worker::start(&group));
    one.run(|app| app.connect("a"));
    let id = two.run(|app| app.connect("b"));
    three.run(move |app| {
        for _ in 0..10 {
            app.io().to("a").emit("x", &());
        }
        for _ in 0..100 {
            app.io().to(&id).emit("x", &());
        }
        app.io().to("none").emit("x", &());
        app.io().emit("end", &());
    });
    let received = |app: &mut App| {
        app.events(0);
        BusAdapter::stats().received
    };
    assert_eq!((one.run(received), two.run(received)), (11, 101));
    assert_eq!(three.run(|_| BusAdapter::stats().sent), 111);
    // After the last socket has left the room, the worker no longer receives its messages.
    one.run(|app| app.sockets[0].leave("a"));
    two.run(|app| {
        app.io().to("a").emit("x", &());
        app.io().emit("end", &());
    });
    assert_eq!(one.run(received), 12);
}

#[test]
fn binary_and_bursts_arrive_in_order() {
    let group = ThreadBus::new();
    let [one, two] = [(); 2].map(|()| Worker::start(&group));
    one.run(|app| app.connect("a b"));
    two.run(|app| {
        for index in 0..1000 {
            let room = ["a", "b"][index % 2];
            app.io()
                .to(room)
                .emit(&index.to_string(), &"x".repeat(index * 10));
        }
        app.io().emit("file", &bytes::Bytes::from(vec![7; 20_000]));
        app.io().emit("end", &());
    });
    let expected: Vec<_> = (0..1000).map(|index| index.to_string()).collect();
    let received = one.run(|app| {
        let mut reader = app.clients.remove(0);
        wait(async move {
            let mut events = Vec::new();
            for _ in 0..1000 {
                let packet = reader.packet().await;
                events.push(packet.split('"').nth(1).unwrap().to_owned());
            }
            let file = reader.packet().await;
            assert_eq!(file, r#"51-["file",{"_placeholder":true,"num":0}]"#);
            let bytes = reader.message().await.unwrap();
            assert_eq!(bytes.as_bytes(), [7; 20_000]);
            reader.expect(&[r#"2["end"]"#]).await;
            events
        })
    });
    assert_eq!(received, expected);
}

#[test]
fn sockets_of_other_workers_join_and_leave_rooms_and_are_disconnected() {
    let group = ThreadBus::new();
    let [one, two] = [(); 2].map(|()| Worker::start(&group));
    one.run(|app| {
        app.connect("a");
        app.connect("b");
        let log = app.log.clone();
        for (name, socket) in ["first", "second"].into_iter().zip(app.sockets.clone()) {
            let log = log.clone();
            socket.on("disconnect", move |reason: DisconnectReason| {
                log.add(format!("{name}: {reason}"));
            });
        }
    });
    two.run(|app| {
        app.io().to("a").sockets_join(["x", "y"]);
        app.io().to("x").sockets_leave(["y"]);
        app.io().to("x").emit("in x", &());
        app.io().to("y").emit("in y", &());
        app.io().emit("end", &());
    });
    assert_eq!(
        one.run(|app| (app.events(0), app.events(1))),
        ("in x".to_owned(), String::new())
    );
    two.run(|app| app.io().to("x").disconnect_sockets(false));
    two.run(|app| app.io().to("b").disconnect_sockets(true));
    let log = one.run(|app| {
        let log = app.log.clone();
        wait(async move {
            until(|| log.len() == 2).await;
            log.take()
        })
    });
    let reason = "server namespace disconnect";
    assert_eq!(
        log,
        [format!("first: {reason}"), format!("second: {reason}")]
    );
}

#[test]
fn namespaces_are_separate_and_are_created_and_removed() {
    let group = ThreadBus::new();
    let [one, two, three] = [(); 3].map(|()| Worker::start(&group));
    for worker in [&one, &two, &three] {
        worker.run(|app| {
            app.io().of_dynamic(|name| name.starts_with("/dyn-"));
        });
    }
    one.run(|app| app.connect_to("/dyn-7", "a"));
    two.run(|app| {
        app.connect_to("/dyn-7", "a");
        app.connect("a");
    });
    one.run(|app| {
        app.io().of("/").to("a").emit("main", &());
        app.sockets[0].namespace().to("a").emit("seven", &());
        app.sockets[0].namespace().emit("end", &());
        app.io().emit("end", &());
    });
    let events = two.run(|app| (app.events(0), app.events(1)));
    assert_eq!(events, ("seven".to_owned(), "main".to_owned()));
    // The third worker does not have the namespace, and receives only the broadcast in the main namespace.
    three.run(|_| {
        let received = || BusAdapter::stats().received;
        wait(async move { until(|| received() > 0).await });
        assert_eq!(received(), 1);
    });
    // The second worker no longer has the namespace after its last socket has left.
    two.run(|app| {
        app.sockets[0].disconnect();
        let io = app.io();
        wait(async move {
            until(|| io.namespaces().len() == 1).await;
        });
    });
    let fetched = one.run(|app| {
        let fetch = app.sockets[0].namespace().fetch_sockets();
        wait(async { fetch.await.unwrap().len() })
    });
    assert_eq!(fetched, 1);
}

#[test]
fn a_server_without_an_adapter_is_isolated() {
    let group = ThreadBus::new();
    let joined = Worker::start(&group);
    let apart = Worker::with(&group, || SocketIoOptions::new().without_adapter());
    joined.run(|app| app.connect(""));
    apart.run(|app| app.io().emit("apart", &()));
    joined.run(|app| app.io().emit("end", &()));
    assert_eq!(joined.run(|app| app.events(0)), "");
}

#[test]
fn servers_of_several_threads_are_matched_by_the_order_of_creation() {
    let group = ThreadBus::new();
    let workers = [(); 2].map(|()| Worker::start(&group));
    let second = |app: &mut App| {
        app.server = Fixture::new();
        app.connect("");
    };
    for worker in &workers {
        worker.run(|app| app.connect(""));
    }
    let first = workers[0].run(move |app| {
        let first = app.server;
        second(app);
        first.io.emit("one", &());
        app.io().emit("two", &());
        first.io.emit("end", &());
        app.io().emit("end", &())
    });
    assert_eq!(first, 1);
    assert_eq!(workers[1].run(|app| app.events(0)), "one");
}

#[test]
fn a_recovered_client_receives_the_events_that_other_workers_sent() {
    let group = ThreadBus::new();
    let recovering = || SocketIoOptions::new().recovery(RecoveryOptions::new());
    let [one, two] = [(); 2].map(|()| Worker::with(&group, recovering));
    let (id, pid, offset) = one.run(|app| {
        let (io, server) = (app.io(), app.server);
        wait(async move {
            let mut client = server.open().await;
            client.send("0");
            let response = client.packet().await;
            let pid = response.split('"').nth(7).unwrap().to_owned();
            let namespace = io.namespaces()[0];
            let socket = namespace.sockets()[0];
            let id = socket.id().to_string();
            socket.join("a");
            socket.emit("first", &());
            let packet = client.packet().await;
            let offset = packet.split('"').nth(3).unwrap().to_owned();
            client.close();
            until(|| namespace.sockets().is_empty()).await;
            (id, pid, offset)
        })
    });
    two.run(|app| {
        app.io().to("a").emit("missed", &());
        app.io().emit("also", &());
    });
    one.run(move |app| {
        let server = app.server;
        wait(async { until(|| BusAdapter::stats().received == 2).await });
        let auth = format!(r#"{{"pid":"{pid}","offset":"{offset}"}}"#);
        wait(async move {
            let (mut client, again) = server.open().await.join("/", &auth).await;
            assert_eq!(again, id);
            for event in ["missed", "also"] {
                let packet = client.packet().await;
                assert!(packet.starts_with(&format!(r#"2["{event}","#)), "{packet}");
            }
        });
    });
}
