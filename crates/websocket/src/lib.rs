#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod bearer;
mod client;
mod compression;
mod counts;
mod error;
mod gate;
#[doc(hidden)]
pub mod marker;
mod message;
mod options;
mod origin;
pub mod protocol;
mod rate;
mod reconnect;
mod reject_with_close;
mod routes;
mod servers;
mod socket;
pub mod test;
mod topics;
mod upgrader;

/// The usual imports of a program with this crate: `use uptick_websocket::prelude::*`.
///
/// It includes the prelude of `uptick-http`. `Error` is [`crate::Error`]; for errors of servers, use [`uptick_socket::Error`].
pub mod prelude {
    pub use uptick_http::prelude::*;

    pub use crate::{
        Accept, CloseCode, Closed, Error, Message, Reconnect, Reject, Sent, WebSocket,
        WebSocketConnector, WebSocketOptions, WebSocketRoutes,
    };
}

pub use bearer::BearerProtocol;
pub use client::{Connecting, Refusal, WebSocketConnector, connect};
pub use compression::Compression;
pub use counts::WebSocketStats;
pub use error::Error;
pub use gate::{Accept, Decision, IntoDecision, IntoVerdict, Reject};
pub use message::{Message, Payload, Text};
pub use options::{SlowPolicy, WebSocketOptions};
pub use origin::Origins;
pub use protocol::CloseCode;
pub use rate::RatePolicy;
pub use reconnect::{Reconnect, ReconnectCause, Reconnecting, Retry};
pub use reject_with_close::RejectWithClose;
pub use routes::{WebSocketRoutes, upgrade, upgrade_with};

pub use socket::Sent;
pub use socket::handle::{Closed, WebSocket};
pub use socket::handler::WebSocketHandler;
pub use topics::{
    Hub, HubAdapter, HubMessage, PublishError, Publisher, SubscriptionChange, set_default_adapter,
};
pub use upgrader::Upgrader;
