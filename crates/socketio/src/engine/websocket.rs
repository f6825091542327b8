//! WebSockets: those that begin a session, and those that a session is upgraded to.

use std::rc::Rc;

use uptick_emitter::Emitter;
use uptick_http::{Reply, Request};
use uptick_websocket::{Accept, CloseCode, Closed, Error, Message, WebSocket};

use super::client::Client;
use super::handshake::Handshake;
use super::hooks::Stage;
use super::mounted::Mounted;
use super::session_id::SessionId;
use super::state::ClientState;
use crate::protocol::session::{Input, Transport};

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
    state.set_websocket(ws);
    // A session that has closed its WebSocket, or got another one, hears no more of it.
    let of = move || client.state().filter(|state| state.websocket() == Some(ws));
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
