//! Topics and their subscribers.

use std::cell::{OnceCell, RefCell};
use std::collections::HashMap;
use std::fmt;
use std::marker::PhantomData;
use std::rc::Rc;

use indexmap::IndexSet;
use uptick_emitter::{Emitter, Listeners, emit, events};
use uptick_event_loop::{Id, Table, UseRemoteOrLoopHandle, catch};

use super::adapter::HubAdapter;
use crate::socket::handle::WebSocket;

/// The topics of a server's WebSockets, and their subscribers.
///
/// A `Copy` handle. A topic is a name; it exists while a WebSocket is subscribed to it. All messages published in one
/// iteration of the loop go out in one write to each subscriber, in the order of publishing.
///
/// # Events
/// | event | payload | when |
/// |---|---|---|
/// | `subscription` | [`SubscriptionChange`] | the number of subscribers of a topic has changed by one |
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
/// let hub = http.hub();
/// uptick_event_loop::add_periodic_timer(std::time::Duration::from_secs(1), move |_| {
///     hub.publish("news", "one more second");
/// });
/// uptick_event_loop::run()?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hub {
    /// `None` if the table was full: then there are no subscribers.
    id: Option<Id>,
    local: PhantomData<*const UseRemoteOrLoopHandle>,
}

/// A change in the number of subscribers of a topic: the payload of `subscription`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionChange {
    /// The name of the topic.
    pub topic: Rc<str>,
    /// The WebSocket that has subscribed or unsubscribed.
    pub socket: WebSocket,
    /// The current number of subscribers.
    pub count: usize,
    /// The previous number of subscribers.
    pub previous_count: usize,
}

events! {
    impl Hub {
        SubscriptionChange => {
            /// The number of subscribers of a topic has changed by one.
            SUBSCRIPTION = "subscription";
        }
    }
}

#[derive(Default)]
struct HubState {
    topics: HashMap<Rc<str>, IndexSet<WebSocket>>,
    /// The connection to the hubs of other workers.
    adapter: Option<Rc<dyn HubAdapter>>,
    name: Option<Rc<str>>,
    listeners: Listeners,
}

thread_local! {
    static OF_THREAD: OnceCell<Hub> = const { OnceCell::new() };
    static HUBS: RefCell<Table<HubState>> = const { RefCell::new(Table::new()) };
}

impl Emitter for Hub {
    type Events = Hub;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.with_hub(|hub| f(&mut hub.listeners))
    }
}

impl Hub {
    /// Creates a hub that belongs to no server. It has no name, and is local to this thread until one is set.
    pub fn new() -> Self {
        let id = HUBS.try_with(|hubs| hubs.borrow_mut().insert(HubState::default()));
        Hub::from_id(id.ok().flatten())
    }

    /// Returns the hub of this thread that belongs to no server. Clients and [`upgrade`](crate::upgrade) use it.
    pub fn of_thread() -> Self {
        OF_THREAD
            .try_with(|hub| *hub.get_or_init(Hub::new))
            .unwrap_or_default()
    }

    /// Sets the name, and returns `true` if it has changed.
    pub(super) fn replace_name(self, name: &str) -> bool {
        let is_new = self.with_hub(|hub| {
            let is_new = hub.name.as_deref() != Some(name);
            if is_new {
                hub.name = Some(name.into());
            }
            is_new
        });
        is_new == Some(true)
    }

    /// Returns the name of the hub, if it has one.
    pub fn name(self) -> Option<Rc<str>> {
        self.with_hub(|hub| hub.name.clone()).flatten()
    }

    /// Connects the hub to other workers with an adapter. The previous adapter is dropped.
    ///
    /// The topics that have subscribers are passed to the adapter before this returns. Default: the adapter of the thread
    /// ([`set_default_adapter`](crate::set_default_adapter)) for a hub with a name, none for other hubs.
    pub fn set_adapter(self, adapter: impl HubAdapter + 'static) {
        self.replace_adapter(Some(Rc::new(adapter)));
    }

    /// Disconnects the hub from other workers; it becomes local.
    pub fn remove_adapter(self) {
        self.replace_adapter(None);
    }

    pub(super) fn replace_adapter(self, adapter: Option<Rc<dyn HubAdapter>>) {
        let previous = self.with_hub(|hub| std::mem::replace(&mut hub.adapter, adapter.clone()));
        // Dropped after the borrow, because its destructor may use the hub.
        drop(previous);
        if let Some(adapter) = adapter {
            for topic in self.topics() {
                adapter.subscribed(&topic);
            }
        }
    }

    pub(super) fn from_id(id: Option<Id>) -> Self {
        Hub {
            id,
            local: PhantomData,
        }
    }

    fn with_hub<R>(self, f: impl FnOnce(&mut HubState) -> R) -> Option<R> {
        HUBS.try_with(|hubs| hubs.borrow_mut().get_mut(self.id?).map(f))
            .ok()
            .flatten()
    }

    /// Removes all topics, subscriptions and listeners.
    pub(crate) fn close(self) {
        let hub = HUBS.try_with(|hubs| hubs.borrow_mut().remove(self.id?));
        drop(hub);
    }

    pub(super) fn id(self) -> Option<Id> {
        self.id
    }

    /// Returns the number of WebSockets that are subscribed to a topic.
    pub fn subscribers(self, topic: &str) -> usize {
        self.with_hub(|hub| hub.topics.get(topic).map_or(0, IndexSet::len))
            .unwrap_or(0)
    }

    /// Returns the WebSockets that are subscribed to a topic.
    pub fn sockets(self, topic: &str) -> Vec<WebSocket> {
        let mut sockets = Vec::new();
        self.list(topic, &mut sockets);
        sockets
    }

    /// Appends the WebSockets that are subscribed to a topic to a list; returns the adapter.
    pub(super) fn list(
        self,
        topic: &str,
        sockets: &mut Vec<WebSocket>,
    ) -> Option<Rc<dyn HubAdapter>> {
        let adapter = self.with_hub(|hub| {
            sockets.extend(hub.topics.get(topic).into_iter().flatten());
            hub.adapter.clone()
        });
        adapter.flatten()
    }

    /// Returns the topics that have subscribers, in arbitrary order.
    pub fn topics(self) -> Vec<Rc<str>> {
        self.with_hub(|hub| hub.topics.keys().cloned().collect())
            .unwrap_or_default()
    }

    /// Returns the name of a topic, shared with its subscribers; `None` if the hub is gone.
    pub(crate) fn shared_name(self, topic: &str) -> Option<Rc<str>> {
        self.with_hub(|hub| match hub.topics.get_key_value(topic) {
            Some((name, _)) => Rc::clone(name),
            None => topic.into(),
        })
    }

    /// Adds a subscriber.
    pub(crate) fn add(self, name: &Rc<str>, ws: WebSocket) {
        let now = self.with_hub(|hub| {
            let members = hub.topics.entry(Rc::clone(name)).or_default();
            members.insert(ws);
            members.len()
        });
        let now = now.unwrap_or_default();
        self.notify(Rc::clone(name), ws, now, now.saturating_sub(1));
    }

    /// Removes the subscriptions of a closed WebSocket.
    pub(crate) fn leave(self, names: &[Rc<str>], ws: WebSocket) {
        for name in names {
            // A panicking listener must not prevent the removal of the other subscriptions.
            if let Err(message) = catch(|| self.remove(name, ws)) {
                tracing::error!("a listener of a hub panicked: {message}");
            }
        }
    }

    /// Removes a subscriber; returns `false` if it is not subscribed.
    pub(crate) fn remove(self, topic: &str, ws: WebSocket) -> bool {
        let removed = self.with_hub(|hub| {
            let (name, _) = hub.topics.get_key_value(topic)?;
            let name = Rc::clone(name);
            let members = hub.topics.get_mut(topic)?;
            if !members.swap_remove(&ws) {
                return None;
            }
            let now = members.len();
            if now == 0 {
                hub.topics.remove(topic);
            }
            Some((name, now))
        });
        let Some(Some((name, now))) = removed else {
            return false;
        };
        self.notify(name, ws, now, now + 1);
        true
    }

    fn notify(self, topic: Rc<str>, socket: WebSocket, count: usize, previous_count: usize) {
        let observers = self.with_hub(|hub| {
            let is_edge = count == 0 || previous_count == 0;
            let adapter = hub.adapter.clone().filter(|_| is_edge);
            (adapter, !hub.listeners.is_empty())
        });
        let Some((adapter, has_listeners)) = observers else {
            return;
        };
        match adapter {
            Some(adapter) if count == 0 => adapter.unsubscribed(&topic),
            Some(adapter) => adapter.subscribed(&topic),
            None => {}
        }
        if has_listeners {
            let subscription = SubscriptionChange {
                topic,
                socket,
                count,
                previous_count,
            };
            emit(&self, Hub::SUBSCRIPTION, subscription);
        }
    }
}

impl Default for Hub {
    fn default() -> Self {
        Hub::new()
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.with_hub(|hub| hub.topics.len());
        f.debug_struct("Hub")
            .field("topics", &count.unwrap_or(0))
            .finish_non_exhaustive()
    }
}
