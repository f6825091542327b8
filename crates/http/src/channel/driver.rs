//! Deadlines and deferred actions of protocols on channels.

use std::marker::PhantomData;

use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{DriverId, Readiness, Token};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::handle::{Channel, ChannelInner};
use super::stream::StreamId;

/// The driver for a protocol's channels.
pub trait ChannelDriver: 'static {
    /// Called for a channel after [`ready_later`](driver::ready_later), in the next iteration.
    fn ready(channel: Channel);

    /// Called when the [deadline](driver::LazyDeadline) of a channel has expired.
    fn expired(channel: Channel);

    /// Called when a callback panicked in one of these functions. Default: fails the channel ([`Channel::panicked`]).
    fn panicked(channel: Channel, message: &str) {
        channel.panicked(message);
    }
}

/// The ids of a protocol's driver, one for each kind of channel. They are used to create tokens.
#[derive(Clone, Copy, Debug)]
pub struct ChannelTokens {
    connections: DriverId,
    streams: DriverId,
}

impl ChannelTokens {
    /// Registers a driver with the loop of the thread. Must be called once for each thread and driver.
    pub fn register<D: ChannelDriver>() -> Self {
        ChannelTokens {
            connections: driver::register(&DriverOf::<D, Connection>(PhantomData)),
            streams: driver::register(&DriverOf::<D, StreamId>(PhantomData)),
        }
    }

    /// Returns the token of a channel.
    pub fn of(self, channel: Channel) -> Token {
        match channel.0 {
            ChannelInner::Connection(conn) => conn.token(self.connections),
            ChannelInner::Stream(id) => id.token(self.streams),
        }
    }
}

/// The [`Driver`] for one kind of channels.
struct DriverOf<D, K>(PhantomData<fn(D, K)>);

/// A kind of channel.
trait ChannelKind {
    fn find(token: Token) -> Option<Channel>;
}

impl ChannelKind for Connection {
    fn find(token: Token) -> Option<Channel> {
        <Connection as Engine>::find(token).map(Channel::from)
    }
}

impl ChannelKind for StreamId {
    fn find(token: Token) -> Option<Channel> {
        StreamId::find(token).map(Channel::of_stream)
    }
}

impl<D: ChannelDriver, K: ChannelKind> Driver for DriverOf<D, K> {
    fn ready(&self, token: Token, _: Readiness) {
        if let Some(channel) = K::find(token) {
            D::ready(channel);
        }
    }

    fn expired(&self, token: Token) {
        if let Some(channel) = K::find(token) {
            D::expired(channel);
        }
    }

    fn panicked(&self, token: Token, message: &str) {
        match K::find(token) {
            Some(channel) => D::panicked(channel, message),
            None => tracing::error!("a callback panicked after its channel had closed: {message}"),
        }
    }
}
