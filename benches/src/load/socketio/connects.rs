//! Clients that connect, join the namespace, and disconnect.

use anyhow::Result;

use super::super::socket::Dialer;
use super::super::{Exchange, Load, Target};
use super::client::Opening;

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
            let connect = |_| Opening::connect(&mut self.dialer);
            let mut openings = (0..count).map(connect).collect::<Result<Vec<_>>>()?;
            for opening in &mut openings {
                opening.join("")?;
            }
            let joined = openings.into_iter().map(|opening| opening.joined(""));
            // All of them close their connections at once.
            drop(joined.collect::<Result<Vec<_>>>()?);
        }
        Ok(())
    }
}
