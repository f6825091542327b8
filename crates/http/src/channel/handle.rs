//! The handle of a channel.

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use uptick_socket::engine::{ChannelSession, Engine};
use uptick_socket::{Address, Connection, Error};
use uptick_stream::{Chunk, transport};

use super::stream::{StreamId, VirtualStream};

/// A channel of bytes in both directions, to the client or to the server of an upgrade.
///
/// A `Copy` handle: the thread's event loop owns the channel, and the methods of a handle whose channel is gone do nothing. Received bytes,
/// ends and errors go to the [session](Channel::set_session).
///
/// # Limits
/// Those of the [`Connection`]. A channel without one has 64 KiB and 16 MiB as its [write limits](Channel::set_write_limits), fails when the
/// peer takes nothing for 30 s while bytes wait, and waits 1 s for the peer's end after its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Channel(pub(super) Kind);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Connection(Connection),
    Stream(StreamId),
}

impl From<Connection> for Channel {
    #[inline]
    fn from(conn: Connection) -> Self {
        Channel(Kind::Connection(conn))
    }
}

impl Channel {
    #[inline]
    pub(super) fn of_stream(id: StreamId) -> Self {
        Channel(Kind::Stream(id))
    }

    /// Returns the open channels of the thread.
    pub fn all() -> Vec<Channel> {
        let connections = Connection::all().into_iter().map(Channel::from);
        let streams = StreamId::all().into_iter().map(Channel::of_stream);
        connections.chain(streams).collect()
    }

    /// Returns the connection, if the channel is one.
    #[inline]
    pub fn connection(self) -> Option<Connection> {
        match self.0 {
            Kind::Connection(conn) => Some(conn),
            Kind::Stream(_) => None,
        }
    }

    /// Returns a number that no other channel or connection of this process has had or will have; `None` when the handle is stale.
    pub fn id(self) -> Option<u64> {
        match self.0 {
            Kind::Connection(conn) => conn.id(),
            Kind::Stream(id) => id.get().map(|stream| stream.number()),
        }
    }

    /// Returns the address of the peer, if it has one and the channel is there.
    pub fn peer(self) -> Option<Address> {
        match self.0 {
            Kind::Connection(conn) => conn.peer(),
            Kind::Stream(id) => id.get()?.peer().cloned(),
        }
    }

    /// Returns whether the channel is there: `false` once its session's [`close`](ChannelSession::close) has returned.
    pub fn is_open(self) -> bool {
        match self.0 {
            Kind::Connection(conn) => conn.is_open(),
            Kind::Stream(id) => id.get().is_some(),
        }
    }

    /// Sets the session that serves the channel, in place of the one before.
    pub fn set_session<S: ChannelSession<Error>>(self, session: Rc<S>) {
        match self.0 {
            Kind::Connection(conn) => conn.set_session(session),
            Kind::Stream(id) => id.visit(|stream| stream.set_session(Some(session))),
        }
    }

    /// Removes the session. What is received then waits, for `data` listeners or for another session.
    pub fn clear_session(self) {
        match self.0 {
            Kind::Connection(conn) => conn.clear_session(),
            Kind::Stream(id) => id.visit(|stream| stream.set_session(None)),
        }
    }

    /// Returns the session, if there is one of this type.
    #[inline]
    pub fn session<S: ChannelSession<Error>>(self) -> Option<Rc<S>> {
        match self.0 {
            Kind::Connection(conn) => conn.session(),
            Kind::Stream(id) => id.get()?.session(),
        }
    }

    /// Calls `f` with the session, if there is one of this type.
    ///
    /// `f` is called while the channel is borrowed: it may not use any channel.
    #[inline]
    pub fn with_session<S: ChannelSession<Error>, R>(self, f: impl FnOnce(&S) -> R) -> Option<R> {
        match self.0 {
            Kind::Connection(conn) => conn.with_session(f),
            Kind::Stream(id) => Some(f(&*id.get()?.session()?)),
        }
    }

    /// Writes a chunk. Returns `false` when the write queue is at or above its soft limit, and
    /// [`drain`](ChannelSession::drain) follows; also when the channel takes nothing.
    pub fn write(self, chunk: impl Chunk) -> bool {
        match self.0 {
            Kind::Connection(conn) => conn.write(chunk),
            Kind::Stream(id) => {
                let written = id.get().map(|stream| stream.write(chunk));
                written.flatten().unwrap_or(false)
            }
        }
    }

    /// Writes what `f` appends to the channel's own buffer, in which there may be bytes already. Returns `None`, and does not call `f`,
    /// when the channel takes nothing; otherwise the same as [`write`](Channel::write).
    ///
    /// `f` is called while the channel is borrowed: it may not use any channel.
    #[inline]
    pub fn write_with(self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        match self.0 {
            Kind::Connection(conn) => conn.write_with(f),
            Kind::Stream(id) => id.get()?.write_with(f),
        }
    }

    /// Writes like [`write_with`](Channel::write_with), if the channel has a session of type `S` for which `allows` returns true;
    /// otherwise returns `None`. It looks the channel up once.
    ///
    /// `allows` and `f` are called while the channel is borrowed: they may not use any channel.
    #[inline]
    pub fn write_for<S: ChannelSession<Error>>(
        self,
        allows: impl FnOnce(&S) -> bool,
        f: impl FnOnce(&mut Vec<u8>),
    ) -> Option<bool> {
        match self.0 {
            Kind::Connection(conn) => conn.write_for(allows, f),
            Kind::Stream(id) => {
                let stream = id.get()?;
                allows(&*stream.session()?).then(|| stream.write_with(f))?
            }
        }
    }

    /// Sets from how many waiting bytes on `write` returns `false`, and from how many on a further write fails the channel. Default:
    /// 64 KiB and 16 MiB.
    pub fn set_write_limits(self, soft: usize, hard: usize) {
        match self.0 {
            Kind::Connection(conn) => conn.set_write_limits(soft, hard),
            Kind::Stream(id) => id.visit(|stream| stream.set_write_limits(soft, hard)),
        }
    }

    /// Sets from how many unsent bytes on the kernel takes no more of a connection ([`Connection::set_unsent_limit`]); does nothing on
    /// other channels. Default: the kernel's.
    pub fn set_unsent_limit(self, bytes: u32) {
        if let Kind::Connection(conn) = self.0 {
            conn.set_unsent_limit(bytes);
        }
    }

    /// Unreads bytes, to be delivered before all that is still to come; if `end` is set, end of stream follows them.
    pub fn unshift(self, bytes: impl Into<Bytes>, end: bool) {
        match self.0 {
            Kind::Connection(conn) => conn.unshift(bytes, end),
            Kind::Stream(id) => id.visit(|stream| stream.unshift(&bytes.into(), end)),
        }
    }

    /// Stops [`data`](ChannelSession::data) and [`end`](ChannelSession::end) until [`resume`](Channel::resume), and so, in time, the peer.
    pub fn pause(self) {
        match self.0 {
            Kind::Connection(conn) => conn.pause(),
            Kind::Stream(id) => id.visit(VirtualStream::pause),
        }
    }

    /// Lets received bytes come again.
    pub fn resume(self) {
        match self.0 {
            Kind::Connection(conn) => conn.resume(),
            Kind::Stream(id) => id.visit(VirtualStream::resume),
        }
    }

    /// Sends what is written, then ends: the peer gets the end of the stream, what it still sends is discarded, and the channel closes.
    pub fn end(self) {
        match self.0 {
            Kind::Connection(conn) => conn.end(),
            Kind::Stream(id) => id.visit(VirtualStream::end),
        }
    }

    /// Closes at once: what is not sent yet is lost. The session's [`close`](ChannelSession::close) is called before this returns.
    pub fn close(self) {
        match self.0 {
            Kind::Connection(conn) => conn.close(),
            Kind::Stream(id) => id.visit(VirtualStream::close),
        }
    }

    /// Closes at once, as [`close`](Channel::close), and the peer gets an error (`ECONNRESET`) instead of the end of the stream.
    pub fn reset(self) {
        match self.0 {
            Kind::Connection(conn) => conn.reset(),
            Kind::Stream(id) => id.visit(VirtualStream::reset),
        }
    }

    /// Fails the channel for a panic of a callback: `error`, then `close`.
    pub fn panicked(self, message: &str) {
        match self.0 {
            Kind::Connection(conn) => transport::panicked(conn, message),
            Kind::Stream(id) => id.visit(|stream| stream.panicked(message)),
        }
    }

    /// Returns the number of bytes that wait to be sent.
    pub fn buffered(self) -> usize {
        match self.0 {
            Kind::Connection(conn) => conn.buffered(),
            Kind::Stream(id) => id.get().map_or(0, |stream| stream.buffered()),
        }
    }

    /// Returns whether anything waits to be sent.
    pub fn is_sending(self) -> bool {
        match self.0 {
            Kind::Connection(conn) => conn.is_sending(),
            Kind::Stream(_) => self.buffered() > 0,
        }
    }

    /// Returns the number of bytes that were sent: to the kernel, or to what carries the channel.
    pub fn bytes_written(self) -> u64 {
        match self.0 {
            Kind::Connection(conn) => conn.bytes_written(),
            Kind::Stream(id) => id.get().map_or(0, |stream| stream.bytes_written()),
        }
    }

    /// Returns how many of the [sent bytes](Channel::bytes_written) the peer has acknowledged ([`Connection::acknowledged`]).
    pub fn acknowledged(self) -> u64 {
        match self.0 {
            Kind::Connection(conn) => conn.acknowledged(),
            Kind::Stream(id) => id.get().map_or(0, |stream| stream.acknowledged()),
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("id", &self.id())
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
