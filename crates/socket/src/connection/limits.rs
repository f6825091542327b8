//! The limits of a connection: memory and time.

use std::time::Duration;

use uptick_stream::transport;
#[cfg(any(target_os = "linux", target_os = "android"))]
use uptick_stream::transport::Transport;

use super::Connection;

impl Connection {
    /// Sets the limits of the write queue, in bytes. From the soft limit on, `write` returns `false`; from the hard
    /// limit on, a further write fails the connection.
    ///
    /// A soft limit above the hard limit is lowered to the hard limit; a soft limit of 0 is raised to 1.
    ///
    /// The queue may exceed the hard limit by one call: a write that starts below the limit is always accepted whole.
    /// Default: 64 KiB and 16 MiB.
    pub fn set_write_limits(self, soft: usize, hard: usize) {
        transport::set_write_limits(self, Some(soft), Some(hard));
    }

    /// Sets how long the connection may be idle, without a byte in either direction, before it emits an `error` and
    /// closes. `None` switches the timeout off.
    ///
    /// The timeout is checked every 100 ms. A connection whose peer has a full receive buffer, but still acknowledges bytes
    /// from the kernel's send queue, is not idle. Acknowledgements are checked only when the timeout expires, so such a
    /// connection may take up to twice the timeout. Default: off.
    pub fn set_idle_timeout(self, limit: Option<Duration>) {
        transport::set_idle_limit(self, limit);
    }

    /// Sets how long the peer may acknowledge no bytes while bytes are queued for it, before the connection emits an
    /// `error` and is reset. `None` switches the timeout off.
    ///
    /// A slow reader is not reset as long as its kernel acknowledges bytes
    /// ([`acknowledged`](Connection::acknowledged)). The connection checks four times in each timeout, so a stalled
    /// peer is reset at most a fourth of the timeout late.
    ///
    /// A peer that has acknowledged more than 1 MiB may pause for longer: 1 s for each further KiB, up to 20 times the
    /// timeout. Clients that limit their own rate read a burst, and then nothing until their average rate is reached.
    /// Default: 30 s.
    pub fn set_write_timeout(self, limit: Option<Duration>) {
        transport::set_stall_limit(self, limit);
    }

    /// Sets the number of unsent bytes from which the kernel accepts no more (`TCP_NOTSENT_LOWAT`); bytes that are sent
    /// but not acknowledged do not count. The rest stays in the write queue, where a protocol can still choose the
    /// order. Only TCP on Linux has this limit; elsewhere the call does nothing.
    ///
    /// Cost: a system call. Default: left to the kernel, usually megabytes.
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

    /// Sets how long `end` waits for the peer's end of stream, discarding the data received in the meantime.
    ///
    /// Without it, a response to a peer that is still sending would be lost: closing a socket with unread bytes resets
    /// the connection. Default: 1 s.
    pub fn set_linger(self, time: Duration) {
        transport::set_linger(self, time);
    }

    /// Sets whether the connection stays open for writing after the peer has half-closed. If not, it then ends.
    /// Default: false.
    pub fn set_allow_half_open(self, allow: bool) {
        transport::set_allow_half_open(self, allow);
    }
}
