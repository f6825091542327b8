#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod adapter;
mod arguments;
mod broadcast;
mod cluster;
mod codec;
pub mod engine;
mod error;
mod listeners;
#[doc(hidden)]
pub mod marker;
mod namespace;
mod options;
mod peer;
mod promise;
pub mod protocol;
mod random;
mod recovery;
mod server;
mod socket;
mod socket_id;
mod tag;

/// The names that most programs need: `use uptick_socketio::prelude::*`.
///
/// It includes the prelude of `uptick-http`.
pub mod prelude {
    pub use uptick_http::prelude::*;

    pub use crate::{
        Ack, AckError, DisconnectReason, Namespace, Refusal, Socket, SocketIo, SocketIoOptions,
    };
}

pub use adapter::RemoteSocket;
pub use arguments::{FromArguments, ToArguments};
pub use broadcast::Broadcast;
pub use codec::Parser;
pub use error::{AckError, DisconnectReason, Incomplete, Refusal};
pub use listeners::EventListenerId;
pub use namespace::{ConnectMiddleware, IntoConnectMiddleware, Namespace, RoomMember, Verdict};
pub use options::{RecoveryOptions, SocketIoOptions};
pub use promise::{Promise, Resolver};
pub use protocol::Value;
pub use protocol::packet::Arguments;
pub use protocol::session::Transport;
pub use server::SocketIo;
pub use socket::{Ack, Emission, Socket};
pub use socket_id::SocketId;
pub use uptick_websocket::Sent;
