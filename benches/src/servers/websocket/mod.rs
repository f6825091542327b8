//! The WebSocket servers. All of them echo every text or binary message, at any path and without compression.

pub(super) mod async_tungstenite;
pub(super) mod bun;
pub(super) mod fastwebsockets;
pub(super) mod node;
pub(super) mod tokio_tungstenite;
pub(super) mod uptick;
pub(super) mod writes;
