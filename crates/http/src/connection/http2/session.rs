//! HTTP/2 as the session of a connection.

use std::rc::Rc;

use bytes::BytesMut;
use uptick_event_loop::driver::Driver;
use uptick_event_loop::{Readiness, Token};
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Session, Visit};

use super::flags::{ConnectionFlags, StreamFlags};
use super::state::Http2Connection;
use crate::site::Service;

/// Serves HTTP/2 on a connection.
pub(in crate::connection) fn serve(conn: Connection, service: &Rc<Service>) {
    conn.set_allow_half_open(true);
    service.opened(conn);
    drop(start(conn, service));
}

/// Serves HTTP/2 on a connection that another session has served, which received the preface in `bytes`.
pub(in crate::connection) fn take_over(
    visit: &Visit<Connection>,
    service: &Rc<Service>,
    bytes: &mut BytesMut,
) {
    start(visit.handle(), service).received(visit, bytes);
}

fn start(conn: Connection, service: &Rc<Service>) -> Rc<Http2Connection> {
    let http = Http2Connection::new(conn, service, &Http2Driver);
    service.count_http2_connection();
    conn.set_session(Rc::<Http2Connection>::clone(&http));
    if service.draining().is_some() {
        // Accepted before the shutdown, but the handshake ended only now.
        http.begin_draining();
    }
    {
        let mut state = http.state();
        let codec = &mut state.codec;
        let open = conn.write_with(|out| codec.write_control(out));
        state.written(open);
        http.arm_connection(&mut state);
    }
    http
}

impl Session<Connection> for Http2Connection {
    #[inline]
    fn data(&self, visit: &Visit<Connection>, bytes: &mut BytesMut) {
        self.received(visit, bytes);
    }

    fn end(&self, _: &Visit<Connection>) {
        {
            let mut state = self.state();
            state.flags.insert(ConnectionFlags::PEER_ENDED);
            self.probe(&mut state);
        }
        for stream in self.streams() {
            let has_ended = stream.state().flags.contains(StreamFlags::REMOTE_ENDED);
            if !has_ended {
                self.body_ended_early(&stream);
                // The rest of a body that is discarded does not follow.
                stream.state().flags.insert(StreamFlags::REMOTE_ENDED);
                self.list(&stream);
            }
            if let Some(exchange) = stream.exchange() {
                exchange.half_closed();
            }
        }
        self.advance();
    }

    fn end_pending(&self, _: &Visit<Connection>) {}

    fn drain(&self, _: &Visit<Connection>) {
        {
            let mut state = self.state();
            state.flags.remove(ConnectionFlags::FULL);
            self.resume(&mut state);
        }
        self.advance();
    }

    fn error(&self, visit: &Visit<Connection>, error: &uptick_socket::Error) {
        // Clients often close their connections, so this is not logged at a higher level.
        tracing::debug!(
            connection = visit.handle().id(),
            "an HTTP/2 connection failed: {error}"
        );
    }

    fn close(&self, _: &Visit<Connection>) {
        {
            let mut state = self.state();
            state.flags.insert(ConnectionFlags::CLOSING);
            state.deadline.cancel();
        }
        self.close_streams();
        self.service.closed();
    }
}

/// The driver for deadlines and deferred actions of connections.
struct Http2Driver;

impl Driver for Http2Driver {
    fn ready(&self, token: Token, _: Readiness) {
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
        tracing::error!("a callback of an HTTP/2 connection panicked: {message}");
        if let Some(conn) = Connection::find(token) {
            conn.close();
        }
    }
}

fn find(token: Token) -> Option<Rc<Http2Connection>> {
    Connection::find(token)?.session()
}
