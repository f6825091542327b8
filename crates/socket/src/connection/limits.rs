//! What a connection may take: memory and time.

use std::time::Duration;

use uptick_stream::transport;

use super::Connection;

impl Connection {
    /// Sets from how many waiting bytes on `write` gives `false`, and from how many on a further write fails the
    /// connection. Default: 64 KiB and 16 MiB.
    ///
    /// A soft limit above the hard one counts as the hard one, one of 0 as 1.
    ///
    /// What is above the hard limit was written in one call that found less waiting: one write is always taken whole.
    pub fn set_write_limits(self, soft: usize, hard: usize) {
        transport::set_write_limits(self, Some(soft), Some(hard));
    }

    /// Sets for how long the connection may be without a byte in either direction before it gets an `error` and closes.
    /// `None` switches the limit off. Default: off.
    ///
    /// It is checked every 100 ms.
    pub fn set_idle_timeout(self, limit: Option<Duration>) {
        transport::set_idle_limit(self, limit);
    }

    /// Sets for how long the peer may take nothing while bytes wait for it, before the connection gets an `error` and
    /// is reset. `None` switches the limit off. Default: 30 s.
    pub fn set_write_timeout(self, limit: Option<Duration>) {
        transport::set_stall_limit(self, limit);
    }

    /// Sets how long `end` waits for the peer's end, throwing away what it still sends. Default: 1 s.
    ///
    /// Without it, an answer to a peer that is still sending would be lost: closing a socket with unread bytes resets it.
    pub fn set_linger(self, time: Duration) {
        transport::set_linger(self, time);
    }

    /// Sets whether the connection stays open for writing after the peer's end. Default: false, it then ends itself.
    pub fn set_allow_half_open(self, allow: bool) {
        transport::set_allow_half_open(self, allow);
    }
}
