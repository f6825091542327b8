//! The methods of a server whose type is erased.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::connection::Connection;
use crate::server::{ServerInterface, Shutdown};

/// The type-erased methods of a server. Listeners are added separately, with
/// [`Emitter::on`](uptick_emitter::Emitter::on).
///
/// # Examples
/// ```
/// use uptick_socket::{Server, ServerControl};
///
/// let server = Server::bind(0)?;
/// let control = ServerControl::new(server);
/// assert_eq!(control.address(), server.address());
/// control.close();
/// assert_eq!(server.address(), None);
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[derive(Clone)]
pub struct ServerControl(Rc<dyn ErasedServer>);

impl ServerControl {
    /// Creates the control of a server.
    pub fn new<S: ServerInterface>(server: S) -> Self {
        ServerControl(Rc::new(server))
    }

    /// Returns the address that the server listens on; see [`ServerInterface::address`].
    pub fn address(&self) -> Option<String> {
        self.0.address()
    }

    /// Pauses the server; see [`ServerInterface::pause`].
    pub fn pause(&self) {
        self.0.pause();
    }

    /// Resumes the server; see [`ServerInterface::resume`].
    pub fn resume(&self) {
        self.0.resume();
    }

    /// Closes the server; see [`ServerInterface::close`].
    pub fn close(&self) {
        self.0.close();
    }

    /// Shuts the server down; see [`ServerInterface::shutdown`].
    pub fn shutdown(&self, deadline: Duration) -> Shutdown {
        self.0.shutdown(deadline)
    }
}

impl ServerControl {
    /// Returns the number of open connections; see [`ServerInterface::open_connections`].
    pub fn open_connections(&self) -> usize {
        self.0.open_connections()
    }

    /// Returns the open connections; see [`ServerInterface::connections`].
    pub fn connections(&self) -> Vec<Connection> {
        self.0.connections()
    }

    /// Sets the application protocols; see [`ServerInterface::offer_protocols`].
    pub fn offer_protocols(&self, protocols: &[&str]) {
        self.0.offer_protocols(protocols);
    }
}

/// The part of [`ServerInterface`] that is object-safe.
trait ErasedServer {
    fn address(&self) -> Option<String>;
    fn pause(&self);
    fn resume(&self);
    fn close(&self);
    fn shutdown(&self, deadline: Duration) -> Shutdown;
    fn open_connections(&self) -> usize;
    fn connections(&self) -> Vec<Connection>;
    fn offer_protocols(&self, protocols: &[&str]);
}

impl<S: ServerInterface> ErasedServer for S {
    fn address(&self) -> Option<String> {
        ServerInterface::address(*self)
    }

    fn pause(&self) {
        ServerInterface::pause(*self);
    }

    fn resume(&self) {
        ServerInterface::resume(*self);
    }

    fn close(&self) {
        ServerInterface::close(*self);
    }

    fn shutdown(&self, deadline: Duration) -> Shutdown {
        ServerInterface::shutdown(*self, deadline)
    }

    fn open_connections(&self) -> usize {
        ServerInterface::open_connections(*self)
    }

    fn connections(&self) -> Vec<Connection> {
        ServerInterface::connections(*self)
    }

    fn offer_protocols(&self, protocols: &[&str]) {
        ServerInterface::offer_protocols(*self, protocols);
    }
}

impl fmt::Debug for ServerControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerControl")
            .field("address", &self.address())
            .finish()
    }
}
