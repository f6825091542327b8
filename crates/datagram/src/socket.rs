//! The handle of a datagram socket.

use std::fmt;
use std::marker::PhantomData;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, ToSocketAddrs, UdpSocket};
use std::sync::Arc;

use bytes::Bytes;
use uptick_emitter::{Emitter, Listeners, events};
use uptick_event_loop::{Id, UseRemoteOrLoopHandle, spawn_blocking};

use crate::address::Target;
use crate::queue::Outgoing;
use crate::sockets::{Socket, State, with_open, with_socket};
use crate::{DatagramOptions, Error, IntoAddress, driver};

/// A UDP socket on this thread's event loop.
///
/// It is a `Copy` handle: callbacks capture it by `move`, and the loop owns the socket until it has closed. The handle
/// of a socket that has closed is *stale*: `send` gives `false`, the addresses are `None`, everything else does
/// nothing. An open socket keeps the loop running.
///
/// While there is no `message` listener, nothing is received: datagrams wait in the system's buffer.
///
/// # Limits
/// See [`DatagramOptions`] for the limits of a socket. In one go it receives at most 128 datagrams before other
/// sockets have their turn.
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
    /// Handles belong to the loop of their thread.
    marker: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl DatagramSocket {
        (Bytes, SocketAddr) => {
            /// A datagram has come in: its data and who sent it.
            MESSAGE = "message";
        }
        Error => {
            /// Something went wrong; the socket goes on, unless `close` follows.
            ERROR = "error", warn;
        }
        () => {
            /// There is room in the queue again after a `send` was refused: it is at most half full.
            DRAIN = "drain";
            /// The socket closes. Its listeners are dropped after this.
            CLOSE = "close";
        }
    }
}

impl Emitter for DatagramSocket {
    type Events = DatagramSocket;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        with_socket(self.id, |socket| {
            (socket.state < State::Closed).then(|| f(&mut socket.listeners))
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

/// What a socket has received and sent so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Counters {
    /// Datagrams received, without those that were too large.
    pub messages_received: u64,
    /// Their data in bytes.
    pub bytes_received: u64,
    /// Datagrams that the system took for sending.
    pub messages_sent: u64,
    /// Their data in bytes.
    pub bytes_sent: u64,
}

impl DatagramSocket {
    pub(crate) const fn new(id: Id) -> Self {
        DatagramSocket {
            id,
            marker: PhantomData,
        }
    }

    /// Makes a socket that receives at an address from anybody, with the default [options](DatagramOptions).
    ///
    /// A port alone is a port of 127.0.0.1; port 0 takes a free one.
    ///
    /// # Errors
    /// As [`DatagramOptions::bind`].
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

    /// Makes a socket that exchanges datagrams with one peer only, with the default [options](DatagramOptions).
    ///
    /// # Errors
    /// As [`DatagramOptions::connect`].
    pub fn connect(address: impl IntoAddress) -> Result<DatagramSocket, Error> {
        DatagramOptions::new().connect(address)
    }

    /// Looks a host name up, then connects to the first of its addresses that works: `"example.com:53"`.
    ///
    /// # Errors
    /// [`Error::Resolve`] when the name cannot be looked up, else as [`DatagramOptions::connect`].
    ///
    /// # Cancel safety
    /// A dropped future leaves no socket behind; a look-up under way goes on in its thread, and is ignored.
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
        let (name, port) = match Target::parse(&address.into())? {
            Target::Address(address) => return Self::connect(address),
            Target::Host { name, port } => (name, port),
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

    /// Puts a socket of the standard library on the loop, with the default [options](DatagramOptions).
    ///
    /// # Errors
    /// As [`DatagramOptions::adopt`].
    pub fn adopt(socket: UdpSocket) -> Result<DatagramSocket, Error> {
        DatagramOptions::new().adopt(socket)
    }

    /// Sends a datagram to the peer of a connected socket; gives whether it was taken.
    ///
    /// It is sent at the end of the loop's iteration, together with others. It is not taken when the queue is full
    /// (then `drain` follows), when the socket is ending or stale, when it is larger than 65,507 bytes on IPv4 or
    /// 65,527 on IPv6, or when the socket is not connected; for the latter two an `error` follows.
    ///
    /// # Limits
    /// 1,024 datagrams and 4 MiB are queued, unless [`max_queued`](DatagramOptions::max_queued) and
    /// [`max_queued_bytes`](DatagramOptions::max_queued_bytes) say otherwise.
    pub fn send(&self, data: impl Into<Bytes>) -> bool {
        self.queue(data.into(), None)
    }

    /// Sends a datagram to somebody; gives whether it was taken.
    ///
    /// As [`send`](DatagramSocket::send). A destination of the wrong family, or another one than a connected socket's
    /// peer, is not taken either, and an `error` follows.
    pub fn send_to(&self, data: impl Into<Bytes>, peer: SocketAddr) -> bool {
        self.queue(data.into(), Some(peer))
    }

    fn queue(&self, data: Bytes, peer: Option<SocketAddr>) -> bool {
        let mut data = Some(data);
        let taken = with_open(self.id, |socket, driver| {
            if socket.state != State::Open {
                return false;
            }
            let size = data.as_ref().map_or(0, Bytes::len);
            let peer = match destination(socket, peer, size) {
                Ok(peer) => peer,
                Err(error) => {
                    socket.complain(error);
                    socket.flush_later(self.id, driver);
                    return false;
                }
            };
            let Some(outgoing) = data.take().map(|data| Outgoing { data, peer }) else {
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

    /// How many datagrams wait to be sent.
    pub fn queued(&self) -> usize {
        with_socket(self.id, |socket| socket.queue.len()).unwrap_or(0)
    }

    /// How many bytes wait to be sent.
    pub fn queued_bytes(&self) -> usize {
        with_socket(self.id, |socket| socket.queue.bytes()).unwrap_or(0)
    }

    /// Stops receiving: no `message` comes until [`resume`](DatagramSocket::resume), and datagrams wait in the system's
    /// buffer, which drops what does not fit.
    pub fn pause(&self) {
        with_open(self.id, |socket, _| socket.is_paused = true);
    }

    /// Goes on receiving after [`pause`](DatagramSocket::pause).
    pub fn resume(&self) {
        with_open(self.id, |socket, driver| {
            socket.is_paused = false;
            socket.receive_later(self.id, driver);
        });
    }

    /// Whether it is paused.
    pub fn is_paused(&self) -> bool {
        with_socket(self.id, |socket| socket.is_paused).unwrap_or(false)
    }

    /// Takes nothing more to send, and closes when the queue is empty: at once if it is. Until then it receives.
    ///
    /// # Limits
    /// A system that takes no datagrams is waited for 1 s, unless [`linger`](DatagramOptions::linger) says otherwise.
    pub fn end(&self) {
        let is_empty = with_open(self.id, |socket, driver| {
            socket.state = State::Ending;
            socket.linger(self.id, driver);
            socket.queue.is_empty() && socket.complaints.is_empty()
        });
        if is_empty == Some(true) {
            driver::close(self.id);
        }
    }

    /// Closes at once; what is queued is discarded.
    ///
    /// The `close` listeners run before this returns, then all listeners are dropped, then the descriptor is closed.
    pub fn close(&self) {
        driver::close(self.id);
    }

    /// Whether datagrams can be sent: it is neither ending nor closed.
    pub fn is_open(&self) -> bool {
        with_socket(self.id, |socket| socket.state == State::Open).unwrap_or(false)
    }

    /// The address it is bound to, as in `udp://127.0.0.1:9000`; `None` when stale.
    pub fn local_address(&self) -> Option<String> {
        self.look(|socket| format!("udp://{}", socket.local))
    }

    /// The peer's address, as in `udp://127.0.0.1:9000`; `None` when stale or not connected.
    pub fn remote_address(&self) -> Option<String> {
        self.look(|socket| socket.remote.map(|remote| format!("udp://{remote}")))?
    }

    /// A number that no other datagram socket of this process has or had; `None` when stale.
    pub fn id(&self) -> Option<u64> {
        self.look(|socket| socket.number)
    }

    /// What it has received and sent so far; all zero when stale.
    pub fn counters(&self) -> Counters {
        self.look(|socket| socket.counters).unwrap_or_default()
    }

    /// Receives what is sent to a multicast group too, on the system's default interface.
    ///
    /// # Errors
    /// [`Error::Multicast`] with what the system says, ENOTCONN when stale.
    pub fn join_multicast(&self, group: IpAddr) -> Result<(), Error> {
        self.multicast("joining", group, |socket| match group {
            IpAddr::V4(group) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(group) => socket.join_multicast_v6(&group, 0),
        })
    }

    /// Receives no longer what is sent to a multicast group.
    ///
    /// # Errors
    /// As [`join_multicast`](DatagramSocket::join_multicast).
    pub fn leave_multicast(&self, group: IpAddr) -> Result<(), Error> {
        self.multicast("leaving", group, |socket| match group {
            IpAddr::V4(group) => socket.leave_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(group) => socket.leave_multicast_v6(&group, 0),
        })
    }

    fn multicast(
        &self,
        what: &'static str,
        group: IpAddr,
        f: impl FnOnce(&UdpSocket) -> std::io::Result<()>,
    ) -> Result<(), Error> {
        let result = self.look(|socket| socket.socket.as_ref().map(f)).flatten();
        let stale = || Err(std::io::ErrorKind::NotConnected.into());
        result
            .unwrap_or_else(stale)
            .map_err(|source| Error::Multicast {
                what,
                group,
                source: Arc::new(source),
            })
    }

    /// Reads from a socket that is not stale.
    fn look<R>(&self, f: impl FnOnce(&Socket) -> R) -> Option<R> {
        with_socket(self.id, |socket| {
            (socket.state < State::Closed).then(|| f(socket))
        })
        .flatten()
    }
}

/// To whom a datagram goes, if it can.
fn destination(
    socket: &Socket,
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
    // 65,535 without the headers: 8 bytes of UDP and on IPv4, where they count, 20 of IP.
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
        let addresses = self.look(|socket| (socket.local, socket.remote));
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
