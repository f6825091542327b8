//! The connections to one destination.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::member::Member;
use crate::connect::{Destination, Http2Mode, Protocol};
use crate::url::Scheme;

/// A destination with its connections.
pub(crate) struct Host {
    pub(super) destination: Destination,
    /// `true` while the pool has this host in its table.
    pub(super) is_listed: Cell<bool>,
    pub(super) state: RefCell<HostState>,
}

#[derive(Default)]
pub(super) struct HostState {
    /// Number of connections, including those being opened.
    pub(super) open: usize,
    /// Number of connections being opened.
    pub(super) connecting: usize,
    /// Number of requests in the queue of the pool.
    pub(super) waiting: usize,
    /// `true` if the last attempt to open a connection has failed.
    pub(super) has_failed: bool,
    /// Idle HTTP/1 connections; the most recently used one is the last.
    pub(super) idle: Vec<Rc<Member>>,
    /// HTTP/2 connections that accept requests.
    pub(super) http2: Vec<Rc<Member>>,
    /// The protocol of the last connection.
    pub(super) protocol: Option<Protocol>,
}

impl Host {
    pub(super) fn new(destination: Destination) -> Host {
        Host {
            destination,
            is_listed: Cell::new(false),
            state: RefCell::default(),
        }
    }

    pub(crate) fn destination(&self) -> &Destination {
        &self.destination
    }

    /// Returns `true` while the pool has this host in its table.
    pub(crate) fn is_listed(&self) -> bool {
        self.is_listed.get()
    }

    pub(super) fn has_waiting(&self) -> bool {
        self.waiting_count() > 0
    }

    pub(super) fn waiting_count(&self) -> usize {
        self.state.borrow().waiting
    }

    /// Returns `true` if there are neither connections nor waiting requests.
    pub(super) fn is_unused(&self) -> bool {
        let state = self.state.borrow();
        state.open == 0 && state.waiting == 0
    }

    /// Returns `true` if another connection may be opened: HTTP/2 needs only one, and a server that may support it is asked first. After a failed
    /// attempt, requests do not wait for each other's attempts.
    pub(super) fn may_connect(&self, per_host: usize) -> bool {
        let state = self.state.borrow();
        let shares = match (&self.destination.http2, state.protocol) {
            (Http2Mode::Never, _) => false,
            (_, Some(protocol)) => protocol == Protocol::Http2,
            (Http2Mode::Only, None) => true,
            (Http2Mode::Auto, None) => self.destination.scheme == Scheme::Https,
        };
        state.open < per_host && !(shares && state.connecting > 0 && !state.has_failed)
    }

    /// Removes a connection from the lists of those that accept requests.
    pub(super) fn remove(&self, member: &Rc<Member>) {
        let mut state = self.state.borrow_mut();
        let HostState { idle, http2, .. } = &mut *state;
        for list in [idle, http2] {
            if let Some(place) = list.iter().rposition(|other| Rc::ptr_eq(other, member)) {
                list.remove(place);
            }
        }
        if state.idle.is_empty() {
            state.idle.shrink_to(4);
        }
    }

    /// Returns the connection that has been idle longest.
    pub(super) fn longest_idle(&self) -> Option<Rc<Member>> {
        let state = self.state.borrow();
        let unused = state.http2.iter().filter(|member| !member.is_busy());
        let all = state.idle.first().into_iter().chain(unused);
        all.min_by_key(|member| member.idle_since()).cloned()
    }

    pub(super) fn idle_count(&self) -> usize {
        let state = self.state.borrow();
        let unused = state.http2.iter().filter(|member| !member.is_busy());
        state.idle.len() + unused.count()
    }
}
