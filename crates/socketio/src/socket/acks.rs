//! Acknowledgements in both directions.

use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::{Timer, add_timer, catch};

use super::{Socket, SocketState};
use crate::error::AckError;
use crate::protocol::packet::Arguments;
use crate::{Namespace, ToArguments};

/// The callback of a pending acknowledgement.
pub(crate) type PendingAck = Box<dyn FnOnce(Result<Arguments, AckError>)>;

/// The pending acknowledgements of a client.
#[derive(Default)]
pub(crate) struct PendingAcks {
    pending: HashMap<u64, (PendingAck, Timer)>,
}

impl PendingAcks {
    pub(super) fn take(&mut self) -> PendingAcks {
        std::mem::take(self)
    }

    /// Calls all callbacks with [`AckError::Disconnected`].
    pub(super) fn fail(self) {
        for (callback, timer) in self.pending.into_values() {
            timer.cancel();
            if let Err(message) = catch(|| callback(Err(AckError::Disconnected))) {
                tracing::error!("an acknowledgement callback panicked: {message}");
            }
        }
    }
}

impl SocketState {
    /// Waits for an acknowledgement. If that is not possible, calls the callback with an error and returns `false`.
    pub(crate) fn await_ack(&self, id: u64, timeout: Duration, callback: PendingAck) -> bool {
        let limit = self
            .namespace
            .server()
            .map_or(0, |server| server.options.max_pending_acks);
        let pending = self
            .if_optional(|optional| optional.acks.pending.len())
            .unwrap_or_default();
        if !self.is_connected() {
            callback(Err(AckError::Disconnected));
            return false;
        }
        if pending >= limit {
            callback(Err(AckError::TooMany { limit }));
            return false;
        }
        let socket = self.handle();
        let timer = add_timer(timeout, move || {
            let state = SocketState::of(socket);
            let taken = state.and_then(|state| state.take_ack(id));
            if let Some((callback, _)) = taken {
                callback(Err(AckError::Timeout));
            }
        });
        self.with_optional(|optional| optional.acks.pending.insert(id, (callback, timer)));
        true
    }

    fn take_ack(&self, id: u64) -> Option<(PendingAck, Timer)> {
        self.if_optional(|optional| {
            let taken = optional.acks.pending.remove(&id);
            if optional.acks.pending.is_empty() {
                optional.acks.pending.shrink_to(8);
            }
            taken
        })?
    }

    /// Stops waiting for an acknowledgement, because the packet was not sent.
    pub(crate) fn cancel_ack(&self, id: u64) {
        if let Some((callback, timer)) = self.take_ack(id) {
            timer.cancel();
            callback(Err(AckError::NotSent));
        }
    }

    /// Handles an acknowledgement from the client. One with an unknown id is ignored.
    pub(crate) fn on_ack(&self, id: u64, arguments: Arguments) {
        if let Some((callback, timer)) = self.take_ack(id) {
            timer.cancel();
            callback(Ok(arguments));
        }
    }
}

/// The sender of an event that requests an acknowledgement.
#[derive(Clone, Debug)]
pub(crate) enum AckContext {
    /// No acknowledgement is requested.
    None,
    /// A client.
    Client { socket: Socket, id: u64 },
    /// Another server.
    Server {
        namespace: Namespace,
        server: Rc<str>,
        request: Rc<str>,
    },
}

/// The acknowledgement of a received event. It can be sent once, immediately or later.
///
/// It is not sent if the sender did not request an acknowledgement, or has disconnected.
pub struct Ack {
    context: AckContext,
}

impl Ack {
    pub(crate) fn of(context: AckContext) -> Ack {
        Ack { context }
    }

    /// Returns `true` if the sender requested an acknowledgement.
    pub fn is_requested(&self) -> bool {
        !matches!(self.context, AckContext::None)
    }

    /// Sends the acknowledgement. A tuple is sent as several arguments, any other value as one.
    ///
    /// If a value cannot be serialized, the error is logged and nothing is sent.
    pub fn send<A: ToArguments + ?Sized>(self, arguments: &A) {
        match self.context {
            AckContext::None => {}
            AckContext::Client { socket, id } => {
                if let Some(socket) = SocketState::of(socket) {
                    socket.acknowledge(id, arguments);
                }
            }
            AckContext::Server {
                namespace,
                server,
                request,
            } => {
                if let Some(namespace) = namespace.state() {
                    namespace.acknowledge_server(&server, &request, arguments);
                }
            }
        }
    }
}

impl fmt::Debug for Ack {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ack")
            .field("wanted", &self.is_requested())
            .finish()
    }
}
