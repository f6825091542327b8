//! The connections that other protocols have taken over from HTTP.
//!
//! They cost eight bytes each while the server serves: closed ones are found when the list has doubled. Once the server has stopped, each of
//! them gets a `close` listener, and they are counted down.

use std::cell::{Cell, RefCell};

use uptick_socket::Connection;

/// The shortest list that is searched for closed connections before it grows.
const SHORTEST: usize = 64;

/// The connections that other protocols have taken over.
#[derive(Default)]
pub(crate) struct Upgraded {
    pub(super) list: RefCell<Vec<Connection>>,
    /// The length at which closed connections are removed.
    full_at: Cell<usize>,
    /// The number of open ones, when each of them has a `close` listener.
    pub(super) watched: Cell<Option<usize>>,
}

impl Upgraded {
    /// Returns the number of open connections.
    pub(crate) fn open(&self) -> usize {
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
