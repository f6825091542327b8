//! The client: its connections, subscriptions and events.

mod blocking;
mod cluster;
mod connecting;
mod endpoint;
mod handle;
mod link;
mod state;
mod subscriptions;
mod waiting;

pub use handle::{Message, Reconnecting, Redis};
