//! A client socket that sends requests and collects responses.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::Target;
use super::exchange::{Conversation, Exchange};
use super::frames;
use super::session::Session;

/// The last source address of 127.0.0.0/24 that is tried.
const LAST_SOURCE: u8 = 254;

/// The number of bytes read at a time with TLS.
const RECORDS: usize = 4096;

/// The message length from which a socket needs a larger send buffer to send the message at once.
const LARGE: usize = 4096;
const SEND_BUFFER: usize = 512 * 1024;

/// A connector to one server, which uses further source addresses of 127.0.0.0/24 once the ports of
/// the first are used up.
pub(super) struct Dialer {
    target: Target,
    exchange: Exchange,
    source: u8,
}

impl Dialer {
    pub(super) fn new(target: Target, exchange: Exchange) -> Self {
        Self {
            target,
            exchange,
            source: 1,
        }
    }

    /// Opens a connection.
    pub(super) fn connect(&mut self) -> Result<OwnedFd> {
        loop {
            match self.try_dial() {
                Ok(socket) => return Ok(socket),
                Err(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) if self.source < LAST_SOURCE => {
                    self.source += 1
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("connecting to {} failed", self.target.address));
                }
            }
        }
    }

    pub(super) fn dial(&mut self) -> Result<Client> {
        let socket = self.connect()?;
        let tls = self.target.tls.clone().map(Session::new).transpose()?;
        let conversation = Conversation::new(self.exchange.clone());
        if let Some(request) = conversation.opening() {
            open_websocket(&socket, request.as_bytes())?;
        }
        Ok(Client {
            socket,
            tls,
            conversation,
        })
    }

    fn try_dial(&self) -> rustix::io::Result<OwnedFd> {
        let socket = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if let Exchange::WebSocket(LARGE..) = self.exchange {
            sockopt::set_socket_send_buffer_size(&socket, SEND_BUFFER)?;
        }
        if self.source > 1 {
            let source = Ipv4Addr::new(127, 0, 0, self.source);
            rustix::net::bind(&socket, &SocketAddrV4::new(source, 0))?;
        }
        // A blocking connect: over loopback, the TCP handshake is complete before the call returns.
        rustix::net::connect(&socket, &self.target.address)?;
        Ok(socket)
    }
}

/// A connection with at most one exchange at a time.
pub(super) struct Client {
    socket: OwnedFd,
    tls: Option<Session>,
    conversation: Conversation,
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Client {
    /// Starts the next exchange. With TLS, the first exchange starts the handshake.
    pub(super) fn ask(&mut self) -> Result<()> {
        let (socket, tls) = (&self.socket, &mut self.tls);
        self.conversation.ask(|requests| match tls {
            None => send(socket, requests),
            Some(tls) => send(socket, tls.seal(requests)?),
        })
    }

    /// Starts the next exchange, in which this client sends nothing.
    pub(super) fn expect(&mut self) {
        self.conversation.expect();
    }

    /// Reads received bytes; returns whether the response is complete.
    pub(super) fn collect(&mut self) -> Result<bool> {
        let room = self.conversation.room();
        let length = match &mut self.tls {
            None => receive(&self.socket, room)?,
            Some(tls) => {
                let mut records = [0; RECORDS];
                let length = receive(&self.socket, &mut records)?;
                let length = tls.open(&records[..length], room)?;
                send(&self.socket, tls.outgoing()?)?;
                length
            }
        };
        self.conversation.received(length)
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if let Some(Ok(last)) = self.tls.as_mut().map(Session::close) {
            // The server may have closed the connection already.
            let _ = send(&self.socket, last);
        }
    }
}

pub(super) fn send(socket: &OwnedFd, bytes: &[u8]) -> Result<()> {
    if bytes.is_empty() {
        return Ok(());
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    let sent = rustix::net::send(socket, bytes, flags).context("sending to the server failed")?;
    if sent != bytes.len() {
        bail!("only {sent} of {} bytes were sent", bytes.len());
    }
    Ok(())
}

/// Performs a WebSocket handshake and waits for the response, which follows at once.
fn open_websocket(socket: &OwnedFd, request: &[u8]) -> Result<()> {
    send(socket, request)?;
    let mut answer = [0; 1024];
    let mut length = 0;
    while !frames::is_open(&answer[..length])? {
        match rustix::net::recv(socket, &mut answer[length..], RecvFlags::empty()) {
            Ok((0, _)) => bail!("the server closed a connection, or its response is too long"),
            Ok((more, _)) => length += more,
            Err(Errno::INTR) => {}
            Err(error) => return Err(error).context("reading a response failed"),
        }
    }
    Ok(())
}

/// Returns the number of received bytes; 0 if there are none yet.
pub(super) fn receive(socket: &OwnedFd, buffer: &mut [u8]) -> Result<usize> {
    match rustix::net::recv(socket, buffer, RecvFlags::DONTWAIT) {
        Ok((0, _)) => bail!("the server closed a connection before its response"),
        Ok((length, _)) => Ok(length),
        Err(Errno::AGAIN | Errno::INTR) => Ok(0),
        Err(error) => Err(error).context("reading a response failed"),
    }
}
