//! One message to many clients: one of them sends it, and all receive it.

use anyhow::Result;

use super::round_trips::ReadinessPoller;
use super::socket::{Client, Dialer};
use super::{Exchange, Load, Target};

/// A fixed number of open connections. One unit is one message received by one of them.
pub(crate) struct FanOut {
    poller: ReadinessPoller,
    clients: Vec<Client>,
}

impl FanOut {
    pub(crate) fn open(target: &Target, exchange: Exchange, connections: usize) -> Result<Self> {
        let poller = ReadinessPoller::new()?;
        let mut dialer = Dialer::new(target.clone(), exchange);
        let mut clients = Vec::with_capacity(connections);
        for key in 0..connections {
            let client = dialer.dial()?;
            poller.watch(&client, key)?;
            clients.push(client);
        }
        Ok(Self { poller, clients })
    }
}

impl Load for FanOut {
    fn run(&mut self, units: u64) -> Result<()> {
        let all = self.clients.len() as u64;
        for _ in 0..units.div_ceil(all) {
            for client in self.clients.iter_mut().skip(1) {
                client.expect();
            }
            self.clients[0].send_request()?;
            let mut missing = all;
            while missing > 0 {
                for key in self.poller.wait()? {
                    if self.clients[key].collect()? {
                        missing -= 1;
                    }
                }
            }
        }
        Ok(())
    }
}
