//! The peers of a transport, and their subscriptions.

use std::collections::HashMap;
use std::rc::Rc;

use super::peer::Peer;

/// The maximum number of topics that are tracked for a peer. Beyond that, the peer receives the
/// messages of all topics.
pub(super) const MAX_TOPICS: usize = 262_144;

#[derive(Default)]
pub(super) struct PeerTable {
    peers: Vec<Rc<Peer>>,
    topics: HashMap<Rc<str>, Vec<Rc<Peer>>>,
    /// Peers with too many topics to track.
    receives_all: Vec<Rc<Peer>>,
}

impl PeerTable {
    pub(super) fn add(&mut self, peer: Rc<Peer>) {
        self.peers.push(peer);
    }

    pub(super) fn get(&self, id: u64) -> Option<Rc<Peer>> {
        self.peers.iter().find(|peer| peer.id == id).cloned()
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &Rc<Peer>> {
        self.peers.iter()
    }

    /// Returns the peers that receive the messages of a topic.
    pub(super) fn receivers_of(&self, topic: &str) -> impl Iterator<Item = &Rc<Peer>> {
        let named = self.topics.get(topic).into_iter().flatten();
        named.chain(&self.receives_all)
    }

    pub(super) fn remove(&mut self, id: u64) {
        self.forget(id);
        self.peers.retain(|peer| peer.id != id);
    }

    /// Records that a peer has subscribed to a topic.
    pub(super) fn subscribe(&mut self, id: u64, topic: &str) {
        let Some(peer) = self.get(id) else { return };
        if self.receives_all.iter().any(|peer| peer.id == id) {
            return;
        }
        if peer.topics.get() >= MAX_TOPICS {
            self.forget(id);
            return self.receives_all.push(peer);
        }
        let name = match self.topics.get_key_value(topic) {
            Some((name, _)) => Rc::clone(name),
            None => topic.into(),
        };
        let interested = self.topics.entry(name).or_default();
        if !interested.iter().any(|peer| peer.id == id) {
            peer.topics.set(peer.topics.get() + 1);
            interested.push(peer);
        }
    }

    /// Records that a peer has unsubscribed from a topic.
    pub(super) fn unsubscribe(&mut self, id: u64, topic: &str) {
        let Some(interested) = self.topics.get_mut(topic) else {
            return;
        };
        let Some(position) = interested.iter().position(|peer| peer.id == id) else {
            return;
        };
        let peer = interested.remove(position);
        peer.topics.set(peer.topics.get().saturating_sub(1));
        if interested.is_empty() {
            self.topics.remove(topic);
        }
    }

    /// Removes all topics of a peer.
    pub(super) fn forget(&mut self, id: u64) {
        self.receives_all.retain(|peer| peer.id != id);
        self.topics.retain(|_, interested| {
            interested.retain(|peer| peer.id != id);
            !interested.is_empty()
        });
        if let Some(peer) = self.get(id) {
            peer.topics.set(0);
        }
    }
}
