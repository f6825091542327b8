//! HTTP/1 as the session of a connection.

use std::rc::Rc;

use bytes::BytesMut;
use uptick_event_loop::driver::Driver;
use uptick_event_loop::{Readiness, Token, catch};
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Session, Visit};

use super::flags::ConnectionFlags;
use super::state::HttpConnection;
use crate::exchange;
use crate::site::Service;

/// Serves HTTP/1 on a connection.
pub(crate) fn serve(conn: Connection, service: &Rc<Service>) {
    let http = HttpConnection::new(conn, service, &HttpDriver);
    conn.set_allow_half_open(true);
    service.opened(conn);
    conn.set_session(Rc::<HttpConnection>::clone(&http));
    http.arm(&mut http.state());
}

impl HttpConnection {
    /// Notifies the current exchange that the client has half-closed the connection.
    fn half_closed(&self) {
        let exchange = self.state().exchange.clone();
        if let Some(exchange) = exchange {
            exchange.half_closed();
        }
    }
}

impl Session<Connection> for HttpConnection {
    #[inline]
    fn data(&self, stream: &Visit<Connection>, bytes: &mut BytesMut) {
        self.received(stream, bytes);
    }

    fn end(&self, _: &Visit<Connection>) {
        self.state()
            .flags
            .insert(ConnectionFlags::PEER_ENDED | ConnectionFlags::HALF_OPEN);
        self.advance();
        self.half_closed();
    }

    fn end_pending(&self, _: &Visit<Connection>) {
        let mut state = self.state();
        state.flags.insert(ConnectionFlags::HALF_OPEN);
        self.arm(&mut state);
        drop(state);
        self.half_closed();
    }

    fn drain(&self, _: &Visit<Connection>) {
        let exchange = {
            let mut state = self.state();
            state.flags.remove(ConnectionFlags::FULL);
            state.exchange.clone()
        };
        if let Some(exchange) = exchange {
            exchange.drained();
        }
        self.advance();
    }

    fn error(&self, stream: &Visit<Connection>, error: &uptick_socket::Error) {
        // Clients often close their connections, so this is not logged at a higher level.
        tracing::debug!(
            connection = stream.handle().id(),
            "an HTTP connection failed: {error}"
        );
    }

    fn close(&self, _: &Visit<Connection>) {
        let exchange = {
            let mut state = self.state();
            state.flags.insert(ConnectionFlags::CLOSING);
            state.deadline.cancel();
            state.exchange.clone()
        };
        // Values captured by listeners may panic when they are dropped.
        let abandoned = catch(|| {
            let Some(exchange) = exchange else { return };
            exchange.abandon();
            let finished = self.state().finish();
            drop(exchange);
            if let Some(finished) = finished {
                exchange::release(finished);
            }
        });
        self.service.closed();
        if let Err(message) = abandoned {
            tracing::error!("a callback of a request panicked as its connection closed: {message}");
        }
    }
}

/// The driver for deadlines and deferred actions of connections.
struct HttpDriver;

impl Driver for HttpDriver {
    fn ready(&self, token: Token, _readiness: Readiness) {
        if let Some(http) = find(token) {
            http.advance();
        }
    }

    fn expired(&self, token: Token) {
        if let Some(http) = find(token) {
            http.expired();
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        tracing::error!("a callback of an HTTP connection panicked: {message}");
        if let Some(conn) = Connection::find(token) {
            conn.close();
        }
    }
}

fn find(token: Token) -> Option<Rc<HttpConnection>> {
    Connection::find(token)?.session()
}
