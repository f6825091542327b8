//! The state shared by the connections of a server.

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::Histogram;
use uptick_socket::Connection;

use super::Site;
use super::shutdown_state::ShutdownState;
use super::upgraded::Upgraded;
use crate::{Channel, StatusCode};

/// The state shared by the connections of a server: the site and the counters.
#[derive(Default)]
pub(crate) struct Service {
    site: RefCell<Rc<Site>>,
    open: Cell<usize>,
    connections: Cell<u64>,
    requests: Cell<u64>,
    http2_connections: Cell<u64>,
    http2_requests: Cell<u64>,
    upgrades: Cell<u64>,
    /// Number of responses with status 200 that took the fast path.
    successes: Cell<u64>,
    /// Numbers of all other responses, by the first digit of the status.
    responses: [Cell<u64>; 6],
    /// The times taken by handlers.
    handler_time: RefCell<Histogram>,
    pub(super) upgraded: Upgraded,
    /// The shutdown in progress.
    pub(super) drain: RefCell<Option<ShutdownState>>,
    /// `true` if one connection is served at a time.
    sequential: Cell<bool>,
    /// `true` once a shutdown is announced or in progress.
    pub(crate) unready: Cell<bool>,
    /// `true` once no more connections are accepted.
    pub(crate) stopped: Cell<bool>,
}

impl Service {
    /// Returns the current site.
    #[inline]
    pub(crate) fn site(&self) -> Rc<Site> {
        Rc::clone(&self.site.borrow())
    }

    /// Borrows the current site, which must not be configured during the borrow.
    #[inline]
    pub(crate) fn borrow_site(&self) -> Ref<'_, Rc<Site>> {
        self.site.borrow()
    }

    /// Changes the site for subsequent requests. It is copied if requests use it.
    pub(crate) fn configure<R>(&self, f: impl FnOnce(&mut Site) -> R) -> R {
        let mut site = self.site.borrow_mut();
        let site = Rc::make_mut(&mut site);
        let result = f(site);
        site.hooks.update();
        result
    }

    /// Returns the number of open connections, including upgraded ones.
    pub(crate) fn open_connections(&self) -> usize {
        // The connection of an upgraded stream is not upgraded itself.
        self.open.get() + self.upgraded.open_connections()
    }

    /// Returns the number of open upgraded connections and streams.
    pub(crate) fn open_upgrades(&self) -> usize {
        self.upgraded.open_connections() + self.upgraded.streams.get()
    }

    /// Sets whether one connection is served at a time.
    pub(crate) fn set_sequential(self: &Rc<Self>, sequential: bool) {
        self.sequential.set(sequential);
        if sequential {
            self.watch_upgraded();
        }
    }

    /// Returns `true` if one connection, and one request, is served at a time.
    pub(crate) fn is_sequential(&self) -> bool {
        self.sequential.get()
    }

    /// Returns `true` if a new connection must wait for an open one.
    pub(crate) fn is_occupied(&self) -> bool {
        self.sequential.get() && self.open_connections() > 0
    }

    /// Returns the number of opened connections.
    pub(crate) fn connections(&self) -> u64 {
        self.connections.get()
    }

    /// Returns the number of requests passed to the site.
    pub(crate) fn requests(&self) -> u64 {
        self.requests.get()
    }

    /// Returns the number of connections that were served with HTTP/2.
    pub(crate) fn http2_connections(&self) -> u64 {
        self.http2_connections.get()
    }

    /// Returns the number of requests of HTTP/2.
    pub(crate) fn http2_requests(&self) -> u64 {
        self.http2_requests.get()
    }

    /// Returns the number of upgraded connections and streams.
    pub(crate) fn upgrades(&self) -> u64 {
        self.upgrades.get()
    }

    /// Returns the number of responses whose status starts with the digit `class`, 2 to 5.
    pub(crate) fn responses(&self, class: usize) -> u64 {
        let usual = match class {
            2 => self.successes.get(),
            _ => 0,
        };
        usual + self.responses.get(class).map_or(0, Cell::get)
    }

    /// Counts a response with status 200.
    #[inline]
    pub(crate) fn count_success(&self) {
        self.successes.set(self.successes.get() + 1);
    }

    /// Counts a response. Interim responses are not counted.
    pub(crate) fn count_response(&self, status: StatusCode) {
        if let Some(count) = self.responses.get(usize::from(status.as_u16() / 100)) {
            count.set(count.get() + 1);
        }
    }

    /// Returns the times taken by handlers, if they are measured.
    pub(crate) fn handler_time(&self) -> Histogram {
        *self.handler_time.borrow()
    }

    /// Records the time taken by a handler.
    pub(crate) fn handled_in(&self, time: Duration) {
        self.handler_time.borrow_mut().observe(time);
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
        if self.sequential.get()
            && let Some(observer) = &site.hooks.observer
        {
            observer.opened();
        }
    }

    #[inline]
    pub(super) fn count_request(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// Counts a connection that is served with HTTP/2, after [`opened`](Service::opened).
    pub(crate) fn count_http2_connection(&self) {
        self.http2_connections.set(self.http2_connections.get() + 1);
    }

    /// Counts a request of HTTP/2, in addition to [`count_request`](Service::count_request).
    #[inline]
    pub(crate) fn count_http2_request(&self) {
        self.http2_requests.set(self.http2_requests.get() + 1);
    }

    /// Handles the upgrade of a connection, or of a stream of one, to another protocol. The end of an upgraded stream is reported with
    /// [`upgraded_stream_closed`](Service::upgraded_stream_closed).
    pub(crate) fn upgraded(self: &Rc<Self>, channel: Channel) {
        self.upgrades.set(self.upgrades.get() + 1);
        match channel.connection() {
            Some(conn) => self.add_upgraded(conn),
            None => self.upgraded.streams.set(self.upgraded.streams.get() + 1),
        }
        if let Some(observer) = &self.site().hooks.observer {
            observer.upgraded(channel);
        }
    }

    /// Handles the close of an upgraded stream. Its connection is still open.
    pub(crate) fn upgraded_stream_closed(&self) {
        let open = self.upgraded.streams.get();
        self.upgraded.streams.set(open.saturating_sub(1));
    }

    /// Handles the close of a connection.
    pub(crate) fn closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        self.notify_closed();
    }

    /// Notifies the observer of the end of a connection, if it waits for that.
    pub(super) fn notify_closed(&self) {
        if (self.stopped.get() || self.sequential.get())
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
