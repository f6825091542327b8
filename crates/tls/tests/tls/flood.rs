//! Many concurrent handshakes do not delay other connections.

use std::cell::Cell;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::rc::Rc;
use std::time::Duration;

use rustls::version::{TLS12, TLS13};
use rustls::{ClientConfig, ClientConnection};
use uptick_event_loop::EventLoop;
use uptick_socket::prelude::*;
use uptick_tls::{SecureServer, VerifyPeer};

use crate::support::{
    Identity, address, client, connect, join, manual_clock, session, settle, tls_server, until,
};

/// A client that performs its handshake in single steps.
struct Stepper {
    tls: ClientConnection,
    socket: TcpStream,
}

impl Stepper {
    fn new(server: SecureServer, config: ClientConfig) -> Self {
        let socket = connect(address(server));
        socket.set_nonblocking(true).unwrap();
        Stepper {
            tls: session(config),
            socket,
        }
    }

    /// Sends all pending records.
    fn send(&mut self) {
        while self.tls.wants_write() {
            self.tls.write_tls(&mut self.socket).unwrap();
        }
    }

    /// Returns `true` if there is an unread response.
    fn has_response(&self) -> bool {
        self.socket.peek(&mut [0]).is_ok_and(|count| count > 0)
    }

    /// Reads the received records, and returns their plaintext.
    fn receive(&mut self) -> String {
        match self.tls.read_tls(&mut self.socket) {
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return String::new(),
            Err(error) => panic!("{error}"),
        }
        self.tls.process_new_packets().unwrap();
        let mut text = Vec::new();
        let _ = self.tls.reader().read_to_end(&mut text);
        String::from_utf8(text).unwrap()
    }
}

fn iterate() {
    EventLoop::current().run_once(Some(Duration::ZERO)).unwrap();
}

#[test]
fn a_flood_of_handshakes_is_limited_per_iteration_and_open_connections_are_served() {
    const CLIENTS: usize = 200;
    const BUDGET: usize = 8;
    let identity = Identity::new();
    let server = tls_server(identity.config());
    let connections = Rc::new(Cell::new(0));
    let count = Rc::clone(&connections);
    server.on("connection", move |conn: Connection| {
        count.set(count.get() + 1);
        conn.on("data", move |chunk: Bytes| conn.write(chunk));
    });
    let mut open = Stepper::new(server, identity.client());
    until(|| {
        open.send();
        open.receive();
        !open.tls.is_handshaking() && connections.get() == 1
    });
    let mut clients: Vec<Stepper> = (0..CLIENTS)
        .map(|_| Stepper::new(server, identity.client()))
        .collect();
    until(|| server.pending_handshakes() == CLIENTS);
    clients.iter_mut().for_each(Stepper::send);

    let (mut answered, mut iterations) = (0, 0);
    while answered < CLIENTS {
        open.tls.writer().write_all(b"x").unwrap();
        open.send();
        iterate();
        // The response to data that was written before this iteration is received in it.
        assert_eq!(open.receive(), "x");
        let now = clients
            .iter()
            .filter(|client| client.has_response())
            .count();
        assert!(
            now <= answered + BUDGET,
            "{answered} were answered, then {now}"
        );
        answered = now;
        iterations += 1;
        assert!(iterations < 2 * CLIENTS, "{answered} were answered");
    }
    assert!(iterations >= CLIENTS / BUDGET);
    until(|| {
        for client in &mut clients {
            client.receive();
            client.send();
        }
        connections.get() == CLIENTS + 1
    });
}

#[test]
fn the_newest_of_the_queued_handshakes_continues_first() {
    let identity = Identity::new();
    let server = tls_server(identity.config()).handshakes_per_iteration(1);
    server.on("connection", |_: Connection| ());
    let mut clients: Vec<Stepper> = (0..4)
        .map(|_| {
            let client = Stepper::new(server, identity.client());
            settle();
            client
        })
        .collect();
    until(|| server.pending_handshakes() == 4);
    let mut order = Vec::new();
    clients[0].send();
    clients[1].send();
    clients[2].send();
    clients[3].send();
    for _ in 0..10 {
        iterate();
        for (index, client) in clients.iter().enumerate() {
            if client.has_response() && !order.contains(&index) {
                order.push(index);
            }
        }
    }
    // The first handshake is not queued, because a step is left.
    let first = order[0];
    let rest: Vec<usize> = (0..4).rev().filter(|index| *index != first).collect();
    assert_eq!(order[1..], rest);
}

#[test]
fn a_queued_handshake_does_not_time_out() {
    const CLIENTS: usize = 10;
    let clock = manual_clock();
    let identity = Identity::new();
    let server = tls_server(identity.config()).handshakes_per_iteration(1);
    let connections = Rc::new(Cell::new(0));
    let count = Rc::clone(&connections);
    server.on("connection", move |_: Connection| {
        count.set(count.get() + 1)
    });
    let mut clients: Vec<Stepper> = (0..CLIENTS)
        .map(|_| Stepper::new(server, identity.client()))
        .collect();
    until(|| server.pending_handshakes() == CLIENTS);
    clients.iter_mut().for_each(Stepper::send);
    // As if the process was stopped, or a callback ran for long.
    clock.advance(Duration::from_secs(20));
    // All clients are answered before any of them continues.
    until(|| clients.iter().all(Stepper::has_response));
    until(|| {
        for client in &mut clients {
            client.receive();
            client.send();
        }
        connections.get() == CLIENTS
    });
    server.close();
}

#[test]
fn a_client_whose_handshake_was_queued_has_a_second_to_continue() {
    let clock = manual_clock();
    let identity = Identity::new();
    let server = tls_server(identity.config());
    server.on("connection", |_: Connection| ());
    let errors = Rc::new(Cell::new(0));
    let count = Rc::clone(&errors);
    server.on("error", move |_: Error| count.set(count.get() + 1));
    let mut client = Stepper::new(server, identity.client());
    until(|| server.pending_handshakes() == 1);
    client.send();
    clock.advance(Duration::from_secs(20));
    until(|| client.has_response());
    clock.advance(Duration::from_millis(990));
    settle();
    assert_eq!((server.pending_handshakes(), errors.get()), (1, 0));
    clock.advance(Duration::from_millis(10));
    until(|| errors.get() == 1);
    assert_eq!(server.pending_handshakes(), 0);
}

#[test]
fn queued_handshakes_complete_with_every_version() {
    let identity = Identity::new();
    for version in [&TLS12, &TLS13] {
        let server = tls_server(identity.config()).handshakes_per_iteration(1);
        server.on("connection", |conn: Connection| {
            conn.on("data", move |chunk: Bytes| conn.write(chunk));
        });
        let clients: Vec<_> = (0..20)
            .map(|_| {
                client(server, identity.client_of(&[version]), |mut tls| {
                    tls.write_all(b"hello").unwrap();
                    let mut echo = [0; 5];
                    tls.read_exact(&mut echo).unwrap();
                    echo
                })
            })
            .collect();
        for client in clients {
            assert_eq!(&join(client), b"hello");
        }
        assert_eq!(server.pending_handshakes(), 0);
    }
}

#[test]
fn an_upload_directly_after_a_queued_handshake_is_read_completely() {
    const LENGTH: usize = 1_000_000;
    let identity = Identity::new();
    // If certificates are verified, the client's second flight is an expensive step, and its upload may follow directly.
    let context = identity
        .context()
        .cafile(&identity.file)
        .verify_peer(VerifyPeer::Optional);
    let server = tls_server(context.load().unwrap()).handshakes_per_iteration(1);
    server.on("connection", |conn: Connection| {
        let mut left = LENGTH;
        conn.on("data", move |chunk: Bytes| {
            left -= chunk.len();
            if left == 0 {
                conn.write("thanks");
            }
        });
    });
    let clients: Vec<_> = (0..20)
        .map(|_| {
            client(server, identity.client_of(&[&TLS13]), |mut tls| {
                tls.write_all(&vec![7; LENGTH]).unwrap();
                let mut thanks = [0; 6];
                tls.read_exact(&mut thanks).unwrap();
                thanks
            })
        })
        .collect();
    for client in clients {
        assert_eq!(&join(client), b"thanks");
    }
}

#[test]
fn clients_that_disconnect_while_they_are_queued_are_reported_and_removed() {
    let identity = Identity::new();
    let server = tls_server(identity.config()).handshakes_per_iteration(1);
    server.on("connection", |_: Connection| ());
    let errors = Rc::new(Cell::new(0));
    let count = Rc::clone(&errors);
    server.on("error", move |_: Error| count.set(count.get() + 1));
    let mut clients: Vec<Stepper> = (0..20)
        .map(|_| Stepper::new(server, identity.client()))
        .collect();
    until(|| server.pending_handshakes() == 20);
    clients.iter_mut().for_each(Stepper::send);
    iterate();
    drop(clients);
    until(|| server.pending_handshakes() == 0);
    assert_eq!(errors.get(), 20);
    server.close();
    // No work is pending.
    run().unwrap();
}
