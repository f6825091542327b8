//! The table of connected clients.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::net::IpAddr;

use uptick_rate_limit::Client;

use crate::Request;
use crate::routing::Router;

/// Maximum number of clients in each half of the table.
const HALF: usize = 32_768;

/// The connected clients. If there are too many, those with the oldest requests are removed.
#[derive(Default)]
pub(super) struct ConnectedClients {
    pub(super) required: Cell<bool>,
    /// `true` after the checking middleware was added.
    pub(super) wrapped: Cell<bool>,
    /// The routes that connect clients.
    paths: RefCell<Router<()>>,
    table: RefCell<ClientHalves>,
}

/// Clients with recent requests, and older ones.
#[derive(Default)]
struct ClientHalves {
    recent: HashSet<Client>,
    older: HashSet<Client>,
}

impl ClientHalves {
    fn insert(&mut self, client: Client) {
        self.older.remove(&client);
        if self.recent.len() >= HALF && !self.recent.contains(&client) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(client);
    }

    fn has(&mut self, client: Client) -> bool {
        if self.older.contains(&client) {
            self.insert(client);
        }
        self.recent.contains(&client)
    }

    fn remove(&mut self, client: Client) -> bool {
        self.recent.remove(&client) | self.older.remove(&client)
    }
}

impl ConnectedClients {
    pub(super) fn insert(&self, client: IpAddr) {
        self.table.borrow_mut().insert(whole(client));
    }

    /// Adds a route that connects clients. The server has accepted the pattern, so it is well-formed.
    pub(super) fn add_path(&self, pattern: &str) {
        let _ = self.paths.borrow_mut().add("GET", pattern, ());
    }

    /// Removes a client, and returns `true` if it was connected.
    pub(super) fn remove(&self, client: IpAddr) -> bool {
        self.table.borrow_mut().remove(whole(client))
    }

    pub(super) fn has(&self, client: IpAddr) -> bool {
        self.table.borrow_mut().has(whole(client))
    }

    pub(super) fn refuses(&self, request: &Request) -> bool {
        self.required.get()
            && !self.paths.borrow().has_path(request.path())
            && !request.client().is_some_and(|client| self.has(client))
    }
}

/// Returns the table key of a client: its full address.
fn whole(address: IpAddr) -> Client {
    Client::with_prefixes(address, 32, 128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_keeps_sending_requests_outlives_a_flood_of_clients() {
        let mut table = ClientHalves::default();
        let busy = whole([192, 0, 2, 1].into());
        let idle = whole([192, 0, 2, 2].into());
        table.insert(busy);
        table.insert(idle);
        for number in 0..100_000_u32 {
            table.insert(whole(number.to_be_bytes().into()));
            assert!(table.has(busy));
        }
        assert!(!table.has(idle));
        assert!(table.recent.len() + table.older.len() <= 2 * HALF);
    }
}
