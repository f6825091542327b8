//! What the connections of a server share.

use std::cell::{Cell, Ref, RefCell};
use std::fmt;
use std::rc::Rc;

use uptick_socket::Connection;

use super::HttpServer;
use super::clients::Clients;
use super::hooks::Hooks;
use super::settings::{Settings, Timeouts};
use super::shutdown::Draining;
use crate::h1::Limits;
use crate::router::{OnError, Routes};
use crate::{Middleware, Reply, Request, TrustedProxies};

/// What the connections of a server share: its routes and its settings.
#[derive(Default)]
pub(crate) struct Service {
    pub(super) server: Cell<Option<HttpServer>>,
    routes: Rc<RefCell<Routes>>,
    pub(super) settings: RefCell<Settings>,
    proxies: RefCell<Option<Rc<TrustedProxies>>>,
    pub(super) hooks: Hooks,
    pub(super) clients: Clients,
    pub(super) rate_limit: RefCell<Option<Middleware>>,
    open: Cell<usize>,
    pub(super) connections: Cell<u64>,
    pub(super) requests: Cell<u64>,
    pub(super) draining: RefCell<Option<Draining>>,
    /// No connection is accepted any more.
    stopped: Cell<bool>,
    /// The deadline of a shutdown is closing connections.
    pub(super) cutting: Cell<bool>,
    /// `close` was emitted.
    ended: Cell<bool>,
}

impl Service {
    pub(super) fn set_server(&self, server: HttpServer) {
        self.server.set(Some(server));
    }

    pub(crate) fn routes(&self) -> &Rc<RefCell<Routes>> {
        &self.routes
    }

    #[inline]
    pub(crate) fn answer(&self, request: Request) -> Reply {
        Routes::answer(&self.routes, request)
    }

    pub(crate) fn on_error(&self) -> Option<OnError> {
        self.routes.borrow().on_error()
    }

    #[inline]
    pub(crate) fn limits(&self) -> Ref<'_, Limits> {
        Ref::map(self.settings.borrow(), |settings| &settings.limits)
    }

    #[inline]
    pub(crate) fn timeouts(&self) -> Ref<'_, Timeouts> {
        Ref::map(self.settings.borrow(), |settings| &settings.timeouts)
    }

    #[inline]
    pub(crate) fn drain_limit(&self) -> u32 {
        self.settings.borrow().drain_limit
    }

    /// Gives a connection the limits that the server has for all of its own.
    pub(crate) fn limit_connection(&self, conn: Connection) {
        let settings = self.settings.borrow();
        if let Some(limit) = settings.write_timeout {
            conn.set_write_timeout(limit);
        }
        if let Some(time) = settings.linger {
            conn.set_linger(time);
        }
    }

    pub(crate) fn body_limit(&self) -> usize {
        self.settings.borrow().body_limit
    }

    pub(crate) fn open_connections(&self) -> usize {
        self.open.get()
    }

    pub(crate) fn opened(&self) {
        self.open.set(self.open.get() + 1);
        self.connections.set(self.connections.get() + 1);
    }

    #[inline]
    pub(crate) fn count_request(&self) {
        self.requests.set(self.requests.get() + 1);
    }

    /// A connection is gone.
    pub(crate) fn closed(&self) {
        self.open.set(self.open.get().saturating_sub(1));
        if !self.stopped.get() {
            return;
        }
        // The deadline closes several, and counts them when it is done.
        if !self.cutting.get() {
            self.end_draining();
        }
        if let Some(server) = self.server.get() {
            server.finish_if_over();
        }
    }

    /// The trusted proxies, if the peer of a connection is one of them.
    #[inline]
    pub(crate) fn proxies_of(&self, conn: Connection) -> Option<Rc<TrustedProxies>> {
        let proxies = self.proxies.borrow();
        let trusted = |proxies: &&Rc<TrustedProxies>| proxies.trusts_peer(conn.remote_ip());
        proxies.as_ref().filter(trusted).cloned()
    }

    pub(super) fn set_proxies(&self, proxies: TrustedProxies) {
        *self.proxies.borrow_mut() = Some(Rc::new(proxies));
    }

    pub(super) fn stop(&self) {
        self.stopped.set(true);
    }

    /// Whether nothing is listened on any more, for good.
    pub(super) fn is_stopped(&self) -> bool {
        self.stopped.get()
    }

    /// Whether a shutdown is under way.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.borrow().is_some()
    }

    /// Whether everything is over, which is said once.
    pub(super) fn take_end(&self) -> bool {
        self.stopped.get() && self.open.get() == 0 && !self.ended.replace(true)
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Service")
            .field("open", &self.open)
            .finish_non_exhaustive()
    }
}
