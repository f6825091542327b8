//! A member of a group, on its own thread: publishing and receiving.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering, fence};
use std::sync::mpsc::{Receiver, channel};

use bytes::Bytes;
use uptick_event_loop::{future_tick, handle};

use super::group::{Changes, Delivery, Group, MemberInbox, QueuedMessage};
use crate::bus::local::{BATCH, cost};
use crate::bus::transport::{BusSink, TransportStats};

/// The number of bytes that are delivered in one iteration of the loop, before other events have their turn: 1 MiB.
const BATCH_BYTES: usize = 1024 * 1024;

/// The maximum number of topics whose receivers a member caches. Beyond that, the cache is cleared.
const MAX_ROUTES: usize = 65_536;

/// A member of a group.
pub(super) struct Member {
    group: Arc<Group>,
    inbox: Arc<MemberInbox>,
    receiver: Receiver<Delivery>,
    sink: RefCell<Option<BusSink>>,
    routing: RefCell<Routing>,
    dropped: Cell<u64>,
}

/// The cached receivers of topics.
#[derive(Default)]
struct Routing {
    topics: HashMap<Arc<str>, Rc<TopicRoute>>,
    receivers: HashMap<u64, Rc<RouteReceiver>>,
}

/// The receivers of a topic.
struct TopicRoute {
    topic: Arc<str>,
    receivers: Vec<Rc<RouteReceiver>>,
}

/// A receiver, as seen by a publisher.
struct RouteReceiver {
    inbox: Arc<MemberInbox>,
    /// The number of bytes queued there from this publisher.
    queued: Arc<AtomicUsize>,
}

thread_local! {
    /// The members on this thread, for the posted calls that wake them.
    static MEMBERS: RefCell<Vec<Weak<Member>>> = const { RefCell::new(Vec::new()) };
}

impl Member {
    pub(super) fn join(group: &Arc<Group>) -> Rc<Self> {
        let (sender, receiver) = channel();
        let member = Rc::new(Member {
            group: Arc::clone(group),
            inbox: group.join(sender, handle(), receive),
            receiver,
            sink: RefCell::new(None),
            routing: RefCell::default(),
            dropped: Cell::new(0),
        });
        let _ = MEMBERS.try_with(|members| {
            let mut members = members.borrow_mut();
            members.retain(|member| member.strong_count() > 0);
            members.push(Rc::downgrade(&member));
        });
        member
    }

    pub(super) fn number(&self) -> u64 {
        self.inbox.number
    }

    pub(super) fn group(&self) -> u64 {
        self.group.id
    }

    pub(super) fn attach(&self, sink: BusSink) {
        self.sink.replace(Some(sink));
        // Entries of other members may be in the inbox already.
        self.inbox.schedule();
        self.receive_later();
    }

    pub(super) fn subscribe(&self, topic: &str) {
        self.group.subscribe(&self.inbox, topic);
    }

    pub(super) fn unsubscribe(&self, topic: &str) {
        self.group.unsubscribe(&self.inbox, topic);
    }

    pub(super) fn stats(&self) -> TransportStats {
        let routing = self.routing.borrow();
        let receivers = routing
            .receivers
            .values()
            .filter(|receiver| !receiver.inbox.has_left());
        TransportStats {
            dropped: self.dropped.get(),
            queued_bytes: receivers
                .map(|receiver| receiver.queued.load(Ordering::Relaxed))
                .sum(),
        }
    }

    pub(super) fn queues(&self, visit: &mut dyn FnMut(u64, usize)) {
        for receiver in self.routing.borrow().receivers.values() {
            if !receiver.inbox.has_left() {
                visit(
                    receiver.inbox.number,
                    receiver.queued.load(Ordering::Relaxed),
                );
            }
        }
    }

    pub(super) fn subscribers(&self, topic: &str, visit: &mut dyn FnMut(u64)) {
        for receiver in &self.route(topic).receivers {
            visit(receiver.inbox.number);
        }
    }

    pub(super) fn leave(&self) {
        if !self.inbox.has_left() {
            self.group.leave(&self.inbox);
        }
    }

    pub(super) fn publish(&self, topic: &str, payload: &Bytes) {
        let route = self.route(topic);
        if route.receivers.is_empty() {
            return;
        }
        let cost = cost(topic, payload);
        for receiver in &route.receivers {
            let before = receiver.queued.fetch_add(cost, Ordering::Relaxed);
            let fits = before.saturating_add(cost) <= self.group.limit;
            if !fits {
                self.dropped.set(self.dropped.get() + 1);
            }
            let message = || {
                Delivery::Message(QueuedMessage {
                    topic: Arc::clone(&route.topic),
                    payload: payload.clone(),
                    queued: Arc::clone(&receiver.queued),
                })
            };
            if !fits || !receiver.inbox.push(message()) {
                receiver.queued.fetch_sub(cost, Ordering::Relaxed);
            }
        }
        // Either a receiver that is about to sleep sees the message, or its flag is seen here.
        fence(Ordering::SeqCst);
        for receiver in &route.receivers {
            receiver.inbox.wake();
        }
    }

    /// Returns the receivers of a topic, from the cache if possible.
    fn route(&self, topic: &str) -> Rc<TopicRoute> {
        let mut routing = self.routing.borrow_mut();
        if let Some(changes) = self.inbox.take_changes() {
            routing.invalidate(&changes);
        }
        match routing.topics.get(topic) {
            Some(route) => Rc::clone(route),
            None => routing.look_up(topic, &self.group, &self.inbox),
        }
    }

    /// Delivers queued messages, up to a budget.
    pub(super) fn receive(&self) {
        let Some(sink) = self.sink.borrow().clone() else {
            return;
        };
        self.inbox.begin_receiving();
        let mut bytes = 0;
        for _ in 0..BATCH {
            if bytes >= BATCH_BYTES || self.inbox.has_left() {
                break;
            }
            let envelope = match self.receiver.try_recv() {
                Ok(Delivery::Message(envelope)) => envelope,
                Ok(Delivery::Joined(number)) => {
                    sink.peer(number);
                    continue;
                }
                Ok(Delivery::Left(number)) => {
                    sink.peer_gone(number);
                    continue;
                }
                Err(_) => return,
            };
            let cost = cost(&envelope.topic, &envelope.payload);
            bytes += cost;
            envelope.queued.fetch_sub(cost, Ordering::Relaxed);
            sink.deliver(&envelope.topic, envelope.payload);
        }
        if !self.inbox.has_left() && self.inbox.schedule() {
            self.receive_later();
        }
    }

    /// Delivers queued messages in the next iteration of the loop.
    fn receive_later(&self) {
        let number = self.number();
        future_tick(move || receive(number));
    }
}

/// Delivers the messages queued for a member of this thread.
fn receive(number: u64) {
    let member = MEMBERS.try_with(|members| {
        let members = members.borrow();
        let mut members = members.iter().filter_map(Weak::upgrade);
        members.find(|member| member.number() == number)
    });
    if let Ok(Some(member)) = member {
        member.receive();
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        self.leave();
    }
}

impl Routing {
    /// Returns the receivers of a topic other than `own`, and caches them.
    fn look_up(&mut self, topic: &str, group: &Group, own: &MemberInbox) -> Rc<TopicRoute> {
        let receivers = &mut self.receivers;
        let receivers = group.look_up(topic, |inboxes| {
            let others = inboxes.iter().filter(|inbox| inbox.number != own.number);
            let receiver = |inbox: &Arc<MemberInbox>| {
                let receiver = receivers
                    .entry(inbox.number)
                    .or_insert_with(|| Rc::new(RouteReceiver::to(inbox)));
                Rc::clone(receiver)
            };
            others.map(receiver).collect()
        });
        let topic: Arc<str> = topic.into();
        let route = Rc::new(TopicRoute {
            topic: Arc::clone(&topic),
            receivers,
        });
        if self.topics.len() >= MAX_ROUTES {
            self.topics.clear();
        }
        self.topics.insert(topic, Rc::clone(&route));
        route
    }

    /// Removes the cached receivers of topics that have changed.
    fn invalidate(&mut self, changes: &Changes) {
        for topic in &changes.topics {
            self.topics.remove(topic);
        }
        if changes.all {
            self.topics.clear();
            self.receivers
                .retain(|_, receiver| !receiver.inbox.has_left());
        }
    }
}

impl RouteReceiver {
    fn to(inbox: &Arc<MemberInbox>) -> Self {
        RouteReceiver {
            inbox: Arc::clone(inbox),
            queued: Arc::default(),
        }
    }
}
