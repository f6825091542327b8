//! Events that the server acknowledges.

use std::rc::Rc;

use anyhow::Result;

use super::super::{Load, frames};
use super::client::Client;
use super::{Clients, SharedClients};

/// Clients with at most one unacknowledged event each. One unit is one acknowledgement.
pub(crate) struct Acks {
    clients: SharedClients,
    pending: Vec<PendingAck>,
}

/// The acknowledgement that a client expects.
#[derive(Clone, Default)]
struct PendingAck {
    id: u64,
    expected: Vec<u8>,
}

impl Acks {
    /// Creates a load in which the first `count` clients send events.
    pub(crate) fn new(clients: &SharedClients, count: usize) -> Self {
        Self {
            clients: Rc::clone(clients),
            pending: vec![PendingAck::default(); count],
        }
    }
}

impl PendingAck {
    /// Sends an event with an argument of 20 bytes, which the acknowledgement returns.
    fn send_request(&mut self, client: &Client) -> Result<()> {
        self.id += 1;
        let id = self.id;
        self.expected = frames::from_server(format!(r#"43{id}["{id:020}"]"#).as_bytes());
        client.send(&format!(r#"42{id}["echo","{id:020}"]"#))
    }
}

impl Load for Acks {
    fn run(&mut self, units: u64) -> Result<()> {
        let Clients {
            poller,
            buffer,
            all,
            ..
        } = &mut *self.clients.borrow_mut();
        let (mut unsent, mut missing) = (units, units);
        for (ack, client) in self.pending.iter_mut().zip(&*all) {
            if unsent > 0 {
                ack.send_request(client)?;
                unsent -= 1;
            }
        }
        while missing > 0 {
            for key in poller.wait()? {
                let client = &mut all[key];
                let Some(ack) = self.pending.get_mut(key) else {
                    // The other clients may only receive pings.
                    client.collect(&[], buffer)?;
                    continue;
                };
                if client.collect(&ack.expected, buffer)? {
                    missing -= 1;
                    if unsent > 0 {
                        ack.send_request(client)?;
                        unsent -= 1;
                    }
                }
            }
        }
        Ok(())
    }
}
