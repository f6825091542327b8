//! Clients of Socket.IO over WebSockets, which know just enough of Engine.IO 4 and Socket.IO 5. They compare every byte that they receive
//! after the handshake with what has to come: nothing may be missing, twice, or in another order.

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
use super::round_trips::Waiter;
use super::socket::Dialer;
use super::{Exchange, Load, Target};

/// The namespace in which a client asks for broadcasts.
const CONTROL: &str = "/control,";

/// Clients that have joined the namespace `/`, and one more that asks for broadcasts to them.
pub(crate) struct Clients {
    waiter: Waiter,
    buffer: Buffer,
    all: Vec<Client>,
    control: Client,
    /// The number of the next broadcast.
    next: u64,
}

/// Clients that several loads share: a broadcast reaches them all.
pub(crate) type SharedClients = Rc<RefCell<Clients>>;

impl Clients {
    pub(crate) fn open(target: &Target, count: usize) -> Result<SharedClients> {
        let waiter = Waiter::new()?;
        let mut dialer = Dialer::new(target.clone(), Exchange::Echo);
        let mut all = Vec::with_capacity(count);
        for key in 0..count {
            let client = Client::open(&mut dialer, "")?;
            waiter.watch(&client, key)?;
            all.push(client);
        }
        Ok(Rc::new(RefCell::new(Self {
            waiter,
            buffer: Buffer::new(),
            all,
            control: Client::open(&mut dialer, CONTROL)?,
            next: 0,
        })))
    }

    /// Opens clients that have sent an event each.
    pub(crate) fn open_idle(target: &Target, count: usize) -> Result<SharedClients> {
        let clients = Self::open(target, count)?;
        // The first event of each is sent before any second one.
        Acks::new(&clients, count).run(count as u64)?;
        Ok(clients)
    }
}
