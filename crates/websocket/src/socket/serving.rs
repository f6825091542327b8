//! The callbacks of the channel and of the loop.

use std::rc::Rc;

use bytes::BytesMut;
use uptick_event_loop::driver::Timestamp;
use uptick_event_loop::future_tick;
use uptick_http::channel::{Channel, ChannelDriver, ChannelSession};

use super::handle::WebSocket;
use super::sending::SOFT_LIMIT;
use super::state::{ColdState, RouteContext, SocketFlags, WebSocketSession, session};
use super::timeouts::{ExpiredTimeout, SocketDriver};
use crate::compression::PerMessageDeflate;
use crate::counts::{ClientSlot, SocketCounts};
use crate::error::Error;
use crate::protocol::{CloseCode, Role};

/// Limit of unsent bytes in the kernel; beyond it, frames stay in this process, where pongs overtake them.
const UNSENT_LIMIT: u32 = 128 * 1024;

/// A channel after a successful handshake, with the negotiated parameters.
pub(crate) struct UpgradedChannel {
    pub(crate) channel: Channel,
    pub(crate) role: Role,
    pub(crate) route: Rc<RouteContext>,
    pub(crate) protocol: Option<Box<str>>,
    pub(crate) deflation: Option<PerMessageDeflate>,
    /// The reservation in the limit per client.
    pub(crate) slot: Option<ClientSlot>,
}

/// Creates a WebSocket on a channel; `None` if the channel has closed.
pub(crate) fn open(upgraded: UpgradedChannel) -> Option<WebSocket> {
    let channel = upgraded.channel;
    if !channel.is_open() {
        return None;
    }
    let options = &upgraded.route.options;
    // The hard limit is enforced by this crate, which applies the slow-client policy.
    channel.set_write_limits(options.max_buffered.min(SOFT_LIMIT), usize::MAX);
    channel.set_unsent_limit(UNSENT_LIMIT);
    let lifetime = options.max_lifetime;
    let cold = ColdState {
        protocol: upgraded.protocol,
        deflation: upgraded.deflation,
        slot: upgraded.slot,
        lifetime_end: lifetime.map(|limit| Timestamp::now_exact().after(limit)),
        ..ColdState::default()
    };
    let session = WebSocketSession::new(channel, upgraded.route, upgraded.role, cold);
    let session = Rc::new(session);
    session.arm();
    if let Some(counts) = &session.route.counts {
        counts.opened();
    }
    channel.set_session(session);
    Some(WebSocket::of(channel))
}

/// Starts reading from a client WebSocket, whose channel was paused until its future completed; returns `true` if it is open.
pub(crate) fn start_reading(ws: WebSocket) -> bool {
    session(ws).is_some_and(|session| {
        if !session.has(SocketFlags::PAUSED) {
            session.channel.resume();
        }
        session.is_open()
    })
}

/// Returns the open WebSockets of the server with these counts.
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
        // This side ends as well, and `close` follows.
        self.write_all_queued();
    }

    fn drain(&self) {
        self.write_until_full();
    }

    fn error(&self, error: &uptick_socket::Error) {
        self.emit_error(Error::Connection(error.clone()));
    }

    fn close(&self) {
        self.connection_lost();
    }
}

impl ChannelDriver for SocketDriver {
    fn ready(channel: Channel) {
        if let Some(session) = session_of(channel) {
            session.deliver_decoded();
        }
    }

    fn expired(channel: Channel) {
        if let Some(session) = session_of(channel)
            && let Some(timeout) = session.expired()
        {
            handle_timeout(&session, timeout);
        }
    }

    fn panicked(channel: Channel, message: &str) {
        match session_of(channel) {
            // The same as for a panic while received bytes are processed.
            Some(_) => channel.panicked(message),
            None => {
                tracing::error!("a callback panicked after its WebSocket had closed: {message}")
            }
        }
    }
}

fn session_of(channel: Channel) -> Option<Rc<WebSocketSession>> {
    channel.session()
}

/// Handles an expired timeout.
fn handle_timeout(socket: &WebSocketSession, timeout: ExpiredTimeout) {
    match timeout {
        ExpiredTimeout::Ping => {
            socket.ping_automatically();
            let ws = WebSocket::of(socket.channel);
            // The peer's kernel acknowledges the ping, even if the peer hangs, so its bytes do not count as activity.
            future_tick(move || {
                if let Some(session) = session(ws) {
                    session.acknowledged.set(session.channel.bytes_written());
                }
            });
        }
        ExpiredTimeout::Idle => {
            socket.emit_error(Error::IdleTimeout);
            socket.terminate();
        }
        ExpiredTimeout::Close => socket.terminate(),
        ExpiredTimeout::Lifetime => {
            socket.close(CloseCode::GOING_AWAY, "the maximum lifetime was reached")
        }
    }
}
