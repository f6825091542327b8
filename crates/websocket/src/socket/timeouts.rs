//! Limits of time: silence, the answer to a close, the lifetime.

use std::cell::OnceCell;
use std::time::Duration;

use uptick_event_loop::Token;
use uptick_event_loop::driver::Timestamp;
use uptick_http::channel::ChannelTokens;

use super::state::{Flags, Phase, WebSocketSession};

/// The time before the end of the idle timeout at which a silent peer is sent a ping: 16 s.
const MARGIN: Duration = Duration::from_secs(16);

/// The driver of WebSockets: of their deadlines, and of deliveries that were postponed.
pub(super) struct SocketDriver;

thread_local! {
    static TOKENS: OnceCell<ChannelTokens> = const { OnceCell::new() };
}

/// A limit that is over.
pub(super) enum Over {
    /// The peer is to be sent a ping.
    Ping,
    /// Nothing came, and the peer takes nothing.
    Silent,
    /// The peer has not answered a close.
    Close,
    /// The maximum lifetime.
    Lifetime,
}

impl WebSocketSession {
    pub(super) fn arm(&self) {
        if let Some(due) = self.due() {
            self.with(|parts| parts.deadline.arm(|| self.token(), due));
        }
    }

    /// The deadline has expired: returns the limit that is over, and arms the deadline again unless that ends the WebSocket.
    pub(super) fn expired(&self) -> Option<Over> {
        self.with(|parts| parts.deadline.expired());
        let closing = self.phase.get() == Phase::Closing;
        // While reading is paused, nothing can come. A close that has not reached the peer yet cannot be answered; a peer that takes
        // nothing is the connection's to end.
        if self.has(Flags::STOPPED) || closing && self.channel.is_sending() {
            self.seen.set(Timestamp::now());
        }
        let due = self.due()?;
        let over = if !due.has_come(self.seen.get()) {
            None
        } else if closing {
            Some(Over::Close)
        } else if self.until() == Some(due) {
            Some(Over::Lifetime)
        } else {
            self.silent()
        };
        if matches!(over, None | Some(Over::Ping)) {
            self.arm();
        }
        over
    }

    /// Returns when something is to be done, if nothing comes.
    fn due(&self) -> Option<Timestamp> {
        let options = &self.route.options;
        let seen = self.seen.get();
        if self.phase.get() == Phase::Closing {
            let shutdown = self.route.close_timeout.get();
            let limit = shutdown.unwrap_or(Duration::MAX).min(options.close_timeout);
            return Some(seen.after(limit));
        }
        let silence = options.idle_timeout.map(|idle| {
            let pings = options.pings && !self.has(Flags::PINGED);
            seen.after(match pings {
                true => idle.saturating_sub(MARGIN.min(idle / 4)),
                false => idle,
            })
        });
        match (silence, self.until()) {
            (Some(silence), Some(until)) => Some(silence.earlier(until)),
            (silence, until) => silence.or(until),
        }
    }

    /// Returns the end of the maximum lifetime.
    fn until(&self) -> Option<Timestamp> {
        self.if_rare(|rare| rare.until).flatten()
    }

    /// Returns what to do about a limit of silence that has passed.
    ///
    /// A peer that has acknowledged bytes since the last look is not silent, but for those of a ping that found nothing before
    /// it. A ping is not sent if it would wait behind other bytes: their acknowledgement tests the peer as well.
    fn silent(&self) -> Option<Over> {
        let acknowledged = self.channel.acknowledged();
        let takes = acknowledged > self.acknowledged.replace(acknowledged);
        let waits = self.channel.is_sending() || acknowledged < self.channel.bytes_written();
        let last = self.has(Flags::PINGED) || !self.route.options.pings;
        if takes && (waits || last) {
            self.seen.set(Timestamp::now());
            self.remove(Flags::PINGED);
            return None;
        }
        if last {
            return Some(Over::Silent);
        }
        self.insert(Flags::PINGED);
        (!waits).then_some(Over::Ping)
    }

    /// Returns the token under which the loop calls [`SocketDriver`] for this WebSocket.
    pub(super) fn token(&self) -> Option<Token> {
        let tokens =
            TOKENS.try_with(|all| *all.get_or_init(ChannelTokens::register::<SocketDriver>));
        tokens.ok().map(|tokens| tokens.of(self.channel))
    }
}
