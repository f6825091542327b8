//! The upgrade from polling to WebSocket.
//!
//! The client opens a WebSocket and sends `2probe`; the server responds `3probe` there, and releases the poll that waits. The client then lets its last requests
//! complete and sends `5`. Until then packets go over polling, from then on over the WebSocket. If anything goes wrong before, polling goes on.

use std::time::{Duration, Instant};

use uptick_websocket::{Message, Text};

use super::{Action, Post, Session, State, Transport};
use crate::protocol::engine::Packet;

/// The time after which a poll is released again, for clients that have sent one more before they read the response to their probe.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// An upgrade under way.
#[derive(Debug)]
pub(super) struct Upgrade {
    complete_by: Instant,
    /// The time at which a poll is released next, after the probe.
    check_at: Option<Instant>,
}

impl Upgrade {
    pub(super) fn deadline(&self) -> Instant {
        self.check_at
            .map_or(self.complete_by, |at| at.min(self.complete_by))
    }
}

impl Session {
    /// The client has opened a WebSocket.
    pub(super) fn on_websocket(&mut self) {
        if !self.can_upgrade() {
            return self.actions.push_back(Action::RejectWebSocket);
        }
        self.websocket = true;
        self.blocked = false;
        let complete_by = self.now + self.options.upgrade_timeout;
        self.upgrade = Some(Box::new(Upgrade {
            complete_by,
            check_at: None,
        }));
    }

    /// A message of a WebSocket that is not the transport yet.
    pub(super) fn on_probe(&mut self, frame: Message) {
        match Packet::decode(frame) {
            Ok(Packet::Ping(text)) if text == "probe" => {
                self.actions
                    .push_back(Action::SendFrame(Packet::Pong(text).encode()));
                self.release_polls();
            }
            Ok(Packet::Upgrade) => self.complete_upgrade(),
            _ => self.abandon_upgrade(),
        }
    }

    pub(super) fn on_upgrade_time(&mut self) {
        let Some(upgrade) = &self.upgrade else {
            return;
        };
        if upgrade.complete_by <= self.now {
            self.abandon_upgrade();
        } else if upgrade.check_at.is_some_and(|at| at <= self.now) {
            self.release_polls();
        }
    }

    /// Responds to the poll that waits, and looks again later.
    fn release_polls(&mut self) {
        if let Some(upgrade) = &mut self.upgrade {
            upgrade.check_at = Some(self.now + CHECK_INTERVAL);
        }
        self.release_poll();
    }

    fn complete_upgrade(&mut self) {
        self.upgrade = None;
        self.transport = Transport::WebSocket;
        self.actions.push_back(Action::Upgraded);
        // The official client has no requests under way now. What others have is completed, and what is queued goes over the WebSocket.
        if self.poll {
            self.poll = false;
            let noop = Message::Text(Text::from("6"));
            self.actions
                .push_back(Action::RespondPoll(noop.into_bytes()));
        }
        if self.post == Post::Receiving {
            self.post = Post::None;
            self.actions.push_back(Action::AbortPost);
        }
        self.flush();
    }

    /// Closes the WebSocket. Polling goes on.
    fn abandon_upgrade(&mut self) {
        debug_assert!(self.state != State::Closed);
        self.upgrade = None;
        self.websocket = false;
        self.actions.push_back(Action::CloseWebSocket(None));
    }
}
