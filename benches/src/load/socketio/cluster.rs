//! Broadcasts to the clients of several servers, on request of a client of one of them.

use std::cell::RefCell;
use std::rc::Rc;

use anyhow::Result;

use super::super::round_trips::ReadinessPoller;
use super::super::socket::Dialer;
use super::super::{Exchange, Load, Target, frames};
use super::CONTROL;
use super::client::{Buffer, Client};

/// Clients of several servers that have joined the same namespace.
pub(crate) struct ClusterClients {
    waiter: ReadinessPoller,
    buffer: Buffer,
    all: Vec<Client>,
    namespace: &'static str,
    /// The number of the next broadcast.
    next: u64,
}

/// Clients that several loads share.
pub(crate) type SharedClusterClients = Rc<RefCell<ClusterClients>>;

impl ClusterClients {
    /// Opens `count` clients of each server, in the namespace `""` or `"/NAME,"`.
    pub(crate) fn open<'a>(
        targets: impl IntoIterator<Item = &'a Target>,
        count: usize,
        namespace: &'static str,
    ) -> Result<SharedClusterClients> {
        let waiter = ReadinessPoller::new()?;
        let mut all = Vec::new();
        for target in targets {
            let mut dialer = Dialer::new(target.clone(), Exchange::Echo);
            for _ in 0..count {
                let client = Client::open(&mut dialer, namespace)?;
                waiter.watch(&client, all.len())?;
                all.push(client);
            }
        }
        Ok(Rc::new(RefCell::new(Self {
            waiter,
            buffer: Buffer::new(),
            all,
            namespace,
            next: 0,
        })))
    }
}

/// Broadcasts that one server sends. One unit is one broadcast.
pub(crate) struct ClusterBroadcasts {
    clients: SharedClusterClients,
    control: Client,
    request: &'static str,
    burst: u64,
}

impl ClusterBroadcasts {
    /// `sender` broadcasts `burst` events at a time, on the event `request`; the next ones when all clients have all of them.
    pub(crate) fn new(
        clients: &SharedClusterClients,
        sender: &Target,
        request: &'static str,
        burst: u64,
    ) -> Result<Self> {
        let mut dialer = Dialer::new(sender.clone(), Exchange::Echo);
        Ok(Self {
            clients: Rc::clone(clients),
            control: Client::open(&mut dialer, CONTROL)?,
            request,
            burst,
        })
    }
}

impl Load for ClusterBroadcasts {
    fn run(&mut self, units: u64) -> Result<()> {
        let ClusterClients {
            waiter,
            buffer,
            all,
            namespace,
            next,
        } = &mut *self.clients.borrow_mut();
        for _ in 0..units.div_ceil(self.burst) {
            let first = *next;
            *next += self.burst;
            let frame = |number| {
                let packet = format!(r#"42{namespace}["message","{number:020}"]"#);
                frames::from_server(packet.as_bytes())
            };
            let expected: Vec<u8> = (first..*next).flat_map(frame).collect();
            let (request, burst) = (self.request, self.burst);
            self.control
                .send(&format!(r#"42{CONTROL}["{request}",{first},{burst}]"#))?;
            let mut missing = all.len();
            while missing > 0 {
                for key in waiter.wait()? {
                    if all[key].collect(&expected, buffer)? {
                        missing -= 1;
                    }
                }
            }
        }
        Ok(())
    }
}
