//! Access to WebSockets from other threads.

use uptick_emitter::Emitter;
use uptick_socket::{Remote, RemoteHandle};

use super::handle::{Closed, WebSocket};
use crate::protocol::CloseCode;

impl WebSocket {
    /// Returns a handle to the WebSocket for other threads. Its `close` closes with the code 1000.
    ///
    /// To send a message to many WebSockets from another thread, see [`Hub::publisher`](crate::Hub::publisher).
    ///
    /// # Examples
    /// ```
    /// use std::thread;
    /// use uptick_websocket::WebSocket;
    ///
    /// fn open(ws: WebSocket) {
    ///     let remote = ws.remote();
    ///     thread::spawn(move || {
    ///         // Returns an error if the WebSocket is closed.
    ///         remote.post(|ws| ws.send("from another thread"))
    ///     });
    /// }
    /// ```
    pub fn remote(self) -> Remote<WebSocket> {
        Remote::new(self)
    }
}

impl RemoteHandle for WebSocket {
    fn is_open(self) -> bool {
        WebSocket::is_open(self)
    }

    fn close(self) {
        WebSocket::close(self, CloseCode::NORMAL, "");
    }

    fn on_close(self, mut callback: impl FnMut() + 'static) {
        self.once(WebSocket::CLOSE, move |_: Closed| callback());
    }

    fn describe(self) -> String {
        match self.connection().and_then(|conn| conn.remote_address()) {
            Some(peer) => format!("the WebSocket with {peer}"),
            None => "the WebSocket".into(),
        }
    }
}
