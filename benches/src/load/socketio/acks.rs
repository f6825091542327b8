//! Events that the server acknowledges.

use std::rc::Rc;

use anyhow::Result;

use super::super::{Load, frames};
use super::client::Client;
use super::{Clients, SharedClients};

/// Clients with at most one unacknowledged event each. One unit is one acknowledgement.
pub(crate) struct Acks {
    clients: SharedClients,
    waits: Vec<Wait>,
}

/// The acknowledgement that a client expects.
#[derive(Clone, Default)]
struct Wait {
    id: u64,
    expected: Vec<u8>,
}

impl Acks {
    /// Creates a load in which the first `count` clients send events.
    pub(crate) fn new(clients: &SharedClients, count: usize) -> Self {
        Self {
            clients: Rc::clone(clients),
            waits: vec![Wait::default(); count],
        }
    }
}

impl Wait {
    /// Sends an event with an argument of 20 bytes, which the acknowledgement returns.
    fn ask(&mut self, client: &Client) -> Result<()> {
        self.id += 1;
        let id = self.id;
        self.expected = frames::from_server(format!(r#"43{id}["{id:020}"]"#).as_bytes());
        client.send(&format!(r#"42{id}["echo","{id:020}"]"#))
    }
}

impl Load for Acks {
    fn run(&mut self, units: u64) -> Result<()> {
        let Clients {
            waiter,
            buffer,
            all,
            ..
        } = &mut *self.clients.borrow_mut();
        let (mut unasked, mut missing) = (units, units);
        for (wait, client) in self.waits.iter_mut().zip(&*all) {
            if unasked > 0 {
                wait.ask(client)?;
                unasked -= 1;
            }
        }
        while missing > 0 {
            for key in waiter.wait()? {
                let client = &mut all[key];
                let Some(wait) = self.waits.get_mut(key) else {
                    // The other clients may only receive pings.
                    client.collect(&[], buffer)?;
                    continue;
                };
                if client.collect(&wait.expected, buffer)? {
                    missing -= 1;
                    if unasked > 0 {
                        wait.ask(client)?;
                        unasked -= 1;
                    }
                }
            }
        }
        Ok(())
    }
}
