//! Options of a single emission to a client.

use std::time::Duration;

use uptick_websocket::Sent;

use super::{PendingAck, Socket};
use crate::error::AckError;
use crate::{FromArguments, Promise, ToArguments};

/// A single emission to one client with options, returned by [`Socket::volatile`] and [`Socket::timeout`].
///
/// # Examples
///
/// ```
/// use uptick_socketio::Socket;
///
/// fn position(socket: Socket, x: f64, y: f64) {
///     socket.volatile().emit("position", &(x, y));
/// }
/// ```
#[derive(Clone, Copy, Debug)]
#[must_use = "nothing is sent until `emit` is called"]
pub struct Emission {
    socket: Socket,
    volatile: bool,
    timeout: Option<Duration>,
}

impl Emission {
    pub(super) fn of(socket: Socket) -> Emission {
        Emission {
            socket,
            volatile: false,
            timeout: None,
        }
    }

    /// Drops the event if it cannot be written immediately.
    pub fn volatile(mut self) -> Emission {
        self.volatile = true;
        self
    }

    /// Sets the time within which the client must acknowledge.
    pub fn timeout(mut self, timeout: Duration) -> Emission {
        self.timeout = Some(timeout);
        self
    }

    /// Sends an event; see [`Socket::emit`].
    pub fn emit<A: ToArguments + ?Sized>(self, event: &str, arguments: &A) -> Sent {
        let state = self.socket.state();
        state.map_or(Sent::Dropped, |state| {
            state.emit(event, arguments, self.volatile)
        })
    }

    /// Sends an event, and returns the acknowledgement of the client; see [`Socket::emit_with_ack`].
    ///
    /// # Errors
    ///
    /// Returns [`AckError`] if the client does not acknowledge in time, disconnects, or sends arguments that do not fit the type.
    pub fn emit_with_ack<T: FromArguments + 'static, A: ToArguments + ?Sized>(
        self,
        event: &str,
        arguments: &A,
    ) -> Promise<Result<T, AckError>> {
        let (promise, resolver) = Promise::pending();
        let callback: PendingAck = Box::new(move |acknowledged| {
            resolver.resolve(acknowledged.and_then(|arguments| {
                T::from_arguments(&arguments)
                    .map_err(|error| AckError::Arguments(error.to_string()))
            }));
        });
        match self.socket.state() {
            Some(state) => {
                state.emit_awaiting(event, arguments, self.volatile, self.timeout, callback)
            }
            None => callback(Err(AckError::Disconnected)),
        }
        promise
    }
}
