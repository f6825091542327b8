//! WebSockets that open a session or upgrade one.

use std::rc::Rc;

use uptick_http::{Reply, Request};
use uptick_websocket::{
    Accept, CloseCode, Closed, Error, Message, Payload, Sent, WebSocket, WebSocketHandler,
};

use super::client::Client;
#[cfg(feature = "workers")]
use super::cluster::RemoteWebSocket;
use super::handshake::Handshake;
use super::hooks::ResponseStage;
use super::mounted::MountedEngine;
use super::server::EngineState;
use super::session_id::SessionId;
use super::state::ClientState;
use crate::protocol::session::{Input, Transport};

/// A WebSocket of a session.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum WebSocketHandle {
    /// A WebSocket whose connection is in this worker.
    Local(WebSocket),
    /// A WebSocket whose connection is in another worker.
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

    /// Closes the WebSocket.
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

    /// Closes the connection immediately.
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

/// Accepts a WebSocket that opens a session.
pub(super) fn begin(mounted: &Rc<MountedEngine>, sid: SessionId, req: &Request) -> Reply {
    let handshake = Handshake::of(req);
    let this = Rc::clone(mounted);
    let accept = Accept::new(move |ws: WebSocket| {
        if this.engine.is_full() {
            return ws.close(CloseCode::TRY_AGAIN, "");
        }
        let state = ClientState::open(&this, sid, Transport::WebSocket, handshake);
        match state {
            Some(state) => {
                attach(&state, ws);
                state.input(Input::Flush);
                state.start();
            }
            None => ws.close(CloseCode::TRY_AGAIN, ""),
        }
    });
    let response = mounted.upgrader.upgrade(req, accept);
    mounted.reply(req, response, ResponseStage::Handshake)
}

/// Accepts a WebSocket that upgrades a session. It is closed if the session can no longer be upgraded.
pub(super) fn upgrade(mounted: &Rc<MountedEngine>, client: Client, req: &Request) -> Reply {
    let accept = Accept::new(move |ws: WebSocket| {
        match client.state().filter(|state| state.session().can_upgrade()) {
            Some(state) => {
                attach(&state, ws);
                state.input(Input::WebSocketOpened);
            }
            None => ws.close(CloseCode::NO_STATUS, ""),
        }
    });
    let response = mounted.upgrader.upgrade(req, accept);
    mounted.reply(req, response, ResponseStage::Other)
}

/// Attaches a WebSocket to a session, which receives its events.
fn attach(state: &Rc<ClientState>, ws: WebSocket) {
    state.set_websocket(WebSocketHandle::Local(ws));
    ws.set_handler(Rc::<ClientState>::clone(state));
}

impl ClientState {
    /// Returns `true` if the WebSocket belongs to the session. Events of a closed or replaced WebSocket are ignored.
    fn has(&self, ws: WebSocket) -> bool {
        self.websocket() == Some(WebSocketHandle::Local(ws))
    }
}

impl WebSocketHandler for ClientState {
    #[inline]
    fn message(&self, ws: WebSocket, message: Message) {
        if self.has(ws) {
            self.websocket_message(message);
        }
    }

    fn drain(&self, ws: WebSocket) {
        if self.has(ws) {
            self.input(Input::WebSocketDrained);
        }
    }

    fn error(&self, ws: WebSocket, error: Error) {
        if self.has(ws) && matches!(error, Error::Protocol(_)) {
            self.input(Input::WebSocketFailed);
        }
    }

    fn close(&self, ws: WebSocket, _: Closed) {
        if self.has(ws) {
            self.input(Input::WebSocketClosed);
        }
    }
}
