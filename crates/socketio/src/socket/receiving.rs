//! Received events, on their way to the listeners.
//!
//! Cost of an event: it is scanned once, and its arguments are parsed by the listener. The listeners are found by their names; nothing is looked up elsewhere.

use std::rc::Rc;

use super::{AckContext, SocketState};
use crate::listeners::{Received, emit};
use crate::protocol::Value;
use crate::protocol::packet::Arguments;

impl SocketState {
    /// Handles an event of the client: catch-all listeners, middleware, then the listeners of its name.
    pub(crate) fn on_event(&self, name: &str, arguments: Arguments, id: Option<u64>) {
        let context = match id {
            Some(id) => AckContext::Client {
                socket: self.handle(),
                id,
            },
            None => AckContext::None,
        };
        let received = Received {
            name,
            arguments: &arguments,
            context,
        };
        if self.rare.borrow().is_some() && !self.passes(&received) {
            return;
        }
        // Those are events of this side, whatever clients send.
        if matches!(name, "drain" | "error") {
            return;
        }
        emit(&self.listeners, Some(name), &received);
    }

    /// Calls catch-all listeners and middleware; returns whether the event goes on.
    fn passes(&self, received: &Received<'_, AckContext>) -> bool {
        let any = self.if_rare(|rare| Rc::clone(&rare.any));
        if let Some(any) = any {
            emit(&any, None, received);
        }
        let middlewares = self.if_rare(|rare| rare.middlewares.clone());
        for middleware in middlewares.unwrap_or_default() {
            if let Err(refusal) = middleware(received.name, received.arguments) {
                self.report(Value::of(&refusal).unwrap_or_default(), &refusal);
                return false;
            }
        }
        self.is_connected()
    }

    /// Emits `error`; without a listener, the error is logged.
    pub(super) fn report(&self, payload: Value, error: &dyn std::fmt::Display) {
        let arguments = Arguments::of_values(vec![payload]);
        if !self.emit_local("error", &arguments) {
            tracing::debug!("an event of a client was dropped: {error}");
        }
    }
}
