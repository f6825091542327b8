//! Options of TCP and Unix sockets.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Options for the sockets of a server or a connector.
///
/// What is set for a server holds for each connection that it accepts; the system hands the options
/// down, so they cost nothing per connection. An option that the kind of socket does not have (the
/// TCP ones on a Unix socket) is passed over.
///
/// # Examples
///
/// ```
/// use std::time::Duration;
/// use uptick_socket::SocketOptions;
///
/// let options = SocketOptions::new()
///     .backlog(4096)
///     .keepalive(Some(Duration::from_secs(20)));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SocketOptions {
    pub(crate) backlog: u32,
    pub(crate) reuse_port: bool,
    pub(crate) v6_only: Option<bool>,
    pub(crate) nodelay: bool,
    pub(crate) keepalive: Option<Duration>,
    pub(crate) recv_buffer_size: Option<usize>,
    pub(crate) send_buffer_size: Option<usize>,
}

impl Default for SocketOptions {
    fn default() -> Self {
        Self {
            backlog: 511,
            reuse_port: false,
            v6_only: None,
            nodelay: true,
            keepalive: Some(Duration::from_secs(60)),
            recv_buffer_size: None,
            send_buffer_size: None,
        }
    }
}

impl SocketOptions {
    /// How many unanswered probes make [`keepalive`](Self::keepalive) give up.
    const KEEPALIVE_PROBES: u32 = 4;

    /// The default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many connections may wait to be accepted; more than that are turned away or have to try
    /// again. The system has a limit of its own (`net.core.somaxconn` on Linux).
    ///
    /// Default: 511.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Lets several sockets, of one or several processes of the same user, listen on the same port;
    /// the kernel spreads new connections over them (`SO_REUSEPORT`). All of them have to set it.
    ///
    /// Default: `false`, so that a second server on the port is an error and does not silently take
    /// half of the connections.
    #[must_use]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Whether a server on an IPv6 address takes IPv6 connections only. Otherwise one on `[::]`
    /// takes IPv4 connections too, whose addresses then look like `[::ffff:192.0.2.1]`.
    ///
    /// Default: what the system is set to (on Linux, usually both kinds).
    #[must_use]
    pub fn v6_only(mut self, only: bool) -> Self {
        self.v6_only = Some(only);
        self
    }

    /// Sends what is written at once rather than waiting for the peer to acknowledge what was sent
    /// before (`TCP_NODELAY`).
    ///
    /// Default: `true`.
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// After how long without traffic the system begins to ask whether a TCP peer is still there
    /// (`SO_KEEPALIVE`), or `None` to never ask. Four questions without an answer, a quarter of
    /// this time apart, end the connection with ETIMEDOUT: after twice this time in all.
    ///
    /// The system counts in whole seconds, from 1 s to 32,767 s; other times are brought into that
    /// range.
    ///
    /// Default: 60 s.
    #[must_use]
    pub fn keepalive(mut self, idle: Option<Duration>) -> Self {
        self.keepalive = idle;
        self
    }

    /// The size in bytes of the system's buffer for what a connection received (`SO_RCVBUF`).
    /// Setting it switches the system's own adjustment off.
    ///
    /// Default: left to the system.
    #[must_use]
    pub fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// The size in bytes of the system's buffer for what a connection sends (`SO_SNDBUF`). Setting
    /// it switches the system's own adjustment off.
    ///
    /// Default: left to the system.
    #[must_use]
    pub fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// The backlog in the form that `listen` takes.
    pub(crate) fn system_backlog(&self) -> i32 {
        i32::try_from(self.backlog).unwrap_or(i32::MAX)
    }

    /// Sets the options that a listening socket hands down to its connections and that also suit a
    /// socket about to connect.
    pub(crate) fn apply(&self, socket: impl AsFd, is_tcp: bool) -> io::Result<()> {
        const LARGEST: usize = i32::MAX as usize;
        let socket = SockRef::from(&socket);
        if let Some(bytes) = self.recv_buffer_size {
            socket.set_recv_buffer_size(bytes.min(LARGEST))?;
        }
        if let Some(bytes) = self.send_buffer_size {
            socket.set_send_buffer_size(bytes.min(LARGEST))?;
        }
        if !is_tcp {
            return Ok(());
        }
        if self.nodelay {
            socket.set_tcp_nodelay(true)?;
        }
        if let Some(idle) = self.keepalive {
            socket.set_tcp_keepalive(&keepalive(idle))?;
        }
        Ok(())
    }
}

fn keepalive(idle: Duration) -> TcpKeepalive {
    let in_range = |time: Duration| {
        let seconds = time.as_millis().div_ceil(1000).clamp(1, 32_767);
        Duration::from_secs(seconds as u64)
    };
    let idle = in_range(idle);
    let keepalive = TcpKeepalive::new().with_time(idle);
    #[cfg(any(
        target_os = "linux",
        target_os = "android",
        target_os = "freebsd",
        target_os = "netbsd",
        target_vendor = "apple",
    ))]
    let keepalive = keepalive
        .with_interval(in_range(idle / SocketOptions::KEEPALIVE_PROBES))
        .with_retries(SocketOptions::KEEPALIVE_PROBES);
    keepalive
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt;
    use socket2::{Domain, Socket, Type};

    use super::*;

    fn tcp() -> Socket {
        Socket::new(Domain::IPV4, Type::STREAM, None).unwrap()
    }

    #[test]
    fn by_default_a_tcp_socket_sends_at_once_and_asks_for_signs_of_life() {
        let socket = tcp();
        SocketOptions::new().apply(&socket, true).unwrap();
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(
            sockopt::tcp_keepidle(&socket).unwrap(),
            Duration::from_secs(60)
        );
        assert_eq!(
            sockopt::tcp_keepintvl(&socket).unwrap(),
            Duration::from_secs(15)
        );
        assert_eq!(sockopt::tcp_keepcnt(&socket).unwrap(), 4);
    }

    #[test]
    fn what_is_switched_off_stays_as_the_system_has_it() {
        let socket = tcp();
        let options = SocketOptions::new().nodelay(false).keepalive(None);
        options.apply(&socket, true).unwrap();
        assert!(!socket.tcp_nodelay().unwrap());
        assert!(!socket.keepalive().unwrap());
    }

    #[test]
    fn any_keepalive_time_is_brought_into_the_systems_range() {
        for (given, set) in [
            (Duration::ZERO, 1),
            (Duration::from_millis(1500), 2),
            (Duration::MAX, 32_767),
        ] {
            let socket = tcp();
            let options = SocketOptions::new().keepalive(Some(given));
            options.apply(&socket, true).unwrap();
            assert_eq!(
                sockopt::tcp_keepidle(&socket).unwrap(),
                Duration::from_secs(set)
            );
        }
    }

    #[test]
    fn buffer_sizes_of_any_value_are_accepted() {
        let unchanged = tcp().recv_buffer_size().unwrap();
        for bytes in [0, 16 << 10, usize::MAX] {
            let socket = tcp();
            let options = SocketOptions::new()
                .recv_buffer_size(bytes)
                .send_buffer_size(bytes);
            options.apply(&socket, true).unwrap();
            assert_ne!(socket.recv_buffer_size().unwrap(), unchanged, "{bytes}");
        }
    }

    #[test]
    fn tcp_options_are_passed_over_on_a_unix_socket() {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        SocketOptions::new().apply(&socket, false).unwrap();
        assert!(!socket.keepalive().unwrap());
    }

    #[test]
    fn a_backlog_beyond_what_the_system_counts_becomes_its_greatest() {
        assert_eq!(SocketOptions::new().system_backlog(), 511);
        let options = SocketOptions::new().backlog(u32::MAX);
        assert_eq!(options.system_backlog(), i32::MAX);
    }
}
