//! Clients that connect, join the namespace, and disconnect.

use anyhow::Result;

use super::super::socket::Dialer;
use super::super::{Exchange, Load, Target};
use super::client::PendingClient;

/// The number of clients that connect at a time.
const AT_ONCE: u64 = 64;

/// A load of short sessions. One unit is a client that connects, joins the namespace, and closes
/// its connection.
pub(crate) struct Connects {
    dialer: Dialer,
}

impl Connects {
    pub(crate) fn new(target: &Target) -> Self {
        Self {
            dialer: Dialer::new(target.clone(), Exchange::Echo),
        }
    }
}

impl Load for Connects {
    fn run(&mut self, units: u64) -> Result<()> {
        let mut left = units;
        while left > 0 {
            let count = left.min(AT_ONCE);
            left -= count;
            let connect = |_| PendingClient::connect(&mut self.dialer);
            let mut pending = (0..count).map(connect).collect::<Result<Vec<_>>>()?;
            for client in &mut pending {
                client.join("")?;
            }
            let joined = pending.into_iter().map(|client| client.joined(""));
            // All of them close their connections at once.
            drop(joined.collect::<Result<Vec<_>>>()?);
        }
        Ok(())
    }
}
