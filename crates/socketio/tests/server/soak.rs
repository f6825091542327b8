//! State of disconnected clients is freed.

use uptick_emitter::Emitter;
use uptick_socketio::{Ack, AckError, Socket};

use crate::support::{Fixture, Log, run, until};

/// Number of rounds in which clients connect and disconnect.
const ROUNDS: usize = 200;

#[test]
fn sockets_rooms_and_namespaces_of_gone_clients_are_freed() {
    run(async {
        let server = Fixture::new();
        let log = Log::default();
        let all = server.io.of_dynamic(|name| name.starts_with("/room-"));
        let entries = log.clone();
        let serve = move |socket: Socket| {
            socket.join("shared");
            socket.join(format!("own-{}", socket.id()));
            let log = entries.clone();
            let reply = socket.emit_with_ack::<(), _>("unanswered", &());
            reply.then(move |answer| assert_eq!(answer, Err(AckError::Disconnected)));
            socket.on("disconnect", move |_: String| log.add("gone"));
            socket.on_ack("leave", move |(), ack: Ack| {
                ack.send(&());
                socket.disconnect();
            });
        };
        server.io.on("connection", serve.clone());
        all.on("connection", serve);
        for round in 0..ROUNDS {
            let mut client = server.connect().await;
            client
                .expect(&[&format!(r#"2{round}["unanswered"]"#)])
                .await;
            let (client, _) = client.join(&format!("/room-{}", round % 7), "").await;
            match round % 3 {
                // The client leaves the namespace, is disconnected, or disconnects without a packet.
                0 => client.send("1"),
                1 => client.send(r#"29["leave"]"#),
                _ => {}
            }
            match round % 2 {
                0 => client.close(),
                _ => client.ws.terminate(),
            }
        }
        until(|| server.io.clients_count() == 0).await;
        assert_eq!(log.len(), 2 * ROUNDS);
        let root = server.io.of("/");
        assert_eq!(server.io.namespaces(), [root]);
        assert!(root.sockets().is_empty() && root.rooms().is_empty());
    });
}
