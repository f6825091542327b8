//! Connections to a server without a port.

use std::fmt;
use std::os::unix::net::UnixStream;
use std::rc::Rc;

use uptick_socket::{ConnectTarget, Connecting, Connection, ConnectorInterface, Error};

use crate::connection::serve;
use crate::site::Service;

/// A connector to a server over a socket pair. The address is ignored.
///
/// It is for tests that need a connection: upgrades by [`Response::upgrade`](crate::Response::upgrade), HTTP clients, half-closed clients. It
/// uses the loop of the thread, which must have a system poller; the clock may be a manual one.
pub struct TestConnector {
    service: Option<Rc<Service>>,
}

impl TestConnector {
    pub(super) fn new(service: Option<Rc<Service>>) -> Self {
        TestConnector { service }
    }
}

impl ConnectorInterface for TestConnector {
    fn connect_target(&self, target: ConnectTarget) -> Connecting {
        let service = self.service.clone();
        Connecting::new(async move {
            let Some(service) = service else {
                return Err(Error::Closed {
                    object: "the server".into(),
                });
            };
            let pair = UnixStream::pair();
            let (ours, theirs) = pair.map_err(|error| Error::Connect {
                uri: target.to_string().into(),
                source: error.into(),
            })?;
            let client = Connection::adopt(ours)?;
            serve(Connection::adopt(theirs)?, &service);
            Ok(client)
        })
    }
}

impl fmt::Debug for TestConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestConnector").finish_non_exhaustive()
    }
}
