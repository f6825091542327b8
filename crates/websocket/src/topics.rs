//! Topics: messages for all subscribed WebSockets.

mod adapter;
pub(crate) mod hub;
pub(crate) mod message;
mod naming;
mod publisher;

use std::cell::RefCell;
use std::rc::Rc;

use crate::message::Payload;
use crate::socket::handle::WebSocket;
use crate::socket::publishing::{PublishedFrame, deliver};

pub use adapter::HubAdapter;
pub use hub::{Hub, SubscriptionChange};
pub use message::HubMessage;
pub use naming::set_default_adapter;
pub use publisher::{PublishError, Publisher};

thread_local! {
    /// A reusable list for the receivers of a message, so that none is allocated for each message.
    static MEMBERS: RefCell<Vec<WebSocket>> = const { RefCell::new(Vec::new()) };
}

impl Hub {
    /// Sends a message to all WebSockets that are subscribed to a topic, and returns the number of receivers in this worker. For slow peers, their
    /// [`SlowPolicy`](crate::SlowPolicy) applies.
    ///
    /// A hub that is connected to hubs of other workers ([`HubAdapter`]) also sends the message to their subscribers.
    pub fn publish(self, topic: &str, payload: impl Payload) -> usize {
        self.publish_except(topic, payload, None)
    }

    /// Sends a message to the WebSockets of this worker that are subscribed to a topic and for which `eligible` returns true; returns the
    /// number of receivers.
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
            eligible(ws)
                && deliver(
                    ws,
                    frame.get_or_insert_with(|| PublishedFrame::new(&payload)),
                )
        })
    }

    /// Sends a message from another worker to the WebSockets of this worker that are subscribed to a topic; returns the number of receivers.
    ///
    /// For implementors of a [`HubAdapter`]: the message is not passed to the adapter again.
    pub fn deliver(self, topic: &str, message: &HubMessage) -> usize {
        let mut frame = PublishedFrame::of(message.clone());
        self.receivers(topic).count(|ws| deliver(ws, &mut frame))
    }

    /// Publishes an encoded message.
    pub(crate) fn publish_encoded(self, topic: &str, message: HubMessage) -> usize {
        let receivers = self.receivers(topic);
        if let Some(adapter) = &receivers.adapter {
            adapter.publish(topic, &message);
        }
        let mut frame = PublishedFrame::of(message);
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
            let frame = frame.insert(PublishedFrame::new(&payload));
            adapter.publish(topic, frame.message());
        }
        receivers.count(|ws| {
            Some(ws) != except
                && deliver(
                    ws,
                    frame.get_or_insert_with(|| PublishedFrame::new(&payload)),
                )
        })
    }

    /// Returns the current subscribers of a topic, and the adapter of the hub.
    fn receivers(self, topic: &str) -> Receivers {
        let mut members = MEMBERS.try_with(RefCell::take).unwrap_or_default();
        members.clear();
        let adapter = self.list(topic, &mut members);
        Receivers { members, adapter }
    }

    /// Returns a handle to publish from other threads.
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
    /// Calls `f` with each receiver, while no `RefCell` is borrowed; returns the number of calls that returned true.
    fn count(self, mut f: impl FnMut(WebSocket) -> bool) -> usize {
        let count = self.members.iter().filter(|ws| f(**ws)).count();
        let _ = MEMBERS.try_with(|members| members.replace(self.members));
        count
    }
}
