//! A connector with a fixed address.

use super::{ConnectTarget, Connecting, ConnectorInterface};
use crate::error::Error;
use crate::uri::IntoUri;

/// A connector that connects to a fixed address and ignores the requested target.
///
/// It is for clients that expect a host name but connect through one socket: a local daemon, a tunnel, a test.
///
/// # Examples
/// ```
/// use uptick_socket::{Connector, ConnectorInterface, FixedUriConnector};
///
/// let docker = FixedUriConnector::new("unix:///var/run/docker.sock", Connector::new())?;
/// let connecting = docker.connect("tcp://docker:80");
/// # drop(connecting);
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[derive(Clone, Debug)]
pub struct FixedUriConnector<C> {
    target: ConnectTarget,
    inner: C,
}

impl<C: ConnectorInterface> FixedUriConnector<C> {
    /// Creates a connector that connects to `uri` with `inner`.
    ///
    /// # Errors
    /// [`Error::InvalidUri`] if `uri` is not an address.
    pub fn new(uri: impl IntoUri<ConnectTarget>, inner: C) -> Result<Self, Error> {
        Ok(FixedUriConnector {
            target: uri.into_uri()?,
            inner,
        })
    }
}

impl<C: ConnectorInterface> ConnectorInterface for FixedUriConnector<C> {
    fn connect_target(&self, _: ConnectTarget) -> Connecting {
        self.inner.connect_target(self.target.clone())
    }
}
