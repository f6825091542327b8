//! Byte channels, used after an upgrade.
//!
//! A [`Channel`] is a TCP, Unix or TLS [`Connection`](uptick_socket::Connection) after an HTTP/1 upgrade, or a stream with another
//! carrier: memory in [tests](crate::test). A protocol serves both the same way, with a [`ChannelSession`]. Programs that use one
//! protocol over connections can use the connection itself ([`Response::upgrade`](crate::Response::upgrade)); this module is for protocol
//! implementors.
//!
//! ```text
//! Channel ─┬→ Connection
//!          └→ VirtualStream ─→ Carrier            its queues and states, and the transport of its bytes
//! ```
//!
//! Cost of a method on a connection: one comparison in addition to the connection's own method.
//!
//! # Examples
//! An echo protocol:
//! ```
//! use std::rc::Rc;
//!
//! use bytes::BytesMut;
//! use uptick_http::channel::{Channel, ChannelSession};
//! use uptick_http::{HttpServer, Request, Response};
//! use uptick_socket::Error;
//!
//! struct Echo(Channel);
//!
//! impl ChannelSession<Error> for Echo {
//!     fn data(&self, bytes: &mut BytesMut) {
//!         self.0.write(bytes.split());
//!     }
//!
//!     fn end(&self) {}
//!
//!     fn close(&self) {}
//! }
//!
//! let http = HttpServer::new();
//! http.get("/echo", |_: Request| {
//!     Response::upgrade_channel("echo", |channel: Channel| {
//!         channel.set_session(Rc::new(Echo(channel)));
//!     })
//! });
//! ```

mod driver;
mod handle;
mod pair;
mod state;
mod stream;
mod upgrade;

pub use driver::{ChannelDriver, ChannelTokens};
pub use handle::Channel;
pub(crate) use pair::pair;
pub(crate) use stream::{Carrier, VirtualStream};
pub use upgrade::Upgrade;
pub use uptick_socket::engine::ChannelSession;
