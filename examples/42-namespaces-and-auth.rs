//! Socket.IO namespaces that authenticate clients by their `auth` object: synchronous and asynchronous middleware, namespaces
//! that are created on demand, and connection state recovery.
//!
//! Run it on 127.0.0.1:3000, or on another address:
//! ```text
//! $ cargo run --example 42-namespaces-and-auth --features socketio
//! $ cargo run --example 42-namespaces-and-auth --features socketio -- [::1]:9000
//! ```
//! Try it with the official client: as Ada in her project, without a token, and with a broken connection:
//! ```text
//! $ npm install socket.io-client@4
//! $ node -e 'const s = require("socket.io-client")("http://127.0.0.1:3000/project-7", { auth: { token: "sesame" } });
//!     s.on("connect", () => s.emitWithAck("whoami").then(console.log));
//!     s.on("connect_error", (error) => console.log(error.message, error.data))'
//! $ node -e 'const s = require("socket.io-client")("http://127.0.0.1:3000/admin", { auth: {} });
//!     s.on("connect_error", (error) => console.log(error.message, error.data))'
//! $ node -e 'const s = require("socket.io-client")("http://127.0.0.1:3000/project-7", { auth: { token: "mellon" } });
//!     s.on("news", console.log);
//!     s.on("connect", () => console.log(s.id, s.recovered));
//!     setTimeout(() => s.io.engine.close(), 5000)'
//! ```
//!
//! | namespace | clients |
//! |---|---|
//! | `/` | all; the event `projects` acknowledges the projects with connected clients |
//! | `/admin` | Ada, after a database lookup; the event `broadcast` text is sent to all projects |
//! | `/project-N` | clients with a valid token; all of them receive `news`, including events sent while their connection was broken |

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::json;
use uptick::prelude::*;
use uptick::socketio::{RecoveryOptions, Refusal, SocketIoOptions};

/// The `auth` object of a client.
#[derive(Deserialize)]
struct Auth {
    token: String,
}

/// The data of a socket.
#[derive(Clone, Serialize, Deserialize)]
struct User {
    name: String,
    is_admin: bool,
}

fn main() -> uptick::Result {
    let address = std::env::args().nth(1).unwrap_or("127.0.0.1:3000".into());

    // A client that reconnects within a minute keeps its id, rooms and data, and receives missed events. It was authenticated
    // before, but its token may have been revoked.
    let recovery = RecoveryOptions::new()
        .max_disconnection(Duration::from_secs(60))
        .skip_middleware(false);
    let io = SocketIo::with_options(SocketIoOptions::new().recovery(recovery));

    io.on("connection", move |socket: Socket| {
        socket.on_ack("projects", move |(), ack: Ack| {
            let names = io
                .namespaces()
                .into_iter()
                .map(|namespace| namespace.name().to_string());
            let projects: Vec<_> = names.filter(|name| name.starts_with("/project-")).collect();
            ack.send(&projects);
        });
    });

    let projects = io.of_dynamic(|name| {
        let number = name.strip_prefix("/project-").unwrap_or_default();
        (1..=9).contains(&number.len()) && number.bytes().all(|byte| byte.is_ascii_digit())
    });
    projects.wrap(|socket: Socket| {
        let user = authenticate(socket)?;
        store_user(socket, &user)
    });
    projects.on("connection", |socket: Socket| {
        socket.on_ack("whoami", move |(), ack: Ack| {
            let user: Option<User> = socket.data();
            ack.send(&json!({ "user": user, "project": &*socket.namespace().name() }));
        });
        let project = socket.namespace();
        let name = socket
            .data::<User>()
            .map(|user| user.name)
            .unwrap_or_default();
        if socket.is_recovered() {
            socket.broadcast().emit("news", &format!("{name} is back."));
        } else {
            project.emit("news", &format!("{name} has joined."));
        }
        socket.on("say", move |text: String| {
            project.emit("news", &format!("{name}: {text}"))
        });
    });

    let admin = io.of("/admin");
    // The middleware runs in this order; the second one only if the first has accepted the client.
    admin.wrap(|socket: Socket| authenticate(socket).map(drop));
    admin.wrap(|socket: Socket| async move {
        let user = authenticate(socket)?;
        if !is_admin_in_database(&user).await {
            return Err(
                Refusal::new("not an administrator").with_data(&json!({ "user": user.name }))
            );
        }
        store_user(socket, &user)
    });
    admin.on("connection", move |socket: Socket| {
        socket.on_ack("broadcast", move |text: String, ack: Ack| {
            ack.send(&projects.emit("news", &text));
        });
    });

    let http = HttpServer::bind(address.as_str())?;
    http.mount("/socket.io/", &io);
    println!("listening on {}", http.address().unwrap_or_default());
    uptick::run()
}

/// Returns the user of the token. The client receives the error as `connect_error`.
fn authenticate(socket: Socket) -> Result<User, Refusal> {
    let auth: Auth = socket.auth().map_err(|_| {
        Refusal::new("no token")
            .with_data(&json!({ "code": 401, "hint": "send { auth: { token } }" }))
    })?;
    let unknown = || Refusal::new("unknown token").with_data(&json!({ "code": 403 }));
    user_of(&auth.token).ok_or_else(unknown)
}

fn store_user(socket: Socket, user: &User) -> Result<(), Refusal> {
    socket
        .set_data(user)
        .map_err(|error| Refusal::new(error.to_string()))
}

fn user_of(token: &str) -> Option<User> {
    let (name, is_admin) = match token {
        "sesame" => ("Ada", true),
        "mellon" => ("Grace", false),
        _ => return None,
    };
    let name = name.into();
    Some(User { name, is_admin })
}

/// Simulates the delay of a database.
async fn is_admin_in_database(user: &User) -> bool {
    uptick::sleep(Duration::from_millis(5)).await;
    user.is_admin
}
