//! A connection: the `Copy` handle of a byte stream between two peers.

mod addresses;
pub mod engine;
mod limits;

use std::fmt;
use std::marker::PhantomData;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use uptick_emitter::{Emitter, Event, Listeners, events};
use uptick_event_loop::driver::Driver;
use uptick_event_loop::{Id, UseRemoteOrLoopHandle};
use uptick_stream::transport::{
    self, SocketFamily, Streams, Transport, TransportDriver, TransportOptions,
};
use uptick_stream::{
    Chunk, DuplexTransport, Error as StreamError, FileRange, PipeOptions, ReadableStream,
    WritableStream,
};

use crate::Address;
use crate::error::Error;
use crate::remote::Remote;

pub use addresses::Proxied;

/// A connection to a peer: TCP or Unix, with or without TLS, accepted or made.
///
/// A `Copy` handle: the thread's event loop owns the connection. Callbacks capture it by `move`. When the connection is
/// gone the handle is stale: [`write`](Connection::write) gives `false`, addresses are `None`,
/// [`close`](Connection::close) does nothing.
///
/// A connection starts reading when the `connection` listeners of its server have returned, and only while there is a
/// `data` listener or after [`resume`](Connection::resume): nothing is lost before.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `data` | [`Bytes`] | bytes have come, 64 KiB at most |
/// | `end` | `()` | the peer has ended its side; then this side ends too, unless [`set_allow_half_open`](Connection::set_allow_half_open) |
/// | `drain` | `()` | the write queue has fallen below its soft limit after `write` gave `false` |
/// | `pipe` | `()` | a stream is piped into the connection |
/// | `error` | [`Error`] | reading, writing, a limit, a filter or a callback failed; `close` follows |
/// | `close` | `()` | the connection is over: the last event, exactly once; the addresses are still known |
///
/// The order is one of these:
///
/// | order | what happened |
/// |---|---|
/// | `data… end close` | the peer ended; this side then ended too |
/// | `data… error close` | something failed |
/// | `data… end error close` | the peer ended; something failed before this side had ended: a write, a limit, a callback |
/// | `data… close` | this side called [`end`](Connection::end) or [`close`](Connection::close) |
///
/// A kept [`Bytes`] is a part of the loop's read buffer (64 KiB): copy what is kept for long.
///
/// # Limits
/// Write queue 64 KiB soft, 16 MiB hard · write stall 30 s · linger after `end` 1 s; see the setters.
///
/// # Examples
/// ```
/// use uptick_socket::prelude::*;
///
/// let server = Server::bind("127.0.0.1:0")?;
/// server.on("connection", move |conn: Connection| {
///     conn.on("data", move |chunk: Bytes| conn.write(chunk));
///     conn.on("close", move |()| server.close());
/// });
/// # let client = std::net::TcpStream::connect(&server.address().unwrap()[6..])?;
/// # drop(client);
/// # uptick_event_loop::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Connection {
    id: Id,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

events! {
    impl Connection {
        #![frequent(DATA: Bytes)]
        Bytes => {
            /// Bytes have come, 64 KiB at most.
            DATA = "data";
        }
        () => {
            /// The peer has ended its side.
            END = "end";
            /// The write queue has fallen below its soft limit after `write` gave `false`.
            DRAIN = "drain";
            /// A stream is piped into the connection.
            PIPE = "pipe";
            /// The connection is over.
            CLOSE = "close";
        }
        Error => {
            /// Something failed; `close` follows.
            ERROR = "error", warn;
        }
    }
}

thread_local! {
    static CONNECTIONS: Streams<Connection> = const { Streams::new() };
}

/// What the crate keeps with a connection.
#[doc(hidden)]
#[derive(Debug)]
pub struct Extra {
    serial: u64,
    peer: Address,
    owner: Option<Owner>,
    wrapping: Option<Box<Wrapping>>,
}

/// The server that has accepted the connection, and what it calls when the connection is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Owner {
    pub(crate) server: Id,
    pub(crate) gone: fn(Id),
}

/// The state of connections that have gone through servers around others.
#[derive(Debug, Default)]
struct Wrapping {
    secure: bool,
    proxied: Option<Box<Proxied>>,
    watchers: Option<Box<Watcher>>,
}

impl Extra {
    fn wrapping(&mut self) -> &mut Wrapping {
        self.wrapping.get_or_insert_default()
    }

    fn is_secure(&self) -> bool {
        self.wrapping
            .as_ref()
            .is_some_and(|wrapping| wrapping.secure)
    }

    fn proxied(&self) -> Option<&Proxied> {
        self.wrapping.as_ref()?.proxied.as_deref()
    }
}

/// What a server wants called when the connection closes. It is no listener, so that users cannot remove it.
#[derive(Debug)]
struct Watcher {
    closing: fn(Id, Option<Id>),
    server: Id,
    item: Option<Id>,
    next: Option<Box<Watcher>>,
}

impl Emitter for Connection {
    type Events = Connection;

    #[inline]
    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners<Bytes>) -> R) -> Option<R> {
        Self::streams(|all| all.with_listeners(*self, f)).flatten()
    }

    fn listener_added(&self, slot: u8) {
        transport::listener_added(*self, slot);
    }
}

impl Transport for Connection {
    type Error = Error;
    type Extra = Extra;

    const DATA: Event<Self, Bytes> = Connection::DATA;
    const END: Event<Self, ()> = Connection::END;
    const DRAIN: Event<Self, ()> = Connection::DRAIN;
    const ERROR: Event<Self, Error> = Connection::ERROR;
    const CLOSE: Event<Self, ()> = Connection::CLOSE;
    const DRIVER: &'static dyn Driver = &TransportDriver::<Connection>::new();

    #[inline]
    fn from_id(id: Id) -> Self {
        Connection {
            id,
            local: PhantomData,
        }
    }

    #[inline]
    fn to_id(self) -> Id {
        self.id
    }

    #[inline]
    fn streams<R>(f: impl FnOnce(&Streams<Self>) -> R) -> Option<R> {
        CONNECTIONS.try_with(f).ok()
    }

    fn to_error(extra: &Extra, error: StreamError) -> Error {
        Error::of_stream(&extra.remote(), error)
    }

    fn closing(self) {
        let watchers = |extra: &mut Extra| extra.wrapping.as_mut()?.watchers.take();
        let mut watchers = self.with_extra(watchers).flatten();
        while let Some(watcher) = watchers {
            (watcher.closing)(watcher.server, watcher.item);
            watchers = watcher.next;
        }
    }

    fn gone(extra: Extra) {
        if let Some(owner) = extra.owner {
            (owner.gone)(owner.server);
        }
    }
}

impl DuplexTransport for Connection {
    const PIPE: Event<Self, ()> = Connection::PIPE;
}

/// Numbers connections, for the life of the process.
static SERIAL: AtomicU64 = AtomicU64::new(1);

fn next_serial() -> u64 {
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

impl Connection {
    /// Takes a connected socket in; it reads nothing until [`start`](Connection::start).
    pub(crate) fn open(
        socket: OwnedFd,
        peer: Address,
        options: TransportOptions,
        owner: Option<Owner>,
    ) -> Result<Connection, Error> {
        let mut options = options;
        if peer.ip().is_none() {
            options.family = SocketFamily::Unix;
        }
        let extra = Extra {
            serial: next_serial(),
            peer: peer.clone(),
            owner,
            wrapping: None,
        };
        transport::open(socket, options, extra).map_err(|error| Error::of_stream(&peer, error))
    }

    /// Makes a connection of a connected stream socket that the program owns: one made by the standard library, or
    /// sent by another process.
    ///
    /// # Errors
    /// [`Error::Connect`] when it is not a connected TCP or Unix stream socket (`ENOTSOCK`, `ENOTCONN`, `EPROTOTYPE`).
    pub fn adopt(socket: impl Into<OwnedFd>) -> Result<Connection, Error> {
        let socket = socket.into();
        let peer =
            connected_peer(&socket).map_err(|error| Error::connect("an adopted socket", error))?;
        let options = TransportOptions {
            shared: true,
            family: SocketFamily::of(&socket),
            ..TransportOptions::default()
        };
        let conn = Connection::open(socket, peer, options, None)?;
        conn.start();
        Ok(conn)
    }

    pub(crate) fn start(self) {
        transport::start(self);
    }

    pub(crate) fn panicked(self, message: &str) {
        transport::panicked(self, message);
    }

    /// A number that no other connection of this process has had or will have; `None` when the handle is stale.
    pub fn id(self) -> Option<u64> {
        self.with_extra(|extra| extra.serial)
    }

    /// Returns a reference to the connection for other threads.
    pub fn remote(self) -> Remote<Connection> {
        Remote::new(self)
    }

    /// Whether the connection is there: false once its `close` listeners have run.
    pub fn is_open(self) -> bool {
        self.id().is_some()
    }

    /// Sends bytes: text, slices, vectors, [`Bytes`].
    ///
    /// They leave in the order of the calls, files included: at the end of the event of this connection that the loop is
    /// handling, otherwise at the end of the loop's iteration, by one system call with all that was written by then. When
    /// 64 KiB or more wait ([`set_write_limits`](Connection::set_write_limits)), or a file, the call itself tries to send them.
    ///
    /// Returns `false` when that much still waits: the bytes are taken, and `drain` follows. Also returns `false`, and no
    /// `drain` follows, when the connection takes nothing: it is ending, closed or gone.
    ///
    /// # Limits
    /// A write that finds 16 MiB waiting is not taken: the connection gets an `error` and closes.
    #[inline]
    pub fn write(self, chunk: impl Chunk) -> bool {
        transport::write(self, chunk)
    }

    /// Sends a part of a file by the kernel (`sendfile`), behind what is written already and before what is written from
    /// now on. Returns `false` when the file is not sent yet, and `drain` follows when it is, or when it was not taken, as
    /// [`write`](Connection::write) does.
    ///
    /// As much as the socket takes is sent before this returns, up to 1 MiB; the rest goes as the peer takes it, and counts for
    /// [`set_write_timeout`](Connection::set_write_timeout), but not for [`buffered`](Connection::buffered) nor for the limits of
    /// [`set_write_limits`](Connection::set_write_limits). A file that becomes shorter before it is sent is an `error`
    /// (`UnexpectedEof`), and the connection closes.
    ///
    /// The kernel reads the file on this thread: one that has to be fetched from a slow disk holds the loop up. And it raises
    /// `SIGPIPE` when the peer is gone, which Rust programs ignore unless they were told otherwise.
    ///
    /// # Errors
    /// Returns the file, to be read and written instead, when there is a layer such as TLS on the connection, and on systems
    /// other than Linux.
    ///
    /// # Limits
    /// 16 files wait at most; with one more the connection gets an `error` and closes.
    ///
    /// # Examples
    /// ```
    /// use std::fs::File;
    /// use uptick_socket::Connection;
    /// use uptick_stream::FileRange;
    ///
    /// fn send(conn: Connection, file: File) -> std::io::Result<()> {
    ///     let length = file.metadata()?.len();
    ///     if let Err(mut range) = conn.write_file(FileRange::new(file, 0, length)) {
    ///         while !range.is_empty() {
    ///             conn.write(range.read(64 * 1024)?);
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// # let _ = send;
    /// ```
    pub fn write_file(self, file: FileRange) -> Result<bool, FileRange> {
        transport::write_file(self, file)
    }

    /// Sends what is written, then ends: tells the peer, waits for its end for 1 s at most
    /// ([`set_linger`](Connection::set_linger)), discards what it still sends, and closes.
    pub fn end(self) {
        transport::end(self);
    }

    /// Writes, then [`end`](Connection::end)s.
    pub fn end_with(self, chunk: impl Chunk) {
        self.write(chunk);
        self.end();
    }

    /// Sends what is written, then tells the peer that no more will come; reading goes on.
    pub fn shutdown_write(self) {
        transport::shutdown_write(self);
    }

    /// Closes at once: what is not sent yet is lost. `close` listeners run before this returns.
    ///
    /// With TLS the peer gets a `close_notify`, unless something is lost.
    pub fn close(self) {
        transport::close(self);
    }

    /// Closes at once, as [`close`](Connection::close), and has the peer get `ECONNRESET` in place of an orderly end: it cannot
    /// take what it got for all there was. What is on its way is lost, too.
    pub fn reset(self) {
        transport::reset(self);
    }

    /// Stops `data` and `end` until [`resume`](Connection::resume), and so, in time, the peer.
    pub fn pause(self) {
        transport::pause(self);
    }

    /// Lets `data` and `end` come; without a `data` listener the data is discarded.
    pub fn resume(self) {
        transport::resume(self);
    }

    /// Writes all that comes out of this connection to `destination`, at the pace of that, and ends it at the end; see
    /// [`ReadableStream::pipe`]. Returns `destination`.
    ///
    /// # Examples
    /// An echo:
    /// ```no_run
    /// use uptick_socket::prelude::*;
    ///
    /// let server = Server::bind("127.0.0.1:8080")?;
    /// server.on("connection", |conn: Connection| conn.pipe(conn));
    /// uptick_event_loop::run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn pipe<W: WritableStream>(self, destination: W) -> W {
        ReadableStream::pipe(self, destination)
    }

    /// As [`pipe`](Connection::pipe), with options.
    pub fn pipe_with<W: WritableStream>(self, destination: W, options: PipeOptions) -> W {
        ReadableStream::pipe_with(self, destination, options)
    }

    /// Whether `data` may still come.
    pub fn is_readable(self) -> bool {
        transport::is_readable(self)
    }

    /// Whether [`write`](Connection::write) takes anything.
    pub fn is_writable(self) -> bool {
        transport::is_writable(self)
    }

    /// How many bytes wait to be sent, without those of files ([`write_file`](Connection::write_file)).
    pub fn buffered(self) -> usize {
        transport::buffered(self)
    }

    /// Whether anything waits to be sent, bytes or files.
    pub fn is_sending(self) -> bool {
        transport::is_sending(self)
    }

    /// How many bytes were read from the socket.
    pub fn bytes_read(self) -> u64 {
        transport::byte_counts(self).0
    }

    /// How many bytes were sent to the socket.
    pub fn bytes_written(self) -> u64 {
        transport::byte_counts(self).1
    }

    /// Returns how many of the [`bytes_written`](Connection::bytes_written) the peer has acknowledged: all but those that are
    /// still in the kernel's send queue. 0 when the handle is stale.
    ///
    /// A peer is alive while this number grows, however slowly. With TLS these are the bytes on the wire. On a Unix socket,
    /// bytes count in steps of about 36 KiB, and the number may fall as more is written. On systems other than Linux, written
    /// bytes count as acknowledged.
    ///
    /// Cost: a system call.
    pub fn acknowledged(self) -> u64 {
        transport::acknowledged(self)
    }

    /// Returns how many of the [`bytes_written`](Connection::bytes_written) the kernel has not sent yet, because the peer has no room
    /// for them or the network is slow. On a Unix socket these are the bytes that the peer has not acknowledged. 0 when the handle is
    /// stale, and on systems other than Linux.
    ///
    /// Cost: a system call, two on a Unix socket.
    pub fn unsent(self) -> u64 {
        transport::unsent(self)
    }

    /// Attaches a value to the connection, in place of the one before; it is dropped with the connection.
    /// Default: none.
    ///
    /// # Examples
    /// ```
    /// use std::cell::Cell;
    /// use uptick_socket::Connection;
    ///
    /// fn count(conn: Connection) {
    ///     if let Some(seen) = conn.extension::<Cell<u32>>() {
    ///         seen.set(seen.get() + 1);
    ///     }
    /// }
    /// # let (ours, _theirs) = std::os::unix::net::UnixStream::pair()?;
    /// # let conn = Connection::adopt(ours)?;
    /// conn.set_extension(Cell::new(0_u32));
    /// count(conn);
    /// # assert_eq!(conn.extension::<Cell<u32>>().map(|seen| seen.get()), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_extension<E: 'static>(self, extension: E) {
        transport::set_extension(self, Some(Rc::new(extension)));
    }

    /// Returns the value attached to the connection if there is one and it is of this type.
    pub fn extension<E: 'static>(self) -> Option<Rc<E>> {
        transport::extension(self).and_then(|extension| extension.downcast().ok())
    }

    /// Has `closing` called with `server` and `item` when the connection closes, before its `close` listeners.
    pub(crate) fn when_closing(self, closing: fn(Id, Option<Id>), server: Id, item: Option<Id>) {
        self.with_extra(|extra| {
            let watchers = &mut extra.wrapping().watchers;
            let next = watchers.take();
            *watchers = Some(Box::new(Watcher {
                closing,
                server,
                item,
                next,
            }));
        });
    }

    fn with_extra<R>(self, f: impl FnOnce(&mut Extra) -> R) -> Option<R> {
        Self::streams(|all| all.with_extra(self, f)).flatten()
    }
}

/// The peer of a connected stream socket, which no longer blocks then.
fn connected_peer(socket: &OwnedFd) -> std::io::Result<Address> {
    let peer = Address::remote_of(socket)?;
    if rustix::net::sockopt::socket_type(socket)? != rustix::net::SocketType::STREAM {
        return Err(rustix::io::Errno::PROTOTYPE.into());
    }
    rustix::io::ioctl_fionbio(socket, true)?;
    Ok(peer)
}

/// The open connections that a server has accepted.
pub(crate) fn of_server(server: Id) -> Vec<Connection> {
    let of_server = |conn: &Connection| {
        let owner = conn.with_extra(|extra| extra.owner).flatten();
        owner.is_some_and(|owner| owner.server == server)
    };
    <Connection as engine::Engine>::all()
        .into_iter()
        .filter(of_server)
        .collect()
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("Connection");
        match self.id() {
            Some(id) => debug.field("id", &id),
            None => debug.field("stale", &true),
        };
        debug.finish()
    }
}
