//! The minimum of publishing: a frame, and one system call per client that writes it. It implements only the part of WebSockets
//! that the load needs.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::fd::OwnedFd;

use anyhow::{Result, ensure};
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;

use super::super::{EVENTS, announce, listen};

const LISTENER: u64 = u64::MAX;

/// The lengths of the head and the mask of a client's frame with a payload of fewer than 126 bytes.
const HEAD: usize = 2;
const MASK: usize = 4;

pub(in super::super) fn serve() -> Result<()> {
    let listener = listen()?;
    announce(listener.local_addr()?)?;
    let epoll = epoll::create(CreateFlags::CLOEXEC)?;
    let data = EventData::new_u64(LISTENER);
    epoll::add(&epoll, &listener, data, EventFlags::IN)?;
    let mut clients = Vec::new();
    let nothing = epoll::Event {
        flags: EventFlags::empty(),
        data: EventData::new_u64(0),
    };
    let mut events = vec![nothing; EVENTS];
    loop {
        let ready = match epoll::wait(&epoll, &mut events[..], None) {
            Err(Errno::INTR) => continue,
            ready => ready?,
        };
        for event in &events[..ready] {
            let data = event.data;
            match data.u64() {
                LISTENER => accept(&listener, &epoll, &mut clients)?,
                key => publish(key as usize, &mut clients)?,
            }
        }
    }
}

fn accept(listener: &TcpListener, epoll: &OwnedFd, clients: &mut Vec<TcpStream>) -> Result<()> {
    match listener.accept() {
        Ok((client, _)) => {
            client.set_nonblocking(true)?;
            let key = EventData::new_u64(clients.len() as u64);
            epoll::add(epoll, &client, key, EventFlags::IN | EventFlags::ET)?;
            clients.push(client);
            Ok(())
        }
        Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn publish(key: usize, clients: &mut [TcpStream]) -> Result<()> {
    let mut buffer = [0; 1024];
    let length = match clients[key].read(&mut buffer) {
        Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
        length => length?,
    };
    let received = &buffer[..length];
    if received.starts_with(b"GET ") {
        clients[key].write_all(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")?;
        return Ok(());
    }
    if received.is_empty() {
        return Ok(());
    }
    ensure!(length > HEAD + MASK, "a frame arrived in pieces");
    let (head, rest) = received.split_at(HEAD);
    let (mask, payload) = rest.split_at(MASK);
    let mut frame = vec![head[0], payload.len() as u8];
    frame.extend(
        payload
            .iter()
            .zip(mask.iter().cycle())
            .map(|(byte, mask)| byte ^ mask),
    );
    for client in clients {
        client.write_all(&frame)?;
    }
    Ok(())
}
