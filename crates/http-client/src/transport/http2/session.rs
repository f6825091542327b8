//! HTTP/2 as the session of a connection.

use std::rc::Rc;

use bytes::BytesMut;
use uptick_event_loop::driver::Driver;
use uptick_event_loop::{Readiness, Token};
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Session, Visit};

use super::flags::SessionFlags;
use super::state::Http2Session;

impl Session<Connection> for Http2Session {
    fn data(&self, visit: &Visit<Connection>, bytes: &mut BytesMut) {
        self.received(visit, bytes);
    }

    fn end(&self, visit: &Visit<Connection>) {
        // Streams that are not complete fail when the connection closes.
        visit.handle().close();
    }

    fn drain(&self, _: &Visit<Connection>) {
        {
            let mut state = self.state();
            state.flags.remove(SessionFlags::FULL);
            self.resume(&mut state);
        }
        self.advance();
    }

    fn error(&self, visit: &Visit<Connection>, error: &uptick_socket::Error) {
        let text = error.to_string();
        tracing::debug!(
            connection = visit.handle().id(),
            "an HTTP/2 connection failed: {text}"
        );
        self.state().reason = Some(text.into());
    }

    fn close(&self, _: &Visit<Connection>) {
        {
            let mut state = self.state();
            state.flags.insert(SessionFlags::CLOSING);
            state.deadline.cancel();
        }
        self.end_idle();
        let owner = self.owner.borrow_mut().take();
        if let Some(owner) = owner {
            owner.closed();
        }
        self.lose_all();
    }
}

/// The driver for deadlines and deferred actions of sessions.
pub(super) struct Http2Driver;

impl Driver for Http2Driver {
    fn ready(&self, token: Token, _: Readiness) {
        if let Some(session) = find(token) {
            session.advance();
        }
    }

    fn expired(&self, token: Token) {
        if let Some(session) = find(token) {
            session.expired();
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        tracing::error!("a callback of an HTTP/2 request panicked: {message}");
        if let Some(conn) = Connection::find(token) {
            conn.close();
        }
    }
}

fn find(token: Token) -> Option<Rc<Http2Session>> {
    Connection::find(token)?.session()
}
