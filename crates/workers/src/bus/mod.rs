//! The bus: messages from each worker to all workers that have subscribed to a topic.
//!
//! ```text
//! hub ─→ bus ─→ transport ←─ threads      members of a group in one process
//!                         ←─ sockets      pairwise socket pairs between processes ─→ frame
//! ```
//!
//! Each thread has one [`Bus`]. A worker without a transport, or without other workers, is a bus by itself. With a
//! [`BusTransport`], what it publishes also reaches the other workers: exactly once each, in order per publisher, as long as they
//! read. A worker that does not read is cut off beyond a limit; no worker waits for it. The bus emits events when other workers come and go.
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
mod sink;
mod sockets;
mod threads;
mod transport;

pub use hub::{BusHub, connect_hubs};
pub use local::{Bus, MESSAGE_LIMIT, QUEUE_LIMIT, SubscriptionId, TOPIC_LIMIT};
pub use sockets::SocketTransport;
pub use threads::{ThreadBus, ThreadTransport};
pub use transport::{BusSink, BusStats, BusTransport, TransportStats};
