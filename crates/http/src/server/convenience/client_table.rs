//! The table of connected clients, see [`HttpServer::connection_required`](crate::HttpServer::connection_required).

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::net::IpAddr;

use uptick_rate_limit::Client;

use crate::Request;
use crate::routing::Router;

/// Maximum number of clients in each half of the table.
const HALF: usize = 32_768;

/// The clients that have requested a connecting route. If there are too many, those with the oldest requests are removed.
#[derive(Default)]
pub(super) struct ConnectedClients {
    /// `true` if other requests of clients that are not connected are refused.
    pub(super) required: Cell<bool>,
    /// `true` after the checking middleware was added.
    pub(super) wrapped: Cell<bool>,
    /// The connecting routes, such as `/connect`.
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

    fn contains(&mut self, client: Client) -> bool {
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
        self.table.borrow_mut().insert(full_address(client));
    }

    /// Adds a connecting route. The server has accepted the pattern, so it is well-formed.
    pub(super) fn add_path(&self, pattern: &str) {
        let _ = self.paths.borrow_mut().add("GET", pattern, ());
    }

    /// Removes a client, and returns `true` if it was connected.
    pub(super) fn remove(&self, client: IpAddr) -> bool {
        self.table.borrow_mut().remove(full_address(client))
    }

    pub(super) fn contains(&self, client: IpAddr) -> bool {
        self.table.borrow_mut().contains(full_address(client))
    }

    pub(super) fn refuses(&self, request: &Request) -> bool {
        self.required.get()
            && !self.paths.borrow().has_path(request.path())
            && !request.client().is_some_and(|client| self.contains(client))
    }
}

/// Returns the table key of a client: its full address.
fn full_address(address: IpAddr) -> Client {
    Client::with_prefixes(address, 32, 128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_that_keeps_sending_requests_outlives_a_flood_of_clients() {
        let mut table = ClientHalves::default();
        let busy = full_address([192, 0, 2, 1].into());
        let idle = full_address([192, 0, 2, 2].into());
        table.insert(busy);
        table.insert(idle);
        for number in 0..100_000_u32 {
            table.insert(full_address(number.to_be_bytes().into()));
            assert!(table.contains(busy));
        }
        assert!(!table.contains(idle));
        assert!(table.recent.len() + table.older.len() <= 2 * HALF);
    }
}
