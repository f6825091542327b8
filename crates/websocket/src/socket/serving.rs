//! A WebSocket as the session of its channel, and as a thing of the loop.

use std::rc::Rc;

use bytes::BytesMut;
use uptick_event_loop::driver::Timestamp;
use uptick_event_loop::future_tick;
use uptick_http::channel::{Channel, ChannelDriver, ChannelSession};

use super::handle::WebSocket;
use super::sending::SOFT_LIMIT;
use super::state::{Flags, Rare, Route, WebSocketSession, session};
use super::timeouts::{Over, SocketDriver};
use crate::compression::Deflation;
use crate::counts::{ClientSlot, SocketCounts};
use crate::error::Error;
use crate::protocol::{CloseCode, Role};

/// The number of unsent bytes in the kernel from which on frames wait in this process, where pongs overtake them.
const UNSENT_LIMIT: u32 = 128 * 1024;

/// The result of a handshake.
pub(crate) struct Opening {
    pub(crate) channel: Channel,
    pub(crate) role: Role,
    pub(crate) route: Rc<Route>,
    pub(crate) protocol: Option<Box<str>>,
    pub(crate) deflation: Option<Deflation>,
    /// Counts the WebSocket among those of its client.
    pub(crate) slot: Option<ClientSlot>,
}

/// Makes a WebSocket of a channel whose handshake is done; `None` if the channel is gone.
pub(crate) fn open(opening: Opening) -> Option<WebSocket> {
    let channel = opening.channel;
    if !channel.is_open() {
        return None;
    }
    let options = &opening.route.options;
    // The limit of what waits is kept here, where it has a policy.
    channel.set_write_limits(options.max_buffered.min(SOFT_LIMIT), usize::MAX);
    channel.set_unsent_limit(UNSENT_LIMIT);
    let lifetime = options.max_lifetime;
    let rare = Rare {
        protocol: opening.protocol,
        deflation: opening.deflation,
        slot: opening.slot,
        until: lifetime.map(|limit| Timestamp::of_call().after(limit)),
        ..Rare::default()
    };
    let session = WebSocketSession::new(channel, opening.route, opening.role, rare);
    let session = Rc::new(session);
    session.arm();
    if let Some(counts) = &session.route.counts {
        counts.opened();
    }
    channel.set_session(session);
    Some(WebSocket::of(channel))
}

/// Lets a client's WebSocket read, whose channel was paused until its future was ready; returns whether it is open.
pub(crate) fn begin(ws: WebSocket) -> bool {
    session(ws).is_some_and(|session| {
        if !session.has(Flags::PAUSED) {
            session.channel.resume();
        }
        session.is_open()
    })
}

/// Returns the open WebSockets of a server, which has these counts.
pub(crate) fn sockets_of(server: &Rc<SocketCounts>) -> Vec<WebSocket> {
    let is_of_server = |session: &WebSocketSession| {
        let counts = session.route.counts.as_ref();
        counts.is_some_and(|counts| Rc::ptr_eq(counts, server))
    };
    let sockets = Channel::all()
        .into_iter()
        .filter(|channel| channel.with_session(is_of_server) == Some(true));
    sockets.map(WebSocket::of).collect()
}

impl ChannelSession<uptick_socket::Error> for WebSocketSession {
    #[inline]
    fn data(&self, bytes: &mut BytesMut) {
        self.received(bytes);
    }

    fn end(&self) {
        // This side ends, too, and `close` follows.
        self.write_all_waiting();
    }

    fn drain(&self) {
        self.drained();
    }

    fn error(&self, error: &uptick_socket::Error) {
        self.emit_error(Error::Connection(error.clone()));
    }

    fn close(&self) {
        self.lost();
    }
}

impl ChannelDriver for SocketDriver {
    fn ready(channel: Channel) {
        if let Some(session) = find(channel) {
            session.deliver_decoded();
        }
    }

    fn expired(channel: Channel) {
        if let Some(session) = find(channel)
            && let Some(over) = session.expired()
        {
            end(&session, over);
        }
    }

    fn panicked(channel: Channel, message: &str) {
        match find(channel) {
            // As where a callback panics for what was just read.
            Some(_) => channel.panicked(message),
            None => {
                tracing::error!("a callback panicked after its WebSocket had closed: {message}")
            }
        }
    }
}

fn find(channel: Channel) -> Option<Rc<WebSocketSession>> {
    channel.session()
}

/// Does what a limit that is over asks for.
fn end(socket: &WebSocketSession, over: Over) {
    match over {
        Over::Ping => {
            socket.ping_automatically();
            let ws = WebSocket::of(socket.channel);
            // The peer's kernel acknowledges the ping, which says nothing of the peer: only what follows does.
            future_tick(move || {
                if let Some(session) = session(ws) {
                    session.acknowledged.set(session.channel.bytes_written());
                }
            });
        }
        Over::Silent => {
            socket.emit_error(Error::Silent);
            socket.terminate();
        }
        Over::Close => socket.terminate(),
        Over::Lifetime => socket.close(CloseCode::GOING_AWAY, "it has lived for as long as it may"),
    }
}
