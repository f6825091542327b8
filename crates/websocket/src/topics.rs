//! Topics: messages for all WebSockets that have subscribed.

mod adapter;
pub(crate) mod hub;
pub(crate) mod message;
mod naming;
mod publisher;

use std::cell::RefCell;
use std::rc::Rc;

use crate::message::Payload;
use crate::socket::handle::WebSocket;
use crate::socket::publishing::{Frame, deliver};

pub use adapter::HubAdapter;
pub use hub::{Hub, Subscription};
pub use message::HubMessage;
pub use naming::set_default_adapter;
pub use publisher::{PublishError, Publisher};

thread_local! {
    /// The receivers of a message while it is delivered: here so that the list is not allocated each time.
    static MEMBERS: RefCell<Vec<WebSocket>> = const { RefCell::new(Vec::new()) };
}

impl Hub {
    /// Sends a message to all WebSockets that are subscribed to a topic, and returns to how many of this worker. Those that do not read are
    /// passed over, as their [`SlowPolicy`](crate::SlowPolicy) says.
    ///
    /// A hub that is connected to those of other workers ([`HubAdapter`]) also sends the message to their subscribers.
    pub fn publish(self, topic: &str, payload: impl Payload) -> usize {
        self.publish_except(topic, payload, None)
    }

    /// Sends a message to those WebSockets of this worker that are subscribed to a topic and for which `eligible` returns true; returns to
    /// how many.
    ///
    /// The message does not go to other workers, where `eligible` cannot be called.
    pub fn publish_where(
        self,
        topic: &str,
        payload: impl Payload,
        eligible: impl Fn(WebSocket) -> bool,
    ) -> usize {
        let mut frame = None;
        let receivers = self.receivers(topic);
        receivers.count(|ws| {
            eligible(ws) && deliver(ws, frame.get_or_insert_with(|| Frame::new(&payload)))
        })
    }

    /// Sends a message that came from another worker to the WebSockets of this worker that are subscribed to a topic; returns to how many.
    ///
    /// For implementors of a [`HubAdapter`]: the message does not go to the adapter again.
    pub fn deliver(self, topic: &str, message: &HubMessage) -> usize {
        let mut frame = Frame::of(message.clone());
        self.receivers(topic).count(|ws| deliver(ws, &mut frame))
    }

    /// Publishes a message that is encoded already.
    pub(crate) fn publish_encoded(self, topic: &str, message: HubMessage) -> usize {
        let receivers = self.receivers(topic);
        if let Some(adapter) = &receivers.adapter {
            adapter.publish(topic, &message);
        }
        let mut frame = Frame::of(message);
        receivers.count(|ws| deliver(ws, &mut frame))
    }

    pub(crate) fn publish_except(
        self,
        topic: &str,
        payload: impl Payload,
        except: Option<WebSocket>,
    ) -> usize {
        let mut frame = None;
        let receivers = self.receivers(topic);
        if let Some(adapter) = &receivers.adapter {
            let frame = frame.insert(Frame::new(&payload));
            adapter.publish(topic, frame.message());
        }
        receivers.count(|ws| {
            Some(ws) != except && deliver(ws, frame.get_or_insert_with(|| Frame::new(&payload)))
        })
    }

    /// Returns those that are subscribed now, and what connects them to others.
    fn receivers(self, topic: &str) -> Receivers {
        let mut members = MEMBERS.try_with(RefCell::take).unwrap_or_default();
        members.clear();
        let adapter = self.list(topic, &mut members);
        Receivers { members, adapter }
    }

    /// Returns the handle that publishes from other threads.
    pub fn publisher(self) -> Publisher {
        Publisher::new(self)
    }
}

/// The receivers of a message.
struct Receivers {
    members: Vec<WebSocket>,
    adapter: Option<Rc<dyn HubAdapter>>,
}

impl Receivers {
    /// Calls `f` with each receiver, while nothing is borrowed; returns how often it returned true.
    fn count(self, mut f: impl FnMut(WebSocket) -> bool) -> usize {
        let count = self.members.iter().filter(|ws| f(**ws)).count();
        let _ = MEMBERS.try_with(|place| place.replace(self.members));
        count
    }
}
