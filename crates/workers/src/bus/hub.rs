//! WebSocket hubs over the bus: hubs of the same name in all workers act as one.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt;
use std::rc::Rc;

use uptick_websocket::{Hub, HubAdapter, HubMessage, set_default_adapter};

use super::local::{Bus, SubscriptionId};

/// An adapter that connects a hub of WebSockets to the hubs of the same name in other workers, over the bus of the thread.
///
/// A topic of the hub is the topic `websocket/NAME/TOPIC` of the bus, with `/` and `%` in the name escaped as in a URI. Its messages are
/// WebSocket frames ([`HubMessage::frame`]). Messages are sent only to workers in which the topic has subscribers.
pub struct BusHub {
    hub: Hub,
    /// The prefix of the hub's topics on the bus.
    prefix: String,
    /// The topic of the current message, reused to avoid an allocation.
    topic: RefCell<String>,
    subscriptions: RefCell<HashMap<Box<str>, SubscriptionId>>,
}

/// Connects the hubs of this thread's HTTP servers to those in other workers, and each other hub that is named later
/// ([`Hub::set_name`]).
///
/// Call it while the worker is set up: hubs that already have a name are not connected.
///
/// # Examples
/// ```
/// use uptick_http::HttpServer;
/// use uptick_websocket::{WebSocket, WebSocketRoutes};
/// use uptick_workers::bus::{Bus, ThreadBus, connect_hubs};
///
/// # let group = ThreadBus::new();
/// Bus::of_thread().attach(group.join());
/// connect_hubs();
///
/// let http = HttpServer::new();
/// http.websocket("/news", |ws: WebSocket| {
///     ws.subscribe("news");
/// });
/// http.publish("news", "to the WebSockets of all workers");
/// ```
pub fn connect_hubs() {
    set_default_adapter(BusHub::new);
}

impl BusHub {
    /// Creates the adapter that connects a hub to the bus under `name`.
    pub fn new(hub: Hub, name: &str) -> BusHub {
        let escaped = name.replace('%', "%25").replace('/', "%2F");
        BusHub {
            hub,
            prefix: format!("websocket/{escaped}/"),
            topic: RefCell::default(),
            subscriptions: RefCell::default(),
        }
    }
}

impl HubAdapter for BusHub {
    fn publish(&self, topic: &str, message: &HubMessage) {
        let mut name = self.topic.take();
        name.clear();
        name.push_str(&self.prefix);
        name.push_str(topic);
        Bus::of_thread().publish_to_others(&name, message.frame().clone());
        self.topic.replace(name);
    }

    fn subscribed(&self, topic: &str) {
        let hub = self.hub;
        let name: Rc<str> = topic.into();
        let id = Bus::of_thread().subscribe(&format!("{}{topic}", self.prefix), move |payload| {
            match HubMessage::from_frame(payload) {
                Some(message) => drop(hub.deliver(&name, &message)),
                None => {
                    tracing::error!("a message to the topic {name:?} is no WebSocket frame");
                }
            }
        });
        let before = self.subscriptions.borrow_mut().insert(topic.into(), id);
        if let Some(before) = before {
            Bus::of_thread().unsubscribe(before);
        }
    }

    fn unsubscribed(&self, topic: &str) {
        let id = self.subscriptions.borrow_mut().remove(topic);
        if let Some(id) = id {
            Bus::of_thread().unsubscribe(id);
        }
    }
}

impl Drop for BusHub {
    fn drop(&mut self) {
        for id in self.subscriptions.take().into_values() {
            Bus::of_thread().unsubscribe(id);
        }
    }
}

impl fmt::Debug for BusHub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BusHub")
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}
