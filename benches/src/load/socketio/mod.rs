//! Socket.IO clients over WebSockets, with a minimal implementation of Engine.IO 4 and Socket.IO 5. They compare every byte that
//! they receive after the handshake with the expected one: nothing may be missing, duplicated, or out of order.

mod acks;
mod broadcasts;
mod client;
mod cluster;
mod connects;

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;

pub(crate) use self::acks::Acks;
pub(crate) use self::broadcasts::Broadcasts;
use self::client::{Buffer, Client};
pub(crate) use self::cluster::{ClusterBroadcasts, ClusterClients};
pub(crate) use self::connects::Connects;
use super::round_trips::ReadinessPoller;
use super::socket::Dialer;
use super::{Exchange, Load, Target};

/// The namespace in which a client requests broadcasts.
const CONTROL: &str = "/control,";

/// Clients that have joined the namespace `/`, and one more that requests broadcasts to them.
pub(crate) struct Clients {
    poller: ReadinessPoller,
    buffer: Buffer,
    all: Vec<Client>,
    control: Client,
    /// The number of the next broadcast.
    next: u64,
}

/// Clients shared by several loads: a broadcast reaches all of them.
pub(crate) type SharedClients = Rc<RefCell<Clients>>;

impl Clients {
    pub(crate) fn open(target: &Target, count: usize) -> Result<SharedClients> {
        let poller = ReadinessPoller::new()?;
        let mut dialer = Dialer::new(target.clone(), Exchange::Echo);
        let mut all = Vec::with_capacity(count);
        for key in 0..count {
            let client = Client::open(&mut dialer, "")?;
            poller.watch(&client, key)?;
            all.push(client);
        }
        Ok(Rc::new(RefCell::new(Self {
            poller,
            buffer: Buffer::new(),
            all,
            control: Client::open(&mut dialer, CONTROL)?,
            next: 0,
        })))
    }

    /// Opens clients, each of which has sent an event.
    pub(crate) fn open_idle(target: &Target, count: usize) -> Result<SharedClients> {
        let clients = Self::open(target, count)?;
        // Each client sends its first event before any client sends a second one.
        Acks::new(&clients, count).run(count as u64)?;
        Ok(clients)
    }
}
