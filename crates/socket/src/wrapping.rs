//! What servers that wrap servers have in common: for those who write one.
//!
//! A wrapper is a `Copy` handle to an entry in a table, in which it keeps a [`Wrapped`]. When it is made it takes the three
//! events of the wrapped server, and calls [`update`]; then
//!
//! | event | what the wrapper calls |
//! |---|---|
//! | its `listener_added` | [`listener_added`] |
//! | a connection is ready for its listeners | [`announce`] |
//! | something failed | [`report`] |
//! | the wrapped server has closed | [`close_pending`], [`close_held`], [`say_closed`]; then it removes its entry |
//! | `pause` and `resume` of its user | [`set_paused`] |
//!
//! One whose connections wait for something before they are announced keeps a [`Pending`]: it [`make_room`]s,
//! [`begin`](Waiting::begin)s to wait, and [`take`](Waiting::take)s the connection when it is ready.

mod pending;
mod wrapped;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::emit;
use uptick_event_loop::catch;

use crate::error::Error;
use crate::server::{ServerInterface, Shutdown};

pub use pending::{Pending, Waiting, Waits, close_pending, make_room, set_limit, waiting};
pub use wrapped::{
    Intake, Wrapped, Wrapper, announce, close_held, listener_added, set_paused, update,
};

/// The methods of a server, whatever its type: what a wrapper keeps of the server that it wraps.
///
/// Its events are taken before, with [`Emitter::on`](uptick_emitter::Emitter::on).
///
/// # Examples
/// ```
/// use uptick_socket::{Server, ServerControl};
///
/// let server = Server::bind(0)?;
/// let control = ServerControl::new(server);
/// assert_eq!(control.address(), server.address());
/// control.close();
/// assert_eq!(server.address(), None);
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[derive(Clone)]
pub struct ServerControl(Rc<dyn Control>);

impl ServerControl {
    /// Makes the control of a server.
    pub fn new<S: ServerInterface>(server: S) -> Self {
        ServerControl(Rc::new(server))
    }

    /// See [`ServerInterface::address`].
    pub fn address(&self) -> Option<String> {
        self.0.address()
    }

    /// See [`ServerInterface::pause`].
    pub fn pause(&self) {
        self.0.pause();
    }

    /// See [`ServerInterface::resume`].
    pub fn resume(&self) {
        self.0.resume();
    }

    /// See [`ServerInterface::close`].
    pub fn close(&self) {
        self.0.close();
    }

    /// See [`ServerInterface::shutdown`].
    pub fn shutdown(&self, deadline: Duration) -> Shutdown {
        self.0.shutdown(deadline)
    }
}

/// [`ServerInterface`] as far as a trait object can have it.
trait Control {
    fn address(&self) -> Option<String>;
    fn pause(&self);
    fn resume(&self);
    fn close(&self);
    fn shutdown(&self, deadline: Duration) -> Shutdown;
}

impl<S: ServerInterface> Control for S {
    fn address(&self) -> Option<String> {
        ServerInterface::address(*self)
    }

    fn pause(&self) {
        ServerInterface::pause(*self);
    }

    fn resume(&self) {
        ServerInterface::resume(*self);
    }

    fn close(&self) {
        ServerInterface::close(*self);
    }

    fn shutdown(&self, deadline: Duration) -> Shutdown {
        ServerInterface::shutdown(*self, deadline)
    }
}

/// Whether a server still exists, and so will emit `close`.
pub fn exists<S: ServerInterface>(server: S) -> bool {
    server.with_listeners(|_| ()).is_some()
}

/// Emits `error`. What a wrapper has to do next is done even when a listener panics.
pub fn report<S: ServerInterface>(server: S, error: Error) {
    if let Err(message) = catch(|| emit(&server, S::ERROR, error)) {
        tracing::error!("an error callback of a server panicked: {message}");
    }
}

/// Emits `close`.
pub fn say_closed<S: ServerInterface>(server: S) {
    if let Err(message) = catch(|| emit(&server, S::CLOSE, ())) {
        tracing::error!("a close callback of a server panicked: {message}");
    }
}

impl fmt::Debug for ServerControl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerControl")
            .field("address", &self.address())
            .finish()
    }
}
