//! Leases of connections, and places for connections that are being opened.

use std::rc::Rc;

use super::Pool;
use super::host::Host;
use super::member::Member;
use crate::connect::{Connected, Protocol};
use crate::error::Failure;
use crate::transport::{Exchange, OutgoingRequest};

/// A connection for one request. A connection that is not used goes back to its pool.
pub(crate) struct Lease {
    pool: Rc<Pool>,
    member: Option<Rc<Member>>,
}

impl Lease {
    pub(super) fn new(pool: &Rc<Pool>, member: Rc<Member>) -> Lease {
        Lease {
            pool: Rc::clone(pool),
            member: Some(member),
        }
    }

    /// Returns `true` if the connection uses HTTP/2.
    pub(crate) fn is_http2(&self) -> bool {
        self.member.as_ref().is_some_and(|member| member.is_http2())
    }

    /// Sends a request. Returns the exchange, and whether the connection had carried a request before.
    pub(crate) fn begin(
        mut self,
        request: OutgoingRequest<'_>,
    ) -> Result<(Rc<Exchange>, bool), Failure> {
        let Some(member) = self.member.take() else {
            return Err(Failure::closed_before_response());
        };
        member.unreserve();
        let begun = member.begin(request);
        if begun.is_err() {
            // Nothing was sent.
            drop(Lease::new(&self.pool, member));
        }
        begun
    }

    /// Returns `true` if the connection can still carry the request.
    pub(super) fn is_usable(&self) -> bool {
        self.member
            .as_ref()
            .is_some_and(|member| member.can_begin())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        if let Some(member) = self.member.take() {
            member.unreserve();
            match member.is_alive() {
                true => self.pool.available(&member, None),
                false => self.pool.discard(&member),
            }
        }
    }
}

/// The right to open a connection, which counts as open from now on.
pub(super) struct Place {
    pool: Rc<Pool>,
    host: Rc<Host>,
    is_used: bool,
}

impl Place {
    pub(super) fn new(pool: &Rc<Pool>, host: &Rc<Host>) -> Place {
        pool.open.set(pool.open.get() + 1);
        let mut state = host.state.borrow_mut();
        state.open += 1;
        state.connecting += 1;
        Place {
            pool: Rc::clone(pool),
            host: Rc::clone(host),
            is_used: false,
        }
    }

    /// Records that the attempt has failed.
    pub(super) fn fail(self) {
        self.host.state.borrow_mut().has_failed = true;
    }

    /// Adds a connection to the pool.
    pub(super) fn fill(mut self, connected: Connected, max_head: usize) -> Lease {
        let Connected { conn, protocol } = connected;
        self.is_used = true;
        self.pool.count_created();
        let member = Member::new(&self.pool, Rc::clone(&self.host), conn, protocol, max_head);
        {
            let mut state = self.host.state.borrow_mut();
            state.connecting -= 1;
            state.protocol = Some(protocol);
            state.has_failed = false;
        }
        if protocol == Protocol::Http2 {
            member.reserve();
            self.host.state.borrow_mut().http2.push(Rc::clone(&member));
        }
        let lease = Lease::new(&self.pool, member);
        self.pool.dispatch();
        lease
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.is_used {
            self.host.state.borrow_mut().connecting -= 1;
            self.pool.connection_closed(&self.host);
        }
    }
}
