//! Dynamic namespaces, which are created by clients.

use uptick_emitter::Emitter;
use uptick_socketio::{Namespace, Socket, SocketIoOptions};

use crate::support::{Fixture, Log, run, until};

fn numbered(name: &str) -> bool {
    let number = name.strip_prefix("/dyn-").unwrap_or_default();
    !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[test]
fn a_dynamic_namespace_exists_while_it_has_sockets() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let all = server.io.of_dynamic(numbered);
        let entries = log.clone();
        all.on("connection", move |socket: Socket| {
            entries.add(socket.namespace().name().to_string());
        });
        let entries = log.clone();
        server.io.on("new_namespace", move |namespace: Namespace| {
            entries.add(format!("new {}", namespace.name()));
        });
        let (one, _) = server.join("/dyn-1").await;
        let (two, _) = server.join("/dyn-1").await;
        let (mut other, _) = server.join("/dyn-2").await;
        assert_eq!(
            log.take(),
            ["new /dyn-1", "/dyn-1", "/dyn-1", "new /dyn-2", "/dyn-2"]
        );
        assert_eq!(all.emit("x", &()), 3);
        other.expect(&[r#"2/dyn-2,["x"]"#]).await;
        all.broadcast().sockets_join(["joined"]);
        assert_eq!((all.sockets().len(), all.members("joined").len()), (3, 3));
        assert_eq!(all.rooms().len(), 2);
        assert_eq!(all.fetch_sockets().await.unwrap().len(), 3);
        all.to("joined").sockets_leave(["joined"]);
        assert!(all.rooms().is_empty());
        let first = server.io.of("/dyn-2");
        assert_eq!(first.sockets().len(), 1);
        one.close();
        two.close();
        until(|| server.io.namespaces().len() == 2).await;
        other.close();
        // The program has requested this namespace, so it is kept.
        until(|| first.sockets().is_empty()).await;
        assert_eq!(server.io.namespaces().len(), 2);
    });
}

#[test]
fn unmatched_names_and_too_many_namespaces_are_refused() {
    run(async {
        let server = Fixture::with(SocketIoOptions::new().max_dynamic_namespaces(1));
        server.io.of_dynamic(numbered);
        let mut client = server.open().await;
        for name in ["/dyn-", "/dyn-x", "/dyn-1x", "/"] {
            let prefix = if name == "/" { "" } else { name };
            client.send(&format!("0{prefix},"));
            if name == "/" {
                break;
            }
            let refusal = format!(r#"4{name},{{"message":"Invalid namespace"}}"#);
            client.expect(&[&refusal]).await;
        }
        let (one, _) = server.join("/dyn-1").await;
        let mut two = server.open().await;
        two.send("0/dyn-2,");
        two.expect(&[r#"4/dyn-2,{"message":"Invalid namespace"}"#])
            .await;
        one.close();
        until(|| server.io.namespaces().len() == 1).await;
        two.join("/dyn-2", "").await;
    });
}

#[test]
fn operations_on_a_pattern_apply_to_all_of_its_namespaces() {
    run(async {
        let server = Fixture::new();
        let all = server.io.of_dynamic(numbered);
        let (mut one, _) = server.join("/dyn-1").await;
        let (mut two, _) = server.join("/dyn-2").await;
        server.join("/").await;
        assert_eq!(all.sockets().len(), 2);
        assert_eq!(all.fetch_sockets().await.unwrap().len(), 2);
        all.broadcast().sockets_join(["room", "other"]);
        all.broadcast().sockets_leave(["other"]);
        let namespaces = [server.io.of("/dyn-1"), server.io.of("/dyn-2")];
        for namespace in namespaces {
            assert_eq!(namespace.members("room").len(), 1);
            assert!(namespace.members("other").is_empty());
        }
        let acks = all.to("room").emit_with_ack::<u8, _>("ask", &());
        one.expect(&[r#"2/dyn-1,0["ask"]"#]).await;
        two.expect(&[r#"2/dyn-2,0["ask"]"#]).await;
        one.send("3/dyn-1,0[1]");
        two.send("3/dyn-2,0[2]");
        let mut acks = acks.await.unwrap();
        acks.sort_unstable();
        assert_eq!(acks, [1, 2]);
        all.broadcast().disconnect_sockets(false);
        one.expect(&["1/dyn-1,"]).await;
        two.expect(&["1/dyn-2,"]).await;
        assert!(all.sockets().is_empty());
    });
}

#[test]
fn a_namespace_that_the_program_requests_does_not_count_as_dynamic() {
    run(async {
        let server = Fixture::with(SocketIoOptions::new().max_dynamic_namespaces(1));
        server.io.of_dynamic(numbered);
        let (_one, _) = server.join("/dyn-1").await;
        server.io.of("/dyn-1");
        server.join("/dyn-2").await;
    });
}

#[test]
fn the_number_of_namespaces_of_a_client_is_bounded() {
    run(async {
        let server = Fixture::with(SocketIoOptions::new().max_namespaces_per_client(1));
        server.io.of("/a");
        let (mut client, _) = server.join("/").await;
        client.send("0/a,");
        client
            .expect(&[r#"4/a,{"message":"Too many namespaces"}"#])
            .await;
        client.send("1");
        client.join("/a", "").await;
    });
}
