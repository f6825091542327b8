//! The state that the members of a group share: inboxes, and the topics of each member.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use uptick_event_loop::{Error, LoopHandle, add_timer};

/// The number of changed topics from which a member looks all topics up again.
const MAX_LISTED_CHANGES: usize = 1024;

/// The wait before a wake-up is repeated, after the queue of the loop was full.
const WAKE_RETRY: Duration = Duration::from_millis(10);

/// A group of members.
pub(super) struct Group {
    /// The id on the bus; 0 if the ids of members are not unique among all machines.
    pub(super) id: u64,
    /// The maximum number of bytes that are queued from one publisher to each receiver.
    pub(super) limit: usize,
    subscriptions: Mutex<Subscriptions>,
}

#[derive(Default)]
struct Subscriptions {
    /// The number of the member that joined last.
    joined: u64,
    members: Vec<Arc<MemberInbox>>,
    topics: HashMap<Arc<str>, Vec<Arc<MemberInbox>>>,
}

/// A message in transit from one member to another.
pub(super) struct QueuedMessage {
    pub(super) topic: Arc<str>,
    pub(super) payload: Bytes,
    /// The number of bytes that are queued from the same publisher to the same receiver.
    pub(super) queued: Arc<AtomicUsize>,
}

/// An entry in the inbox of a member.
pub(super) enum Delivery {
    Message(QueuedMessage),
    /// The member with this number has joined.
    Joined(u64),
    /// The member with this number has left; its messages precede this entry.
    Left(u64),
}

/// The part of a member that other members use.
pub(super) struct MemberInbox {
    pub(super) number: u64,
    sender: Sender<Delivery>,
    handle: LoopHandle,
    /// The function that delivers the messages to the member with a number, on its thread.
    receive: fn(u64),
    /// Set while the member is going to read its inbox without a wake-up.
    scheduled: AtomicBool,
    has_left: AtomicBool,
    /// Set while `changes` is not empty.
    changed: AtomicBool,
    changes: Mutex<Changes>,
}

/// Changes since a member last looked topics up.
#[derive(Default)]
pub(super) struct Changes {
    /// The topics whose subscribers have changed.
    pub(super) topics: HashSet<Arc<str>>,
    /// `true` if members have left, or too many topics have changed to be listed.
    pub(super) all: bool,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Group {
    /// Creates a group. The numbers of members follow its id.
    pub(super) fn new(limit: usize, id: u64) -> Self {
        let subscriptions = Subscriptions {
            joined: id,
            ..Subscriptions::default()
        };
        Group {
            id,
            limit,
            subscriptions: Mutex::new(subscriptions),
        }
    }

    pub(super) fn members(&self) -> usize {
        lock(&self.subscriptions).members.len()
    }

    /// Adds a member whose messages go to `sender`. A wake-up calls `receive` with the member's number, on its thread.
    pub(super) fn join(
        &self,
        sender: Sender<Delivery>,
        handle: LoopHandle,
        receive: fn(u64),
    ) -> Arc<MemberInbox> {
        let mut subscriptions = lock(&self.subscriptions);
        subscriptions.joined += 1;
        let inbox = Arc::new(MemberInbox {
            number: subscriptions.joined,
            sender,
            handle,
            receive,
            scheduled: AtomicBool::new(false),
            has_left: AtomicBool::new(false),
            changed: AtomicBool::new(false),
            changes: Mutex::default(),
        });
        for other in &subscriptions.members {
            inbox.push(Delivery::Joined(other.number));
            other.push(Delivery::Joined(inbox.number));
        }
        let others = subscriptions.members.clone();
        subscriptions.members.push(Arc::clone(&inbox));
        drop(subscriptions);
        wake_all(&others);
        inbox
    }

    /// Removes a member with all its subscriptions.
    pub(super) fn leave(&self, inbox: &Arc<MemberInbox>) {
        inbox.has_left.store(true, Ordering::Release);
        let mut subscriptions = lock(&self.subscriptions);
        let others = |other: &Arc<MemberInbox>| other.number != inbox.number;
        subscriptions.members.retain(others);
        subscriptions.topics.retain(|_, members| {
            members.retain(others);
            !members.is_empty()
        });
        for other in &subscriptions.members {
            other.change(None);
            other.push(Delivery::Left(inbox.number));
        }
        let others = subscriptions.members.clone();
        drop(subscriptions);
        wake_all(&others);
    }

    /// Subscribes a member to a topic.
    pub(super) fn subscribe(&self, inbox: &Arc<MemberInbox>, topic: &str) {
        let mut subscriptions = lock(&self.subscriptions);
        let name: Arc<str> = match subscriptions.topics.get_key_value(topic) {
            Some((name, _)) => Arc::clone(name),
            None => topic.into(),
        };
        let members = subscriptions.topics.entry(Arc::clone(&name)).or_default();
        if !members.iter().any(|member| member.number == inbox.number) {
            members.push(Arc::clone(inbox));
        }
        subscriptions.notify_others(inbox, &name);
    }

    /// Unsubscribes a member from a topic.
    pub(super) fn unsubscribe(&self, inbox: &Arc<MemberInbox>, topic: &str) {
        let mut subscriptions = lock(&self.subscriptions);
        let Some((name, _)) = subscriptions.topics.get_key_value(topic) else {
            return;
        };
        let name = Arc::clone(name);
        if let Some(members) = subscriptions.topics.get_mut(topic) {
            members.retain(|member| member.number != inbox.number);
            if members.is_empty() {
                subscriptions.topics.remove(topic);
            }
        }
        subscriptions.notify_others(inbox, &name);
    }

    /// Calls `f` with the members that are subscribed to a topic.
    pub(super) fn look_up<R>(&self, topic: &str, f: impl FnOnce(&[Arc<MemberInbox>]) -> R) -> R {
        let subscriptions = lock(&self.subscriptions);
        f(subscriptions.topics.get(topic).map_or(&[], Vec::as_slice))
    }
}

/// Wakes members whose inboxes have new entries.
fn wake_all(inboxes: &[Arc<MemberInbox>]) {
    fence(Ordering::SeqCst);
    for inbox in inboxes {
        inbox.wake();
    }
}

impl Subscriptions {
    fn notify_others(&self, inbox: &MemberInbox, topic: &Arc<str>) {
        let others = self.members.iter();
        for other in others.filter(|other| other.number != inbox.number) {
            other.change(Some(topic));
        }
    }
}

impl MemberInbox {
    /// Adds an entry; returns `false` if the member is gone.
    pub(super) fn push(&self, delivery: Delivery) -> bool {
        self.sender.send(delivery).is_ok()
    }

    /// Wakes the member, unless it is going to read its inbox anyway. Call a [`fence`] after [`push`](MemberInbox::push) and before
    /// this.
    pub(super) fn wake(self: &Arc<Self>) {
        if self.scheduled.load(Ordering::Relaxed) || self.scheduled.swap(true, Ordering::Relaxed) {
            return;
        }
        let (number, receive) = (self.number, self.receive);
        if let Err(error) = self.handle.post(move || receive(number)) {
            self.scheduled.store(false, Ordering::Relaxed);
            if matches!(error, Error::PostQueueFull { .. }) {
                let inbox = Arc::clone(self);
                add_timer(WAKE_RETRY, move || inbox.wake());
            }
        }
    }

    /// Marks the start of reading: entries added from now on need a wake-up.
    pub(super) fn begin_receiving(&self) {
        self.scheduled.store(false, Ordering::Relaxed);
        // Either a publisher sees the flag, or the member sees the publisher's message.
        fence(Ordering::SeqCst);
    }

    /// Marks that the member is going to read its inbox without a wake-up; returns `false` if it was marked already.
    pub(super) fn schedule(&self) -> bool {
        !self.scheduled.swap(true, Ordering::Relaxed)
    }

    pub(super) fn has_left(&self) -> bool {
        self.has_left.load(Ordering::Acquire)
    }

    /// Records a change for the member: the subscribers of one topic, or of all topics.
    fn change(&self, topic: Option<&Arc<str>>) {
        let mut changes = lock(&self.changes);
        match topic {
            Some(topic) if changes.topics.len() < MAX_LISTED_CHANGES => {
                if !changes.all {
                    changes.topics.insert(Arc::clone(topic));
                }
            }
            _ => {
                changes.topics.clear();
                changes.all = true;
            }
        }
        self.changed.store(true, Ordering::Release);
    }

    /// Takes the changes since the last call; returns `None` if there are none.
    #[inline]
    pub(super) fn take_changes(&self) -> Option<Changes> {
        if !self.changed.load(Ordering::Acquire) {
            return None;
        }
        let mut changes = lock(&self.changes);
        self.changed.store(false, Ordering::Release);
        Some(std::mem::take(&mut *changes))
    }
}
