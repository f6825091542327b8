//! Topics: messages for all WebSockets that have subscribed.

pub(crate) mod hub;
mod publisher;

use std::cell::RefCell;

use crate::message::Payload;
use crate::socket::handle::WebSocket;
use crate::socket::publishing::{Frame, deliver};

pub use hub::{Subscription, Topics};
pub use publisher::{PublishError, Publisher};

thread_local! {
    /// The receivers of a message while it is delivered: here so that the list is not allocated each time.
    static MEMBERS: RefCell<Vec<WebSocket>> = const { RefCell::new(Vec::new()) };
}

impl Topics {
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
        self.for_each(topic, |ws| {
            eligible(ws) && deliver(ws, frame.get_or_insert_with(|| Frame::new(&payload)))
        })
    }

    pub(crate) fn publish_except(
        self,
        topic: &str,
        payload: impl Payload,
        except: Option<WebSocket>,
    ) -> usize {
        let mut frame = None;
        self.for_each(topic, |ws| {
            Some(ws) != except && deliver(ws, frame.get_or_insert_with(|| Frame::new(&payload)))
        })
    }

    /// Calls `f` with each that is subscribed now, while nothing is borrowed; gives how often it said yes.
    fn for_each(self, topic: &str, mut f: impl FnMut(WebSocket) -> bool) -> usize {
        let mut members = MEMBERS.try_with(RefCell::take).unwrap_or_default();
        members.clear();
        self.list(topic, &mut members);
        let count = members.iter().filter(|ws| f(**ws)).count();
        let _ = MEMBERS.try_with(|place| place.replace(members));
        count
    }

    /// Returns the handle that publishes from other threads.
    pub fn publisher(self) -> Publisher {
        Publisher::new(self.id())
    }
}
