//! The floor on mio: the cost of its portability.

use std::io::{self, ErrorKind, Read as _, Write as _};

use anyhow::Result;
use mio::net::{TcpListener, TcpStream};
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::connection::{Connection, ConnectionState, Echo, SharedState, Socket};
use super::{BUFFER, EVENTS};

const LISTENER: Token = Token(usize::MAX);

impl Socket for TcpStream {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.read(buffer)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write(bytes)
    }
}

pub(super) fn serve() -> Result<()> {
    let listener = super::listen()?;
    super::announce(listener.local_addr()?)?;
    let mut listener = TcpListener::from_std(listener);
    let mut poll = Poll::new()?;
    poll.registry()
        .register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut connections = Slab::new();
    let mut common = SharedState::<Echo>::new(BUFFER);
    let mut events = Events::with_capacity(EVENTS);
    loop {
        match poll.poll(&mut events, None) {
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            result => result?,
        }
        for event in &events {
            let Token(key) = event.token();
            let hung_up = event.is_read_closed() || event.is_error();
            if event.token() == LISTENER {
                accept(&poll, &listener, &mut connections, &mut common)?;
            } else if let Some(connection) = connections.get_mut(key)
                && connection.ready(event.is_readable(), hung_up, &mut common)
                    == ConnectionState::Closed
            {
                connections.remove(key);
            }
        }
    }
}

/// mio registers listeners edge-triggered as well, so this accepts all pending connections.
fn accept(
    poll: &Poll,
    listener: &TcpListener,
    connections: &mut Slab<Connection<TcpStream, Echo>>,
    common: &mut SharedState<Echo>,
) -> Result<()> {
    loop {
        let socket = match listener.accept() {
            Ok((socket, _)) => socket,
            Err(error) => match error.kind() {
                ErrorKind::WouldBlock => return Ok(()),
                ErrorKind::Interrupted | ErrorKind::ConnectionAborted => continue,
                _ => return Err(error.into()),
            },
        };
        let mut connection = Connection::new(socket);
        if connection.begin(common) == ConnectionState::Open {
            let entry = connections.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            let registry = poll.registry();
            registry.register(&mut connection.socket, Token(entry.key()), interest)?;
            entry.insert(connection);
        }
    }
}
