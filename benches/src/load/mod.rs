//! The load generator: one thread that keeps one small request, or one batch of requests, outstanding on each
//! connection.

mod exchange;
mod fan_out;
mod frames;
mod http2;
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
pub(crate) use self::http2::{Http2Echoes, Http2IdleConnections, RequestStreams};
pub(crate) use self::idle::IdleConnections;
pub(crate) use self::round_trips::RoundTrips;
pub(crate) use self::short::ShortConnections;
pub(crate) use self::socketio::{
    Acks, Broadcasts, Clients, ClusterBroadcasts, ClusterClients, Connects,
};

/// The length of a request to an echo server, and of its response, in bytes.
pub(crate) const REQUEST: usize = 64;

/// The time after which a missing response ends the run.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(30);

/// The address of a server, and the TLS configuration of its clients.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) address: SocketAddrV4,
    /// The TLS configuration; `None` without TLS.
    pub(crate) tls: Option<Arc<ClientConfig>>,
}

/// A load for a server, in equal units.
pub(crate) trait Load {
    /// Runs `units` units, and returns when the last one is complete.
    fn run(&mut self, units: u64) -> Result<()>;
}

/// Returns the request number `sequence`. Consecutive requests differ, so a wrong response is detected.
fn request(sequence: u64) -> [u8; REQUEST] {
    let mut bytes = [0; REQUEST];
    for (word, index) in bytes.chunks_exact_mut(8).zip(0..) {
        word.copy_from_slice(&sequence.wrapping_add(index).to_le_bytes());
    }
    bytes
}
