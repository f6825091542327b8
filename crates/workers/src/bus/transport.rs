//! The interface between a bus and the transport of its messages to other workers.

use std::marker::PhantomData;

use bytes::Bytes;
use uptick_event_loop::{UseRemoteOrLoopHandle, future_tick};

/// A transport of messages between the buses of workers.
///
/// A bus has one transport at a time ([`Bus::attach`](super::Bus::attach)) and calls it on its own thread, one call at a time. No method
/// blocks.
///
/// # Contract
/// - **Exactly once.** A message passed to [`publish`](BusTransport::publish) reaches each other worker that has announced its topic once,
///   unless it is dropped as described below. It never comes back to its publisher, and no worker relays it.
/// - **Order.** Messages of one publisher arrive in the order in which they were published, whatever their topics.
/// - **Subscriptions.** The bus announces a topic with its first subscriber and withdraws it with the last. The announcement has been sent
///   when [`subscribe`](BusTransport::subscribe) returns: a worker that learns of the subscription in any other way and then publishes
///   reaches it. A worker that has not announced a topic receives few or none of its messages.
/// - **Bounded.** The queue of each worker has a limit. Beyond it, messages to that worker, and to no other, are dropped whole, and counted
///   in [`TransportStats::dropped`]. When the worker reads again, messages flow again. Announcements are never dropped.
/// - **Peers.** The transport reports each other worker to the sink when the initial topics of that worker are known ([`BusSink::peer`]), and
///   when it is gone, after its last message ([`BusSink::peer_gone`]).
/// - **Delivery.** Received messages go to the [`BusSink`] on the bus's thread, from an event of the transport, never from within a method of
///   this trait. A transport that receives many messages yields to the loop after a batch.
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use uptick_workers::bus::{Bus, BusSink, BusTransport, TransportStats};
///
/// /// Logs the messages to other workers.
/// struct Log;
///
/// impl BusTransport for Log {
///     fn attach(&self, _: BusSink) {}
///     fn publish(&self, topic: &str, payload: &Bytes) {
///         println!("{topic}: {} bytes", payload.len());
///     }
///     fn subscribe(&self, topic: &str) {
///         println!("+{topic}");
///     }
///     fn unsubscribe(&self, topic: &str) {
///         println!("-{topic}");
///     }
///     fn stats(&self) -> TransportStats {
///         TransportStats::default()
///     }
///     fn close(&self) {}
/// }
///
/// Bus::of_thread().attach(Log);
/// ```
pub trait BusTransport {
    /// Attaches the sink for messages of other workers. Called once, before all other methods. Announcements of the topics that already have
    /// subscribers follow.
    fn attach(&self, sink: BusSink);

    /// Sends a message to the other workers that have announced the topic.
    ///
    /// The topic has at most [`TOPIC_LIMIT`](super::TOPIC_LIMIT) bytes, the payload at most [`MESSAGE_LIMIT`](super::MESSAGE_LIMIT).
    fn publish(&self, topic: &str, payload: &Bytes);

    /// Announces a topic that has its first subscriber now.
    fn subscribe(&self, topic: &str);

    /// Withdraws a topic that has no subscriber any more.
    fn unsubscribe(&self, topic: &str);

    /// Returns the id of this worker at the other workers. Default: 0, if the transport has no ids.
    fn id(&self) -> u64 {
        0
    }

    /// Returns the id of the group of workers that this transport connects, which is not 0 if the ids in it are unique among all machines.
    /// [`Bus::attach_remote`](super::Bus::attach_remote) requires that. Default: 0.
    fn group(&self) -> u64 {
        0
    }

    /// Calls `callback` from the loop once the workers that are connected now have been reported to the sink, or after a timeout.
    /// Default: in the next iteration.
    fn when_ready(&self, callback: Box<dyn FnOnce()>) {
        future_tick(callback);
    }

    /// Returns the counters.
    fn stats(&self) -> TransportStats;

    /// Calls `visit` with the id of each other worker and the bytes of messages queued for it, for
    /// [`Bus::is_congested`](super::Bus::is_congested). `visit` does not use the transport. Default: never calls it.
    fn queues(&self, visit: &mut dyn FnMut(u64, usize)) {
        let _ = visit;
    }

    /// Calls `visit` with the id of each other worker that has announced the topic and was reported to the sink, for
    /// [`Bus::remote_subscribers`](super::Bus::remote_subscribers). `visit` does not use the transport. Default: never calls it.
    fn subscribers(&self, topic: &str, visit: &mut dyn FnMut(u64)) {
        let _ = (topic, visit);
    }

    /// Disconnects from the other workers. Called once, as the last method: by [`Bus::detach`](super::Bus::detach), or when another transport
    /// is attached. Not called when the thread ends: then the transport is dropped.
    fn close(&self);
}

/// The counters of a [`BusTransport`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportStats {
    /// The number of messages dropped because a worker did not read, counted once per such worker. It never decreases.
    pub dropped: u64,
    /// The number of bytes of messages that are queued for other workers now.
    pub queued_bytes: usize,
}

/// The counters of a [`Bus`](super::Bus).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusStats {
    /// The number of messages that this worker has published. It never decreases.
    pub published: u64,
    /// The number of messages received from other workers. It never decreases.
    pub received: u64,
    /// The number of messages of this worker that were dropped: counted once per worker that does not read, and once per message that is too
    /// long. It never decreases.
    pub dropped: u64,
    /// The number of bytes of messages of this worker that are queued for local subscribers and other workers now.
    pub queued_bytes: usize,
}

/// A handle that passes messages of other workers to the bus of the thread.
///
/// It has no effect once its transport is detached.
#[derive(Clone)]
pub struct BusSink {
    /// The number of the attachment.
    pub(super) generation: u64,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

impl BusSink {
    pub(super) fn new(generation: u64) -> Self {
        BusSink {
            generation,
            local: PhantomData,
        }
    }
}
