//! One place, whatever is asked for.

use super::{ConnectTarget, Connecting, ConnectorInterface};
use crate::error::Error;
use crate::uri::IntoUri;

/// Connects to one address always, and ignores what it is asked for.
///
/// For what speaks of hosts but goes through one socket: a local daemon, a tunnel, a test.
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
    /// Makes a connector that has `inner` connect to `uri`.
    ///
    /// # Errors
    /// [`Error::InvalidUri`] when `uri` is no address.
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
