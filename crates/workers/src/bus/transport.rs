//! The interface between a bus and what carries its messages to other workers.

use std::marker::PhantomData;

use bytes::Bytes;
use uptick_event_loop::UseRemoteOrLoopHandle;

/// Carries the messages of a bus to other workers, and theirs to the bus.
///
/// A bus has one transport at a time ([`Bus::attach`](super::Bus::attach)) and calls it on its own thread, never while another call
/// of it is under way. No method waits for anything.
///
/// # Contract
/// - **Exactly once.** A message that [`publish`](BusTransport::publish) takes reaches each other worker that has announced its
///   topic once, unless it is dropped as described below. It never comes back to its publisher, and no worker relays it.
/// - **Order.** Messages of one publisher arrive in the order in which they were published, whatever their topics.
/// - **Interest.** The bus announces a topic with its first subscriber and withdraws it with the last. The announcement has left
///   when [`subscribe`](BusTransport::subscribe) returns: a worker that publishes after it has heard of the subscription in any other
///   way finds it there. A worker that has not announced a topic gets none of its messages, or few.
/// - **Bounded.** What waits for a worker has a limit. Beyond it messages to that worker, and to no other, are dropped whole, and
///   counted in [`TransportStats::dropped`]. When it reads again, messages flow again. Announcements are never dropped.
/// - **Peers.** The sink learns of each other worker when the topics that it begins with are known ([`BusSink::peer`]), and when it has gone,
///   after its last message ([`BusSink::peer_gone`]).
/// - **Delivery.** Received messages go to the [`BusSink`] on the bus's thread, in an event of the transport's own: never from within
///   a method of this trait. A transport that receives many leaves the loop to others after a while.
///
/// # Examples
/// ```
/// use bytes::Bytes;
/// use uptick_workers::bus::{Bus, BusSink, BusTransport, TransportStats};
///
/// /// Logs what a worker would send to others.
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
    /// Receives the sink for messages of other workers. Called once, before all other methods; announcements of the topics that have
    /// subscribers already follow.
    fn attach(&self, sink: BusSink);

    /// Sends a message to the other workers that have announced the topic.
    ///
    /// The topic has at most [`TOPIC_LIMIT`](super::TOPIC_LIMIT) bytes, the payload at most [`MESSAGE_LIMIT`](super::MESSAGE_LIMIT).
    fn publish(&self, topic: &str, payload: &Bytes);

    /// Announces a topic that has its first subscriber now.
    fn subscribe(&self, topic: &str);

    /// Withdraws a topic that has no subscriber any more.
    fn unsubscribe(&self, topic: &str);

    /// Returns the id under which other workers learn of this one. Default: 0, if the transport has no ids.
    fn id(&self) -> u64 {
        0
    }

    /// Returns the counters.
    fn stats(&self) -> TransportStats;

    /// Calls `visit` with the id of each other worker and the bytes of messages that wait for it, for
    /// [`Bus::is_congested`](super::Bus::is_congested). `visit` does not use the transport. Default: calls it never.
    fn queues(&self, visit: &mut dyn FnMut(u64, usize)) {
        let _ = visit;
    }

    /// Calls `visit` with the id of each other worker that has announced the topic and was reported to the sink, for
    /// [`Bus::remote_subscribers`](super::Bus::remote_subscribers). `visit` does not use the transport. Default: calls it never.
    fn subscribers(&self, topic: &str, visit: &mut dyn FnMut(u64)) {
        let _ = (topic, visit);
    }

    /// Leaves the other workers. Called once, as the last method: by [`Bus::detach`](super::Bus::detach), or when another transport
    /// is attached. Not called when the thread ends: then the transport is dropped.
    fn close(&self);
}

/// The counters of a [`BusTransport`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TransportStats {
    /// Messages that were dropped because a worker does not read: one for each such worker. Monotone.
    pub dropped: u64,
    /// Bytes of messages that wait for other workers now.
    pub queued_bytes: usize,
}

/// The counters of a [`Bus`](super::Bus).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BusStats {
    /// Messages that this worker has published. Monotone.
    pub published: u64,
    /// Messages that came from other workers. Monotone.
    pub received: u64,
    /// Messages of this worker that were dropped: one for each worker that does not read, and one for each message that is too long.
    /// Monotone.
    pub dropped: u64,
    /// Bytes of messages of this worker that wait for it and for other workers now.
    pub queued_bytes: usize,
}

/// Passes messages of other workers to the bus of the thread.
///
/// It does nothing once its transport is detached.
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
