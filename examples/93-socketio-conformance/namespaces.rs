//! The namespaces, including the one that observes the others.

use std::time::Duration;

use serde::Deserialize;
use serde_json::json;
use uptick::prelude::*;
use uptick::socketio::{Ack, Arguments, DisconnectReason, Refusal};

use super::commands;
use super::options::Options;

/// The response of a server to an event of another server.
#[derive(serde::Serialize)]
struct ServerAck {
    server: u16,
    args: Vec<uptick::socketio::Value>,
}

/// The `auth` object of the clients of `/admin`.
#[derive(Deserialize)]
struct Auth {
    token: String,
}

pub(crate) fn add(io: SocketIo, options: &Options) {
    let admin = io.of("/admin");
    admin.wrap(|socket: Socket| async move {
        // Simulates the delay of a database.
        uptick::sleep(Duration::from_millis(1)).await;
        match socket.auth::<Auth>() {
            Ok(auth) if auth.token == "letmein" => Ok(()),
            _ => {
                let data = json!({ "code": 401, "hint": ["bring", { "a": "token" }] });
                Err(Refusal::new("not authorized").with_data(&data))
            }
        }
    });
    let observers = io.of("/obs");
    let numbered = io.of_dynamic(|name| {
        let number = name.strip_prefix("/dyn-").unwrap_or_default();
        !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    for namespace in [io.of("/"), admin, numbered] {
        namespace.on("connection", move |socket: Socket| {
            observe(socket, observers);
            commands::add(socket);
        });
    }
    let port = options.port;
    for namespace in [io.of("/"), admin] {
        forward_server_events(namespace, port);
    }
    io.on("new_namespace", move |namespace: Namespace| {
        forward_server_events(namespace, port);
    });
}

/// Reports joining and leaving sockets to the observers.
fn observe(socket: Socket, observers: Namespace) {
    let (nsp, id) = (socket.namespace().name(), socket.id());
    observers.emit("joined", &json!({ "nsp": &*nsp, "id": id }));
    socket.on("disconnect", move |reason: DisconnectReason| {
        observers.emit(
            "gone",
            &json!({ "nsp": &*nsp, "id": id, "reason": reason.name() }),
        );
    });
}

/// Forwards events of other servers to the sockets of this one.
fn forward_server_events(namespace: Namespace, port: u16) {
    namespace.on_server_side("sse", move |args: Arguments, ack: Ack| {
        namespace.broadcast().local().emit("sse", &args);
        ack.send(&ServerAck {
            server: port,
            args: args.to_values().unwrap_or_default(),
        });
    });
}
