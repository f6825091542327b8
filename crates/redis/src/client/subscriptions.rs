//! The subscriptions of a connection, and the messages about them.

use std::collections::HashMap;

use bytes::Bytes;
use uptick_event_loop::Id;

use super::handle::Message;
use crate::protocol::Value;

/// The kind of a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum SubscriptionKind {
    Channel,
    Pattern,
    Sharded,
}

impl SubscriptionKind {
    pub(super) fn subscribe(self) -> &'static str {
        match self {
            SubscriptionKind::Channel => "SUBSCRIBE",
            SubscriptionKind::Pattern => "PSUBSCRIBE",
            SubscriptionKind::Sharded => "SSUBSCRIBE",
        }
    }

    pub(super) fn unsubscribe(self) -> &'static str {
        match self {
            SubscriptionKind::Channel => "UNSUBSCRIBE",
            SubscriptionKind::Pattern => "PUNSUBSCRIBE",
            SubscriptionKind::Sharded => "SUNSUBSCRIBE",
        }
    }
}

/// A command that changes a subscription, until the server has confirmed it.
#[derive(Debug)]
pub(super) struct SubscriptionChange {
    pub(super) kind: SubscriptionKind,
    pub(super) channel: Bytes,
    pub(super) subscribed: bool,
    /// The number of a subscription; see [`Subscription`].
    pub(super) serial: u64,
    /// The reply to an unsubscription. The replies to subscriptions are in [`Subscription`].
    pub(super) reply: Option<Id>,
}

pub(super) type SubscriptionKey = (SubscriptionKind, Bytes);

/// The subscriptions of a connection.
#[derive(Debug, Default)]
pub(super) struct Subscriptions {
    pub(super) all: HashMap<SubscriptionKey, Subscription>,
    serial: u64,
}

/// A subscription that the program wants.
#[derive(Debug, Default)]
pub(super) struct Subscription {
    /// The replies that wait for the confirmation.
    pub(super) replies: Vec<Id>,
    /// The number of the last command for this channel. Confirmations of earlier commands are ignored.
    serial: u64,
}

impl Subscriptions {
    /// Adds replies to a subscription, which is created if it does not exist.
    pub(super) fn add(&mut self, key: SubscriptionKey, replies: Vec<Id>) {
        self.all.entry(key).or_default().replies.extend(replies);
    }

    /// Assigns the next number to a subscription, for a command that is about to be sent.
    pub(super) fn next_serial(&mut self, key: &SubscriptionKey) -> u64 {
        self.serial += 1;
        if let Some(subscription) = self.all.get_mut(key) {
            subscription.serial = self.serial;
        }
        self.serial
    }

    /// Returns the subscription for which a command was the last one.
    pub(super) fn current(&mut self, change: &SubscriptionChange) -> Option<&mut Subscription> {
        let key = (change.kind, change.channel.clone());
        let subscription = self.all.get_mut(&key)?;
        (subscription.serial == change.serial).then_some(subscription)
    }
}

/// A message of the server about subscriptions.
pub(super) enum PubSubMessage {
    Message(Message),
    Subscribed(SubscriptionKind, Bytes),
    Unsubscribed(SubscriptionKind, Option<Bytes>),
    /// The response to `PING` on a RESP2 connection with subscriptions.
    Pong,
    /// Another message, such as one about client-side caching.
    Unknown,
}

/// Interprets the elements of a push message, or of an array on a RESP2 connection with subscriptions.
#[inline]
pub(super) fn interpret(elements: &mut [Value]) -> PubSubMessage {
    fn take(elements: &mut [Value], index: usize) -> Option<Bytes> {
        match elements.get_mut(index).map(std::mem::take) {
            Some(Value::Bulk(bytes) | Value::Simple(bytes)) => Some(bytes),
            _ => None,
        }
    }
    let kind = take(elements, 0).unwrap_or_default();
    let message = |channel, pattern, payload, sharded| match (channel, payload) {
        (Some(channel), Some(payload)) => PubSubMessage::Message(Message {
            channel,
            pattern,
            payload,
            sharded,
        }),
        _ => PubSubMessage::Unknown,
    };
    let confirmed = |kind, channel: Option<Bytes>| match channel {
        Some(channel) => PubSubMessage::Subscribed(kind, channel),
        None => PubSubMessage::Unknown,
    };
    match &kind[..] {
        b"message" => message(take(elements, 1), None, take(elements, 2), false),
        b"smessage" => message(take(elements, 1), None, take(elements, 2), true),
        b"pmessage" => {
            let pattern = take(elements, 1);
            message(take(elements, 2), pattern, take(elements, 3), false)
        }
        b"subscribe" => confirmed(SubscriptionKind::Channel, take(elements, 1)),
        b"psubscribe" => confirmed(SubscriptionKind::Pattern, take(elements, 1)),
        b"ssubscribe" => confirmed(SubscriptionKind::Sharded, take(elements, 1)),
        b"unsubscribe" => PubSubMessage::Unsubscribed(SubscriptionKind::Channel, take(elements, 1)),
        b"punsubscribe" => {
            PubSubMessage::Unsubscribed(SubscriptionKind::Pattern, take(elements, 1))
        }
        b"sunsubscribe" => {
            PubSubMessage::Unsubscribed(SubscriptionKind::Sharded, take(elements, 1))
        }
        b"pong" => PubSubMessage::Pong,
        _ => PubSubMessage::Unknown,
    }
}
