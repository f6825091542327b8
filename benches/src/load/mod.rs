//! The load generator: one thread that keeps one small request, or one batch of them, outstanding on each connection.

mod exchange;
mod fan_out;
mod frames;
mod idle;
mod round_trips;
mod session;
mod short;
mod socket;
mod socketio;

use std::net::SocketAddrV4;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use rustls::ClientConfig;

pub(crate) use self::exchange::Exchange;
pub(crate) use self::fan_out::FanOut;
pub(crate) use self::frames::PATH;
pub(crate) use self::idle::IdleConnections;
pub(crate) use self::round_trips::RoundTrips;
pub(crate) use self::short::ShortConnections;
pub(crate) use self::socketio::{
    Acks, Broadcasts, Clients, ClusterBroadcasts, ClusterClients, Connects,
};

/// Bytes in a request to an echo server, and in its answer.
pub(crate) const REQUEST: usize = 64;

/// How long an answer may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(30);

/// A server, as its clients see it.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddrV4,
    /// How to speak TLS with it, if it does.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// Work for a server, in units that are all alike.
pub(crate) trait Load {
    /// Does `units` of it and returns when the last is done.
    fn run(&mut self, units: u64) -> Result<()>;
}

/// The request number `sequence`: no two in a row are alike, so a wrong answer is noticed.
fn request(sequence: u64) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    for (word, index) in bytes.chunks_exact_mut(8).zip(0..) {
        word.copy_from_slice(&sequence.wrapping_add(index).to_le_bytes());
    }
    bytes
}
