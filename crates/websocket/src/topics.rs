//! Topics: messages for all WebSockets that have subscribed.

mod publisher;

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use indexmap::IndexSet;
use uptick_emitter::{Emitter, Listeners, emit, events};
use uptick_event_loop::{Id, Table, catch};

use crate::WebSocket;
use crate::message::Payload;
use crate::socket::{Frame, deliver, with_entry};

pub use publisher::{PublishError, Publisher};

/// The topics of a server: who is subscribed to which.
///
/// A `Copy` handle. A topic is a name; it is there as long as a WebSocket is subscribed to it. What is published in one
/// iteration of the loop goes out in one write to each subscriber, in the order of publishing.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `subscription` | [`Subscription`] | a topic has one subscriber more, or less |
///
/// # Examples
/// ```no_run
/// use uptick_emitter::Emitter;
/// use uptick_http::HttpServer;
/// use uptick_websocket::{WebSocket, WebSocketRoutes};
///
/// let http = HttpServer::bind(8080)?;
/// http.websocket("/news", |ws: WebSocket| {
///     ws.subscribe("news");
/// });
/// let topics = http.topics();
/// uptick_event_loop::add_periodic_timer(std::time::Duration::from_secs(1), move |_| {
///     topics.publish("news", "one more second");
/// });
/// uptick_event_loop::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Topics {
    /// None where there was no place for them: nobody is subscribed.
    id: Option<Id>,
    local: PhantomData<*const ()>,
}

/// A topic has one subscriber more, or less: the payload of `subscription`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// The topic's name.
    pub topic: Rc<str>,
    /// Who has subscribed, or is subscribed no more.
    pub socket: WebSocket,
    /// How many there are now.
    pub now: usize,
    /// How many there were.
    pub before: usize,
}

events! {
    impl Topics {
        Subscription => {
            /// A topic has one subscriber more, or less.
            SUBSCRIPTION = "subscription";
        }
    }
}

#[derive(Default)]
struct Hub {
    topics: HashMap<Rc<str>, IndexSet<Id>>,
    listeners: Listeners,
    /// Its server shuts down.
    ending: bool,
}

thread_local! {
    static OF_THREAD: OnceCell<Topics> = const { OnceCell::new() };
    static HUBS: RefCell<Table<Hub>> = const { RefCell::new(Table::new()) };
    /// Whom a message is for, while it is delivered: here so that it is not allocated each time.
    static MEMBERS: RefCell<Vec<Id>> = const { RefCell::new(Vec::new()) };
}

impl Emitter for Topics {
    type Events = Topics;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.with_hub(|hub| f(&mut hub.listeners))
    }
}

impl Topics {
    /// Makes topics that no server has.
    pub fn new() -> Self {
        let id = HUBS.try_with(|hubs| hubs.borrow_mut().insert(Hub::default()));
        Topics {
            id: id.ok().flatten(),
            local: PhantomData,
        }
    }

    /// Those of this thread that no server has: of clients, and of [`upgrade`](crate::upgrade).
    pub fn of_thread() -> Self {
        OF_THREAD
            .try_with(|topics| *topics.get_or_init(Topics::new))
            .unwrap_or_default()
    }

    fn from_id(id: Id) -> Self {
        Topics {
            id: Some(id),
            local: PhantomData,
        }
    }

    fn with_hub<R>(self, f: impl FnOnce(&mut Hub) -> R) -> Option<R> {
        HUBS.try_with(|hubs| hubs.borrow_mut().get_mut(self.id?).map(f))
            .ok()
            .flatten()
    }

    /// Notes that their server shuts down.
    pub(crate) fn end(self) {
        self.with_hub(|hub| hub.ending = true);
    }

    /// Whether their server shuts down: no WebSocket is to be opened any more.
    pub(crate) fn is_ending(self) -> bool {
        self.with_hub(|hub| hub.ending).unwrap_or(false)
    }

    /// Drops the topics and their listeners; subscriptions end.
    pub(crate) fn close(self) {
        let hub = HUBS.try_with(|hubs| hubs.borrow_mut().remove(self.id?));
        drop(hub);
    }

    /// Sends a message to all that are subscribed to a topic, and gives to how many. Those that do not read are passed
    /// over, as their [`SlowPolicy`](crate::SlowPolicy) says.
    pub fn publish(self, topic: &str, payload: impl Payload) -> usize {
        self.publish_except(topic, payload, None)
    }

    /// Sends a message to those that are subscribed to a topic and that `eligible` says yes to; gives to how many.
    pub fn publish_where(
        self,
        topic: &str,
        payload: impl Payload,
        eligible: impl Fn(WebSocket) -> bool,
    ) -> usize {
        let mut frame = None;
        self.for_each(topic, |id| {
            eligible(WebSocket::from_id(id))
                && deliver(id, frame.get_or_insert_with(|| Frame::new(&payload)))
        })
    }

    pub(crate) fn publish_except(
        self,
        topic: &str,
        payload: impl Payload,
        except: Option<WebSocket>,
    ) -> usize {
        let except = except.map(WebSocket::key);
        let mut frame = None;
        self.for_each(topic, |id| {
            Some(id) != except && deliver(id, frame.get_or_insert_with(|| Frame::new(&payload)))
        })
    }

    /// Calls `f` with each that is subscribed now, while nothing is borrowed; gives how often it said yes.
    fn for_each(self, topic: &str, mut f: impl FnMut(Id) -> bool) -> usize {
        let mut members = MEMBERS.try_with(RefCell::take).unwrap_or_default();
        members.clear();
        self.with_hub(|hub| {
            if let Some(all) = hub.topics.get(topic) {
                members.extend(all);
            }
        });
        let count = members.iter().filter(|id| f(**id)).count();
        let _ = MEMBERS.try_with(|place| place.replace(members));
        count
    }

    /// How many are subscribed to a topic.
    pub fn subscribers(self, topic: &str) -> usize {
        self.with_hub(|hub| hub.topics.get(topic).map_or(0, IndexSet::len))
            .unwrap_or(0)
    }

    /// Those that are subscribed to a topic.
    pub fn sockets(self, topic: &str) -> Vec<WebSocket> {
        self.with_hub(|hub| {
            let all = hub.topics.get(topic).into_iter().flatten();
            all.map(|id| WebSocket::from_id(*id)).collect()
        })
        .unwrap_or_default()
    }

    /// The topics to which somebody is subscribed, in no order.
    pub fn names(self) -> Vec<Rc<str>> {
        self.with_hub(|hub| hub.topics.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// What publishes from other threads.
    pub fn publisher(self) -> Publisher {
        Publisher::new(self.id)
    }

    pub(crate) fn add(self, topic: &str, ws: WebSocket) -> bool {
        let name = self.with_hub(|hub| match hub.topics.get_key_value(topic) {
            Some((name, _)) => Rc::clone(name),
            None => topic.into(),
        });
        let Some(name) = name else { return false };
        let noted = with_entry(ws.key(), |entry| {
            !entry.is_subscribed(topic) && entry.note_topic(&name)
        });
        if noted != Some(true) {
            return false;
        }
        let now = self.with_hub(|hub| {
            let members = hub.topics.entry(Rc::clone(&name)).or_default();
            members.insert(ws.key());
            members.len()
        });
        let now = now.unwrap_or_default();
        self.tell(name, ws, now, now.saturating_sub(1));
        true
    }

    pub(crate) fn remove(self, topic: &str, ws: WebSocket) -> bool {
        with_entry(ws.key(), |entry| entry.forget_topic(topic));
        self.take(topic, ws)
    }

    /// Ends the subscriptions of one that is gone.
    pub(crate) fn leave(self, names: &[Rc<str>], ws: WebSocket) {
        for name in names {
            // Whatever panics, the others end as well.
            if let Err(message) = catch(|| self.take(name, ws)) {
                tracing::error!("a listener of topics panicked: {message}");
            }
        }
    }

    fn take(self, topic: &str, ws: WebSocket) -> bool {
        let taken = self.with_hub(|hub| {
            let (name, _) = hub.topics.get_key_value(topic)?;
            let name = Rc::clone(name);
            let members = hub.topics.get_mut(topic)?;
            if !members.swap_remove(&ws.key()) {
                return None;
            }
            let now = members.len();
            if now == 0 {
                hub.topics.remove(topic);
            }
            Some((name, now))
        });
        let Some(Some((name, now))) = taken else {
            return false;
        };
        self.tell(name, ws, now, now + 1);
        true
    }

    fn tell(self, topic: Rc<str>, socket: WebSocket, now: usize, before: usize) {
        let listens = self.with_hub(|hub| !hub.listeners.is_empty());
        if listens == Some(true) {
            let subscription = Subscription {
                topic,
                socket,
                now,
                before,
            };
            emit(&self, Topics::SUBSCRIPTION, subscription);
        }
    }
}

impl Default for Topics {
    fn default() -> Self {
        Topics::new()
    }
}

impl fmt::Debug for Topics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.with_hub(|hub| hub.topics.len());
        f.debug_struct("Topics")
            .field("topics", &count.unwrap_or(0))
            .finish_non_exhaustive()
    }
}
