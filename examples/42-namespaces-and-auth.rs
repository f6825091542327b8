//! Namespaces of Socket.IO that let clients in by what they send as `auth`: a synchronous and an asynchronous middleware, namespaces that are created on
//! demand, and connection state recovery.
//!
//! Run it, on 127.0.0.1:3000 or on an address of your own:
//! ```text
//! $ cargo run --example 42-namespaces-and-auth --features socketio
//! $ cargo run --example 42-namespaces-and-auth --features socketio -- [::1]:9000
//! ```
//! Poke it with the official client, as Ada in her project, as nobody, and with a broken connection:
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
//! | namespace | lets in |
//! |---|---|
//! | `/` | all; the event `projects` acknowledges those in which somebody is |
//! | `/admin` | Ada, after the database was asked; the event `broadcast` text goes to all projects |
//! | `/project-N` | those with a valid token; everybody in it gets `news`, also what was sent while the connection was broken |

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

    // Who comes back within a minute has its id, rooms and data, and what it has missed. It was let in already, but a token may have been revoked.
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
        keep(socket, &user)
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
    // They run in this order; the second only if the first has accepted the client.
    admin.wrap(|socket: Socket| authenticate(socket).map(drop));
    admin.wrap(|socket: Socket| async move {
        let user = authenticate(socket)?;
        if !is_admin_in_database(&user).await {
            return Err(
                Refusal::new("not an administrator").with_data(&json!({ "user": user.name }))
            );
        }
        keep(socket, &user)
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

/// Finds the user by the token. The error is the client's `connect_error`.
fn authenticate(socket: Socket) -> Result<User, Refusal> {
    let auth: Auth = socket.auth().map_err(|_| {
        Refusal::new("no token")
            .with_data(&json!({ "code": 401, "hint": "send { auth: { token } }" }))
    })?;
    let unknown = || Refusal::new("unknown token").with_data(&json!({ "code": 403 }));
    user_of(&auth.token).ok_or_else(unknown)
}

fn keep(socket: Socket, user: &User) -> Result<(), Refusal> {
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

/// Takes as long as a database would.
async fn is_admin_in_database(user: &User) -> bool {
    uptick::sleep(Duration::from_millis(5)).await;
    user.is_admin
}
