//! The handle of a channel.

use std::fmt;
use std::rc::Rc;

use bytes::Bytes;
use uptick_socket::engine::{ChannelSession, Engine};
use uptick_socket::{Address, Connection, Error};
use uptick_stream::{Chunk, transport};

use super::stream::{StreamId, VirtualStream};

/// A bidirectional byte channel, to the client or to the server of an upgrade.
///
/// A `Copy` handle: the thread's event loop owns the channel, and the methods of a stale handle do nothing. The
/// [session](Channel::set_session) receives bytes, end of stream and errors.
///
/// # Limits
/// The limits of the [`Connection`]. A channel without one has [write limits](Channel::set_write_limits) of 64 KiB and 16 MiB, fails if
/// the peer reads nothing for 30 s while bytes are queued, and waits 1 s for the peer's end of stream after it has sent its own.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Channel(pub(super) ChannelInner);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum ChannelInner {
    Connection(Connection),
    Stream(StreamId),
}

impl From<Connection> for Channel {
    #[inline]
    fn from(conn: Connection) -> Self {
        Channel(ChannelInner::Connection(conn))
    }
}

impl Channel {
    #[inline]
    pub(crate) fn of_stream(id: StreamId) -> Self {
        Channel(ChannelInner::Stream(id))
    }

    /// Returns the open channels of the thread.
    pub fn all() -> Vec<Channel> {
        let connections = Connection::all().into_iter().map(Channel::from);
        let streams = StreamId::all().into_iter().map(Channel::of_stream);
        connections.chain(streams).collect()
    }

    /// Returns the connection, if the channel is a connection.
    #[inline]
    pub fn connection(self) -> Option<Connection> {
        match self.0 {
            ChannelInner::Connection(conn) => Some(conn),
            ChannelInner::Stream(_) => None,
        }
    }

    /// Returns a number that is unique among the channels and connections of this process; `None` if the handle is stale.
    pub fn id(self) -> Option<u64> {
        match self.0 {
            ChannelInner::Connection(conn) => conn.id(),
            ChannelInner::Stream(id) => id.get().map(|stream| stream.number()),
        }
    }

    /// Returns the address of the peer, if it has one and the handle is not stale.
    pub fn peer(self) -> Option<Address> {
        match self.0 {
            ChannelInner::Connection(conn) => conn.peer(),
            ChannelInner::Stream(id) => id.get()?.peer().cloned(),
        }
    }

    /// Returns `true` until the session's [`close`](ChannelSession::close) has returned.
    pub fn is_open(self) -> bool {
        match self.0 {
            ChannelInner::Connection(conn) => conn.is_open(),
            ChannelInner::Stream(id) => id.get().is_some(),
        }
    }

    /// Sets the session that serves the channel, replacing the previous one.
    pub fn set_session<S: ChannelSession<Error>>(self, session: Rc<S>) {
        match self.0 {
            ChannelInner::Connection(conn) => conn.set_session(session),
            ChannelInner::Stream(id) => id.visit(|stream| stream.set_session(Some(session))),
        }
    }

    /// Removes the session. Received bytes are then kept for `data` listeners or another session.
    pub fn clear_session(self) {
        match self.0 {
            ChannelInner::Connection(conn) => conn.clear_session(),
            ChannelInner::Stream(id) => id.visit(|stream| stream.set_session(None)),
        }
    }

    /// Returns the session, if it has this type.
    #[inline]
    pub fn session<S: ChannelSession<Error>>(self) -> Option<Rc<S>> {
        match self.0 {
            ChannelInner::Connection(conn) => conn.session(),
            ChannelInner::Stream(id) => id.get()?.session(),
        }
    }

    /// Calls `f` with the session, if it has this type.
    ///
    /// The channel is borrowed while `f` runs: `f` must not use any channel.
    #[inline]
    pub fn with_session<S: ChannelSession<Error>, R>(self, f: impl FnOnce(&S) -> R) -> Option<R> {
        match self.0 {
            ChannelInner::Connection(conn) => conn.with_session(f),
            ChannelInner::Stream(id) => Some(f(&*id.get()?.session()?)),
        }
    }

    /// Writes a chunk. Returns `false` if the write queue is at or above its soft limit, and [`drain`](ChannelSession::drain) follows.
    /// Also returns `false` if the channel accepts no more bytes.
    pub fn write(self, chunk: impl Chunk) -> bool {
        match self.0 {
            ChannelInner::Connection(conn) => conn.write(chunk),
            ChannelInner::Stream(id) => {
                let written = id.get().map(|stream| stream.write(chunk));
                written.flatten().unwrap_or(false)
            }
        }
    }

    /// Writes the bytes that `f` appends to the channel's own buffer, which may contain bytes already. Returns `None` without calling `f`
    /// if the channel accepts no more bytes; otherwise the same as [`write`](Channel::write).
    ///
    /// The channel is borrowed while `f` runs: `f` must not use any channel.
    #[inline]
    pub fn write_with(self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        match self.0 {
            ChannelInner::Connection(conn) => conn.write_with(f),
            ChannelInner::Stream(id) => id.get()?.write_with(f),
        }
    }

    /// Writes like [`write_with`](Channel::write_with) if the channel has a session of type `S` for which `allows` returns `true`;
    /// otherwise returns `None`. The channel is looked up once.
    ///
    /// The channel is borrowed while `allows` and `f` run: they must not use any channel.
    #[inline]
    pub fn write_for<S: ChannelSession<Error>>(
        self,
        allows: impl FnOnce(&S) -> bool,
        f: impl FnOnce(&mut Vec<u8>),
    ) -> Option<bool> {
        match self.0 {
            ChannelInner::Connection(conn) => conn.write_for(allows, f),
            ChannelInner::Stream(id) => {
                let stream = id.get()?;
                allows(&*stream.session()?).then(|| stream.write_with(f))?
            }
        }
    }

    /// Sets the size of the write queue at which `write` returns `false`, and the size at which a further write fails the channel.
    /// Default: 64 KiB and 16 MiB.
    pub fn set_write_limits(self, soft: usize, hard: usize) {
        match self.0 {
            ChannelInner::Connection(conn) => conn.set_write_limits(soft, hard),
            ChannelInner::Stream(id) => id.visit(|stream| stream.set_write_limits(soft, hard)),
        }
    }

    /// Sets the number of unsent bytes at which the kernel accepts no more from a connection ([`Connection::set_unsent_limit`]). Has no
    /// effect on other channels. Default: the kernel's.
    pub fn set_unsent_limit(self, bytes: u32) {
        if let ChannelInner::Connection(conn) = self.0 {
            conn.set_unsent_limit(bytes);
        }
    }

    /// Unreads bytes: they are delivered before all later input. If `end` is set, end of stream follows them.
    pub fn unshift(self, bytes: impl Into<Bytes>, end: bool) {
        match self.0 {
            ChannelInner::Connection(conn) => conn.unshift(bytes, end),
            ChannelInner::Stream(id) => id.visit(|stream| stream.unshift(&bytes.into(), end)),
        }
    }

    /// Stops [`data`](ChannelSession::data) and [`end`](ChannelSession::end) until [`resume`](Channel::resume). Flow control then slows
    /// down the peer.
    pub fn pause(self) {
        match self.0 {
            ChannelInner::Connection(conn) => conn.pause(),
            ChannelInner::Stream(id) => id.visit(VirtualStream::pause),
        }
    }

    /// Resumes the delivery of received bytes.
    pub fn resume(self) {
        match self.0 {
            ChannelInner::Connection(conn) => conn.resume(),
            ChannelInner::Stream(id) => id.visit(VirtualStream::resume),
        }
    }

    /// Sends all written bytes and the end of stream. Further input is discarded, and the channel closes.
    pub fn end(self) {
        match self.0 {
            ChannelInner::Connection(conn) => conn.end(),
            ChannelInner::Stream(id) => id.visit(VirtualStream::end),
        }
    }

    /// Closes immediately: unsent bytes are lost. The session's [`close`](ChannelSession::close) is called before this returns.
    pub fn close(self) {
        match self.0 {
            ChannelInner::Connection(conn) => conn.close(),
            ChannelInner::Stream(id) => id.visit(VirtualStream::close),
        }
    }

    /// Closes immediately, like [`close`](Channel::close). The peer gets an error (`ECONNRESET`) instead of end of stream.
    pub fn reset(self) {
        match self.0 {
            ChannelInner::Connection(conn) => conn.reset(),
            ChannelInner::Stream(id) => id.visit(VirtualStream::reset),
        }
    }

    /// Fails the channel because a callback panicked: `error`, then `close`.
    pub fn panicked(self, message: &str) {
        match self.0 {
            ChannelInner::Connection(conn) => transport::panicked(conn, message),
            ChannelInner::Stream(id) => id.visit(|stream| stream.panicked(message)),
        }
    }

    /// Returns the number of queued bytes.
    pub fn buffered(self) -> usize {
        match self.0 {
            ChannelInner::Connection(conn) => conn.buffered(),
            ChannelInner::Stream(id) => id.get().map_or(0, |stream| stream.buffered()),
        }
    }

    /// Returns `true` if bytes are queued.
    pub fn is_sending(self) -> bool {
        match self.0 {
            ChannelInner::Connection(conn) => conn.is_sending(),
            ChannelInner::Stream(_) => self.buffered() > 0,
        }
    }

    /// Returns the number of bytes passed to the kernel, or to the carrier of the channel.
    pub fn bytes_written(self) -> u64 {
        match self.0 {
            ChannelInner::Connection(conn) => conn.bytes_written(),
            ChannelInner::Stream(id) => id.get().map_or(0, |stream| stream.bytes_written()),
        }
    }

    /// Returns the number of [sent bytes](Channel::bytes_written) that the peer has acknowledged ([`Connection::acknowledged`]).
    pub fn acknowledged(self) -> u64 {
        match self.0 {
            ChannelInner::Connection(conn) => conn.acknowledged(),
            ChannelInner::Stream(id) => id.get().map_or(0, |stream| stream.acknowledged()),
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
