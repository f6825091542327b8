//! Connections with one request each: connect, send, read the response, close.

use anyhow::Result;

use super::round_trips::ReadinessPoller;
use super::socket::{Client, Dialer};
use super::{Exchange, Load, Target};

/// A fixed number of concurrent short connections. One unit is one connection from connect to
/// close.
pub(crate) struct ShortConnections {
    poller: ReadinessPoller,
    dialer: Dialer,
    clients: Vec<Option<Client>>,
}

impl ShortConnections {
    pub(crate) fn new(target: &Target, exchange: Exchange, at_a_time: usize) -> Result<Self> {
        Ok(Self {
            poller: ReadinessPoller::new()?,
            dialer: Dialer::new(target.clone(), exchange),
            clients: (0..at_a_time).map(|_| None).collect(),
        })
    }

    fn start(&mut self, key: usize) -> Result<()> {
        let mut client = self.dialer.dial()?;
        client.send_request()?;
        self.poller.watch(&client, key)?;
        self.clients[key] = Some(client);
        Ok(())
    }
}

impl Load for ShortConnections {
    fn run(&mut self, units: u64) -> Result<()> {
        let mut unstarted = units;
        let mut unanswered = units;
        let mut finished = Vec::with_capacity(self.clients.len());
        for key in 0..self.clients.len() {
            if unstarted > 0 {
                self.start(key)?;
                unstarted -= 1;
            }
        }
        while unanswered > 0 {
            finished.clear();
            for key in self.poller.wait()? {
                if let Some(client) = &mut self.clients[key]
                    && client.collect()?
                {
                    finished.push(key);
                }
            }
            for &key in &finished {
                self.clients[key] = None;
                unanswered -= 1;
            }
            for &key in &finished {
                if unstarted > 0 {
                    self.start(key)?;
                    unstarted -= 1;
                }
            }
        }
        Ok(())
    }
}
