//! Deadlines of protocols on channels, and what they postpone.

use std::marker::PhantomData;

use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{DriverId, Readiness, Token};
use uptick_socket::Connection;
use uptick_socket::engine::Engine;

use super::handle::{Channel, Kind};
use super::stream::StreamId;

/// Handles the deadlines of a protocol's channels.
pub trait ChannelDriver: 'static {
    /// It is the turn of a channel that [`ready_later`](driver::ready_later) was called for.
    fn ready(channel: Channel);

    /// The [deadline](driver::LazyDeadline) of a channel has expired.
    fn expired(channel: Channel);

    /// A callback panicked in one of these functions. Default: fails the channel ([`Channel::panicked`]).
    fn panicked(channel: Channel, message: &str) {
        channel.panicked(message);
    }
}

/// The tokens under which the loop knows the channels of a protocol.
#[derive(Clone, Copy, Debug)]
pub struct ChannelTokens {
    connections: DriverId,
    streams: DriverId,
}

impl ChannelTokens {
    /// Registers a driver with the loop of the thread; to be called once for each thread and driver.
    pub fn register<D: ChannelDriver>() -> Self {
        ChannelTokens {
            connections: driver::register(&DriverOf::<D, Connection>(PhantomData)),
            streams: driver::register(&DriverOf::<D, StreamId>(PhantomData)),
        }
    }

    /// Returns the token of a channel.
    pub fn of(self, channel: Channel) -> Token {
        match channel.0 {
            Kind::Connection(conn) => conn.token(self.connections),
            Kind::Stream(id) => id.token(self.streams),
        }
    }
}

/// The [`Driver`] for the channels of one kind.
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
