//! Options of TCP and Unix sockets.

use std::io;
use std::os::fd::AsFd;
use std::time::Duration;

use socket2::{SockRef, TcpKeepalive};

/// Options for the sockets of a server or a connector.
///
/// The options of a server apply to every connection that it accepts: accepted sockets inherit them from the listening
/// socket, without a cost for each connection. TCP options are ignored on a Unix socket.
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
    /// Number of unanswered [`keepalive`](Self::keepalive) probes after which the connection fails.
    const KEEPALIVE_PROBES: u32 = 4;

    /// Creates the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the maximum number of connections in the backlog that are not accepted yet; further clients are refused or
    /// have to retry. The system has its own limit (`net.core.somaxconn` on Linux).
    ///
    /// Default: 511.
    #[must_use]
    pub fn backlog(mut self, connections: u32) -> Self {
        self.backlog = connections;
        self
    }

    /// Allows several sockets, of one or several processes of the same user, to listen on the same port; the kernel
    /// distributes new connections among them (`SO_REUSEPORT`). All of them have to set it.
    ///
    /// Default: `false`, so that a second server on the port gets an error instead of silently receiving half of the
    /// connections.
    #[must_use]
    pub fn reuse_port(mut self, reuse: bool) -> Self {
        self.reuse_port = reuse;
        self
    }

    /// Restricts a server on an IPv6 address to IPv6 connections. Without the restriction, a server on `[::]` also
    /// accepts IPv4 connections, whose addresses then look like `[::ffff:192.0.2.1]`.
    ///
    /// Default: the system's setting (on Linux, usually both families).
    #[must_use]
    pub fn v6_only(mut self, only: bool) -> Self {
        self.v6_only = Some(only);
        self
    }

    /// Disables Nagle's algorithm (`TCP_NODELAY`): data is sent at once rather than after the peer has acknowledged
    /// earlier data.
    ///
    /// Default: `true`.
    #[must_use]
    pub fn nodelay(mut self, nodelay: bool) -> Self {
        self.nodelay = nodelay;
        self
    }

    /// Sets the idle time after which the system probes a TCP peer (`SO_KEEPALIVE`); `None` disables the probes. After
    /// four unanswered probes, sent at intervals of a quarter of this time, the connection fails with ETIMEDOUT: after
    /// twice this time in all.
    ///
    /// The system counts in whole seconds, from 1 s to 32,767 s; other values are rounded up and clamped to that range.
    ///
    /// Default: 60 s.
    #[must_use]
    pub fn keepalive(mut self, idle: Option<Duration>) -> Self {
        self.keepalive = idle;
        self
    }

    /// Sets the size of the system's receive buffer of a connection, in bytes (`SO_RCVBUF`). This disables the system's
    /// automatic tuning.
    ///
    /// Default: left to the system.
    #[must_use]
    pub fn recv_buffer_size(mut self, bytes: usize) -> Self {
        self.recv_buffer_size = Some(bytes);
        self
    }

    /// Sets the size of the system's send buffer of a connection, in bytes (`SO_SNDBUF`). This disables the system's
    /// automatic tuning.
    ///
    /// Default: left to the system.
    #[must_use]
    pub fn send_buffer_size(mut self, bytes: usize) -> Self {
        self.send_buffer_size = Some(bytes);
        self
    }

    /// Returns the backlog as an argument for `listen`.
    pub(crate) fn system_backlog(&self) -> i32 {
        i32::try_from(self.backlog).unwrap_or(i32::MAX)
    }

    /// Sets the options that apply to a connecting socket, or that accepted sockets inherit from a listening one.
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
    fn by_default_a_tcp_socket_has_nodelay_and_keepalive() {
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
    fn options_that_are_off_keep_the_default_of_the_system() {
        let socket = tcp();
        let options = SocketOptions::new().nodelay(false).keepalive(None);
        options.apply(&socket, true).unwrap();
        assert!(!socket.tcp_nodelay().unwrap());
        assert!(!socket.keepalive().unwrap());
    }

    #[test]
    fn any_keepalive_time_is_clamped_to_the_range_of_the_system() {
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
    fn tcp_options_are_ignored_on_a_unix_socket() {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None).unwrap();
        SocketOptions::new().apply(&socket, false).unwrap();
        assert!(!socket.keepalive().unwrap());
    }

    #[test]
    fn a_backlog_beyond_the_maximum_of_the_system_is_clamped() {
        assert_eq!(SocketOptions::new().system_backlog(), 511);
        let options = SocketOptions::new().backlog(u32::MAX);
        assert_eq!(options.system_backlog(), i32::MAX);
    }
}
