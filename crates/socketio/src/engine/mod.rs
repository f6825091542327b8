//! The Engine.IO server: sessions over HTTP long-polling and WebSockets, with upgrades, a heartbeat and backpressure.
//!
//! [`EngineIo`] is a server at a path of an [`HttpServer`](uptick_http::HttpServer), and [`Client`] is a session. Socket.IO is a protocol on top of it.
//! Engine.IO on its own is a message connection that also works through proxies that do not support WebSockets.
//!
//! ```text
//! server ─→ requests ─┬→ polling ───→ state ─→ Session (sans-IO)
//!                     └→ websocket ─↗   └────→ listeners, or the protocol on top
//! ```

mod client;
mod clients;
mod clock;
#[cfg(feature = "workers")]
mod cluster;
mod handshake;
mod hooks;
mod mounted;
mod options;
mod polling;
mod query;
mod refusal;
mod requests;
mod server;
mod session_id;
mod state;
mod stats;
mod waiting;
mod websocket;

use std::rc::Rc;

use uptick_websocket::Message;

pub use client::Client;
pub use handshake::Handshake;
pub use hooks::{IntoPermission, Permission};
pub use options::EngineOptions;
pub use refusal::{ConnectionError, RefusalCode};
pub use server::EngineIo;
pub use session_id::SessionId;
pub use stats::EngineStats;

pub use crate::protocol::session::{CloseReason, Transport};

/// A protocol on top of a session. Its methods are called while no `RefCell` is borrowed.
pub(crate) trait ClientProtocol {
    /// Called when a message is received.
    fn message(&self, message: Message);

    /// Called when the queue is empty again, after a packet was [buffered](uptick_websocket::Sent::Buffered).
    fn drained(&self);

    /// Called when the session is over. No other method is called afterwards.
    fn closed(&self, reason: CloseReason);
}

/// A callback that opens the protocol on top of a session.
pub(crate) type OpenProtocol = Rc<dyn Fn(Client) -> Rc<dyn ClientProtocol>>;
