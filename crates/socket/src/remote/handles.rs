//! The [`RemoteHandle`] implementations of this crate.

use uptick_emitter::Emitter;

use super::{RemoteHandle, Resume};
use crate::connection::Connection;
use crate::server::ServerInterface;

impl RemoteHandle for Connection {
    fn is_open(self) -> bool {
        Connection::is_open(self)
    }

    fn close(self) {
        Connection::close(self);
    }

    fn on_close(self, mut callback: impl FnMut() + 'static) {
        self.once(Connection::CLOSE, move |()| callback());
    }

    fn describe(self) -> String {
        let peer = self.remote_address().unwrap_or_default();
        format!("the connection with {peer}")
    }

    fn on_writable(self, resume: Resume) {
        // `resume` is dropped with the listener: after `drain`, or when the connection closes.
        self.once(Connection::DRAIN, move |()| {
            let _ = &resume;
        });
    }

    fn callback_panicked(self, message: &str) {
        self.panicked(message);
    }
}

impl<S: ServerInterface> RemoteHandle for S {
    fn is_open(self) -> bool {
        self.with_listeners(|_| ()).is_some()
    }

    fn close(self) {
        ServerInterface::close(self);
    }

    fn on_close(self, mut callback: impl FnMut() + 'static) {
        self.once(S::CLOSE, move |()| callback());
    }

    fn describe(self) -> String {
        let uri = self.address().unwrap_or_default();
        format!("the server {uri}")
    }
}
