//! The number of open connections of each client.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};

/// A client: an IPv4 address, also one that is IPv4-mapped or translated by NAT64, or an IPv6 network of 64 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ClientKey {
    V4(Ipv4Addr),
    V6(u64),
}

impl From<IpAddr> for ClientKey {
    fn from(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(v4) => ClientKey::V4(v4),
            IpAddr::V6(v6) => match v6.segments() {
                // The well-known prefix (RFC 6052, section 2.1), which is common to all clients behind translators.
                [0x64, 0xff9b, 0, 0, 0, 0, ..] => {
                    ClientKey::V4(Ipv4Addr::from_bits(v6.to_bits() as u32))
                }
                _ => ClientKey::V6((v6.to_bits() >> 64) as u64),
            },
        }
    }
}

/// The connection counts of clients, kept only while there is a limit. A client without connections uses no memory.
#[derive(Debug, Default)]
pub(super) struct ClientCounts {
    limit: Option<usize>,
    open: HashMap<ClientKey, usize>,
}

impl ClientCounts {
    pub(super) fn new(limit: Option<usize>, open: impl Iterator<Item = ClientKey>) -> Self {
        let mut clients = ClientCounts {
            limit,
            open: HashMap::new(),
        };
        for client in open {
            clients.add(Some(client));
        }
        clients
    }

    /// Returns the limit if the client has reached it.
    pub(super) fn limit_reached(&self, client: ClientKey) -> Option<usize> {
        let open = self.open.get(&client).copied().unwrap_or(0);
        self.limit.filter(|limit| open >= *limit)
    }

    pub(super) fn add(&mut self, client: Option<ClientKey>) {
        if let Some(client) = client.filter(|_| self.limit.is_some()) {
            *self.open.entry(client).or_default() += 1;
        }
    }

    pub(super) fn remove(&mut self, client: Option<ClientKey>) {
        if let Some(client) = client
            && let Some(open) = self.open.get_mut(&client)
        {
            *open -= 1;
            if *open == 0 {
                self.open.remove(&client);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(address: &str) -> ClientKey {
        address.parse::<IpAddr>().unwrap().into()
    }

    #[test]
    fn a_client_is_an_ipv4_address_or_an_ipv6_network_of_64_bits() {
        assert_ne!(client("192.0.2.1"), client("192.0.2.2"));
        assert_eq!(client("192.0.2.1"), client("::ffff:192.0.2.1"));
        assert_eq!(client("2001:db8::1"), client("2001:db8::ffff:0:0:1"));
        assert_ne!(client("2001:db8:0:1::1"), client("2001:db8:0:2::1"));
    }

    #[test]
    fn a_client_behind_nat64_is_its_ipv4_address() {
        assert_eq!(client("64:ff9b::192.0.2.1"), client("192.0.2.1"));
        assert_ne!(client("64:ff9b::192.0.2.1"), client("64:ff9b::192.0.2.2"));
        assert_eq!(client("64:ff9b::1:0:0"), client("64:ff9b::2:0:0"));
    }

    #[test]
    fn clients_without_connections_use_no_memory() {
        let mut clients = ClientCounts::new(Some(2), [client("::1")].into_iter());
        let other = client("192.0.2.1");
        clients.add(Some(other));
        assert_eq!(clients.limit_reached(other), None);
        clients.add(Some(other));
        assert_eq!(clients.limit_reached(other), Some(2));
        clients.remove(Some(other));
        clients.remove(Some(other));
        clients.remove(Some(client("::1")));
        clients.remove(Some(client("::1")));
        assert!(clients.open.is_empty());
    }

    #[test]
    fn clients_are_not_counted_without_a_limit() {
        let mut clients = ClientCounts::default();
        clients.add(Some(client("::1")));
        assert_eq!(clients.limit_reached(client("::1")), None);
        assert!(clients.open.is_empty());
    }
}
