//! The pool of connections: which connection a request uses, and which requests wait.
//!
//! Cost of a request on an idle connection: one look-up of the destination, and the check of the connection.

mod host;
mod lease;
mod limits;
mod member;
#[cfg(test)]
mod tests;
mod waiting;

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::rc::Rc;
use std::time::Duration;

use uptick_socket::Resolver;

use crate::connect::{self, ConnectOptions, Connectors, Destination};
use crate::error::{ErrorKind, Failure};
use lease::Place;
use member::Member;
use waiting::{Grant, Wait, Waiter};

pub(crate) use host::Host;
pub(crate) use lease::Lease;
pub use limits::{PoolLimits, PoolStats};

/// A pool of connections.
pub(crate) struct Pool {
    limits: PoolLimits,
    connectors: Connectors,
    hosts: RefCell<HashMap<Destination, Rc<Host>>>,
    /// The waiting requests in order.
    waiting: RefCell<VecDeque<Rc<Waiter>>>,
    /// Number of connections, including those being opened.
    open: Cell<usize>,
    created: Cell<u64>,
    reused: Cell<u64>,
    position: Cell<u64>,
    dispatching: Cell<Dispatching>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dispatching {
    No,
    Yes,
    /// Something changed in the meantime.
    Again,
}

impl Pool {
    pub(crate) fn new(limits: PoolLimits) -> Pool {
        Pool::with_connectors(limits, Connectors::default())
    }

    pub(crate) fn limits(&self) -> PoolLimits {
        self.limits
    }

    /// Creates a pool with the same limits and another resolver of host names.
    pub(crate) fn with_resolver(&self, resolver: Resolver) -> Pool {
        Pool::with_connectors(self.limits, Connectors::with_resolver(resolver))
    }

    /// Creates a pool with the same resolver of host names and other limits.
    pub(crate) fn with_limits(&self, limits: PoolLimits) -> Pool {
        let resolver = self.connectors.resolver();
        Pool::with_connectors(limits, Connectors::with_resolver(resolver))
    }

    fn with_connectors(limits: PoolLimits, connectors: Connectors) -> Pool {
        Pool {
            limits,
            connectors,
            hosts: RefCell::default(),
            waiting: RefCell::default(),
            open: Cell::new(0),
            created: Cell::new(0),
            reused: Cell::new(0),
            position: Cell::new(0),
            dispatching: Cell::new(Dispatching::No),
        }
    }

    /// Waits for a connection to a destination, and opens one if necessary. If `is_fresh` is set, only a new connection will do, and the request
    /// does not wait behind others. `max_head` is the limit of a new HTTP/2 connection, and `options` returns the options of a new connection.
    pub(crate) async fn acquire(
        self: &Rc<Self>,
        host: &Rc<Host>,
        options: impl FnOnce() -> ConnectOptions,
        is_fresh: bool,
        max_head: usize,
    ) -> Result<Lease, Failure> {
        let host = self.listed(host);
        let mut found = self.try_grant(&host, is_fresh);
        let mut has_waited = false;
        loop {
            let grant = match found.take() {
                Some(grant) => grant,
                None => {
                    let grant = self.wait(&host, is_fresh, has_waited)?.await;
                    has_waited = true;
                    // The server may have closed the connection before the request continued.
                    if let Grant::Connection(lease) = &grant
                        && !lease.is_usable()
                    {
                        drop(grant);
                        found = self.find(&host, is_fresh);
                        continue;
                    }
                    grant
                }
            };
            let place = match grant {
                Grant::Connection(lease) => return Ok(lease),
                Grant::Place(place) => place,
            };
            let options = options();
            // The state of a connection attempt is large, and most requests need none.
            let connecting = connect::connect(&self.connectors, &host.destination, &options);
            return match Box::pin(connecting).await {
                Ok(connected) => Ok(place.fill(connected, max_head)),
                Err(failure) => {
                    place.fail();
                    Err(failure)
                }
            };
        }
    }

    /// Returns the host of a destination.
    pub(crate) fn host(&self, destination: Destination) -> Rc<Host> {
        let host = self.hosts.borrow().get(&destination).cloned();
        host.unwrap_or_else(|| Rc::new(Host::new(destination)))
    }

    /// Adds a host to the table, or returns the host in the table with the same destination.
    fn listed(&self, host: &Rc<Host>) -> Rc<Host> {
        if host.is_listed.get() {
            return Rc::clone(host);
        }
        let mut hosts = self.hosts.borrow_mut();
        let listed = hosts
            .entry(host.destination.clone())
            .or_insert_with(|| Rc::clone(host));
        listed.is_listed.set(true);
        Rc::clone(listed)
    }

    /// Returns a connection or a place for a new request, unless others wait for the same destination.
    fn try_grant(self: &Rc<Self>, host: &Rc<Host>, is_fresh: bool) -> Option<Grant> {
        match !is_fresh && host.has_waiting() {
            true => None,
            false => self.find(host, is_fresh),
        }
    }

    /// Enters the queue: at its front if only a new connection will do, or if the request has waited before.
    fn wait(
        self: &Rc<Self>,
        host: &Rc<Host>,
        is_fresh: bool,
        has_waited: bool,
    ) -> Result<Wait, Failure> {
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= self.limits.waiting {
            let reason = format!("{} requests wait for a connection already", waiting.len());
            drop(waiting);
            self.forget_unused(host);
            return Err(Failure::new(ErrorKind::Other, reason));
        }
        let waiter = Waiter::new(Rc::clone(host), is_fresh);
        match is_fresh || has_waited {
            true => waiting.push_front(Rc::clone(&waiter)),
            false => waiting.push_back(Rc::clone(&waiter)),
        }
        host.state.borrow_mut().waiting += 1;
        drop(waiting);
        self.keep(host);
        Ok(Wait::new(Rc::clone(self), waiter))
    }

    /// Finds a connection that accepts a request, or a place for a new one.
    fn find(self: &Rc<Self>, host: &Rc<Host>, is_fresh: bool) -> Option<Grant> {
        if !is_fresh && let Some(member) = self.find_connection(host) {
            return Some(Grant::Connection(Lease::new(self, member)));
        }
        if is_fresh && host.state.borrow().open >= self.limits.per_host {
            // The new connection takes the place of an idle one.
            if let Some(oldest) = host.longest_idle() {
                host.remove(&oldest);
                oldest.close();
            }
        }
        if !host.may_connect(self.limits.per_host) || !self.make_room() {
            return None;
        }
        let place = Place::new(self, host);
        self.keep(host);
        Some(Grant::Place(place))
    }

    fn find_connection(&self, host: &Rc<Host>) -> Option<Rc<Member>> {
        loop {
            let member = host.state.borrow_mut().idle.pop();
            let Some(member) = member else { break };
            if member.is_reusable() {
                return Some(member);
            }
            member.close();
        }
        let http2 = host.state.borrow().http2.clone();
        for member in http2 {
            if !member.has_room() {
                continue;
            }
            if !member.is_reusable() {
                self.discard(&member);
            } else if member.reserve() {
                return Some(member);
            }
        }
        None
    }

    /// Removes a connection that accepts no further request, and closes it unless it carries others.
    fn discard(&self, member: &Rc<Member>) {
        member.host.remove(member);
        if !member.is_busy() {
            member.close();
        }
    }

    /// Closes the connection that has been idle longest if the pool is full. Returns `false` if none is idle.
    fn make_room(&self) -> bool {
        while self.open.get() >= self.limits.total {
            let hosts = self.hosts.borrow();
            let idle = hosts.values().filter_map(|host| host.longest_idle());
            let Some(oldest) = idle.min_by_key(|member| member.idle_since()) else {
                return false;
            };
            drop(hosts);
            oldest.host.remove(&oldest);
            let before = self.open.get();
            oldest.close();
            if self.open.get() >= before {
                return false;
            }
        }
        true
    }

    /// Handles a connection that can carry another request.
    fn available(self: &Rc<Self>, member: &Rc<Member>, keep_alive: Option<Duration>) {
        if member.is_http2() {
            if !member.is_busy() && !member.set_idle(self, keep_alive) {
                member.host.remove(member);
                member.close();
            }
        } else if member.set_idle(self, keep_alive) {
            member.host.state.borrow_mut().idle.push(Rc::clone(member));
        } else {
            member.close();
        }
        self.dispatch();
    }

    /// Handles the end of a connection, or of an attempt to open one.
    fn connection_closed(self: &Rc<Self>, host: &Rc<Host>) {
        self.open.set(self.open.get() - 1);
        host.state.borrow_mut().open -= 1;
        self.dispatch();
        self.forget_unused(host);
    }

    /// Removes a destination without connections and requests.
    fn forget_unused(&self, host: &Rc<Host>) {
        if host.is_listed.get() && host.is_unused() {
            host.is_listed.set(false);
            self.hosts.borrow_mut().remove(&host.destination);
        }
    }

    /// Adds a destination that is used, as the end of its last connection may have removed it.
    fn keep(&self, host: &Rc<Host>) {
        self.listed(host);
    }

    /// Serves the waiting requests that can be served now, in order.
    fn dispatch(self: &Rc<Self>) {
        if self.waiting.borrow().is_empty() {
            return;
        }
        if self.dispatching.get() != Dispatching::No {
            return self.dispatching.set(Dispatching::Again);
        }
        loop {
            self.dispatching.set(Dispatching::Yes);
            self.dispatch_once();
            if self.dispatching.get() == Dispatching::Yes {
                break;
            }
        }
        self.dispatching.set(Dispatching::No);
    }

    fn dispatch_once(self: &Rc<Self>) {
        // Destinations that cannot serve a request now.
        let mut exhausted: Vec<Rc<Host>> = Vec::new();
        // Number of requests for these destinations.
        let mut stuck = 0;
        let mut place = 0;
        loop {
            let waiter = self.waiting.borrow().get(place).cloned();
            let Some(waiter) = waiter else { return };
            let is_exhausted = exhausted.iter().any(|host| Rc::ptr_eq(host, &waiter.host));
            let grant = match is_exhausted {
                true => None,
                false => self.find(&waiter.host, waiter.is_fresh),
            };
            match grant {
                Some(grant) => {
                    self.leave(&waiter);
                    waiter.grant(grant);
                }
                // Another request for this destination can use a connection that already exists.
                None if waiter.is_fresh => place += 1,
                None => {
                    if !is_exhausted {
                        exhausted.push(Rc::clone(&waiter.host));
                        stuck += waiter.host.waiting_count();
                        if stuck == self.waiting.borrow().len() {
                            return;
                        }
                    }
                    place += 1;
                }
            }
        }
    }

    /// Removes a request from the queue.
    fn leave(&self, waiter: &Rc<Waiter>) {
        if !waiter.is_queued.replace(false) {
            return;
        }
        let mut waiting = self.waiting.borrow_mut();
        if let Some(place) = waiting.iter().position(|other| Rc::ptr_eq(other, waiter)) {
            waiting.remove(place);
            waiter.host.state.borrow_mut().waiting -= 1;
        }
    }

    fn next_position(&self) -> u64 {
        self.position.set(self.position.get() + 1);
        self.position.get()
    }

    fn count_created(&self) {
        self.created.set(self.created.get() + 1);
    }

    fn count_reuse(&self) {
        self.reused.set(self.reused.get() + 1);
    }

    /// Closes the idle connections, and returns their number.
    pub(crate) fn close_idle(self: &Rc<Self>) -> usize {
        let mut closed = 0;
        loop {
            let idle = self
                .hosts
                .borrow()
                .values()
                .find_map(|host| host.longest_idle());
            let Some(member) = idle else { return closed };
            member.host.remove(&member);
            member.close();
            closed += 1;
        }
    }

    pub(crate) fn stats(&self) -> PoolStats {
        let hosts = self.hosts.borrow();
        let connecting: usize = hosts
            .values()
            .map(|host| host.state.borrow().connecting)
            .sum();
        PoolStats {
            open: self.open.get() - connecting,
            idle: hosts.values().map(|host| host.idle_count()).sum(),
            waiting: self.waiting.borrow().len(),
            created: self.created.get(),
            reused: self.reused.get(),
        }
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        for host in std::mem::take(self.hosts.get_mut()).into_values() {
            while let Some(member) = host.longest_idle() {
                host.remove(&member);
                member.close();
            }
        }
    }
}
