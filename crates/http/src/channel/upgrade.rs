//! The callback of an upgrade.

use std::fmt;

use uptick_socket::Connection;

use super::handle::Channel;

/// The callback that receives the channel after an upgrade.
pub struct Upgrade(UpgradeCallback);

enum UpgradeCallback {
    Connection(Box<dyn FnOnce(Connection)>),
    Channel(Box<dyn FnOnce(Channel)>),
}

impl Upgrade {
    pub(crate) fn of_connection(f: impl FnOnce(Connection) + 'static) -> Self {
        Upgrade(UpgradeCallback::Connection(Box::new(f)))
    }

    pub(crate) fn of_channel(f: impl FnOnce(Channel) + 'static) -> Self {
        Upgrade(UpgradeCallback::Channel(Box::new(f)))
    }

    /// Returns `true` if the callback needs a [`Connection`].
    pub(crate) fn needs_connection(&self) -> bool {
        matches!(self.0, UpgradeCallback::Connection(_))
    }

    /// Calls the callback. If it needs a connection and the channel has none, the channel is closed.
    pub(crate) fn run(self, channel: Channel) {
        match (self.0, channel.connection()) {
            (UpgradeCallback::Channel(f), _) => f(channel),
            (UpgradeCallback::Connection(f), Some(conn)) => f(conn),
            (UpgradeCallback::Connection(_), None) => channel.close(),
        }
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upgrade").finish()
    }
}
