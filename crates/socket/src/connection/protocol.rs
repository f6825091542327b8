//! A connection under a protocol: for crates that serve one.

use std::rc::Rc;

use bytes::Bytes;
use uptick_stream::transport::{self, Session, Visit};

use super::Connection;

impl Connection {
    /// Makes a session serve the connection in place of its `data`, `end` and `drain` listeners. For crates that serve many
    /// connections: it costs no listeners.
    pub fn set_session(self, session: Rc<dyn Session<Connection>>) {
        transport::set_session(self, session);
    }

    /// Takes the session off the connection, which is as before then: it reads for its first `data` listener.
    pub fn clear_session(self) {
        transport::clear_session(self);
    }

    /// The session of the connection, if it has one of this type.
    #[inline]
    pub fn session<S: Session<Connection>>(self) -> Option<Rc<S>> {
        transport::session(self)
    }

    /// Calls `f` with a visit to the connection, which finds it once for several calls; `None` when the handle is stale.
    pub fn visit<R>(self, f: impl FnOnce(&Visit<Connection>) -> R) -> Option<R> {
        transport::visit(self, f)
    }

    /// Unreads bytes, to be delivered before all that is still to come; if `end` is set, end of stream follows them.
    ///
    /// For bytes that a session has taken and that belong to the next protocol after an upgrade.
    pub fn unshift(self, bytes: impl Into<Bytes>, end: bool) {
        transport::unshift(self, bytes.into(), end);
    }

    /// Writes what `f` appends to the connection's own buffer, in which there may be bytes already. `None`, and `f` is
    /// not called, when the connection takes nothing; otherwise as [`write`](Connection::write).
    ///
    /// `f` is called inside of a borrow and uses no connection.
    #[inline]
    pub fn write_with(self, f: impl FnOnce(&mut Vec<u8>)) -> Option<bool> {
        transport::write_with(self, f)
    }
}
