//! Sessions and filters of a connection: the interface for implementors of protocols.
//!
//! Programs that only use connections do not need this module, and it is not part of the prelude. [`Engine`] adds its
//! methods to [`Connection`].
//!
//! - A [`Session`] serves a connection in place of its listeners. The connection owns the session and calls it with the
//!   loop's read buffer: without listeners, without handles in callbacks, and without an allocation for each chunk.
//! - A [`Filter`] is a layer between the socket and the session or listeners, such as TLS.
//!
//! # Examples
//! A line protocol that answers `ping` with `pong`, and ends with `quit`. The session keeps an incomplete line, up to a
//! limit.
//! ```
//! use std::cell::RefCell;
//! use std::rc::Rc;
//!
//! use bytes::BytesMut;
//! use uptick_socket::engine::{Engine, Session, Visit};
//! use uptick_socket::prelude::*;
//!
//! const LONGEST_LINE: usize = 1024;
//!
//! #[derive(Default)]
//! struct Lines {
//!     /// The incomplete line at the end of the received data.
//!     rest: RefCell<BytesMut>,
//! }
//!
//! impl Lines {
//!     /// Returns the next complete line, without its line break.
//!     fn next(&self) -> Option<BytesMut> {
//!         let mut rest = self.rest.borrow_mut();
//!         let end = rest.iter().position(|&byte| byte == b'\n')?;
//!         let mut line = rest.split_to(end + 1);
//!         line.truncate(end);
//!         Some(line)
//!     }
//! }
//!
//! impl Session<Connection> for Lines {
//!     fn data(&self, stream: &Visit<Connection>, bytes: &mut BytesMut) {
//!         let conn = stream.handle();
//!         self.rest.borrow_mut().extend_from_slice(bytes);
//!         while let Some(line) = self.next() {
//!             match &line[..] {
//!                 b"ping" => drop(conn.write_with(|out| out.extend_from_slice(b"pong\n"))),
//!                 b"quit" => return conn.end(),
//!                 _ => drop(conn.write("unknown command\n")),
//!             }
//!         }
//!         if self.rest.borrow().len() > LONGEST_LINE {
//!             conn.end_with("line too long\n");
//!         }
//!     }
//!
//!     fn end(&self, _: &Visit<Connection>) {
//!         // The connection sends its write queue and then ends.
//!     }
//!
//!     fn close(&self, _: &Visit<Connection>) {
//!         self.rest.borrow_mut().clear();
//!     }
//! }
//!
//! let server = Server::bind(0)?;
//! server.on("connection", |conn: Connection| conn.set_session(Rc::<Lines>::default()));
//!
//! let client = Connector::new().connect(server.address().unwrap_or_default());
//! let answer = uptick_event_loop::block_on(async move {
//!     let conn = client.await?;
//!     conn.write("ping\nquit\n");
//!     let answer = conn.next(Connection::DATA).await;
//!     server.close();
//!     Ok::<_, Error>(answer)
//! })??;
//! assert_eq!(answer.as_deref(), Some(&b"pong\n"[..]));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

use std::rc::Rc;

use bytes::Bytes;
use uptick_event_loop::{DriverId, Token};
use uptick_stream::transport::{self, Transport};

use super::Connection;

pub use uptick_stream::filter::{Filter, FilterContext};
pub use uptick_stream::transport::{ChannelSession, Session, Visit};

/// Returns a number that no connection has ([`Connection::id`]), for a stream that replaces a connection.
pub fn next_id() -> u64 {
    super::next_serial()
}

/// The methods of a [`Connection`] for implementors of protocols and layers.
///
/// On a stale handle they do nothing.
pub trait Engine: Copy {
    /// Sets the session that serves the connection in place of its `data`, `end` and `drain` listeners. It replaces the
    /// previous session.
    fn set_session(self, session: Rc<dyn Session<Connection>>);

    /// Removes the session from the connection, which then waits for its first `data` listener.
    fn clear_session(self);

    /// Returns the session of the connection, if it has one of this type.
    fn session<S: Session<Connection>>(self) -> Option<Rc<S>>;

    /// Calls `f` with the session of the connection, if it has one of this type.
    ///
    /// `f` is called while the connection is borrowed: it must not use any connection.
    fn with_session<S: Session<Connection>, R>(self, f: impl FnOnce(&S) -> R) -> Option<R>;

    /// Calls `f` with a visit to the connection, which looks the connection up once for several calls; `None` if the
    /// handle is stale.
    fn visit<R>(self, f: impl FnOnce(&Visit<Connection>) -> R) -> Option<R>;

    /// Unreads `bytes`: they are delivered before later data. If `end` is set, end of stream follows them.
    ///
    /// For bytes that a session has received but that belong to the next protocol after an upgrade.
    fn unshift(self, bytes: impl Into<Bytes>, end: bool);

    /// Writes the bytes that `f` appends to the connection's buffer, which may already hold bytes. Returns `None`,
    /// without calling `f`, if the connection accepts no bytes; otherwise the result of [`write`](Connection::write).
    ///
    /// `f` is called while the connection is borrowed: it must not use any connection.
    fn write_with(self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool>;

    /// Writes like [`write_with`](Engine::write_with), if the connection has a session of type `S` for which `allows`
    /// returns `true`; otherwise returns `None`. The connection is looked up once.
    ///
    /// `allows` and `f` are called while the connection is borrowed: they must not use any connection.
    fn write_for<S: Session<Connection>>(
        self,
        allows: impl FnOnce(&S) -> bool,
        f: impl FnOnce(&mut Vec<u8>),
    ) -> Option<bool>;

    /// Sends the write queue now, rather than at the end of the event or of the loop's iteration, for cases where other
    /// data must not be sent first. Bytes that the socket does not accept are sent later as usual.
    ///
    /// Listeners and the session may be called before `flush` returns.
    fn flush(self);

    /// Returns the token of the connection for a protocol driver that has its own deadlines.
    fn token(self, driver: DriverId) -> Token;

    /// Returns the connection of a [`token`](Engine::token), unless it is gone.
    fn find(token: Token) -> Option<Self>;

    /// Returns the open connections of the thread.
    fn all() -> Vec<Self>;

    /// Sends the write queue and closes the connection, for a peer that will send no more. If no received data is
    /// unread, the connection closes at once, without waiting for the peer's end of stream. Otherwise, and with layers
    /// such as TLS, this is [`Connection::end`].
    fn end_without_linger(self);

    /// Sets whether data that the peer sent before it closed or reset the connection is delivered before a write error fails
    /// the connection, for protocols whose peer may respond before it has read everything.
    ///
    /// After the write error the connection accepts no more bytes. When its input is read, it emits `error`, or `end` if the
    /// peer had ended before the connection was reset. Default: false.
    fn set_read_before_write_error(self, enabled: bool);

    /// Returns `true` if the socket has input: bytes, an end of stream or an error that were not read or not delivered. Also
    /// returns `true` if the connection has ended, and on a stale handle.
    ///
    /// For pools of idle connections, which check a connection before they reuse it. Cost: a system call.
    fn has_input(self) -> bool;

    /// Returns `true` if the system has reported that the peer has ended or reset the connection, although data before that may
    /// be unread. Also returns `true` if the connection has ended otherwise, and on a stale handle. Costs no system call.
    fn is_hung_up(self) -> bool;

    /// Adds a layer between the socket and the listeners, above the existing layers.
    fn add_filter(self, filter: impl Filter);

    /// Calls `f` with the topmost layer of type `F`; `None` if there is none, and while bytes pass through the layers.
    /// The layer is still available in `close` listeners.
    ///
    /// `f` is called while the connection is borrowed: it must not use any connection.
    fn with_filter<F: Filter, R>(self, f: impl FnOnce(&F) -> R) -> Option<R>;

    /// Resumes the layers, which then process the data that they have held back ([`Filter::resumed`]). Listeners may be called
    /// before this returns.
    fn resume_filters(self);

    /// Sets whether the connection is encrypted by a filter, so that its addresses have the scheme `tls://`, except for
    /// Unix sockets. Default: false.
    fn set_secure(self, secure: bool);
}

impl Engine for Connection {
    fn set_session(self, session: Rc<dyn Session<Connection>>) {
        transport::set_session(self, session);
    }

    fn clear_session(self) {
        transport::clear_session(self);
    }

    #[inline]
    fn session<S: Session<Connection>>(self) -> Option<Rc<S>> {
        transport::session(self)
    }

    #[inline]
    fn with_session<S: Session<Connection>, R>(self, f: impl FnOnce(&S) -> R) -> Option<R> {
        transport::with_session(self, f)
    }

    fn visit<R>(self, f: impl FnOnce(&Visit<Connection>) -> R) -> Option<R> {
        transport::visit(self, f)
    }

    fn unshift(self, bytes: impl Into<Bytes>, end: bool) {
        transport::unshift(self, bytes.into(), end);
    }

    #[inline]
    fn write_with(self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        transport::write_with(self, f)
    }

    #[inline]
    fn write_for<S: Session<Connection>>(
        self,
        allows: impl FnOnce(&S) -> bool,
        f: impl FnOnce(&mut Vec<u8>),
    ) -> Option<bool> {
        transport::write_for(self, allows, f)
    }

    fn flush(self) {
        transport::flush(self);
    }

    fn token(self, driver: DriverId) -> Token {
        self.id.token(driver)
    }

    fn find(token: Token) -> Option<Self> {
        transport::find(token)
    }

    fn end_without_linger(self) {
        transport::end_without_linger(self);
    }

    fn set_read_before_write_error(self, enabled: bool) {
        transport::set_read_before_write_error(self, enabled);
    }

    fn has_input(self) -> bool {
        transport::has_input(self)
    }

    fn is_hung_up(self) -> bool {
        transport::is_hung_up(self)
    }

    fn all() -> Vec<Self> {
        Connection::streams(|all| all.handles()).unwrap_or_default()
    }

    fn add_filter(self, filter: impl Filter) {
        transport::add_filter(self, filter);
    }

    fn with_filter<F: Filter, R>(self, f: impl FnOnce(&F) -> R) -> Option<R> {
        transport::with_filter(self, f)
    }

    fn resume_filters(self) {
        transport::resume_filters(self);
    }

    fn set_secure(self, secure: bool) {
        self.with_attachment(|extra| {
            if secure || extra.is_secure() {
                extra.decorators().secure = secure;
            }
        });
    }
}
