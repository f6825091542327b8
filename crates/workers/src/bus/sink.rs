//! Delivery of the messages of other workers to the bus of the thread.

use std::fmt;

use bytes::Bytes;

use super::events::emit_peer;
use super::local::{self, Bus};
use super::transport::BusSink;

impl BusSink {
    /// Delivers a message to the subscribers of its topic, if there are any. Subscribers are called before this returns, unless
    /// a subscriber is running already.
    pub fn deliver(&self, topic: &str, payload: Bytes) {
        local::receive(self.generation, topic, payload);
    }

    /// Reports that another worker is connected: the bus emits `peer`.
    pub fn peer(&self, id: u64) {
        if self.is_attached() {
            emit_peer(Bus::PEER, id);
        }
    }

    /// Reports that another worker is gone: the bus emits `peer-gone`. Ids that were not reported with [`peer`](BusSink::peer)
    /// must not be passed.
    pub fn peer_gone(&self, id: u64) {
        if self.is_attached() {
            emit_peer(Bus::PEER_GONE, id);
        }
    }

    /// Returns whether the transport is still attached.
    pub fn is_attached(&self) -> bool {
        local::is_attached(self.generation)
    }
}

impl fmt::Debug for BusSink {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusSink")
            .field("attached", &self.is_attached())
            .finish_non_exhaustive()
    }
}
