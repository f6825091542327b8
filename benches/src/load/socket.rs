//! A client socket that sends requests and collects answers.

use std::net::{Ipv4Addr, SocketAddrV4};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use anyhow::{Context as _, Result, bail};
use rustix::io::Errno;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};

use super::{REQUEST, request};

/// The last source address of 127.0.0.0/24 that is tried.
const LAST_SOURCE: u8 = 254;

/// Opens connections to one address, from further addresses of 127.0.0.0/24 once the ports of
/// the first are used up.
pub(super) struct Dialer {
    address: SocketAddrV4,
    source: u8,
}

impl Dialer {
    pub(super) fn new(address: SocketAddrV4) -> Self {
        Self { address, source: 1 }
    }

    pub(super) fn dial(&mut self) -> Result<Client> {
        loop {
            match self.try_dial() {
                Ok(socket) => return Ok(Client::new(socket)),
                Err(Errno::ADDRNOTAVAIL | Errno::ADDRINUSE) if self.source < LAST_SOURCE => {
                    self.source += 1
                }
                Err(error) => {
                    return Err(error)
                        .with_context(|| format!("connecting to {} failed", self.address));
                }
            }
        }
    }

    fn try_dial(&self) -> rustix::io::Result<OwnedFd> {
        let socket = rustix::net::socket_with(
            AddressFamily::INET,
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )?;
        sockopt::set_tcp_nodelay(&socket, true)?;
        if self.source > 1 {
            let source = Ipv4Addr::new(127, 0, 0, self.source);
            rustix::net::bind(&socket, &SocketAddrV4::new(source, 0))?;
        }
        // Blocking, but over loopback the handshake is done before the call returns.
        rustix::net::connect(&socket, &self.address)?;
        Ok(socket)
    }
}

/// One connection with at most one request outstanding.
pub(super) struct Client {
    socket: OwnedFd,
    sequence: u64,
    answer: [u8; REQUEST],
    received: usize,
}

impl AsFd for Client {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl Client {
    fn new(socket: OwnedFd) -> Self {
        Self {
            socket,
            sequence: 0,
            answer: [0; REQUEST],
            received: 0,
        }
    }

    /// Sends the next request.
    pub(super) fn ask(&mut self) -> Result<()> {
        self.sequence += 1;
        self.received = 0;
        let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
        let sent = rustix::net::send(&self.socket, &request(self.sequence), flags)
            .context("sending a request failed")?;
        if sent != REQUEST {
            bail!("only {sent} of the {REQUEST} bytes of a request were taken");
        }
        Ok(())
    }

    /// Reads what has come and says whether the answer is complete.
    pub(super) fn collect(&mut self) -> Result<bool> {
        let rest = &mut self.answer[self.received..];
        match rustix::net::recv(&self.socket, rest, RecvFlags::DONTWAIT) {
            Ok((0, _)) => bail!("the server closed a connection that waits for an answer"),
            Ok((length, _)) => self.received += length,
            Err(Errno::AGAIN | Errno::INTR) => {}
            Err(error) => return Err(error).context("reading an answer failed"),
        }
        if self.received < REQUEST {
            return Ok(false);
        }
        if self.answer != request(self.sequence) {
            bail!("an answer differs from its request");
        }
        Ok(true)
    }
}
