//! The bus of a thread: subscribers, delivery, counters.
//!
//! A message to local subscribers costs one lookup of the topic, one lookup per subscriber, and a share of a tick. No allocation in the steady state.

use std::cell::RefCell;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use bytes::Bytes;
use uptick_event_loop::{Id, Table, UseRemoteOrLoopHandle, catch, future_tick};
use uptick_stream::Chunk;

use super::transport::{BusSink, BusStats, BusTransport};

/// The maximum number of bytes in a topic: 65,535.
pub const TOPIC_LIMIT: usize = u16::MAX as usize;

/// The maximum number of bytes in a message: 2 MiB.
pub const MESSAGE_LIMIT: usize = 2 * 1024 * 1024;

/// The default limit of the bytes that are queued for each worker: 4 MiB.
pub const QUEUE_LIMIT: usize = 4 * 1024 * 1024;

/// The number of bytes that are added to topic and payload when the size of a queued message is counted.
pub(super) const OVERHEAD: usize = 64;

/// The number of messages that are delivered in one iteration of the loop, before other events have their turn.
pub(super) const BATCH: usize = 1024;

type Callback = Box<dyn FnMut(Bytes)>;

/// The bus of a worker: publishes messages under a topic to all workers that have subscribed to it.
///
/// A `Copy` handle to the bus of the thread. Each subscriber receives each message once, and the messages of one worker in the order in which they
/// were published. The loop calls subscribers, never [`publish`](Bus::publish) itself. The bus does not keep the loop running, except with a
/// remote transport: see there.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `peer` | `u64`: its [`id`](Bus::id) | another worker is connected, and the topics that it had subscribed to before are known |
/// | `peer-gone` | `u64`: its [`id`](Bus::id) | another worker has left or died; its last message has been delivered |
/// | `drain` | `()` | the bus was [congested](Bus::is_congested) and no longer is |
///
/// Workers that are connected when a transport is attached are announced as well, later. `peer-gone` follows `peer`, and no other worker has the id
/// in between. When the bus of this worker is detached, `peer-gone` is not emitted.
///
/// # Limits
/// Topics 65,535 bytes · messages 2 MiB · 4 MiB of queued messages for each worker.
///
/// # Examples
/// ```
/// use uptick_workers::bus::Bus;
///
/// let bus = Bus::of_thread();
/// let id = bus.subscribe("news", |payload| println!("{} bytes", payload.len()));
/// bus.publish("news", "hello");
/// uptick_event_loop::run()?;
/// bus.unsubscribe(id);
/// # Ok::<(), uptick_event_loop::Error>(())
/// ```
#[derive(Clone, Copy)]
pub struct Bus {
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

/// A subscription, as returned by [`Bus::subscribe`] and passed to [`Bus::unsubscribe`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionId(Option<Id>);

struct Subscription {
    topic: Rc<str>,
    /// `None` while the callback is running.
    callback: Option<Callback>,
}

/// A message that is queued for local subscribers.
struct LocalMessage {
    topic: Rc<str>,
    payload: Bytes,
}

impl LocalMessage {
    fn cost(&self) -> usize {
        cost(&self.topic, &self.payload)
    }
}

struct BusState {
    topics: HashMap<Rc<str>, Vec<Id>>,
    subscriptions: Table<Subscription>,
    transport: Option<Rc<dyn BusTransport>>,
    /// The transport to other machines.
    remote: Option<Rc<dyn BusTransport>>,
    /// The number of transports that were attached or detached. It invalidates the sinks of earlier transports.
    generation: u64,
    local_queue: VecDeque<LocalMessage>,
    local_bytes: usize,
    local_limit: usize,
    /// Set while a tick is scheduled that delivers the local queue.
    scheduled: bool,
    /// Set while a subscriber is being called.
    delivering: bool,
    /// The receivers of the message that is being delivered, reused to avoid an allocation.
    receivers: Vec<Id>,
    stats: BusStats,
}

thread_local! {
    static STATE: RefCell<BusState> = RefCell::new(BusState {
        topics: HashMap::new(),
        subscriptions: Table::new(),
        transport: None,
        remote: None,
        generation: 0,
        local_queue: VecDeque::new(),
        local_bytes: 0,
        local_limit: QUEUE_LIMIT,
        scheduled: false,
        delivering: false,
        receivers: Vec::new(),
        stats: BusStats::default(),
    });
}

/// Calls `f` with the bus of the thread; returns `None` while the thread is being torn down. `f` must not use the bus.
fn with<R>(f: impl FnOnce(&mut BusState) -> R) -> Option<R> {
    STATE.try_with(|state| f(&mut state.borrow_mut())).ok()
}

/// Returns the number of bytes that a queued message counts for.
pub(super) fn cost(topic: &str, payload: &Bytes) -> usize {
    topic.len() + payload.len() + OVERHEAD
}

impl Bus {
    /// Returns the bus of this thread.
    pub fn of_thread() -> Bus {
        Bus { local: PhantomData }
    }

    /// Returns the id of this worker in the `peer` and `peer-gone` events of other workers; 0 without a transport.
    ///
    /// The id is unique among the connected workers. A later worker may have the id of a worker that has left.
    pub fn id(self) -> u64 {
        let [transport, remote] = transports();
        let transport = transport.or(remote);
        transport.map_or(0, |transport| transport.id())
    }

    /// Publishes a message to all subscribers of the topic, in this worker and in others.
    ///
    /// # Limits
    /// A message of more than [`MESSAGE_LIMIT`] bytes, or under a topic of more than [`TOPIC_LIMIT`], is dropped, counted and logged. A message to a
    /// worker for which 4 MiB are queued already is dropped and counted.
    pub fn publish(self, topic: &str, payload: impl Chunk) {
        let payload = payload.into_bytes();
        if !admit(topic, &payload) {
            return;
        }
        with(|state| state.push_local(topic, &payload));
        publish(topic, &payload);
    }

    /// Publishes a message to the subscribers of the topic in all other workers.
    ///
    /// # Limits
    /// See [`publish`](Bus::publish).
    pub fn publish_to_others(self, topic: &str, payload: impl Chunk) {
        let payload = payload.into_bytes();
        if admit(topic, &payload) {
            publish(topic, &payload);
        }
    }

    /// Calls `callback` with each message that is published under the topic from now on, in this worker or in another.
    ///
    /// The first subscription to a topic has been sent to the other workers when this returns: see [`BusTransport`](BusTransport#contract). A panic
    /// of the callback is logged, and the callback is called again with the next message. A payload may be a part of a larger buffer: copy payloads
    /// that are kept for long.
    ///
    /// # Limits
    /// A topic of more than [`TOPIC_LIMIT`] bytes receives no messages.
    pub fn subscribe<R>(
        self,
        topic: &str,
        mut callback: impl FnMut(Bytes) -> R + 'static,
    ) -> SubscriptionId {
        let callback: Callback = Box::new(move |payload| drop(callback(payload)));
        let (id, is_first) = with(|state| state.add(topic, callback)).unwrap_or_default();
        if is_first {
            for transport in transports().into_iter().flatten() {
                transport.subscribe(topic);
            }
        }
        SubscriptionId(id)
    }

    /// Ends a subscription; returns `false` if there is none. The callback is dropped and not called again.
    pub fn unsubscribe(self, id: SubscriptionId) -> bool {
        let removed = with(|state| state.remove(id.0?)).flatten();
        let Some((subscription, is_last)) = removed else {
            return false;
        };
        if is_last {
            for transport in transports().into_iter().flatten() {
                transport.unsubscribe(&subscription.topic);
            }
        }
        // The callback is dropped while no `RefCell` is borrowed: its captured values may use the bus.
        true
    }

    /// Returns whether another worker has subscribed to the topic, so that a message published now would be sent.
    pub fn has_remote_subscribers(self, topic: &str) -> bool {
        let mut found = false;
        remote_subscribers(topic, &mut |_| found = true);
        found
    }

    /// Returns the [ids](Bus::id) of the other workers that have subscribed to the topic: the receivers of a message published now. Each of them was
    /// reported with `peer`, or will be before its first message.
    ///
    /// # Examples
    /// ```
    /// use uptick_workers::bus::Bus;
    ///
    /// let bus = Bus::of_thread();
    /// bus.publish_to_others("questions", "How many are you?");
    /// let answers = bus.remote_subscribers("questions").len();
    /// assert_eq!(answers, 0);
    /// ```
    pub fn remote_subscribers(self, topic: &str) -> Vec<u64> {
        let mut workers = Vec::new();
        remote_subscribers(topic, &mut |id| workers.push(id));
        workers
    }

    /// Returns the [ids](Bus::id) of other workers, and the number of bytes that are queued for each.
    pub fn queues(self) -> Vec<(u64, usize)> {
        let mut all = Vec::new();
        queues(&mut |id, bytes| all.push((id, bytes)));
        all
    }

    /// Returns the counters.
    pub fn stats(self) -> BusStats {
        let Some(mut stats) = with(|state| {
            let mut stats = state.stats;
            stats.queued_bytes = state.local_bytes;
            stats
        }) else {
            return BusStats::default();
        };
        for transport in transports().into_iter().flatten() {
            let carried = transport.stats();
            stats.dropped += carried.dropped;
            stats.queued_bytes += carried.queued_bytes;
        }
        stats
    }

    /// Sets the maximum number of bytes that are queued for local subscribers. A message beyond that is dropped for them, and counted. Default: 4
    /// MiB.
    pub fn set_queue_limit(self, bytes: usize) {
        with(|state| state.local_limit = bytes);
    }

    /// Connects the bus to other workers through a transport. Previous transports are closed, the remote one included.
    ///
    /// Topics that have subscribers are announced before this returns.
    pub fn attach(self, transport: impl BusTransport + 'static) {
        self.detach();
        let transport: Rc<dyn BusTransport> = Rc::new(transport);
        let generation = with(|state| {
            state.generation += 1;
            state.generation
        });
        let Some(generation) = generation else { return };
        transport.attach(BusSink::new(generation));
        with(|state| state.transport = Some(Rc::clone(&transport)));
        announce_all(&*transport);
    }

    /// Connects the bus to the workers of other machines through a second transport, beside the one between the workers of this machine. Call it
    /// while the worker is set up.
    ///
    /// Workers of the same machine continue to use the first transport only: it is faster, and works while the second one does not. A previous
    /// remote transport is closed. Topics that have subscribers are announced before this returns.
    ///
    /// Without a first transport, this is the same as [`attach`](Bus::attach). A first transport without a [group](BusTransport::group)
    /// is replaced, and that is logged. The buses of [`Workers`](crate::Workers) have a group.
    pub fn attach_remote(self, transport: impl BusTransport + 'static) {
        let [local, previous] = transports();
        let Some(local) = local else {
            return self.attach(transport);
        };
        if local.group() == 0 {
            tracing::error!(
                "attaching a remote transport beside one without a group replaces it: ids are not unique among machines"
            );
            return self.attach(transport);
        }
        let transport: Rc<dyn BusTransport> = Rc::new(transport);
        let Some(generation) = with(|state| state.generation) else {
            return;
        };
        if let Some(previous) = previous {
            retire(&*previous);
        }
        transport.attach(BusSink::new(generation));
        with(|state| state.remote = Some(Rc::clone(&transport)));
        announce_all(&*transport);
    }

    /// Returns whether the bus has a transport.
    pub fn is_attached(self) -> bool {
        with(|state| state.transport.is_some()).unwrap_or_default()
    }

    /// Closes the transports: from now on messages reach local subscribers only. Returns `false` if there is none.
    pub fn detach(self) -> bool {
        let Some([transport, remote]) = with(|state| {
            state.generation += 1;
            [state.transport.take(), state.remote.take()]
        }) else {
            return false;
        };
        let had_transport = transport.is_some();
        for transport in [remote, transport].into_iter().flatten() {
            retire(&*transport);
        }
        had_transport
    }
}

impl fmt::Debug for Bus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (topics, attached) =
            with(|state| (state.topics.len(), state.transport.is_some())).unwrap_or_default();
        f.debug_struct("Bus")
            .field("topics", &topics)
            .field("attached", &attached)
            .finish_non_exhaustive()
    }
}

/// Counts a published message; returns whether it is within the limits.
fn admit(topic: &str, payload: &Bytes) -> bool {
    let fits = topic.len() <= TOPIC_LIMIT && payload.len() <= MESSAGE_LIMIT;
    with(|state| {
        state.stats.published += 1;
        state.stats.dropped += u64::from(!fits);
    });
    if !fits {
        tracing::warn!(
            "publishing a message of {} bytes under a topic of {} bytes failed: the limits are {MESSAGE_LIMIT} and {TOPIC_LIMIT}",
            payload.len(),
            topic.len(),
        );
    }
    fits
}

/// Returns the transport between the workers of this machine, and the one to other machines.
fn transports() -> [Option<Rc<dyn BusTransport>>; 2] {
    with(|state| [state.transport.clone(), state.remote.clone()]).unwrap_or_default()
}

/// Returns the id and the group of this worker on its machine; `None` without a transport.
#[cfg(feature = "redis")]
pub(super) fn identity() -> Option<(u64, u64)> {
    let [transport, _] = transports();
    transport.map(|transport| (transport.id(), transport.group()))
}

/// Calls `callback` once the workers of other machines are known, or after a timeout.
pub(crate) fn when_remote_ready(callback: impl FnOnce() + 'static) {
    match transports() {
        [_, Some(remote)] => remote.when_ready(Box::new(callback)),
        [_, None] => callback(),
    }
}

/// Announces all topics that have subscribers.
fn announce_all(transport: &dyn BusTransport) {
    let topics = with(|state| {
        let topics = state.topics.keys();
        let topics = topics.filter(|topic| topic.len() <= TOPIC_LIMIT);
        topics.cloned().collect::<Vec<Rc<str>>>()
    });
    for topic in topics.into_iter().flatten() {
        transport.subscribe(&topic);
    }
}

/// Closes a transport, and keeps its count of dropped messages.
fn retire(transport: &dyn BusTransport) {
    let dropped = transport.stats().dropped;
    with(|state| state.stats.dropped += dropped);
    transport.close();
}

/// Calls `visit` with the id of each other worker for which messages are queued, and their bytes.
pub(super) fn queues(visit: &mut dyn FnMut(u64, usize)) {
    for transport in transports().into_iter().flatten() {
        transport.queues(visit);
    }
}

/// Calls `visit` with the id of each other worker that has subscribed to a topic.
fn remote_subscribers(topic: &str, visit: &mut dyn FnMut(u64)) {
    for transport in transports().into_iter().flatten() {
        transport.subscribers(topic, visit);
    }
}

/// Passes a message to the transport.
fn publish(topic: &str, payload: &Bytes) {
    for transport in transports().into_iter().flatten() {
        transport.publish(topic, payload);
    }
}

/// Delivers a message of another worker.
pub(super) fn receive(generation: u64, topic: &str, payload: Bytes) {
    let now = with(|state| {
        if state.generation != generation {
            return false;
        }
        state.stats.received += 1;
        if state.delivering {
            state.push_local(topic, &payload);
        }
        !state.delivering
    });
    if now == Some(true) {
        deliver(topic, payload);
    }
}

pub(super) fn is_attached(generation: u64) -> bool {
    with(|state| state.generation == generation) == Some(true)
}

/// Calls the subscribers of a topic. Nothing is borrowed during the calls.
fn deliver(topic: &str, payload: Bytes) {
    let receivers = with(|state| {
        let mut receivers = std::mem::take(&mut state.receivers);
        receivers.clear();
        receivers.extend(state.topics.get(topic).into_iter().flatten());
        state.delivering = true;
        receivers
    });
    let Some(receivers) = receivers else { return };
    for &id in &receivers {
        call(id, payload.clone());
    }
    with(|state| {
        state.delivering = false;
        state.receivers = receivers;
    });
}

fn call(id: Id, payload: Bytes) {
    let callback = with(|state| state.subscriptions.get_mut(id)?.callback.take());
    let Some(Some(mut callback)) = callback else {
        return;
    };
    if let Err(message) = catch(|| callback(payload)) {
        tracing::error!("a subscriber of the bus panicked: {message}");
    }
    let mut callback = Some(callback);
    with(|state| {
        if let Some(subscription) = state.subscriptions.get_mut(id) {
            subscription.callback = callback.take();
        }
    });
    // A callback that was unsubscribed during the call is dropped here, while no `RefCell` is borrowed.
    if let Err(message) = catch(|| drop(callback)) {
        tracing::error!("a subscriber of the bus panicked as it was dropped: {message}");
    }
}

/// Delivers the messages queued for local subscribers. Runs as a tick.
fn deliver_local() {
    with(|state| state.scheduled = false);
    for _ in 0..BATCH {
        let Some(Some(message)) = with(BusState::pop_local) else {
            return;
        };
        deliver(&message.topic, message.payload);
    }
    with(|state| {
        if !state.local_queue.is_empty() {
            state.schedule();
        }
    });
}

impl BusState {
    /// Queues a message for local subscribers, if there are any.
    fn push_local(&mut self, topic: &str, payload: &Bytes) {
        let Some((topic, _)) = self.topics.get_key_value(topic) else {
            return;
        };
        let message = LocalMessage {
            topic: Rc::clone(topic),
            payload: payload.clone(),
        };
        if self.local_bytes + message.cost() > self.local_limit {
            self.stats.dropped += 1;
            return;
        }
        self.local_bytes += message.cost();
        self.local_queue.push_back(message);
        self.schedule();
    }

    fn pop_local(&mut self) -> Option<LocalMessage> {
        let message = self.local_queue.pop_front()?;
        self.local_bytes -= message.cost();
        Some(message)
    }

    fn schedule(&mut self) {
        if !self.scheduled {
            self.scheduled = true;
            future_tick(deliver_local);
        }
    }

    /// Adds a subscription; returns whether its topic must be announced, because it is the first one.
    fn add(&mut self, topic: &str, callback: Callback) -> (Option<Id>, bool) {
        let name = match self.topics.get_key_value(topic) {
            Some((name, _)) => Rc::clone(name),
            None => topic.into(),
        };
        let id = self.subscriptions.insert(Subscription {
            topic: Rc::clone(&name),
            callback: Some(callback),
        });
        let Some(id) = id else {
            return (None, false);
        };
        let receivers = self.topics.entry(name).or_default();
        receivers.push(id);
        let is_first = receivers.len() == 1 && topic.len() <= TOPIC_LIMIT;
        (Some(id), is_first)
    }

    /// Removes a subscription; returns it, and whether its topic must be withdrawn, because it was the last one.
    fn remove(&mut self, id: Id) -> Option<(Subscription, bool)> {
        let subscription = self.subscriptions.remove(id)?;
        let receivers = self.topics.get_mut(&subscription.topic)?;
        receivers.retain(|receiver| *receiver != id);
        let is_last = receivers.is_empty();
        if is_last {
            self.topics.remove(&subscription.topic);
        }
        let is_announced = is_last && subscription.topic.len() <= TOPIC_LIMIT;
        Some((subscription, is_announced))
    }
}
