//! Ten thousand open connections. Each side needs about half of the descriptors that a process may have, so the clients
//! run in a process of their own, and this test is a separate program.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::cell::Cell;
use std::env;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use support::*;
use uptick_socket::SocketOptions;
use uptick_socket::prelude::*;

const CONNECTIONS: usize = 10_000;

/// Number of descriptors that a process needs in addition to its connections.
const OTHER_DESCRIPTORS: u64 = 100;

/// The environment variable with the server's address; set only for the client process.
const ADDRESS: &str = "UPTICK_TEST_ADDRESS";

/// Raises the limit of descriptors for a number of connections.
fn raise_limit(connections: usize) {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = connections as u64 + OTHER_DESCRIPTORS;
    if current.is_none_or(|current| current >= wanted) {
        return;
    }
    let limit = Rlimit {
        current: Some(wanted),
        maximum,
    };
    assert!(
        setrlimit(Resource::Nofile, limit).is_ok(),
        "this test needs a hard limit of {wanted} open files (ulimit -Hn), and it is {maximum:?}"
    );
}

#[test]
fn ten_thousand_connections_are_open_at_once_and_each_is_served() {
    raise_limit(CONNECTIONS);
    if let Ok(address) = env::var(ADDRESS) {
        return clients(address.parse().unwrap());
    }
    let options = ServerOptions::new().socket(SocketOptions::new().backlog(4096));
    let server = Server::bind_with("127.0.0.1:0", options).unwrap();
    let closed = Rc::new(Cell::new(0));
    let count = Rc::clone(&closed);
    let most = Rc::new(Cell::new(0));
    let peak = Rc::clone(&most);
    server.on("error", |error: Error| panic!("{error}"));
    server.on("connection", move |conn: Connection| {
        peak.set(peak.get().max(server.open_connections()));
        conn.on("error", |error: Error| panic!("{error}"));
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
        let count = Rc::clone(&count);
        conn.on("close", move |()| {
            count.set(count.get() + 1);
            if count.get() == CONNECTIONS {
                server.close();
            }
        });
    });
    let mut clients = Command::new(env::current_exe().unwrap())
        .args([
            "--exact",
            "ten_thousand_connections_are_open_at_once_and_each_is_served",
        ])
        .env(ADDRESS, socket_address(server).to_string())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    run_within(Duration::from_secs(120));
    assert!(clients.wait().unwrap().success(), "the clients failed");
    assert_eq!(most.get(), CONNECTIONS);
    assert_eq!(closed.get(), CONNECTIONS);
}

/// The client process: opens all connections, reads a response from each, then closes them.
fn clients(server: SocketAddr) {
    let mut clients: Vec<TcpStream> = (0..CONNECTIONS).map(|_| connect_to(server)).collect();
    for (n, client) in clients.iter_mut().enumerate() {
        client.write_all(&(n as u32).to_be_bytes()).unwrap();
    }
    for (n, client) in clients.iter_mut().enumerate() {
        let mut echoed = [0; 4];
        client.read_exact(&mut echoed).unwrap();
        assert_eq!(u32::from_be_bytes(echoed), n as u32);
    }
}
