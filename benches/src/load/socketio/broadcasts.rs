//! Events that all clients receive.

use std::rc::Rc;

use anyhow::Result;

use super::super::{Load, frames};
use super::{CONTROL, Clients, SharedClients};

/// A load of broadcasts to all clients. One unit is one event received by one of them.
pub(crate) struct Broadcasts {
    clients: SharedClients,
    burst: u64,
}

impl Broadcasts {
    /// Creates a load that broadcasts `burst` events at a time. The next burst starts when all
    /// clients have received all of them.
    pub(crate) fn new(clients: &SharedClients, burst: u64) -> Self {
        Self {
            clients: Rc::clone(clients),
            burst,
        }
    }
}

impl Load for Broadcasts {
    fn run(&mut self, units: u64) -> Result<()> {
        let mut clients = self.clients.borrow_mut();
        let count = clients.all.len() as u64;
        for _ in 0..units.div_ceil(self.burst * count) {
            clients.broadcast(self.burst)?;
        }
        Ok(())
    }
}

impl Clients {
    /// Requests events, and returns when all clients have received them.
    fn broadcast(&mut self, count: u64) -> Result<()> {
        let first = self.next;
        self.next += count;
        let expected: Vec<u8> = (first..self.next).flat_map(event).collect();
        // The control client may only receive pings, and answers them.
        self.control.collect(&[], &mut self.buffer)?;
        self.control
            .send(&format!(r#"42{CONTROL}["burst",{first},{count}]"#))?;
        let mut missing = self.all.len();
        while missing > 0 {
            for key in self.poller.wait()? {
                if self.all[key].collect(&expected, &mut self.buffer)? {
                    missing -= 1;
                }
            }
        }
        Ok(())
    }
}

/// Returns the frame of an event whose argument has 20 bytes.
fn event(number: u64) -> Vec<u8> {
    frames::from_server(format!(r#"42["message","{number:020}"]"#).as_bytes())
}
