//! The transport between threads: each member of a group has an inbox into which the others put their messages.
//!
//! A message to other threads costs one lookup of the topic and one fence, and for each receiver three reference counts and a push
//! without a lock. A sleeping thread is woken by one posted call, however many messages follow. The payload is shared.

mod group;
mod member;

use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;

use self::group::Group;
use self::member::Member;
use super::local::QUEUE_LIMIT;
use super::new_group;
use super::transport::{BusSink, BusTransport, TransportStats};

/// A group of threads whose buses are connected.
///
/// Clones refer to the same group. Threads may join and leave while others run.
///
/// # Examples
/// ```
/// use uptick_workers::bus::{Bus, ThreadBus};
///
/// let group = ThreadBus::new();
/// let workers = [1, 2].map(|worker| {
///     let group = group.clone();
///     std::thread::spawn(move || {
///         let bus = Bus::of_thread();
///         bus.attach(group.join());
///         bus.subscribe("news", move |payload| println!("{worker}: {payload:?}"));
///         // uptick_event_loop::run()
///     })
/// });
/// # workers.map(|worker| worker.join().unwrap());
/// ```
#[derive(Clone)]
pub struct ThreadBus {
    group: Arc<Group>,
}

/// A thread's membership in a [`ThreadBus`]: the transport for its bus.
///
/// Dropping it leaves the group.
pub struct ThreadTransport {
    member: Rc<Member>,
}

impl ThreadBus {
    /// Creates a group without members.
    #[expect(
        clippy::new_without_default,
        reason = "a group is made where workers are"
    )]
    pub fn new() -> ThreadBus {
        ThreadBus::with_queue_limit(QUEUE_LIMIT)
    }

    /// Creates a group with the maximum number of bytes that are queued from one publisher to each receiver: topics, payloads, and 64
    /// bytes for each message. Beyond that, messages of the publisher to this receiver are dropped. Default: 4 MiB.
    pub fn with_queue_limit(bytes: usize) -> ThreadBus {
        ThreadBus {
            group: Arc::new(Group::new(bytes, 0)),
        }
    }

    /// Creates a group in which the ids of members are unique among all machines, as [`Bus::attach_remote`](super::Bus::attach_remote) requires.
    pub fn with_unique_ids() -> ThreadBus {
        ThreadBus {
            group: Arc::new(Group::new(QUEUE_LIMIT, new_group())),
        }
    }

    /// Joins the group with this thread's loop.
    pub fn join(&self) -> ThreadTransport {
        let member = Member::join(&self.group);
        ThreadTransport { member }
    }

    /// Returns the number of members.
    pub fn members(&self) -> usize {
        self.group.members()
    }
}

impl BusTransport for ThreadTransport {
    fn attach(&self, sink: BusSink) {
        self.member.attach(sink);
    }

    fn publish(&self, topic: &str, payload: &Bytes) {
        self.member.publish(topic, payload);
    }

    fn subscribe(&self, topic: &str) {
        self.member.subscribe(topic);
    }

    fn unsubscribe(&self, topic: &str) {
        self.member.unsubscribe(topic);
    }

    fn id(&self) -> u64 {
        self.member.number()
    }

    fn group(&self) -> u64 {
        self.member.group()
    }

    fn queues(&self, visit: &mut dyn FnMut(u64, usize)) {
        self.member.queues(visit);
    }

    fn subscribers(&self, topic: &str, visit: &mut dyn FnMut(u64)) {
        self.member.subscribers(topic, visit);
    }

    fn stats(&self) -> TransportStats {
        self.member.stats()
    }

    fn close(&self) {
        self.member.leave();
    }
}

impl fmt::Debug for ThreadBus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadBus")
            .field("members", &self.members())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for ThreadTransport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ThreadTransport")
            .field("number", &self.member.number())
            .finish_non_exhaustive()
    }
}
