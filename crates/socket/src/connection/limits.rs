//! What a connection may take: memory and time.

use std::time::Duration;

use uptick_stream::transport;
#[cfg(any(target_os = "linux", target_os = "android"))]
use uptick_stream::transport::Transport;

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
    /// It is checked every 100 ms. A connection whose peer has no room for what the kernel has for it, but acknowledges bytes, is not
    /// idle. The peer is looked at when the time is over, so it may take up to twice the limit there.
    pub fn set_idle_timeout(self, limit: Option<Duration>) {
        transport::set_idle_limit(self, limit);
    }

    /// Sets for how long the peer may acknowledge nothing while bytes wait for it, before the connection gets an `error` and
    /// is reset. `None` switches the limit off. Default: 30 s.
    ///
    /// A slow reader is not reset as long as its kernel acknowledges something
    /// ([`acknowledged`](Connection::acknowledged)). The connection looks four times in each limit, so a peer that has stopped
    /// is reset at most a fourth of the limit late.
    ///
    /// A peer that has acknowledged more than 1 MiB may pause for longer: 1 s for each further KiB, up to 20 times the limit. Clients
    /// that limit their own rate read a burst, and then nothing until their average is right.
    pub fn set_write_timeout(self, limit: Option<Duration>) {
        transport::set_stall_limit(self, limit);
    }

    /// Sets from how many unsent bytes on the kernel takes no more (`TCP_NOTSENT_LOWAT`); what is sent and not acknowledged does
    /// not count. The rest waits in the write queue, where a protocol can still decide what goes first. Only TCP on Linux has
    /// this limit; elsewhere the call does nothing. Default: the kernel's, megabytes as a rule.
    ///
    /// Cost: a system call.
    pub fn set_unsent_limit(self, bytes: u32) {
        #[cfg(any(target_os = "linux", target_os = "android"))]
        Connection::streams(|all| {
            // Unix sockets have no such option.
            all.with_descriptor(self, |socket| {
                socket2::SockRef::from(&socket)
                    .set_tcp_notsent_lowat(bytes)
                    .ok()
            })
        });
        #[cfg(not(any(target_os = "linux", target_os = "android")))]
        let _ = bytes;
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
