//! Event delivery: to listeners, or to a handler.

use std::rc::Rc;

use uptick_emitter::{emit, emit_frequent};

use super::handle::{Closed, WebSocket};
use super::state::{SocketFlags, WebSocketSession, session};
use crate::error::Error;
use crate::message::Message;

/// A receiver of the events of a WebSocket in place of listeners, for protocols with many connections on top of WebSockets.
///
/// An idle WebSocket with a handler needs less memory than one with listeners, because many WebSockets can share one
/// handler. Listeners of `message`, `drain`, `error` and `close` are not called; listeners of other events are.
///
/// # Examples
/// ```
/// use std::rc::Rc;
/// use uptick_http::HttpServer;
/// use uptick_websocket::{Closed, Error, Message, WebSocket, WebSocketHandler, WebSocketRoutes};
///
/// struct Echo;
///
/// impl WebSocketHandler for Echo {
///     fn message(&self, ws: WebSocket, message: Message) {
///         ws.send(message);
///     }
///     fn drain(&self, _: WebSocket) {}
///     fn error(&self, _: WebSocket, error: Error) {
///         println!("{error}");
///     }
///     fn close(&self, _: WebSocket, _: Closed) {}
/// }
///
/// let (http, echo) = (HttpServer::new(), Rc::new(Echo));
/// http.websocket("/echo", move |ws: WebSocket| ws.set_handler(echo.clone()));
/// ```
pub trait WebSocketHandler {
    /// Called when a message was received.
    fn message(&self, ws: WebSocket, message: Message);

    /// Called when the write queue has been sent, after [`send`](WebSocket::send) returned [`Sent::Buffered`](crate::Sent::Buffered).
    fn drain(&self, ws: WebSocket);

    /// Called when an error occurred.
    fn error(&self, ws: WebSocket, error: Error);

    /// Called when the WebSocket has closed; the last call.
    fn close(&self, ws: WebSocket, closed: Closed);
}

impl WebSocket {
    /// Sets a handler that receives events in place of the listeners. It is dropped after `close`. Default: none.
    pub fn set_handler(self, handler: Rc<dyn WebSocketHandler>) {
        let previous = session(self).map(|ws| {
            ws.insert(SocketFlags::HANDLER);
            ws.with(|parts| parts.handler.replace(handler))
        });
        // Dropped after the borrow, because its destructor may use the WebSocket.
        drop(previous);
    }
}

impl WebSocketSession {
    fn handler(&self) -> Option<Rc<dyn WebSocketHandler>> {
        match self.has(SocketFlags::HANDLER) {
            true => self.with(|parts| parts.handler.clone()),
            false => None,
        }
    }

    #[inline]
    pub(super) fn emit_message(&self, message: Message) {
        if !self.has(SocketFlags::HANDLER) {
            emit_frequent(self, WebSocket::MESSAGE, message);
        } else if let Some(handler) = self.handler() {
            handler.message(WebSocket::of(self.channel), message);
        }
    }

    pub(super) fn emit_drain(&self) {
        match self.handler() {
            Some(handler) => handler.drain(WebSocket::of(self.channel)),
            None => drop(emit(self, WebSocket::DRAIN, ())),
        }
    }

    pub(super) fn emit_error(&self, error: Error) {
        match self.handler() {
            Some(handler) => handler.error(WebSocket::of(self.channel), error),
            None => drop(emit(self, WebSocket::ERROR, error)),
        }
    }

    pub(super) fn emit_close(&self, closed: Closed) {
        match self.handler() {
            Some(handler) => handler.close(WebSocket::of(self.channel), closed),
            None => drop(emit(self, WebSocket::CLOSE, closed)),
        }
    }
}
