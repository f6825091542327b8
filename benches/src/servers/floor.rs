//! The floors: raw epoll and nothing else.
//!
//! Each socket is registered once, edge-triggered, for reading and writing; there is one read
//! buffer for the whole process.

use std::io;
use std::net::TcpListener;
use std::os::fd::OwnedFd;

use anyhow::Result;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags};
use slab::Slab;

use super::connection::{Connection, ConnectionState, Protocol, SharedState, Socket};
use super::{BUFFER, EVENTS};

const MAX_ACCEPTS: usize = 64;
const LISTENER: u64 = u64::MAX;

impl Socket for OwnedFd {
    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let (length, _) = rustix::net::recv(self, buffer, RecvFlags::empty())?;
        Ok(length)
    }

    fn send(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(rustix::net::send(self, bytes, SendFlags::NOSIGNAL)?)
    }
}

pub(super) fn serve<P: Protocol>() -> Result<()> {
    let listener = super::listen()?;
    super::announce(listener.local_addr()?)?;
    Floor::<P>::new(listener)?.run()
}

struct Floor<P: Protocol> {
    epoll: OwnedFd,
    listener: TcpListener,
    /// The number of connections to accept at the next opportunity. A refused accept costs more
    /// than a successful one, so this starts at one and grows only while connections are pending.
    accepts: usize,
    connections: Slab<Connection<OwnedFd, P>>,
    common: SharedState<P>,
}

impl<P: Protocol> Floor<P> {
    fn new(listener: TcpListener) -> Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(
            &epoll,
            &listener,
            EventData::new_u64(LISTENER),
            EventFlags::IN,
        )?;
        Ok(Self {
            epoll,
            listener,
            accepts: 1,
            connections: Slab::new(),
            common: SharedState::new(BUFFER),
        })
    }

    fn run(&mut self) -> Result<()> {
        let nothing = epoll::Event {
            flags: EventFlags::empty(),
            data: EventData::new_u64(0),
        };
        let mut events = vec![nothing; EVENTS];
        loop {
            let ready = match epoll::wait(&self.epoll, &mut events[..], None) {
                Ok(ready) => ready,
                Err(Errno::INTR) => continue,
                Err(error) => return Err(error.into()),
            };
            for event in &events[..ready] {
                let (flags, data) = (event.flags, event.data);
                match data.u64() {
                    LISTENER => self.accept()?,
                    key => self.dispatch(key as usize, flags),
                }
            }
        }
    }

    fn accept(&mut self) -> Result<()> {
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        for _ in 0..self.accepts {
            match rustix::net::accept_with(&self.listener, flags) {
                Ok(socket) => self.begin(socket)?,
                Err(Errno::AGAIN) => {
                    self.accepts = 1;
                    return Ok(());
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(error) => return Err(error.into()),
            }
        }
        self.accepts = (self.accepts * 2).min(MAX_ACCEPTS);
        Ok(())
    }

    fn begin(&mut self, socket: OwnedFd) -> Result<()> {
        let mut connection = Connection::new(socket);
        if connection.begin(&mut self.common) == ConnectionState::Open {
            let entry = self.connections.vacant_entry();
            let key = EventData::new_u64(entry.key() as u64);
            let flags = EventFlags::IN | EventFlags::OUT | EventFlags::RDHUP | EventFlags::ET;
            epoll::add(&self.epoll, &connection.socket, key, flags)?;
            entry.insert(connection);
        }
        Ok(())
    }

    fn dispatch(&mut self, key: usize, flags: EventFlags) {
        let readable = flags.contains(EventFlags::IN);
        let hung_up = flags.intersects(EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        if let Some(connection) = self.connections.get_mut(key)
            && connection.ready(readable, hung_up, &mut self.common) == ConnectionState::Closed
        {
            self.connections.remove(key);
        }
    }
}
