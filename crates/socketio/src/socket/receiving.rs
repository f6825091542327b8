//! Delivery of received events to the listeners.
//!
//! Cost of an event: it is scanned once, and the listener parses its arguments. The listeners are found by the name of the event, without other lookups.

use std::rc::Rc;

use super::{AckContext, SocketState};
use crate::listeners::{ReceivedEvent, emit};
use crate::protocol::Value;
use crate::protocol::packet::Arguments;

impl SocketState {
    /// Handles an event from the client: calls the catch-all listeners, the middleware, and then the listeners of its name.
    pub(crate) fn on_event(&self, name: &str, arguments: Arguments, id: Option<u64>) {
        let context = match id {
            Some(id) => AckContext::Client {
                socket: self.handle(),
                id,
            },
            None => AckContext::None,
        };
        let received = ReceivedEvent {
            name,
            arguments: &arguments,
            context,
        };
        if self.optional.borrow().is_some() && !self.passes(&received) {
            return;
        }
        // These names are reserved for events of the server.
        if matches!(name, "drain" | "error") {
            return;
        }
        emit(&self.listeners, Some(name), &received);
    }

    /// Calls the catch-all listeners and the middleware. Returns `true` if the event is accepted.
    fn passes(&self, received: &ReceivedEvent<'_, AckContext>) -> bool {
        let any = self.if_optional(|optional| Rc::clone(&optional.any));
        if let Some(any) = any {
            emit(&any, None, received);
        }
        let middlewares = self.if_optional(|optional| optional.middlewares.clone());
        for middleware in middlewares.unwrap_or_default() {
            if let Err(refusal) = middleware(received.name, received.arguments) {
                self.report(Value::of(&refusal).unwrap_or_default(), &refusal);
                return false;
            }
        }
        self.is_connected()
    }

    /// Emits `error`. Without a listener, the error is logged.
    pub(super) fn report(&self, payload: Value, error: &dyn std::fmt::Display) {
        let arguments = Arguments::of_values(vec![payload]);
        if !self.emit_local("error", &arguments) {
            tracing::debug!("an event of a client was dropped: {error}");
        }
    }
}
