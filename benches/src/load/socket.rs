//! A client socket that sends requests and collects responses.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::Target;
use super::exchange::{Exchange, ExchangeState};
use super::frames;
use super::session::Session;

/// The last source address of 127.0.0.0/24 that is tried.
const LAST_SOURCE: u8 = 254;

/// The number of bytes read at a time with TLS.
const TLS_BUFFER: usize = 4096;

/// The message length from which a socket needs a larger send buffer to send the message at once.
const LARGE_MESSAGE: usize = 4096;
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
        let state = ExchangeState::new(self.exchange.clone());
        if let Some(request) = state.handshake_request() {
            open_websocket(&socket, request.as_bytes())?;
        }
        Ok(Client { socket, tls, state })
    }

    fn try_dial(&self) -> rustix::io::Result<OwnedFd> {
        let socket = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if let Exchange::WebSocket(LARGE_MESSAGE..) = self.exchange {
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
    state: ExchangeState,
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Client {
    /// Starts the next exchange. With TLS, the first exchange starts the handshake.
    pub(super) fn send_request(&mut self) -> Result<()> {
        let (socket, tls) = (&self.socket, &mut self.tls);
        self.state.send_request(|requests| match tls {
            None => send(socket, requests),
            Some(tls) => send(socket, tls.seal(requests)?),
        })
    }

    /// Starts the next exchange, in which this client sends nothing.
    pub(super) fn expect(&mut self) {
        self.state.expect();
    }

    /// Reads received bytes; returns whether the response is complete.
    pub(super) fn collect(&mut self) -> Result<bool> {
        let buffer = self.state.buffer();
        let length = match &mut self.tls {
            None => receive(&self.socket, buffer)?,
            Some(tls) => {
                let mut records = [0; TLS_BUFFER];
                let length = receive(&self.socket, &mut records)?;
                let length = tls.open(&records[..length], buffer)?;
                send(&self.socket, tls.outgoing()?)?;
                length
            }
        };
        self.state.received(length)
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
    let mut response = [0; 1024];
    let mut length = 0;
    while !frames::is_open(&response[..length])? {
        match rustix::net::recv(socket, &mut response[length..], RecvFlags::empty()) {
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
