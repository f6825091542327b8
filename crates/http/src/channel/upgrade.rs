//! The callback of an upgrade.

use std::fmt;

use uptick_socket::Connection;

use super::handle::Channel;

/// The callback for the channel of another protocol.
pub struct Upgrade(Callback);

enum Callback {
    Connection(Box<dyn FnOnce(Connection)>),
    Channel(Box<dyn FnOnce(Channel)>),
}

impl Upgrade {
    pub(crate) fn of_connection(f: impl FnOnce(Connection) + 'static) -> Self {
        Upgrade(Callback::Connection(Box::new(f)))
    }

    pub(crate) fn of_channel(f: impl FnOnce(Channel) + 'static) -> Self {
        Upgrade(Callback::Channel(Box::new(f)))
    }

    /// Returns whether the callback needs a [`Connection`].
    pub(crate) fn needs_connection(&self) -> bool {
        matches!(self.0, Callback::Connection(_))
    }

    /// Calls the callback; a channel that is not the connection it needs is closed.
    pub(crate) fn run(self, channel: Channel) {
        match (self.0, channel.connection()) {
            (Callback::Channel(f), _) => f(channel),
            (Callback::Connection(f), Some(conn)) => f(conn),
            (Callback::Connection(_), None) => channel.close(),
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgrade").finish()
    }
}
