//! A WebSocket as the session of its connection, and as a thing of the loop.

use std::rc::Rc;

use bytes::BytesMut;
use uptick_emitter::emit;
use uptick_event_loop::driver::{Driver, Timestamp};
use uptick_event_loop::{Readiness, Token, future_tick};
use uptick_socket::Connection;
use uptick_socket::engine::{Engine, Session, Visit};
use uptick_stream::transport::{self, Streams, Transport};

use super::handle::WebSocket;
use super::sending::SOFT_LIMIT;
use super::state::{Flags, Rare, Route, WebSocketSession, session};
use super::timeouts::{Over, SocketDriver};
use crate::compression::Deflation;
use crate::error::Error;
use crate::protocol::{CloseCode, Role};
use crate::servers::Sockets;

/// The number of unsent bytes in the kernel from which on frames wait in this process, where pongs overtake them.
const UNSENT_LIMIT: u32 = 128 * 1024;

/// The result of a handshake.
pub(crate) struct Opening {
    pub(crate) conn: Connection,
    pub(crate) role: Role,
    pub(crate) route: Rc<Route>,
    pub(crate) protocol: Option<Box<str>>,
    pub(crate) deflation: Option<Deflation>,
}

/// Makes a WebSocket of a connection whose handshake is done; `None` if the connection is gone.
pub(crate) fn open(opening: Opening) -> Option<WebSocket> {
    let conn = opening.conn;
    if !conn.is_open() {
        return None;
    }
    let options = &opening.route.options;
    // The limit of what waits is kept here, where it has a policy.
    conn.set_write_limits(options.max_buffered.min(SOFT_LIMIT), usize::MAX);
    conn.set_unsent_limit(UNSENT_LIMIT);
    let lifetime = options.max_lifetime;
    let rare = Rare {
        protocol: opening.protocol,
        deflation: opening.deflation,
        until: lifetime.map(|limit| Timestamp::of_call().after(limit)),
        ..Rare::default()
    };
    let session = WebSocketSession::new(conn, opening.route, opening.role, rare);
    let session = Rc::new(session);
    session.arm();
    conn.set_session(session);
    Some(WebSocket::of(conn))
}

/// Lets a client's WebSocket read, whose connection was paused until its future was ready; returns whether it is open.
pub(crate) fn begin(ws: WebSocket) -> bool {
    session(ws).is_some_and(|session| {
        if !session.has(Flags::PAUSED) {
            session.conn.resume();
        }
        session.is_open()
    })
}

/// Returns the WebSockets of a server.
pub(crate) fn sockets_of(server: &Rc<Sockets>) -> Vec<WebSocket> {
    let is_of_server = |session: &WebSocketSession| {
        let sockets = session.route.sockets.as_ref();
        sockets.is_some_and(|sockets| Rc::ptr_eq(sockets, server))
    };
    let connections = Connection::streams(Streams::handles).unwrap_or_default();
    let sockets = connections
        .into_iter()
        .filter(|conn| conn.with_session(is_of_server) == Some(true));
    sockets.map(WebSocket::of).collect()
}

impl Session<Connection> for WebSocketSession {
    #[inline]
    fn data(&self, _: &Visit<Connection>, bytes: &mut BytesMut) {
        self.received(bytes);
    }

    fn end(&self, _: &Visit<Connection>) {
        // This side ends, too, and `close` follows.
        self.write_all_waiting();
    }

    fn drain(&self, _: &Visit<Connection>) {
        self.drained();
    }

    fn error(&self, _: &Visit<Connection>, error: &uptick_socket::Error) {
        emit(self, WebSocket::ERROR, Error::Connection(error.clone()));
    }

    fn close(&self, _: &Visit<Connection>) {
        self.lost();
    }
}

fn find(token: Token) -> Option<Rc<WebSocketSession>> {
    Connection::find(token)?.session()
}

impl Driver for SocketDriver {
    fn ready(&self, token: Token, _readiness: Readiness) {
        if let Some(session) = find(token) {
            session.deliver_decoded();
        }
    }

    fn expired(&self, token: Token) {
        if let Some(session) = find(token)
            && let Some(over) = session.expired()
        {
            end(&session, over);
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        match find(token) {
            // As where a callback panics for what was just read.
            Some(session) => transport::panicked(session.conn, message),
            None => {
                tracing::error!("a callback panicked after its WebSocket had closed: {message}")
            }
        }
    }
}

/// Does what a limit that is over asks for.
fn end(socket: &WebSocketSession, over: Over) {
    match over {
        Over::Ping => {
            let _ = socket.ping(b"");
            let ws = WebSocket::of(socket.conn);
            // The peer's kernel acknowledges the ping, which says nothing of the peer: only what follows does.
            future_tick(move || {
                if let Some(session) = session(ws) {
                    session.acknowledged.set(session.conn.bytes_written());
                }
            });
        }
        Over::Silent => {
            emit(socket, WebSocket::ERROR, Error::Silent);
            socket.terminate();
        }
        Over::Close => socket.terminate(),
        Over::Lifetime => socket.close(CloseCode::GOING_AWAY, "it has lived for as long as it may"),
    }
}
