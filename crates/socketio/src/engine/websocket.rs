//! WebSockets: those that begin a session, and those that a session is upgraded to.

use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_http::{Reply, Request};
use uptick_websocket::{Accept, CloseCode, Closed, Error, Message, Payload, Sent, WebSocket};

use super::client::Client;
#[cfg(feature = "workers")]
use super::cluster::RemoteWebSocket;
use super::handshake::Handshake;
use super::hooks::Stage;
use super::mounted::Mounted;
use super::server::EngineState;
use super::session_id::SessionId;
use super::state::ClientState;
use crate::protocol::session::{Input, Transport};

/// A WebSocket of a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WebSocketHandle {
    /// Its connection is in this worker.
    Local(WebSocket),
    /// Its connection is in another worker.
    #[cfg(feature = "workers")]
    Remote(RemoteWebSocket),
}

impl WebSocketHandle {
    /// Sends a frame.
    #[inline]
    #[cfg_attr(
        not(feature = "workers"),
        expect(unused_variables, reason = "for workers")
    )]
    pub(super) fn send(self, engine: &EngineState, payload: impl Payload) -> Sent {
        match self {
            WebSocketHandle::Local(ws) => ws.send(payload),
            #[cfg(feature = "workers")]
            WebSocketHandle::Remote(ws) => engine
                .cluster()
                .map_or(Sent::Dropped, |cluster| cluster.send_frame(ws, payload)),
        }
    }

    /// Closes it.
    #[cfg_attr(
        not(feature = "workers"),
        expect(unused_variables, reason = "for workers")
    )]
    pub(super) fn close(self, engine: &EngineState, code: CloseCode) {
        match self {
            WebSocketHandle::Local(ws) => ws.close(code, ""),
            #[cfg(feature = "workers")]
            WebSocketHandle::Remote(ws) => {
                if let Some(cluster) = engine.cluster() {
                    cluster.close_websocket(ws, Some(code));
                }
            }
        }
    }

    /// Closes the connection at once.
    #[cfg_attr(
        not(feature = "workers"),
        expect(unused_variables, reason = "for workers")
    )]
    pub(super) fn terminate(self, engine: &EngineState) {
        match self {
            WebSocketHandle::Local(ws) => ws.terminate(),
            #[cfg(feature = "workers")]
            WebSocketHandle::Remote(ws) => {
                if let Some(cluster) = engine.cluster() {
                    cluster.close_websocket(ws, None);
                }
            }
        }
    }
}

/// Opens a WebSocket that begins a session.
pub(super) fn begin(mounted: &Rc<Mounted>, sid: SessionId, req: &Request) -> Reply {
    let handshake = Handshake::of(req);
    let this = Rc::clone(mounted);
    let accept = Accept::new(move |ws: WebSocket| {
        if this.engine.is_full() {
            return ws.close(CloseCode::TRY_AGAIN, "");
        }
        let state = ClientState::open(&this, sid, Transport::WebSocket, handshake);
        let opened = state.and_then(|state| Some((state.client()?, state)));
        match opened {
            Some((client, state)) => {
                attach(client, &state, ws);
                state.input(Input::Flush);
                state.start();
            }
            None => ws.close(CloseCode::TRY_AGAIN, ""),
        }
    });
    let response = mounted.upgrader.upgrade(req, accept);
    mounted.reply(req, response, Stage::First)
}

/// Opens a WebSocket that a session is upgraded to. It is closed if the session is not, or no longer, one that can be upgraded.
pub(super) fn upgrade(mounted: &Rc<Mounted>, client: Client, req: &Request) -> Reply {
    let accept = Accept::new(move |ws: WebSocket| {
        match client.state().filter(|state| state.session().can_upgrade()) {
            Some(state) => {
                attach(client, &state, ws);
                state.input(Input::WebSocketOpened);
            }
            None => ws.close(CloseCode::NO_STATUS, ""),
        }
    });
    let response = mounted.upgrader.upgrade(req, accept);
    mounted.reply(req, response, Stage::Later)
}

/// Makes a WebSocket that of a session, which gets its events.
fn attach(client: Client, state: &ClientState, ws: WebSocket) {
    let handle = WebSocketHandle::Local(ws);
    state.set_websocket(handle);
    // A session that has closed its WebSocket, or got another one, hears no more of it.
    let of = move || {
        client
            .state()
            .filter(|state| state.websocket() == Some(handle))
    };
    ws.on(WebSocket::MESSAGE, move |message: Message| {
        if let Some(state) = of() {
            state.websocket_message(message);
        }
    });
    ws.on(WebSocket::DRAIN, move |()| {
        if let Some(state) = of() {
            state.input(Input::WebSocketDrained);
        }
    });
    ws.on(WebSocket::ERROR, move |error: Error| {
        if let Some(state) = of()
            && matches!(error, Error::Protocol(_))
        {
            state.input(Input::WebSocketFailed);
        }
    });
    ws.on(WebSocket::CLOSE, move |_: Closed| {
        if let Some(state) = of() {
            state.input(Input::WebSocketClosed);
        }
    });
}
