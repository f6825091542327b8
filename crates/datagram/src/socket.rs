//! The handle of a datagram socket.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;

use bytes::Bytes;
use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle, spawn_blocking};

use crate::address::ParsedAddress;
use crate::queue::QueuedDatagram;
use crate::sockets::{SocketEntry, SocketState, with_open, with_socket};
use crate::{DatagramOptions, Error, IntoAddress, driver};

/// A UDP socket on this thread's event loop.
///
/// `DatagramSocket` is a `Copy` handle: callbacks capture it by `move`, and the loop owns the socket until it has
/// closed. The handle of a closed socket is *stale*: `send` returns `false`, the addresses are `None`, and all other
/// methods do nothing. An open socket keeps the loop running.
///
/// Without a `message` listener, nothing is received: datagrams stay in the system's buffer.
///
/// # Limits
/// [`DatagramOptions`] lists the limits of a socket. A socket receives at most 128 datagrams in a row before other
/// sockets are served.
///
/// # Examples
/// ```
/// use std::net::SocketAddr;
/// use bytes::Bytes;
/// use uptick_datagram::DatagramSocket;
/// use uptick_emitter::Emitter;
///
/// let server = DatagramSocket::bind("127.0.0.1:0")?;
/// server.on("message", move |(data, peer): (Bytes, SocketAddr)| server.send_to(data, peer));
///
/// let client = DatagramSocket::connect(server.local_address().unwrap_or_default())?;
/// client.send("Hello!");
/// client.on("message", move |(data, _): (Bytes, SocketAddr)| {
///     assert_eq!(data, "Hello!");
///     client.close();
///     server.close();
/// });
/// uptick_event_loop::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DatagramSocket {
    id: Id,
    /// Makes the handle `!Send`: it belongs to the loop of its thread.
    marker: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl DatagramSocket {
        (Bytes, SocketAddr) => {
            /// A datagram was received: its data and the sender's address.
            MESSAGE = "message";
        }
        Error => {
            /// An operation failed; the socket stays open, unless `close` follows.
            ERROR = "error", warn;
        }
        () => {
            /// The queue is at most half full again after it refused a `send`.
            DRAIN = "drain";
            /// The socket closes. Its listeners are dropped afterwards.
            CLOSE = "close";
        }
    }
}

impl Emitter for DatagramSocket {
    type Events = DatagramSocket;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        with_socket(self.id, |socket| {
            (socket.state < SocketState::Closed).then(|| f(&mut socket.listeners))
        })
        .flatten()
    }

    fn listener_added(&self, slot: u8) {
        if slot == Self::MESSAGE.slot() {
            with_open(self.id, |socket, driver| {
                socket.receive_later(self.id, driver)
            });
        }
    }
}

/// The numbers of datagrams and bytes that a socket has received and sent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Number of datagrams received, without those over the size limit.
    pub messages_received: u64,
    /// Number of bytes received: the sum of the sizes of these datagrams.
    pub bytes_received: u64,
    /// Number of datagrams that the system has accepted for sending.
    pub messages_sent: u64,
    /// Number of bytes sent: the sum of the sizes of these datagrams.
    pub bytes_sent: u64,
}

impl DatagramSocket {
    pub(crate) const fn new(id: Id) -> Self {
        DatagramSocket {
            id,
            marker: PhantomData,
        }
    }

    /// Creates a socket that receives datagrams for an address from any sender, with the default
    /// [options](DatagramOptions).
    ///
    /// A port alone is a port on 127.0.0.1. Port 0 selects a free port.
    ///
    /// # Errors
    /// The errors of [`DatagramOptions::bind`].
    ///
    /// # Examples
    /// ```
    /// use uptick_datagram::DatagramSocket;
    ///
    /// let socket = DatagramSocket::bind("udp://127.0.0.1:0")?;
    /// assert!(socket.local_address().is_some_and(|uri| uri.starts_with("udp://127.0.0.1:")));
    /// # Ok::<(), uptick_datagram::Error>(())
    /// ```
    pub fn bind(address: impl IntoAddress) -> Result<DatagramSocket, Error> {
        DatagramOptions::new().bind(address)
    }

    /// Creates a socket that exchanges datagrams with one peer only, with the default [options](DatagramOptions).
    ///
    /// # Errors
    /// The errors of [`DatagramOptions::connect`].
    pub fn connect(address: impl IntoAddress) -> Result<DatagramSocket, Error> {
        DatagramOptions::new().connect(address)
    }

    /// Resolves a host name, then connects to the first of its addresses that works: `"example.com:53"`.
    ///
    /// # Errors
    /// [`Error::Resolve`] if the lookup fails, else the errors of [`DatagramOptions::connect`].
    ///
    /// # Cancel safety
    /// A dropped future leaves no socket behind. A lookup in progress continues in its thread, and its result is
    /// ignored.
    ///
    /// # Examples
    /// ```
    /// use uptick_datagram::DatagramSocket;
    ///
    /// let socket = uptick_event_loop::block_on(async {
    ///     let socket = DatagramSocket::connect_host("localhost:53").await?;
    ///     socket.close();
    ///     Ok::<_, uptick_datagram::Error>(socket)
    /// })??;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub async fn connect_host(address: impl Into<String>) -> Result<DatagramSocket, Error> {
        let (name, port) = match ParsedAddress::parse(&address.into())? {
            ParsedAddress::Address(address) => return Self::connect(address),
            ParsedAddress::Host { name, port } => (name, port),
        };
        let host: Arc<str> = name.as_str().into();
        let failed = |reason: String| Error::Resolve {
            host: Arc::clone(&host),
            reason: reason.into(),
        };
        let found = spawn_blocking(move || {
            let found = (name.as_str(), port).to_socket_addrs()?;
            Ok(found.collect::<Vec<_>>())
        });
        let found: std::io::Result<_> = found.await.map_err(|error| failed(error.to_string()))?;
        let mut last = failed("the name has no address".to_owned());
        for address in found.map_err(|error| failed(error.to_string()))? {
            match Self::connect(address) {
                Ok(socket) => return Ok(socket),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// Registers a socket of the standard library with the loop, with the default [options](DatagramOptions).
    ///
    /// # Errors
    /// The errors of [`DatagramOptions::adopt`].
    pub fn adopt(socket: UdpSocket) -> Result<DatagramSocket, Error> {
        DatagramOptions::new().adopt(socket)
    }

    /// Sends a datagram to the peer of a connected socket. Returns `true` if the datagram was accepted.
    ///
    /// It is sent at the end of the loop's iteration, together with others. It is not accepted if the queue is full
    /// (`drain` follows later), if the socket is ending or stale, if it is larger than 65,507 bytes on IPv4 or
    /// 65,527 on IPv6, or if the socket is not connected. In the last two cases an `error` follows.
    ///
    /// # Limits
    /// The queue holds 1,024 datagrams and 4 MiB by default; see [`max_queued`](DatagramOptions::max_queued) and
    /// [`max_queued_bytes`](DatagramOptions::max_queued_bytes).
    pub fn send(&self, data: impl Into<Bytes>) -> bool {
        self.queue(data.into(), None)
    }

    /// Sends a datagram to an address. Returns `true` if the datagram was accepted.
    ///
    /// The rules of [`send`](DatagramSocket::send) apply. A destination of the wrong address family, or, on a connected
    /// socket, a destination other than its peer, is not accepted either, and an `error` follows.
    pub fn send_to(&self, data: impl Into<Bytes>, peer: SocketAddr) -> bool {
        self.queue(data.into(), Some(peer))
    }

    fn queue(&self, data: Bytes, peer: Option<SocketAddr>) -> bool {
        let mut data = Some(data);
        let taken = with_open(self.id, |socket, driver| {
            if socket.state != SocketState::Open {
                return false;
            }
            let size = data.as_ref().map_or(0, Bytes::len);
            let peer = match destination(socket, peer, size) {
                Ok(peer) => peer,
                Err(error) => {
                    socket.queue_error(error);
                    socket.flush_later(self.id, driver);
                    return false;
                }
            };
            let Some(outgoing) = data.take().map(|data| QueuedDatagram { data, peer }) else {
                return false;
            };
            if let Err(refused) = socket.queue.push(outgoing) {
                data = Some(refused.data);
                return false;
            }
            if !socket.is_blocked {
                socket.flush_later(self.id, driver);
            }
            true
        });
        taken.unwrap_or(false)
    }

    /// Returns the number of datagrams in the send queue.
    pub fn queued(&self) -> usize {
        with_socket(self.id, |socket| socket.queue.len()).unwrap_or(0)
    }

    /// Returns the number of bytes in the send queue.
    pub fn queued_bytes(&self) -> usize {
        with_socket(self.id, |socket| socket.queue.bytes()).unwrap_or(0)
    }

    /// Stops receiving: no `message` is emitted until [`resume`](DatagramSocket::resume), and datagrams stay in the
    /// system's buffer, which drops those that do not fit.
    pub fn pause(&self) {
        with_open(self.id, |socket, _| socket.is_paused = true);
    }

    /// Resumes receiving after [`pause`](DatagramSocket::pause).
    pub fn resume(&self) {
        with_open(self.id, |socket, driver| {
            socket.is_paused = false;
            socket.receive_later(self.id, driver);
        });
    }

    /// Returns `true` if the socket is paused.
    pub fn is_paused(&self) -> bool {
        with_socket(self.id, |socket| socket.is_paused).unwrap_or(false)
    }

    /// Closes the socket once its queue is sent, or at once if it is empty. Until then the socket receives, but accepts
    /// nothing to send.
    ///
    /// # Limits
    /// Waits up to 1 s by default while the system accepts no datagrams; see [`linger`](DatagramOptions::linger).
    pub fn end(&self) {
        let is_empty = with_open(self.id, |socket, driver| {
            socket.state = SocketState::Ending;
            socket.linger(self.id, driver);
            socket.queue.is_empty() && socket.pending_errors.is_empty()
        });
        if is_empty == Some(true) {
            driver::close(self.id);
        }
    }

    /// Closes the socket at once and discards the queue.
    ///
    /// The `close` listeners run before this returns, then all listeners are dropped, then the descriptor is closed.
    pub fn close(&self) {
        driver::close(self.id);
    }

    /// Returns `true` if the socket accepts datagrams to send: it is neither ending nor closed.
    pub fn is_open(&self) -> bool {
        with_socket(self.id, |socket| socket.state == SocketState::Open).unwrap_or(false)
    }

    /// Returns the local address, as in `udp://127.0.0.1:9000`; `None` if the handle is stale.
    pub fn local_address(&self) -> Option<String> {
        self.read(|socket| format!("udp://{}", socket.local))
    }

    /// Returns the peer's address, as in `udp://127.0.0.1:9000`; `None` if the handle is stale or the socket is not
    /// connected.
    pub fn remote_address(&self) -> Option<String> {
        self.read(|socket| socket.remote.map(|remote| format!("udp://{remote}")))?
    }

    /// Returns a number that no other datagram socket of this process has or had; `None` if the handle is stale.
    pub fn id(&self) -> Option<u64> {
        self.read(|socket| socket.number)
    }

    /// Returns the counters of the socket; all zero if the handle is stale.
    pub fn counters(&self) -> Counters {
        self.read(|socket| socket.counters).unwrap_or_default()
    }

    /// Joins a multicast group on the system's default interface.
    ///
    /// # Errors
    /// [`Error::Multicast`] with the system's error, or with ENOTCONN if the handle is stale.
    pub fn join_multicast(&self, group: IpAddr) -> Result<(), Error> {
        self.multicast("joining", group, |socket| match group {
            IpAddr::V4(group) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(group) => socket.join_multicast_v6(&group, 0),
        })
    }

    /// Leaves a multicast group.
    ///
    /// # Errors
    /// The errors of [`join_multicast`](DatagramSocket::join_multicast).
    pub fn leave_multicast(&self, group: IpAddr) -> Result<(), Error> {
        self.multicast("leaving", group, |socket| match group {
            IpAddr::V4(group) => socket.leave_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(group) => socket.leave_multicast_v6(&group, 0),
        })
    }

    fn multicast(
        &self,
        operation: &'static str,
        group: IpAddr,
        f: impl FnOnce(&UdpSocket) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let result = self.read(|socket| socket.socket.as_ref().map(f)).flatten();
        let stale = || Err(std::io::ErrorKind::NotConnected.into());
        result
            .unwrap_or_else(stale)
            .map_err(|source| Error::Multicast {
                operation,
                group,
                source: Arc::new(source),
            })
    }

    /// Calls `f` with the socket, unless the handle is stale.
    fn read<R>(&self, f: impl FnOnce(&SocketEntry) -> R) -> Option<R> {
        with_socket(self.id, |socket| {
            (socket.state < SocketState::Closed).then(|| f(socket))
        })
        .flatten()
    }
}

/// Returns the destination of a datagram, or the reason why it cannot be sent.
fn destination(
    socket: &SocketEntry,
    peer: Option<SocketAddr>,
    size: usize,
) -> Result<SocketAddr, Error> {
    let local = socket.local;
    let peer = match (peer, socket.remote) {
        (None, None) => return Err(Error::NotConnected { local }),
        (Some(peer), Some(connected)) if peer != connected => {
            return Err(Error::OtherPeer { peer, connected });
        }
        (Some(peer), _) | (None, Some(peer)) => peer,
    };
    if peer.is_ipv6() != local.is_ipv6() {
        return Err(Error::WrongFamily { peer, local });
    }
    // 65,535 bytes less the headers: 8 bytes of UDP and, on IPv4, 20 bytes of IP, which count towards the total there.
    let limit = match peer {
        SocketAddr::V4(_) => 65_507,
        SocketAddr::V6(_) => 65_527,
    };
    match size > limit {
        true => Err(Error::TooLarge { peer, size, limit }),
        false => Ok(peer),
    }
}

impl fmt::Display for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let addresses = self.read(|socket| (socket.local, socket.remote));
        match addresses {
            Some((local, Some(remote))) => write!(f, "udp://{local} to udp://{remote}"),
            Some((local, None)) => write!(f, "udp://{local}"),
            None => f.write_str("a closed datagram socket"),
        }
    }
}

impl fmt::Debug for DatagramSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DatagramSocket")
            .field("id", &self.id())
            .field("local_address", &self.local_address())
            .field("remote_address", &self.remote_address())
            .finish()
    }
}
