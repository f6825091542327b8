//! A client: its handshake, and the packets that it expects.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::io::Errno;
use rustix::net::RecvFlags;
use rustix::net::sockopt::{self, Timeout};

use super::super::socket::{Dialer, receive, send};
use super::super::{RESPONSE_TIMEOUT, frames};

const PATH: &str = "/socket.io/?EIO=4&transport=websocket";

/// The number of bytes read at a time.
const BUFFER: usize = 64 * 1024;

/// The frames of an Engine.IO ping and pong. One of the servers sends its first ping immediately.
const PING: &[u8] = b"\x81\x012";
const PONG: &[u8] = b"3";

/// The maximum length of the messages in a handshake.
const MAX_HANDSHAKE: usize = 4096;

/// A client that has not joined a namespace yet.
pub(super) struct PendingClient {
    socket: OwnedFd,
    received: Vec<u8>,
}

impl PendingClient {
    /// Connects and sends the WebSocket handshake.
    pub(super) fn connect(dialer: &mut Dialer) -> Result<Self> {
        let socket = dialer.connect()?;
        sockopt::set_socket_timeout(&socket, Timeout::Recv, Some(RESPONSE_TIMEOUT))?;
        send(&socket, frames::request(PATH).as_bytes())?;
        Ok(Self {
            socket,
            received: Vec::new(),
        })
    }

    /// Waits for the packet that opens the session, and joins a namespace.
    pub(super) fn join(&mut self, namespace: &str) -> Result<()> {
        let head = loop {
            match memchr::memmem::find(&self.received, b"\r\n\r\n") {
                Some(end) => break end + 4,
                None => self.read()?,
            }
        };
        ensure!(
            frames::is_open(&self.received[..head])?,
            "the WebSocket handshake failed"
        );
        self.received.drain(..head);
        let opened = self.message()?;
        ensure!(
            opened.starts_with(b"0{"),
            "the first packet does not open the session"
        );
        let packet = format!("40{namespace}");
        send(&self.socket, &frames::from_client(packet.as_bytes()))
    }

    /// Waits until the namespace is joined.
    pub(super) fn joined(mut self, namespace: &str) -> Result<Client> {
        let joined = self.message()?;
        let expected = format!("40{namespace}{{\"sid\":\"");
        ensure!(
            joined.starts_with(expected.as_bytes()),
            "joining the namespace failed: {}",
            String::from_utf8_lossy(&joined)
        );
        if self.received == PING {
            self.received.clear();
            self.pong()?;
        }
        ensure!(self.received.is_empty(), "more packets than expected");
        Ok(Client {
            socket: self.socket,
            received: 0,
        })
    }

    fn pong(&self) -> Result<()> {
        send(&self.socket, &frames::from_client(PONG))
    }

    /// Returns the next message other than a ping.
    fn message(&mut self) -> Result<Vec<u8>> {
        loop {
            if self.received.starts_with(PING) {
                self.received.drain(..PING.len());
                self.pong()?;
            }
            let bounds = match self.received[..] {
                [0x81, length @ 0..126, ..] => Some((2, usize::from(length))),
                [0x81, 126, high, low, ..] => {
                    Some((4, usize::from(u16::from_be_bytes([high, low]))))
                }
                [] | [0x81] | [0x81, 126, ..] => None,
                _ => bail!("a frame is not text, or too long"),
            };
            if let Some((head, length)) = bounds
                && self.received.len() >= head + length
            {
                return Ok(self.received.drain(..head + length).skip(head).collect());
            }
            self.read()?;
        }
    }

    fn read(&mut self) -> Result<()> {
        let mut buffer = [0; MAX_HANDSHAKE];
        let length = loop {
            match rustix::net::recv(&self.socket, &mut buffer, RecvFlags::empty()) {
                Ok((0, _)) => bail!("the server closed a connection during the handshake"),
                Ok((length, _)) => break length,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("reading a handshake failed"),
            }
        };
        self.received.extend(&buffer[..length]);
        ensure!(
            self.received.len() <= MAX_HANDSHAKE,
            "a handshake is too long"
        );
        Ok(())
    }
}

/// A client that has joined a namespace.
pub(super) struct Client {
    socket: OwnedFd,
    /// The number of received bytes of the expected ones.
    received: usize,
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// The buffer in which received bytes are compared with the expected ones, shared by all clients.
pub(super) struct Buffer(Box<[u8]>);

impl Buffer {
    pub(super) fn new() -> Self {
        Self(vec![0; BUFFER].into_boxed_slice())
    }
}

impl Client {
    /// Opens a client in a namespace: `""`, or a name followed by a comma.
    pub(super) fn open(dialer: &mut Dialer, namespace: &str) -> Result<Self> {
        let mut pending = PendingClient::connect(dialer)?;
        pending.join(namespace)?;
        pending.joined(namespace)
    }

    /// Sends a packet.
    pub(super) fn send(&self, packet: &str) -> Result<()> {
        send(&self.socket, &frames::from_client(packet.as_bytes()))
    }

    /// Reads received bytes, which must be the next part of `expected`. Returns whether `expected` is complete; the next call
    /// then starts at its beginning.
    pub(super) fn collect(&mut self, expected: &[u8], buffer: &mut Buffer) -> Result<bool> {
        let length = receive(&self.socket, &mut buffer.0)?;
        let bytes = &buffer.0[..length];
        let ping = match expected.get(self.received..self.received + length) {
            Some(next) if next == bytes => None,
            _ => memchr::memmem::find(bytes, PING),
        };
        let Some(at) = ping else {
            return self.received(bytes, expected);
        };
        // Events are ASCII, so no event contains these bytes.
        let rest = [&bytes[..at], &bytes[at + PING.len()..]].concat();
        send(&self.socket, &frames::from_client(PONG))?;
        self.received(&rest, expected)
    }

    fn received(&mut self, bytes: &[u8], expected: &[u8]) -> Result<bool> {
        let end = self.received + bytes.len();
        if expected.get(self.received..end) != Some(bytes) {
            bail!(
                "{} bytes are not the expected ones: {:?}",
                bytes.len(),
                String::from_utf8_lossy(&bytes[..bytes.len().min(200)])
            );
        }
        let complete = end == expected.len() && !bytes.is_empty();
        self.received = if complete { 0 } else { end };
        Ok(complete)
    }
}
