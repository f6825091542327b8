//! A connection under a protocol: for crates that serve one.

use bytes::Bytes;
use uptick_event_loop::Id;
use uptick_stream::transport::{self, Protocol};

use super::Connection;

impl Connection {
    /// Has a protocol serve the connection in place of its `data`, `end` and `drain` listeners, under the key of its own
    /// entry for the connection. For crates that serve many connections: it costs no listeners.
    pub fn set_protocol(self, protocol: &'static dyn Protocol<Connection>, key: Id) {
        transport::set_protocol(self, protocol, key);
    }

    /// Takes the protocol off the connection, which is as before then: it reads for its first `data` listener.
    pub fn clear_protocol(self) {
        transport::clear_protocol(self);
    }

    /// Puts bytes back, to be delivered before all that is still to come; with `end`, the peer's end behind them.
    ///
    /// For bytes that a protocol has taken and that belong to whoever gets the connection after an upgrade.
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
