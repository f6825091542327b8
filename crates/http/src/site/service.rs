//! The state that the connections of a server share.

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::rc::Rc;

use uptick_socket::Connection;

use super::Site;
use super::drain::Drain;
use super::upgraded::Upgraded;

/// The state that the connections of a server share: its site and its counts.
#[derive(Default)]
pub(crate) struct Service {
    site: RefCell<Rc<Site>>,
    open: Cell<usize>,
    connections: Cell<u64>,
    requests: Cell<u64>,
    pub(super) upgraded: Upgraded,
    /// The shutdown under way.
    pub(super) drain: RefCell<Option<Drain>>,
    /// No connection is accepted any more.
    pub(crate) stopped: Cell<bool>,
}

impl Service {
    /// Returns the site as it is now.
    #[inline]
    pub(crate) fn site(&self) -> Rc<Site> {
        Rc::clone(&self.site.borrow())
    }

    /// Borrows the site as it is now; nothing may configure it meanwhile.
    #[inline]
    pub(crate) fn borrow_site(&self) -> Ref<'_, Rc<Site>> {
        self.site.borrow()
    }

    /// Changes the site for what begins from now on. It is copied if requests have it.
    pub(crate) fn configure<R>(&self, f: impl FnOnce(&mut Site) -> R) -> R {
        f(Rc::make_mut(&mut self.site.borrow_mut()))
    }

    /// Returns the number of open connections, those of other protocols included.
    pub(crate) fn open_connections(&self) -> usize {
        self.open.get() + self.upgraded.open()
    }

    /// Returns the number of open connections that other protocols have taken over.
    pub(crate) fn open_upgrades(&self) -> usize {
        self.upgraded.open()
    }

    /// Returns the number of connections that were opened.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.get()
    }

    /// Returns the number of requests that were passed to the site.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// Counts a new connection, and sets its limits.
    pub(crate) fn opened(&self, conn: Connection) {
        self.open.set(self.open.get() + 1);
        self.connections.set(self.connections.get() + 1);
        let site = self.site();
        if let Some(limit) = site.settings.write_timeout {
            conn.set_write_timeout(limit);
        }
        if let Some(time) = site.settings.linger {
            conn.set_linger(time);
        }
    }

    #[inline]
    pub(super) fn count_request(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// A connection goes on with another protocol.
    pub(crate) fn upgraded(self: &Rc<Self>, conn: Connection) {
        self.add_upgraded(conn);
        if let Some(observer) = &self.site().hooks.observer {
            observer.upgraded(conn);
        }
    }

    /// A connection is gone.
    pub(crate) fn closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.notify_closed();
    }

    /// Notifies the observer of the end of a connection, if it waits for that.
    pub(super) fn notify_closed(&self) {
        if self.stopped.get()
            && let Some(observer) = &self.site().hooks.observer
        {
            observer.closed();
        }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}
