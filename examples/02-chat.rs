//! A chat: each line of a client is sent to all other clients.
//!
//! Run it on 127.0.0.1:8080, or on another address. The default of `--max-clients` is 100:
//! ```text
//! $ cargo run --example 02-chat
//! $ cargo run --example 02-chat -- tcp://[::1]:9000 --max-clients 3
//! $ cargo run --example 02-chat -- unix:///tmp/chat.sock
//! ```
//! Try it in two terminals. The first line is your name; `exit` disconnects:
//! ```text
//! $ nc localhost 8080
//! $ nc -U /tmp/chat.sock
//! ```

use std::cell::RefCell;
use std::collections::HashMap;
use std::time::Duration;

use uptick::prelude::*;
use uptick::stream::{Error as StreamError, decode::LineDecoder};

const USAGE: &str = "usage: 02-chat [URI] [--max-clients N]";
/// The maximum length of a line, in bytes. A client that sends a longer one is disconnected.
const MAX_LINE: usize = 1024;
/// The maximum number of bytes queued for a client. A client that reads too slowly is disconnected.
const MAX_QUEUED: usize = 1024 * 1024;
const NAME_TIMEOUT: Duration = Duration::from_secs(60);
const GOODBYE_TIMEOUT: Duration = Duration::from_secs(5);

fn main() -> uptick::Result {
    let (uri, max_clients) = arguments()?;
    // The room lives as long as the program, so callbacks can refer to it.
    let room: &'static Room = Box::leak(Box::default());

    let server = LimitingServer::new(Server::bind(uri)?, max_clients, false)
        .refuse_with("The room is full. Try again later.\n");
    server.on("connection", move |conn: Connection| {
        conn.on("error", |e: Error| eprintln!("{e}"));
        conn.set_write_limits(64 * 1024, MAX_QUEUED);
        conn.set_idle_timeout(Some(NAME_TIMEOUT));
        room.enter(conn);

        // A chunk of bytes may contain a part of a line, or several lines.
        let lines = LineStream::with_decoder(conn, LineDecoder::new().max_length(MAX_LINE));
        lines.on("data", move |line: Bytes| {
            room.receive_line(conn, &clean(&line))
        });
        lines.on("error", move |e: StreamError| {
            eprintln!("{e}");
            conn.end_with("That line is too long. Bye!\n");
        });
        conn.on("close", move |()| room.leave(conn));
    });
    server.on("error", |e: Error| eprintln!("{e}"));

    for signal in [SIGINT, SIGTERM] {
        uptick::add_signal(signal, move |_| {
            drop(server.shutdown(GOODBYE_TIMEOUT));
            room.disconnect_all();
        })?;
    }

    println!("listening on {}", server.address().unwrap_or_default());
    uptick::run()
}

#[derive(Default)]
struct Room {
    /// The clients and their names. A name is empty until its client has sent it.
    clients: RefCell<HashMap<Connection, String>>,
}

impl Room {
    fn enter(&self, conn: Connection) {
        self.clients.borrow_mut().insert(conn, String::new());
        conn.write("What is your name?\n");
    }

    fn receive_line(&self, conn: Connection, line: &str) {
        let Some(name) = self.clients.borrow().get(&conn).cloned() else {
            return; // The client has left; the rest of its lines is ignored.
        };
        if line == "exit" {
            self.leave(conn);
            conn.end_with("Bye!\n");
        } else if name.is_empty() {
            self.join(conn, line);
        } else if !line.is_empty() {
            self.send_to_others(conn, &format!("{name}: {line}\n"));
        }
    }

    fn join(&self, conn: Connection, name: &str) {
        let mut names: Vec<String> = self.clients.borrow().values().cloned().collect();
        names.retain(|other| !other.is_empty());
        if !is_name(name) {
            conn.write("A name has 1 to 20 letters, digits, - or _. What is yours?\n");
        } else if names.iter().any(|other| other == name) {
            conn.write(format!("The name {name} is taken. What is yours?\n"));
        } else {
            self.clients.borrow_mut().insert(conn, name.into());
            conn.set_idle_timeout(None);
            names.push(name.into());
            names.sort();
            conn.write(format!("Hello {name}! Here are: {}\n", names.join(", ")));
            self.send_to_others(conn, &format!("* {name} has joined\n"));
        }
    }

    fn leave(&self, conn: Connection) {
        let name = self.clients.borrow_mut().remove(&conn);
        if let Some(name) = name.filter(|name| !name.is_empty()) {
            self.send_to_others(conn, &format!("* {name} has left\n"));
        }
    }

    fn send_to_others(&self, conn: Connection, line: &str) {
        for (other, name) in self.clients.borrow().iter() {
            if *other != conn && !name.is_empty() {
                other.write(line);
            }
        }
    }

    fn disconnect_all(&self) {
        for conn in self.clients.take().into_keys() {
            conn.end_with("* The server is going down. Bye!\n");
        }
    }
}

fn is_name(name: &str) -> bool {
    let letters = name
        .chars()
        .all(|c| c.is_alphanumeric() || c == '-' || c == '_');
    letters && (1..=20).contains(&name.chars().count())
}

/// Replaces invalid UTF-8, and removes control characters and white space at both ends.
fn clean(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text: String = text.chars().filter(|c| !c.is_control()).collect();
    text.trim().into()
}

fn arguments() -> uptick::Result<(String, usize)> {
    let (mut uri, mut max_clients) = (None, 100);
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--max-clients" {
            let number = arguments.next().and_then(|number| number.parse().ok());
            max_clients = number.ok_or(format!("--max-clients takes a number; {USAGE}"))?;
        } else if argument.starts_with('-') {
            return Err(format!("there is no option {argument}; {USAGE}").into());
        } else if let Some(other) = uri.replace(argument) {
            return Err(format!("{other} is not the only URI; {USAGE}").into());
        }
    }
    let uri = uri.unwrap_or_else(|| "tcp://127.0.0.1:8080".into());
    Ok((uri, max_clients))
}
