//! The bus: messages from each worker to all workers that have subscribed to a topic.
//!
//! ```text
//! hub ─→ bus ─→ transport ←─ threads      members of a group in one process
//!                         ←─ sockets      pairwise socket pairs between processes ─→ frame
//!         └─→ remote transport ←─ redis   workers of other machines (feature `redis`)
//! ```
//!
//! Each thread has one [`Bus`]. Without a transport, a bus delivers to local subscribers only. With a [`BusTransport`], its messages also
//! reach the other workers: exactly once each, in order per publisher, as long as they read. Messages to a worker that does not read are
//! dropped beyond a limit; no worker waits for it. The bus emits events when other workers connect and leave.
//!
//! # Examples
//! ```
//! use uptick_workers::bus::{Bus, ThreadBus};
//!
//! let threads = ThreadBus::new();
//! let others = threads.clone();
//! let worker = std::thread::spawn(move || {
//!     let bus = Bus::of_thread();
//!     bus.attach(others.join());
//!     bus.publish("news", "hello");
//! });
//! let bus = Bus::of_thread();
//! bus.attach(threads.join());
//! bus.subscribe("news", |payload| println!("{payload:?}"));
//! # worker.join().unwrap();
//! ```

mod congestion;
mod events;
#[doc(hidden)]
pub mod frame;
mod hub;
mod local;
#[cfg(feature = "redis")]
mod redis;
mod sink;
mod sockets;
mod threads;
mod transport;

use std::hash::{BuildHasher, RandomState};

pub use hub::{BusHub, connect_hubs};
pub use local::{Bus, MESSAGE_LIMIT, QUEUE_LIMIT, SubscriptionId, TOPIC_LIMIT};
#[cfg(feature = "redis")]
pub use redis::{RedisBusOptions, RedisTransport};
pub use sockets::SocketTransport;
pub use threads::{ThreadBus, ThreadTransport};
pub use transport::{BusSink, BusStats, BusTransport, TransportStats};

pub(crate) use local::when_remote_ready;

/// Returns a random id of a group. The ids of up to 65,535 members follow it.
pub(crate) fn new_group() -> u64 {
    // The keys of the hash are random numbers of the system.
    RandomState::new().hash_one(std::process::id()).max(1 << 16) & !0xFFFF
}
