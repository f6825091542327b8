//! The workers of other machines, and their subscriptions.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::time::Duration;

use super::message::Sender;

/// The maximum number of workers of other machines. Further ones are ignored.
pub(super) const MAX_PEERS: usize = 4096;

/// The maximum number of topics that are tracked for a worker. Beyond that, it counts as a subscriber of all topics.
const MAX_TOPICS: usize = 262_144;

/// A worker of another machine.
struct RemotePeer {
    session: u64,
    /// Time of its last message.
    heard: Duration,
    /// Set once its topics are known.
    is_ready: bool,
    topics: HashSet<Rc<str>>,
    receives_all: bool,
}

#[derive(Default)]
pub(super) struct RemotePeers {
    peers: HashMap<u64, RemotePeer>,
    topics: HashMap<Rc<str>, Vec<u64>>,
}

impl RemotePeers {
    /// Records the start or the continuation of a session; returns `false` if there are too many workers. The entry of another session must
    /// have been removed.
    pub(super) fn add(&mut self, sender: Sender, now: Duration) -> bool {
        if !self.peers.contains_key(&sender.id) && self.peers.len() >= MAX_PEERS {
            return false;
        }
        let peer = self.peers.entry(sender.id).or_insert_with(|| RemotePeer {
            session: sender.session,
            heard: now,
            is_ready: false,
            topics: HashSet::new(),
            receives_all: false,
        });
        peer.heard = now;
        true
    }

    /// Returns the session of a worker.
    pub(super) fn session(&self, id: u64) -> Option<u64> {
        self.peers.get(&id).map(|peer| peer.session)
    }

    pub(super) fn is_ready(&self, id: u64) -> bool {
        self.peers.get(&id).is_some_and(|peer| peer.is_ready)
    }

    /// Marks the topics of a worker as known; returns whether they were not before.
    pub(super) fn set_ready(&mut self, id: u64) -> bool {
        let peer = self.peers.get_mut(&id);
        peer.is_some_and(|peer| !std::mem::replace(&mut peer.is_ready, true))
    }

    /// Records a message of a worker.
    pub(super) fn hear(&mut self, id: u64, now: Duration) {
        if let Some(peer) = self.peers.get_mut(&id) {
            peer.heard = now;
        }
    }

    /// Removes a worker; returns whether it was ready.
    pub(super) fn remove(&mut self, id: u64) -> bool {
        let Some(peer) = self.peers.remove(&id) else {
            return false;
        };
        for topic in &peer.topics {
            self.withdraw(id, topic);
        }
        peer.is_ready
    }

    /// Removes all workers; returns those that were ready.
    pub(super) fn clear(&mut self) -> Vec<u64> {
        self.topics.clear();
        let peers = std::mem::take(&mut self.peers);
        let ready = peers.into_iter().filter(|(_, peer)| peer.is_ready);
        ready.map(|(id, _)| id).collect()
    }

    /// Returns the workers whose last message is older than `time`.
    pub(super) fn silent_since(&self, time: Duration) -> Vec<u64> {
        let silent = self.peers.iter().filter(|(_, peer)| peer.heard < time);
        silent.map(|(id, _)| *id).collect()
    }

    pub(super) fn subscribe(&mut self, id: u64, topic: &str) {
        let Some(peer) = self.peers.get_mut(&id) else {
            return;
        };
        if peer.receives_all || peer.topics.contains(topic) {
            return;
        }
        if peer.topics.len() >= MAX_TOPICS {
            peer.receives_all = true;
            for topic in std::mem::take(&mut peer.topics) {
                self.withdraw(id, &topic);
            }
            return;
        }
        let name = match self.topics.get_key_value(topic) {
            Some((name, _)) => Rc::clone(name),
            None => topic.into(),
        };
        peer.topics.insert(Rc::clone(&name));
        self.topics.entry(name).or_default().push(id);
    }

    pub(super) fn unsubscribe(&mut self, id: u64, topic: &str) {
        let peer = self.peers.get_mut(&id);
        if peer.is_some_and(|peer| peer.topics.remove(topic)) {
            self.withdraw(id, topic);
        }
    }

    fn withdraw(&mut self, id: u64, topic: &str) {
        if let Some(subscribers) = self.topics.get_mut(topic) {
            subscribers.retain(|subscriber| *subscriber != id);
            if subscribers.is_empty() {
                self.topics.remove(topic);
            }
        }
    }

    /// Returns the workers whose topics are known.
    pub(super) fn ready(&self) -> impl Iterator<Item = u64> {
        let ready = self.peers.iter().filter(|(_, peer)| peer.is_ready);
        ready.map(|(id, _)| *id)
    }

    /// Calls `visit` with the ready workers that have subscribed to a topic.
    pub(super) fn subscribers(&self, topic: &str, visit: &mut dyn FnMut(u64)) {
        let named = self.topics.get(topic).into_iter().flatten();
        for id in named.filter(|id| self.is_ready(**id)) {
            visit(*id);
        }
        for (id, peer) in &self.peers {
            if peer.receives_all && peer.is_ready {
                visit(*id);
            }
        }
    }
}
