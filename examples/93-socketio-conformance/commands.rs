//! The events that clients send. Events with invalid arguments are ignored.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use serde_json::json;
use uptick::prelude::*;
use uptick::socketio::{Ack, AckError, Arguments, Incomplete, RemoteSocket, Value};

use super::wire::{
    Cast, CastAck, Cluster, Remote, RemoteOperation, Rooms, Scope, in_rooms, split_time,
};

/// The features whose tests are not skipped.
const FEATURES: [&str; 7] = [
    "volatile",
    "dynamic-namespaces",
    "broadcast-ack",
    "remote-ops",
    "tls",
    "cors",
    "recovery",
];

/// The maximum number of events that one command sends.
const MAX_EVENTS: u64 = 1_000_000;

pub(crate) fn add(socket: Socket) {
    add_echoes(socket);
    add_streams(socket);
    add_identity(socket);
    add_rooms(socket);
    add_broadcasts(socket);
    add_cluster(socket);
    socket.on("bye", move |close: Option<bool>| match close {
        Some(true) => socket.disconnect_client(),
        _ => socket.disconnect(),
    });
    socket.on("drop", move |()| {
        if let Some(client) = socket.client() {
            client.close();
        }
    });
}

fn add_echoes(socket: Socket) {
    socket.on("echo", move |args: Arguments| socket.emit("echoed", &args));
    socket.on_ack("echo-ack", |args: Arguments, ack: Ack| ack.send(&args));
    socket.on_ack("ask", move |args: Arguments, ack: Ack| {
        let Some((timeout, args)) = split_time(&args) else {
            return;
        };
        let reply = socket.timeout(timeout).emit_with_ack("question", &args);
        reply.then(|answer: Result<Arguments, AckError>| match answer {
            Ok(values) => ack.send(&Answer {
                ok: true,
                value: values.parse(0).ok().filter(|_| !values.is_empty()),
            }),
            Err(_) => ack.send(&json!({ "ok": false, "error": "timeout" })),
        });
    });
}

#[derive(Serialize)]
struct Answer {
    ok: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<Value>,
}

fn add_streams(socket: Socket) {
    socket.on_ack("burst", move |count: u64, ack: Ack| {
        for number in 0..count.min(MAX_EVENTS) {
            socket.emit("burst", &number);
        }
        ack.send(&count);
    });
    socket.on("stream", move |(count, interval): (u64, u64)| {
        let next = Cell::new(0);
        uptick::add_periodic_timer(Duration::from_millis(interval), move |timer: Timer| {
            let number = next.get();
            if number >= count || !socket.is_connected() {
                return timer.cancel();
            }
            next.set(number + 1);
            socket.emit("stream", &number);
        });
    });
    socket.on("volatile", move |(count, bytes): (u64, usize)| {
        let payload = "v".repeat(bytes);
        for number in 0..count.min(MAX_EVENTS) {
            socket.volatile().emit("v", &(number, &payload));
        }
        socket.emit("v-end", &count);
    });
    socket.on_ack("download", |args: Arguments, ack: Ack| {
        let Ok(bytes) = args.parse::<usize>(0) else {
            return;
        };
        match args.parse::<Option<bool>>(1) {
            Ok(Some(true)) => ack.send(&Bytes::from(vec![0xa5; bytes])),
            Ok(_) => ack.send(&"d".repeat(bytes)),
            Err(_) => {}
        }
    });
}

fn add_identity(socket: Socket) {
    socket.on_ack("whoami", move |(), ack: Ack| ack.send(&identity(socket)));
    socket.on_ack("features", |(), ack: Ack| ack.send(&FEATURES[..]));
    socket.on_ack("stash", move |value: Value, ack: Ack| {
        if socket.set_data(&Stash { value }).is_ok() {
            ack.send(&());
        }
    });
}

/// The data of a socket.
#[derive(Serialize, serde::Deserialize)]
struct Stash {
    value: Value,
}

#[derive(Serialize)]
struct Identity {
    id: String,
    nsp: String,
    rooms: Vec<String>,
    data: Value,
    auth: Value,
    query: BTreeMap<String, String>,
    header: Option<String>,
    transport: &'static str,
    secure: bool,
    recovered: bool,
}

fn identity(socket: Socket) -> Identity {
    let handshake = socket.handshake();
    let query = handshake.iter().flat_map(|handshake| handshake.query());
    Identity {
        id: socket.id().to_string(),
        nsp: socket.namespace().name().to_string(),
        rooms: public_rooms(socket),
        data: socket
            .data()
            .map(|stash: Stash| stash.value)
            .unwrap_or_default(),
        auth: socket.auth().unwrap_or_default(),
        query: query
            .map(|(name, value)| (name.into_owned(), value.into_owned()))
            .collect(),
        header: handshake
            .as_ref()
            .and_then(|handshake| handshake.header("x-test"))
            .map(str::to_owned),
        transport: socket.transport().map_or("", |transport| transport.name()),
        secure: handshake
            .as_ref()
            .is_some_and(|handshake| handshake.is_secure()),
        recovered: socket.is_recovered(),
    }
}

/// Returns the rooms of a socket, sorted, without the room of its id.
fn public_rooms(socket: Socket) -> Vec<String> {
    let id = socket.id();
    let rooms = socket.rooms();
    let public = rooms.iter().filter(|room| ***room != *id);
    let mut rooms: Vec<_> = public.map(|room| room.to_string()).collect();
    rooms.sort();
    rooms
}

fn add_rooms(socket: Socket) {
    socket.on_ack("join", move |rooms: Rooms, ack: Ack| {
        for room in rooms.into_vec() {
            socket.join(room);
        }
        ack.send(&public_rooms(socket));
    });
    socket.on_ack("leave", move |rooms: Rooms, ack: Ack| {
        for room in rooms.into_vec() {
            socket.leave(room);
        }
        ack.send(&public_rooms(socket));
    });
    socket.on_ack("members", move |room: String, ack: Ack| {
        let members = socket.namespace().to(room).fetch_sockets();
        members.then(|members| {
            let members = members.unwrap_or_else(|incomplete| incomplete.received);
            let mut ids: Vec<_> = members.into_iter().map(|member| member.id).collect();
            ids.sort();
            ack.send(&ids);
        });
    });
}

fn add_broadcasts(socket: Socket) {
    socket.on_ack("cast", move |cast: Cast, ack: Ack| {
        let all = match cast.scope {
            Scope::Nsp => socket.namespace().broadcast(),
            Scope::Socket => socket.broadcast(),
        };
        let mut target = in_rooms(all, &cast.to, &cast.except);
        if cast.volatile {
            target = target.volatile();
        }
        if cast.local {
            target = target.local();
        }
        target.emit(&cast.event, &Arguments::of_values(cast.args));
        ack.send("sent");
    });
    socket.on_ack("cast-ack", move |cast: CastAck, ack: Ack| {
        let target = in_rooms(socket.namespace().broadcast(), &cast.to, &[])
            .timeout(Duration::from_millis(cast.timeout));
        let values = target.emit_with_ack(&cast.event, &Arguments::of_values(cast.args));
        values.then(|values| ack.send(&gathered(values)));
    });
    socket.on_ack("fanout", move |args: Arguments, ack: Ack| {
        let Ok(count) = args.parse::<u64>(0) else {
            return;
        };
        let payload: Value = args.parse(1).unwrap_or_default();
        let namespace = socket.namespace();
        for number in 0..count.min(MAX_EVENTS) {
            namespace.emit("tick", &(number, &payload));
        }
        ack.send(&count);
    });
}

#[derive(Serialize)]
struct Gathered {
    ok: bool,
    values: Vec<Value>,
}

fn gathered(values: Result<Vec<Value>, Incomplete<Value>>) -> Gathered {
    match values {
        Ok(values) => Gathered { ok: true, values },
        Err(Incomplete { received }) => Gathered {
            ok: false,
            values: received,
        },
    }
}

fn add_cluster(socket: Socket) {
    socket.on_ack("remote", move |remote: Remote, ack: Ack| {
        let members = socket.namespace().to(&remote.members_of);
        match remote.op {
            RemoteOperation::Join => members.sockets_join([remote.room]),
            RemoteOperation::Leave => members.sockets_leave([remote.room]),
            RemoteOperation::Kick => members.disconnect_sockets(remote.close),
        }
        ack.send("done");
    });
    socket.on_ack("cluster", move |operation: Cluster, ack: Ack| {
        let namespace = socket.namespace();
        match operation {
            Cluster::Fetch {
                rooms,
                except,
                local,
            } => {
                let mut target = in_rooms(namespace.broadcast(), &rooms, &except);
                if local {
                    target = target.local();
                }
                target
                    .fetch_sockets()
                    .then(|sockets| ack.send(&fetched(sockets)));
            }
            Cluster::Emit { args } => {
                namespace.server_side_emit("sse", &Arguments::of_values(args));
                ack.send("sent");
            }
            Cluster::EmitWithAck { args } => {
                let args = Arguments::of_values(args);
                let values = namespace.server_side_emit_with_ack("sse", &args);
                values.then(|values| ack.send(&gathered(values)));
            }
        }
    });
}

#[derive(Serialize)]
struct Fetched {
    ok: bool,
    sockets: Vec<RemoteSocket>,
}

fn fetched(sockets: Result<Vec<RemoteSocket>, Incomplete<RemoteSocket>>) -> Fetched {
    let (ok, mut sockets) = match sockets {
        Ok(sockets) => (true, sockets),
        Err(incomplete) => (false, incomplete.received),
    };
    sockets.sort_by(|one, other| one.id.cmp(&other.id));
    for socket in &mut sockets {
        socket.rooms.sort();
        let stashed = socket.data.get("value").cloned();
        socket.data = stashed.unwrap_or_default();
    }
    Fetched { ok, sockets }
}
