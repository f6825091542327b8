//! Timeouts: idle, close and maximum lifetime.

use std::cell::OnceCell;
use std::time::Duration;

use uptick_event_loop::Token;
use uptick_event_loop::driver::Timestamp;
use uptick_http::channel::ChannelTokens;

use super::state::{SocketFlags, SocketPhase, WebSocketSession};

/// Time before the end of the idle timeout at which an idle peer is sent a ping: 16 s.
const PING_MARGIN: Duration = Duration::from_secs(16);

/// The driver of WebSockets: handles their deadlines and postponed deliveries.
pub(super) struct SocketDriver;

thread_local! {
    static TOKENS: OnceCell<ChannelTokens> = const { OnceCell::new() };
}

/// The action for an expired timeout.
pub(super) enum ExpiredTimeout {
    /// Send a ping.
    Ping,
    /// Report the idle timeout, and terminate.
    Idle,
    /// Terminate, because the peer has not sent its close frame.
    Close,
    /// Close, because the maximum lifetime was reached.
    Lifetime,
}

impl WebSocketSession {
    pub(super) fn arm(&self) {
        if let Some(due) = self.next_deadline() {
            self.with(|parts| parts.deadline.arm(|| self.token(), due));
        }
    }

    /// Handles the expired deadline: returns the action for a timeout, and re-arms the deadline unless the action ends the WebSocket.
    pub(super) fn expired(&self) -> Option<ExpiredTimeout> {
        self.with(|parts| parts.deadline.expired());
        let closing = self.phase.get() == SocketPhase::Closing;
        // While reading is paused, nothing can be received. The peer cannot respond to a close frame that it has not received yet; the write
        // timeout of the connection handles a peer that reads nothing.
        if self.has(SocketFlags::STOPPED) || closing && self.channel.is_sending() {
            self.last_activity.set(Timestamp::now());
        }
        let due = self.next_deadline()?;
        let timeout = if !due.has_passed(self.last_activity.get()) {
            None
        } else if closing {
            Some(ExpiredTimeout::Close)
        } else if self.lifetime_end() == Some(due) {
            Some(ExpiredTimeout::Lifetime)
        } else {
            self.idle_expired()
        };
        if matches!(timeout, None | Some(ExpiredTimeout::Ping)) {
            self.arm();
        }
        timeout
    }

    /// Returns the next deadline without further activity.
    fn next_deadline(&self) -> Option<Timestamp> {
        let options = &self.route.options;
        let last_activity = self.last_activity.get();
        if self.phase.get() == SocketPhase::Closing {
            let shutdown = self.route.close_timeout.get();
            let limit = shutdown.unwrap_or(Duration::MAX).min(options.close_timeout);
            return Some(last_activity.after(limit));
        }
        let idle_end = options.idle_timeout.map(|idle| {
            let pings = options.pings && !self.has(SocketFlags::PINGED);
            last_activity.after(match pings {
                true => idle.saturating_sub(PING_MARGIN.min(idle / 4)),
                false => idle,
            })
        });
        match (idle_end, self.lifetime_end()) {
            (Some(idle_end), Some(until)) => Some(idle_end.earlier(until)),
            (idle_end, until) => idle_end.or(until),
        }
    }

    /// Returns the end of the maximum lifetime.
    fn lifetime_end(&self) -> Option<Timestamp> {
        self.if_cold(|cold| cold.lifetime_end).flatten()
    }

    /// Returns the action when the idle timeout or the time limit for a pong has expired.
    ///
    /// A peer that has acknowledged bytes since the last check is alive, except if these are only the bytes of a ping that was sent to
    /// an idle connection. No ping is sent if it would be queued after other bytes: their acknowledgement also shows that the peer is alive.
    fn idle_expired(&self) -> Option<ExpiredTimeout> {
        let acknowledged = self.channel.acknowledged();
        let makes_progress = acknowledged > self.acknowledged.replace(acknowledged);
        let has_unacknowledged =
            self.channel.is_sending() || acknowledged < self.channel.bytes_written();
        let is_final = self.has(SocketFlags::PINGED) || !self.route.options.pings;
        if makes_progress && (has_unacknowledged || is_final) {
            self.last_activity.set(Timestamp::now());
            self.remove(SocketFlags::PINGED);
            return None;
        }
        if is_final {
            return Some(ExpiredTimeout::Idle);
        }
        self.insert(SocketFlags::PINGED);
        (!has_unacknowledged).then_some(ExpiredTimeout::Ping)
    }

    /// Returns the token under which the loop calls [`SocketDriver`] for this WebSocket.
    pub(super) fn token(&self) -> Option<Token> {
        let tokens =
            TOKENS.try_with(|all| *all.get_or_init(ChannelTokens::register::<SocketDriver>));
        tokens.ok().map(|tokens| tokens.of(self.channel))
    }
}
