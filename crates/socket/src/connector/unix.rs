//! Connections to Unix sockets, by path and by abstract name.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::io::Errno;
use socket2::{Domain, Socket, Type};
use uptick_event_loop::sleep;

use super::handshake::{connect_finished, connection_from_socket};
use super::{ConnectTarget, Connecting, ConnectorInterface};
use crate::address::UnixName;
use crate::connection::Connection;
use crate::error::{Cause, Error};
use crate::options::SocketOptions;
use crate::uri::ConnectUri;

/// A connector to Unix sockets.
///
/// # Limits
/// While the server's backlog is full, the connector retries, first after 1 ms and then with doubled delays of up to
/// 128 ms. After about 2 s in total it fails with EAGAIN.
///
/// # Examples
/// ```
/// use uptick_socket::prelude::*;
/// use uptick_socket::UnixConnector;
///
/// # let path = std::env::temp_dir().join(format!("uptick-doc-{}.sock", std::process::id()));
/// # let path = path.display();
/// let server = Server::bind(format!("unix:{path}"))?;
/// # server.on(Server::CONNECTION, |_| ());
/// let conn = uptick_event_loop::block_on(UnixConnector::new().connect(format!("unix:{path}")))??;
/// # assert!(conn.is_open());
/// # server.close();
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Debug, Default)]
pub struct UnixConnector {
    options: SocketOptions,
}

const MIN_PAUSE: Duration = Duration::from_millis(1);
const MAX_PAUSE: Duration = Duration::from_millis(128);
/// Maximum number of retries; their delays add up to 2.2 s.
const MAX_RETRIES: u32 = 24;

impl UnixConnector {
    /// Creates a connector with the default options.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the options of the sockets; TCP options are ignored. Default: see [`SocketOptions`].
    #[must_use]
    pub fn socket(mut self, options: SocketOptions) -> Self {
        self.options = options;
        self
    }

    async fn dial(self, name: UnixName) -> Result<Connection, Error> {
        match self.connected(&name).await {
            Ok(socket) => connection_from_socket(socket, name.into()),
            Err(cause) => Err(Error::connect(name, cause)),
        }
    }

    async fn connected(&self, name: &UnixName) -> Result<OwnedFd, Cause> {
        let address = name.to_system()?;
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        self.options.apply(&socket, false)?;
        let socket = OwnedFd::from(socket);
        let mut pause = MIN_PAUSE;
        let mut left = MAX_RETRIES;
        loop {
            match rustix::net::connect(&socket, &address) {
                Ok(()) => return Ok(socket),
                Err(Errno::INPROGRESS | Errno::INTR) => return connect_finished(socket).await,
                // Linux: the backlog is full, and readiness is not reported when it is no longer.
                Err(Errno::AGAIN) if left > 0 => {}
                Err(errno) => return Err(errno.into()),
            }
            left -= 1;
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }
}

impl ConnectorInterface for UnixConnector {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        match target.uri() {
            ConnectUri::Unix(name) => Connecting::new(self.clone().dial(name.clone())),
            _ => Connecting::failed(
                target.unsupported("this connector supports Unix sockets, unix:PATH"),
            ),
        }
    }
}
