//! Connections and streams that were upgraded to another protocol.
//!
//! A connection costs eight bytes while the server runs: closed ones are removed when the list has doubled. Once the server has
//! stopped, each gets a `close` listener that counts it down. A stream of HTTP/2 costs nothing, because it ends with its connection,
//! which is not upgraded and counts as open.

use std::cell::{Cell, RefCell};

use uptick_socket::Connection;

/// Minimum length of the list before it is searched for closed connections.
const SHORTEST: usize = 64;

/// The upgraded connections and streams.
#[derive(Default)]
pub(crate) struct Upgraded {
    pub(super) list: RefCell<Vec<Connection>>,
    /// The length at which closed connections are removed.
    full_at: Cell<usize>,
    /// Number of open connections, once each of them has a `close` listener.
    pub(super) watched: Cell<Option<usize>>,
    /// Number of open streams.
    pub(super) streams: Cell<usize>,
}

impl Upgraded {
    /// Returns the number of open upgraded connections.
    pub(crate) fn open_connections(&self) -> usize {
        self.watched.get().unwrap_or_else(|| self.prune())
    }

    pub(super) fn prune(&self) -> usize {
        let mut list = self.list.borrow_mut();
        list.retain(|conn| conn.is_open());
        self.full_at.set((2 * list.len()).max(SHORTEST));
        list.len()
    }

    pub(super) fn push(&self, conn: Connection) {
        if self.list.borrow().len() >= self.full_at.get() {
            self.prune();
        }
        self.list.borrow_mut().push(conn);
    }
}
