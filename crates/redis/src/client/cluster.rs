//! Sharded channels in a Redis Cluster.
//!
//! The node of a slot is learned from the redirections of the servers: the first command for a slot goes to the main server, which answers
//! `MOVED` unless the slot is its own.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use uptick_event_loop::Id;

use super::endpoint::Endpoint;
use super::state::Client;
use super::subscriptions::SubscriptionChange;
use crate::protocol::{Arguments, Encoder, Value, key_slot};
use crate::reply::{self, RawResult, Reply};
use crate::{Error, FromValue};

/// Maximum number of nodes to which connections are kept.
const MAX_NODES: usize = 1024;

/// Maximum number of redirections of one command.
const MAX_REDIRECTIONS: u32 = 5;

/// The nodes of the cluster other than the main server.
#[derive(Default)]
pub(super) struct ClusterNodes {
    nodes: HashMap<Arc<str>, Rc<Endpoint>>,
    slots: HashMap<u16, Rc<Endpoint>>,
}

impl ClusterNodes {
    pub(super) fn endpoints(&self) -> impl Iterator<Item = &Rc<Endpoint>> {
        self.nodes.values()
    }
}

/// A command that may have to be sent to several nodes in turn.
#[derive(Clone)]
struct ShardedCommand {
    channel: Bytes,
    arguments: Rc<[Bytes]>,
}

impl Arguments for ShardedCommand {
    fn count(&self) -> usize {
        self.arguments.len()
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        for argument in self.arguments.iter() {
            encoder.argument(argument);
        }
    }
}

impl Client {
    /// Returns the node that has the slot of a channel, as far as it is known; otherwise the main server.
    pub(super) fn node_of(&self, channel: &[u8]) -> Rc<Endpoint> {
        let nodes = self.nodes.borrow();
        let node = match nodes.slots.is_empty() {
            true => None,
            false => nodes.slots.get(&key_slot(channel)),
        };
        Rc::clone(node.unwrap_or(&self.main))
    }

    /// Records the node of a slot from an error `MOVED SLOT HOST:PORT`, and returns the node; `None` for other errors.
    fn learn(&self, error: &Error, source: &Endpoint) -> Option<Rc<Endpoint>> {
        let Error::Reply { code, message } = error else {
            return None;
        };
        if &**code != "MOVED" {
            return None;
        }
        let (slot, address) = message.split_once(' ')?;
        let slot: u16 = slot.parse().ok()?;
        // A missing host is the host of the server that has sent the error.
        let address = match address.strip_prefix(':') {
            Some(port) => format!("{}:{port}", source.url.host()),
            None => address.to_owned(),
        };
        let url = self.config.url.at(&address)?;
        if url.address == self.main.url.address {
            self.nodes.borrow_mut().slots.remove(&slot);
            return Some(Rc::clone(&self.main));
        }
        let known = self.nodes.borrow().nodes.get(&url.address).cloned();
        let node = match known {
            Some(node) => node,
            None if self.nodes.borrow().nodes.len() >= MAX_NODES => return None,
            None => self.endpoint_of_node(url),
        };
        let mut nodes = self.nodes.borrow_mut();
        nodes
            .nodes
            .insert(Arc::clone(&node.url.address), Rc::clone(&node));
        nodes.slots.insert(slot, Rc::clone(&node));
        Some(node)
    }

    /// Sends a command to the node of a channel, and follows redirections.
    pub(super) fn send_sharded(
        self: &Rc<Self>,
        channel: &[u8],
        arguments: &[&[u8]],
    ) -> Result<Id, Error> {
        if self.is_closing() {
            return Err(Error::Closed);
        }
        let arguments = arguments
            .iter()
            .map(|argument| Bytes::copy_from_slice(argument));
        let command = ShardedCommand {
            channel: Bytes::copy_from_slice(channel),
            arguments: arguments.collect(),
        };
        let id = reply::add().ok_or(Error::Closed)?;
        let node = self.node_of(&command.channel);
        self.send_redirected(command, node, id, MAX_REDIRECTIONS);
        Ok(id)
    }

    fn send_redirected(
        self: &Rc<Self>,
        command: ShardedCommand,
        node: Rc<Endpoint>,
        id: Id,
        redirections: u32,
    ) {
        let sent = self.send_to(&node, &command);
        let client = Rc::downgrade(self);
        Reply::new(sent, Value::from_value).then(move |result: RawResult| {
            let Some(client) = client.upgrade() else {
                return;
            };
            if let Err(error) = &result
                && redirections > 0
                && let Some(other) = client.learn(error, &node)
            {
                return client.send_redirected(command, other, id, redirections - 1);
            }
            if let Some(error) = reply::complete(id, result) {
                client.main.unused_error(error);
            }
        });
    }

    /// Moves a subscription that a node has refused to the node that has its slot. Returns `true` if that was possible.
    pub(super) fn redirect_subscription(
        &self,
        source: &Endpoint,
        change: &SubscriptionChange,
        error: &Error,
    ) -> bool {
        if !self.options().cluster {
            return false;
        }
        let Some(node) = self
            .learn(error, source)
            .filter(|node| !std::ptr::eq(&**node, source))
        else {
            return false;
        };
        let replies = source.remove(change.kind, change.channel.clone());
        node.subscribe(change.kind, change.channel.clone(), replies);
        true
    }

    /// Returns the subscriptions of a node to the main server, which knows the new node of their slots.
    pub(super) fn node_unreachable(&self, node: &Rc<Endpoint>) {
        {
            let mut nodes = self.nodes.borrow_mut();
            nodes.slots.retain(|_, other| !Rc::ptr_eq(other, node));
            nodes.nodes.remove(&node.url.address);
        }
        let subscriptions = std::mem::take(&mut *node.subscriptions.borrow_mut());
        for ((kind, channel), subscription) in subscriptions.all {
            self.main.subscribe(kind, channel, subscription.replies);
        }
        node.close();
    }
}
