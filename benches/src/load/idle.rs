//! Many connections that have done one exchange and then stay idle.

use anyhow::Result;

use super::round_trips::ReadinessPoller;
use super::socket::{Client, Dialer};
use super::{Exchange, Target};

/// Idle connections, which are closed when this is dropped.
pub(crate) struct IdleConnections {
    _clients: Vec<Client>,
}

impl IdleConnections {
    /// Opens `count` connections one after the other, each with one exchange.
    pub(crate) fn open(target: &Target, exchange: Exchange, count: usize) -> Result<Self> {
        let mut dialer = Dialer::new(target.clone(), exchange);
        let mut poller = ReadinessPoller::new()?;
        let mut clients = Vec::with_capacity(count);
        for key in 0..count {
            let mut client = dialer.dial()?;
            poller.watch(&client, key)?;
            client.send_request()?;
            loop {
                poller.wait()?.for_each(drop);
                if client.collect()? {
                    break;
                }
            }
            clients.push(client);
        }
        Ok(Self { _clients: clients })
    }
}
