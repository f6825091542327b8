//! Tunnels: the bytes of an upgraded connection, in both directions.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use uptick_http::Channel;
use uptick_http::channel::ChannelSession;
use uptick_socket::Error;

use super::balancer::ActiveRequest;

/// The channel to an upstream server, which is closed if it is dropped before the client's side of the tunnel is ready.
pub(super) struct UpgradedServer {
    server: Option<Channel>,
    idle_timeout: Option<Duration>,
    active: Option<ActiveRequest>,
}

impl UpgradedServer {
    pub(super) fn new(
        server: Channel,
        idle_timeout: Option<Duration>,
        active: ActiveRequest,
    ) -> Self {
        UpgradedServer {
            server: Some(server),
            idle_timeout,
            active: Some(active),
        }
    }

    /// Forwards the bytes between the client and the server until both directions have ended.
    pub(super) fn connect(mut self, client: Channel) {
        let Some(server) = self.server.take() else {
            return;
        };
        // An HTTP/2 stream does not stay half-open.
        for conn in [client.connection(), server.connection()]
            .into_iter()
            .flatten()
        {
            conn.set_allow_half_open(true);
            conn.set_idle_timeout(self.idle_timeout);
        }
        let active = self.active.take().map(Rc::new);
        let end = |own, other| {
            Rc::new(TunnelEnd {
                own,
                other,
                has_failed: Cell::new(false),
                _active: active.clone(),
            })
        };
        client.set_session(end(client, server));
        server.set_session(end(server, client));
        server.resume();
        // One of them may have closed in the meantime.
        if !client.is_open() {
            server.reset();
        } else if !server.is_open() {
            client.reset();
        }
    }
}

impl Drop for UpgradedServer {
    fn drop(&mut self) {
        if let Some(server) = self.server.take() {
            server.reset();
        }
    }
}

/// One end of a tunnel, which passes the bytes that it receives to the other end.
struct TunnelEnd {
    own: Channel,
    other: Channel,
    has_failed: Cell<bool>,
    /// The request that opened the tunnel.
    _active: Option<Rc<ActiveRequest>>,
}

impl ChannelSession<Error> for TunnelEnd {
    fn data(&self, bytes: &mut BytesMut) {
        if !self.other.write(bytes.split()) {
            self.own.pause();
        }
    }

    fn end(&self) {
        match self.other.connection() {
            Some(conn) => conn.shutdown_write(),
            None => self.other.end(),
        }
    }

    fn drain(&self) {
        self.other.resume();
    }

    fn error(&self, _: &Error) {
        self.has_failed.set(true);
    }

    fn close(&self) {
        match self.has_failed.get() {
            true => self.other.reset(),
            false => self.other.end(),
        }
    }
}
