//! A chat for `nc`: each line of a client is sent to all others.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use uptick::prelude::*;
use uptick::stream::Error as StreamError;

/// The clients and their names; a name is empty until its client has sent it.
type Clients = Rc<RefCell<HashMap<Connection, String>>>;

fn main() -> uptick::Result {
    let mut args = std::env::args().skip(1);
    let address = args.next().unwrap_or("127.0.0.1:8080".into());

    let clients = Clients::default();
    let server = Server::bind(address)?;
    server.on("connection", move |conn: Connection| {
        clients.borrow_mut().insert(conn, String::new());
        conn.write("What is your name?\n");
        conn.on("error", |e: Error| eprintln!("{e}"));

        let lines = LineStream::new(conn);
        let room = clients.clone();
        lines.on("data", move |line: Bytes| {
            let line = String::from_utf8_lossy(&line);
            receive_line(&room, conn, line.trim());
        });
        lines.on("error", move |e: StreamError| {
            conn.end_with(format!("{e}\n"));
        });

        let room = clients.clone();
        conn.on("close", move |()| {
            room.borrow_mut().remove(&conn);
        });
    });
    server.on("error", |e: Error| eprintln!("{e}"));

    println!("listening on {}", server.address().unwrap_or_default());
    uptick::run()
}

/// Handles a line from `conn`: its name, then messages.
fn receive_line(clients: &Clients, conn: Connection, line: &str) {
    let mut clients = clients.borrow_mut();
    let Some(name) = clients.get_mut(&conn).filter(|_| !line.is_empty()) else {
        return;
    };
    if name.is_empty() {
        *name = line.to_owned();
        conn.write(format!("Hello {line}!\n"));
        return;
    }
    let message = format!("{name}: {line}\n");
    for (other, name) in clients.iter() {
        if *other != conn && !name.is_empty() {
            other.write(&message);
        }
    }
}
