//! Options of a datagram socket, and the constructors that apply them.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::io::MAX_DATAGRAM_SIZE;
use crate::sockets;
use crate::{DatagramSocket, Error, IntoAddress};

/// Options of a datagram socket, and constructors that apply them.
///
/// # Examples
/// ```
/// use uptick_datagram::DatagramOptions;
///
/// let socket = DatagramOptions::new()
///     .receive_buffer_size(1024 * 1024)
///     .max_datagram_size(1500)
///     .bind("127.0.0.1:0")?;
/// # socket.close();
/// # Ok::<(), uptick_datagram::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "options do nothing until `bind`, `connect` or `adopt`"]
pub struct DatagramOptions {
    pub(crate) max_datagram_size: usize,
    pub(crate) max_queued: usize,
    pub(crate) max_queued_bytes: usize,
    pub(crate) linger: Duration,
    reuse_port: bool,
    v6_only: Option<bool>,
    broadcast: bool,
    receive_buffer_size: Option<usize>,
    send_buffer_size: Option<usize>,
    ttl: Option<u8>,
    multicast_ttl: Option<u8>,
    multicast_loop: Option<bool>,
}

impl Default for DatagramOptions {
    fn default() -> Self {
        DatagramOptions {
            max_datagram_size: MAX_DATAGRAM_SIZE,
            max_queued: 1024,
            max_queued_bytes: 4 * 1024 * 1024,
            linger: Duration::from_secs(1),
            reuse_port: false,
            v6_only: None,
            broadcast: false,
            receive_buffer_size: None,
            send_buffer_size: None,
            ttl: None,
            multicast_ttl: None,
            multicast_loop: None,
        }
    }
}

impl DatagramOptions {
    /// Creates the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the maximum size of a received datagram, in bytes, from 1 to 65,535. A larger one is dropped, and
    /// `error` is emitted. Default: 65,535, which no datagram exceeds.
    pub fn max_datagram_size(mut self, bytes: usize) -> Self {
        self.max_datagram_size = bytes.clamp(1, MAX_DATAGRAM_SIZE);
        self
    }

    /// Sets the maximum number of datagrams in the send queue, at least 1; `send` refuses more. Default: 1,024.
    pub fn max_queued(mut self, datagrams: usize) -> Self {
        self.max_queued = datagrams.max(1);
        self
    }

    /// Sets the maximum number of bytes in the send queue; `send` refuses more, except a single datagram. Default: 4
    /// MiB.
    pub fn max_queued_bytes(mut self, bytes: usize) -> Self {
        self.max_queued_bytes = bytes;
        self
    }

    /// Sets the maximum time that `end` waits while the system accepts no datagrams. After it, the queue is discarded and
    /// `error` is emitted. Default: 1 s.
    pub fn linger(mut self, time: Duration) -> Self {
        self.linger = time;
        self
    }

    /// Allows several sockets of the same user to be bound to the same address (`SO_REUSEPORT`); the system distributes
    /// datagrams among them by sender. All of them have to set it. Default: `false`.
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Restricts a socket that is bound to an IPv6 address to IPv6. Without the restriction, a socket on `[::]` also
    /// receives datagrams from IPv4 senders, with addresses such as `[::ffff:192.0.2.1]:80`. Default: left to the system
    /// (on Linux, usually both families).
    pub fn v6_only(mut self, only: bool) -> Self {
        self.v6_only = Some(only);
        self
    }

    /// Allows sending to broadcast addresses (`SO_BROADCAST`). Default: `false`.
    pub fn broadcast(mut self, allowed: bool) -> Self {
        self.broadcast = allowed;
        self
    }

    /// Sets the size of the system's receive buffer, in bytes (`SO_RCVBUF`). Datagrams that do not fit are lost.
    /// Default: left to the system.
    pub fn receive_buffer_size(mut self, bytes: usize) -> Self {
        self.receive_buffer_size = Some(bytes);
        self
    }

    /// Sets the size of the system's send buffer, in bytes (`SO_SNDBUF`). Default: left to the system.
    pub fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// Sets the maximum number of hops of a datagram (IPv4 time to live, IPv6 hop limit), at least 1. Default: left to
    /// the system (64 on Linux).
    pub fn ttl(mut self, hops: u8) -> Self {
        self.ttl = Some(hops.max(1));
        self
    }

    /// Sets the maximum number of hops of a datagram to a multicast group. Default: left to the system (1: the local
    /// network).
    pub fn multicast_ttl(mut self, hops: u8) -> Self {
        self.multicast_ttl = Some(hops);
        self
    }

    /// Sets whether datagrams to a multicast group also reach members on this machine. On Linux, this is an option of
    /// the sender; on other systems, for IPv4, of the receiver. Default: left to the system (`true`).
    pub fn multicast_loop(mut self, enabled: bool) -> Self {
        self.multicast_loop = Some(enabled);
        self
    }

    /// Creates a socket that receives datagrams for an address from any sender. Port 0 selects a free port.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], or [`Error::Bind`] with the system's error, such as EADDRINUSE.
    pub fn bind(&self, address: impl IntoAddress) -> Result<DatagramSocket, Error> {
        let local = address.into_address()?;
        let bind = || {
            let socket = self.open(local)?;
            socket.bind(&local.into())?;
            sockets::add(socket.into(), self)
        };
        bind().map_err(|source| Error::Bind {
            local,
            source: Arc::new(source),
        })
    }

    /// Creates a socket that exchanges datagrams with one peer only. No packet is sent: a missing peer is detected only
    /// when its system refuses a datagram (an `error` with ECONNREFUSED), or not at all.
    ///
    /// # Errors
    /// [`Error::InvalidAddress`], or [`Error::Connect`] with the system's error, such as ENETUNREACH.
    pub fn connect(&self, address: impl IntoAddress) -> Result<DatagramSocket, Error> {
        let peer = address.into_address()?;
        let connect = || {
            if peer.port() == 0 {
                let reason = "port 0 cannot be connected to";
                return Err(io::Error::new(io::ErrorKind::InvalidInput, reason));
            }
            let socket = self.open(peer)?;
            socket.connect(&peer.into())?;
            sockets::add(socket.into(), self)
        };
        connect().map_err(|source| Error::Connect {
            peer,
            source: Arc::new(source),
        })
    }

    /// Registers a socket of the standard library with the loop, such as an inherited one. Options that must be set
    /// before a socket is bound are ignored.
    ///
    /// # Errors
    /// [`Error::Adopt`] with the system's error.
    pub fn adopt(&self, socket: UdpSocket) -> Result<DatagramSocket, Error> {
        let adopt = || {
            let is_v6 = socket.local_addr()?.is_ipv6();
            let socket = Socket::from(socket);
            socket.set_nonblocking(true)?;
            self.apply(&socket, is_v6)?;
            sockets::add(socket.into(), self)
        };
        adopt().map_err(Error::adopt)
    }

    fn open(&self, address: SocketAddr) -> io::Result<Socket> {
        let socket = Socket::new(Domain::for_address(address), Type::DGRAM, None)?;
        socket.set_nonblocking(true)?;
        if let Some(only) = self.v6_only.filter(|_| address.is_ipv6()) {
            socket.set_only_v6(only)?;
        }
        if self.reuse_port {
            socket.set_reuse_port(true)?;
        }
        self.apply(&socket, address.is_ipv6())?;
        Ok(socket)
    }

    fn apply(&self, socket: &Socket, is_v6: bool) -> io::Result<()> {
        const LARGEST_BUFFER: usize = i32::MAX as usize;
        if self.broadcast {
            socket.set_broadcast(true)?;
        }
        if let Some(bytes) = self.receive_buffer_size {
            socket.set_recv_buffer_size(bytes.min(LARGEST_BUFFER))?;
        }
        if let Some(bytes) = self.send_buffer_size {
            socket.set_send_buffer_size(bytes.min(LARGEST_BUFFER))?;
        }
        if let Some(hops) = self.ttl.map(u32::from) {
            match is_v6 {
                true => socket.set_unicast_hops_v6(hops)?,
                false => socket.set_ttl_v4(hops)?,
            }
        }
        if let Some(hops) = self.multicast_ttl.map(u32::from) {
            match is_v6 {
                true => socket.set_multicast_hops_v6(hops)?,
                false => socket.set_multicast_ttl_v4(hops)?,
            }
        }
        if let Some(enabled) = self.multicast_loop {
            match is_v6 {
                true => socket.set_multicast_loop_v6(enabled)?,
                false => socket.set_multicast_loop_v4(enabled)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::SockRef;

    #[test]
    fn options_are_set_on_the_socket() {
        let options = DatagramOptions::new()
            .broadcast(true)
            .reuse_port(true)
            .ttl(7)
            .multicast_ttl(3)
            .multicast_loop(false)
            .receive_buffer_size(50_000)
            .send_buffer_size(40_000);
        let v4 = options.open(([127, 0, 0, 1], 0).into()).unwrap();
        assert!(v4.broadcast().unwrap() && v4.reuse_port().unwrap());
        assert_eq!(
            (v4.ttl_v4().unwrap(), v4.multicast_ttl_v4().unwrap()),
            (7, 3)
        );
        assert!(!v4.multicast_loop_v4().unwrap() && v4.nonblocking().unwrap());
        assert!(v4.recv_buffer_size().unwrap() >= 50_000);
        assert!((40_000..200_000).contains(&v4.send_buffer_size().unwrap()));

        let v6 = options
            .v6_only(true)
            .open("[::1]:0".parse().unwrap())
            .unwrap();
        assert!(v6.only_v6().unwrap());
        assert_eq!(
            (
                v6.unicast_hops_v6().unwrap(),
                v6.multicast_hops_v6().unwrap()
            ),
            (7, 3)
        );
    }

    #[test]
    fn by_default_a_port_belongs_to_one_socket_and_broadcast_is_off() {
        let socket = DatagramOptions::new()
            .open(([127, 0, 0, 1], 0).into())
            .unwrap();
        let socket = SockRef::from(&socket);
        assert!(!socket.reuse_port().unwrap() && !socket.broadcast().unwrap());
    }

    #[test]
    fn limits_are_clamped_to_their_range() {
        let options = DatagramOptions::new().max_datagram_size(0).max_queued(0);
        assert_eq!((options.max_datagram_size, options.max_queued), (1, 1));
        let options = options.max_datagram_size(usize::MAX);
        assert_eq!(options.max_datagram_size, 65_535);
    }
}
