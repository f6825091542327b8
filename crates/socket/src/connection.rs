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
    self, SocketFamily, StreamTable, Transport, TransportDriver, TransportOptions,
};
use uptick_stream::{
    Chunk, DuplexTransport, Error as StreamError, FileRange, PipeOptions, ReadableStream,
    WritableStream,
};

use crate::Address;
use crate::error::Error;
use crate::remote::Remote;

pub use addresses::ProxyInfo;

/// A connection to a peer: over TCP or a Unix socket, with or without TLS, accepted or outgoing.
///
/// `Connection` is a `Copy` handle: callbacks capture it by `move`, and the thread's event loop owns the connection.
/// The handle of a closed connection is stale: [`write`](Connection::write) returns `false`, the addresses are `None`,
/// and [`close`](Connection::close) does nothing.
///
/// A connection starts reading when the `connection` listeners of its server have returned, and only while it has a
/// `data` listener or after [`resume`](Connection::resume), so that no data is lost.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `data` | [`Bytes`] | bytes were received, at most 64 KiB |
/// | `end` | `()` | the peer has half-closed; the connection then ends too, unless [`set_allow_half_open`](Connection::set_allow_half_open) is set |
/// | `drain` | `()` | the write queue has fallen below its soft limit after `write` returned `false` |
/// | `pipe` | `()` | a stream is piped into the connection |
/// | `error` | [`Error`] | reading, writing, a filter or a callback failed, or a limit was exceeded; `close` follows |
/// | `close` | `()` | the connection has closed: the last event, emitted exactly once; the addresses are still available |
///
/// The order is one of these:
///
/// | order | cause |
/// |---|---|
/// | `data… end close` | the peer half-closed, then the connection ended too |
/// | `data… error close` | an operation failed |
/// | `data… end error close` | the peer half-closed, and then, before the end of this side, an operation failed: a write, a limit, a callback |
/// | `data… close` | the program called [`end`](Connection::end) or [`close`](Connection::close) |
///
/// A [`Bytes`] that is kept keeps the loop's read buffer (64 KiB) alive: copy data that is kept for a long time.
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
            /// Bytes were received, at most 64 KiB.
            DATA = "data";
        }
        () => {
            /// The peer has half-closed.
            END = "end";
            /// The write queue has fallen below its soft limit after `write` returned `false`.
            DRAIN = "drain";
            /// A stream is piped into the connection.
            PIPE = "pipe";
            /// The connection has closed.
            CLOSE = "close";
        }
        Error => {
            /// An operation failed; `close` follows.
            ERROR = "error", warn;
        }
    }
}

thread_local! {
    static CONNECTIONS: StreamTable<Connection> = const { StreamTable::new() };
}

/// The data that this crate keeps with a connection.
#[doc(hidden)]
#[derive(Debug)]
pub struct ConnectionData {
    serial: u64,
    peer: Address,
    owner: Option<OwningServer>,
    decorators: Option<Box<DecoratorState>>,
}

/// The server that has accepted the connection, and the function to call when the connection is gone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OwningServer {
    pub(crate) server: Id,
    pub(crate) gone: fn(Id),
}

/// The state of a connection that server wrappers have set.
#[derive(Debug, Default)]
struct DecoratorState {
    secure: bool,
    proxied: Option<Box<ProxyInfo>>,
    close_hooks: Option<Box<CloseHook>>,
}

impl ConnectionData {
    fn decorators(&mut self) -> &mut DecoratorState {
        self.decorators.get_or_insert_default()
    }

    fn is_secure(&self) -> bool {
        self.decorators
            .as_ref()
            .is_some_and(|decorators| decorators.secure)
    }

    fn proxied(&self) -> Option<&ProxyInfo> {
        self.decorators.as_ref()?.proxied.as_deref()
    }
}

/// A function that a server has registered for the close of the connection. It is not a listener, so users cannot
/// remove it.
#[derive(Debug)]
struct CloseHook {
    closing: fn(Id, Option<Id>),
    server: Id,
    item: Option<Id>,
    next: Option<Box<CloseHook>>,
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
    type Attachment = ConnectionData;

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
    fn streams<R>(f: impl FnOnce(&StreamTable<Self>) -> R) -> Option<R> {
        CONNECTIONS.try_with(f).ok()
    }

    fn to_error(extra: &ConnectionData, error: StreamError) -> Error {
        Error::from_stream(&extra.remote(), error)
    }

    fn closing(self) {
        let close_hooks =
            |extra: &mut ConnectionData| extra.decorators.as_mut()?.close_hooks.take();
        let mut close_hooks = self.with_attachment(close_hooks).flatten();
        while let Some(hook) = close_hooks {
            (hook.closing)(hook.server, hook.item);
            close_hooks = hook.next;
        }
    }

    fn removed(extra: ConnectionData) {
        if let Some(owner) = extra.owner {
            (owner.gone)(owner.server);
        }
    }
}

impl DuplexTransport for Connection {
    const PIPE: Event<Self, ()> = Connection::PIPE;
}

/// The next connection number, unique in the process.
static SERIAL: AtomicU64 = AtomicU64::new(1);

fn next_serial() -> u64 {
    SERIAL.fetch_add(1, Ordering::Relaxed)
}

impl Connection {
    /// Creates a connection from a connected socket. It does not read until [`start`](Connection::start).
    pub(crate) fn open(
        socket: OwnedFd,
        peer: Address,
        options: TransportOptions,
        owner: Option<OwningServer>,
    ) -> Result<Connection, Error> {
        let mut options = options;
        if peer.ip().is_none() {
            options.family = SocketFamily::Unix;
        }
        let extra = ConnectionData {
            serial: next_serial(),
            peer: peer.clone(),
            owner,
            decorators: None,
        };
        transport::open(socket, options, extra).map_err(|error| Error::from_stream(&peer, error))
    }

    /// Creates a connection from a connected stream socket that the program owns, such as one of the standard library
    /// or one received from another process.
    ///
    /// # Errors
    /// [`Error::Connect`] if it is not a connected TCP or Unix stream socket (`ENOTSOCK`, `ENOTCONN`, `EPROTOTYPE`).
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

    /// Returns a number that no other connection of this process has or had; `None` if the handle is stale.
    pub fn id(self) -> Option<u64> {
        self.with_attachment(|extra| extra.serial)
    }

    /// Returns a handle to the connection for other threads.
    pub fn remote(self) -> Remote<Connection> {
        Remote::new(self)
    }

    /// Returns `true` until the `close` listeners have run.
    pub fn is_open(self) -> bool {
        self.id().is_some()
    }

    /// Sends bytes: text, slices, vectors, [`Bytes`].
    ///
    /// Bytes and files are sent in the order of the calls: at the end of the event of this connection that the loop is
    /// handling, otherwise at the end of the loop's iteration, with one system call for all of them. If the write queue
    /// holds 64 KiB or more ([`set_write_limits`](Connection::set_write_limits)), or a file, the call itself tries to
    /// send them.
    ///
    /// Returns `false` if the queue still holds that much: the bytes are accepted, and `drain` follows. Also returns
    /// `false`, without a following `drain`, if the connection accepts no bytes: it is ending, closed or gone.
    ///
    /// # Limits
    /// A write that finds 16 MiB in the queue is not accepted: the connection emits `error` and closes.
    #[inline]
    pub fn write(self, chunk: impl Chunk) -> bool {
        transport::write(self, chunk)
    }

    /// Sends a part of a file with `sendfile`, after everything that is already written and before later writes.
    /// Returns `false` if the file is not sent yet (`drain` follows later) or was not accepted, as
    /// [`write`](Connection::write) does.
    ///
    /// The call sends as much as the socket accepts, up to 1 MiB. The rest is sent as the peer receives it. It counts
    /// for [`set_write_timeout`](Connection::set_write_timeout), but not for [`buffered`](Connection::buffered) or for
    /// the limits of [`set_write_limits`](Connection::set_write_limits). If the file becomes shorter before it is sent,
    /// the connection emits an `error` (`UnexpectedEof`) and closes.
    ///
    /// The kernel reads the file on this thread, so a read from a slow disk blocks the loop. `sendfile` raises
    /// `SIGPIPE` if the peer is gone; Rust programs ignore this signal by default.
    ///
    /// # Errors
    /// Returns the file, to be read and written by the program, if the connection has a layer such as TLS, and on
    /// systems other than Linux.
    ///
    /// # Limits
    /// At most 16 files may be queued; with one more the connection emits `error` and closes.
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

    /// Sends the write queue, then ends the connection: half-closes, waits for the peer's end of stream for at most 1 s
    /// ([`set_linger`](Connection::set_linger)), discards the data received in the meantime, and closes.
    pub fn end(self) {
        transport::end(self);
    }

    /// Writes `chunk`, then [`end`](Connection::end)s the connection.
    pub fn end_with(self, chunk: impl Chunk) {
        self.write(chunk);
        self.end();
    }

    /// Sends the write queue, then half-closes the connection; reading continues.
    pub fn shutdown_write(self) {
        transport::shutdown_write(self);
    }

    /// Closes the connection at once and discards the write queue. The `close` listeners run before this returns.
    ///
    /// With TLS the peer receives a `close_notify`, unless unsent data was discarded.
    pub fn close(self) {
        transport::close(self);
    }

    /// Closes the connection at once, as [`close`](Connection::close), but with a reset: the peer gets `ECONNRESET`
    /// instead of end of stream, so it cannot mistake the data received so far for all of it. Data in flight is
    /// also lost.
    pub fn reset(self) {
        transport::reset(self);
    }

    /// Stops emitting `data` and `end` until [`resume`](Connection::resume). The full receive buffers then make the
    /// peer stop sending.
    pub fn pause(self) {
        transport::pause(self);
    }

    /// Resumes emitting `data` and `end`. Without a `data` listener the data is discarded.
    pub fn resume(self) {
        transport::resume(self);
    }

    /// Writes all data of this connection to `destination`, with backpressure, and ends `destination` at end of stream;
    /// see [`ReadableStream::pipe`]. Returns `destination`.
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

    /// Pipes this connection with options; see [`pipe`](Connection::pipe).
    pub fn pipe_with<W: WritableStream>(self, destination: W, options: PipeOptions) -> W {
        ReadableStream::pipe_with(self, destination, options)
    }

    /// Returns `true` if further `data` is possible.
    pub fn is_readable(self) -> bool {
        transport::is_readable(self)
    }

    /// Returns `true` if [`write`](Connection::write) accepts bytes.
    pub fn is_writable(self) -> bool {
        transport::is_writable(self)
    }

    /// Returns the number of bytes in the write queue, without those of files ([`write_file`](Connection::write_file)).
    pub fn buffered(self) -> usize {
        transport::buffered(self)
    }

    /// Returns `true` if the write queue holds bytes or files.
    pub fn is_sending(self) -> bool {
        transport::is_sending(self)
    }

    /// Returns the number of bytes read from the socket.
    pub fn bytes_read(self) -> u64 {
        transport::byte_counts(self).0
    }

    /// Returns the number of bytes written to the socket.
    pub fn bytes_written(self) -> u64 {
        transport::byte_counts(self).1
    }

    /// Returns the number of [`bytes_written`](Connection::bytes_written) that the peer has acknowledged: all except
    /// those that are still in the kernel's send queue. 0 if the handle is stale.
    ///
    /// A peer is alive while this number grows, however slowly. With TLS the number counts the bytes on the wire. On a
    /// Unix socket, bytes count in steps of about 36 KiB, and the number may fall as more is written. On systems other
    /// than Linux, written bytes count as acknowledged.
    ///
    /// Cost: a system call.
    pub fn acknowledged(self) -> u64 {
        transport::acknowledged(self)
    }

    /// Returns the number of [`bytes_written`](Connection::bytes_written) that the kernel has not sent yet, because the
    /// peer's receive window is full or the network is slow. On a Unix socket these are the bytes that the peer has not
    /// acknowledged. 0 if the handle is stale, and on systems other than Linux.
    ///
    /// Cost: a system call, two on a Unix socket.
    pub fn unsent(self) -> u64 {
        transport::unsent(self)
    }

    /// Attaches a value to the connection and replaces the previous one. The value is dropped with the connection.
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

    /// Returns the value attached to the connection, if it has this type.
    pub fn extension<E: 'static>(self) -> Option<Rc<E>> {
        transport::extension(self).and_then(|extension| extension.downcast().ok())
    }

    /// Registers `closing`, which is called with `server` and `item` when the connection closes, before its `close`
    /// listeners.
    pub(crate) fn add_close_hook(self, closing: fn(Id, Option<Id>), server: Id, item: Option<Id>) {
        self.with_attachment(|extra| {
            let close_hooks = &mut extra.decorators().close_hooks;
            let next = close_hooks.take();
            *close_hooks = Some(Box::new(CloseHook {
                closing,
                server,
                item,
                next,
            }));
        });
    }

    fn with_attachment<R>(self, f: impl FnOnce(&mut ConnectionData) -> R) -> Option<R> {
        Self::streams(|all| all.with_attachment(self, f)).flatten()
    }
}

/// Returns the peer of a connected stream socket, and makes the socket non-blocking.
fn connected_peer(socket: &OwnedFd) -> std::io::Result<Address> {
    let peer = Address::remote_of(socket)?;
    if rustix::net::sockopt::socket_type(socket)? != rustix::net::SocketType::STREAM {
        return Err(rustix::io::Errno::PROTOTYPE.into());
    }
    rustix::io::ioctl_fionbio(socket, true)?;
    Ok(peer)
}

/// Returns the open connections that a server has accepted.
pub(crate) fn of_server(server: Id) -> Vec<Connection> {
    let of_server = |conn: &Connection| {
        let owner = conn.with_attachment(|extra| extra.owner).flatten();
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
