//! The upgrade from polling to WebSocket.
//!
//! The client opens a WebSocket and sends `2probe`. The server answers `3probe` over the WebSocket, and releases the pending poll. The client then waits for its last
//! requests to complete and sends `5`. Packets are sent over polling before that, and over the WebSocket afterwards. If anything fails before, polling continues.

use std::time::{Duration, Instant};

use uptick_websocket::{Message, Text};

use super::{Action, PostState, Session, SessionState, Transport};
use crate::protocol::engine::Packet;

/// Interval at which a pending poll is released again, for clients that sent another poll before they read the response to their probe.
const CHECK_INTERVAL: Duration = Duration::from_millis(100);

/// An upgrade in progress.
#[derive(Debug)]
pub(super) struct PendingUpgrade {
    complete_by: Instant,
    /// Time at which a pending poll is released next; set after the probe.
    check_at: Option<Instant>,
}

impl PendingUpgrade {
    pub(super) fn deadline(&self) -> Instant {
        self.check_at
            .map_or(self.complete_by, |at| at.min(self.complete_by))
    }
}

impl Session {
    /// Handles a WebSocket that the client has opened.
    pub(super) fn on_websocket(&mut self) {
        if !self.can_upgrade() {
            return self.actions.push_back(Action::RejectWebSocket);
        }
        self.websocket = true;
        self.blocked = false;
        let complete_by = self.now + self.options.upgrade_timeout;
        self.upgrade = Some(Box::new(PendingUpgrade {
            complete_by,
            check_at: None,
        }));
    }

    /// Handles a message from a WebSocket that is not the transport yet.
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

    /// Answers the pending poll, and schedules the next release.
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
        // The official client has no requests in progress now. Requests of other clients are completed, and queued packets are sent over the WebSocket.
        if self.poll {
            self.poll = false;
            let noop = Message::Text(Text::from("6"));
            self.actions
                .push_back(Action::RespondPoll(noop.into_bytes()));
        }
        if self.post == PostState::Receiving {
            self.post = PostState::None;
            self.actions.push_back(Action::AbortPost);
        }
        self.flush();
    }

    /// Closes the WebSocket. Polling continues.
    fn abandon_upgrade(&mut self) {
        debug_assert!(self.state != SessionState::Closed);
        self.upgrade = None;
        self.websocket = false;
        self.actions.push_back(Action::CloseWebSocket(None));
    }
}
