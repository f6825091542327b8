//! Interface to a Redis server.

use std::rc::Rc;

use bytes::Bytes;

use crate::Promise;

/// A channel to which messages are published.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Channel<'a> {
    /// A channel: `PUBLISH`, `PUBSUB NUMSUB`.
    Plain(&'a str),
    /// A sharded channel: `SPUBLISH`, `PUBSUB SHARDNUMSUB`.
    Sharded(&'a str),
}

/// A subscription.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Topic {
    /// A channel: `SUBSCRIBE`.
    Channel(String),
    /// A pattern of channels: `PSUBSCRIBE`.
    Pattern(String),
    /// A sharded channel: `SSUBSCRIBE`.
    Sharded(String),
}

/// The id of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TopicId(pub u64);

/// A callback that receives the channel and the payload of a message.
pub type OnMessage = Rc<dyn Fn(&str, Bytes)>;

/// The parts of Redis that the adapters need.
///
/// No method calls a callback before it returns. Subscriptions are restored after the connection was lost.
pub trait Broker {
    /// Publishes a message. Messages are published in the order of the calls. The result is the text of an error if the message was not published.
    fn publish(&self, channel: Channel<'_>, payload: Bytes) -> Promise<Result<(), String>>;

    /// Subscribes to a topic. The second result is set once the server has confirmed the subscription, or refused it.
    fn subscribe(
        &self,
        topic: Topic,
        on_message: OnMessage,
    ) -> (TopicId, Promise<Result<(), String>>);

    /// Ends a subscription. Its callback is not called afterwards.
    fn unsubscribe(&self, id: TopicId);

    /// Returns the number of subscribers of a channel, without subscribers of patterns. The server counts them after it has processed all previous calls.
    fn subscribers(&self, channel: Channel<'_>) -> Promise<Result<usize, String>>;
}

impl<B: Broker + ?Sized> Broker for Rc<B> {
    fn publish(&self, channel: Channel<'_>, payload: Bytes) -> Promise<Result<(), String>> {
        (**self).publish(channel, payload)
    }

    fn subscribe(
        &self,
        topic: Topic,
        on_message: OnMessage,
    ) -> (TopicId, Promise<Result<(), String>>) {
        (**self).subscribe(topic, on_message)
    }

    fn unsubscribe(&self, id: TopicId) {
        (**self).unsubscribe(id);
    }

    fn subscribers(&self, channel: Channel<'_>) -> Promise<Result<usize, String>> {
        (**self).subscribers(channel)
    }
}
