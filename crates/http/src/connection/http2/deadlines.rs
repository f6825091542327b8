//! Timeouts. A connection has one deadline in the loop's wheel for all of its streams; it is only armed for an earlier time.

use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::driver::Timestamp;
use uptick_stream::transport::{LINGER, STALL_LIMIT};

use super::flags::{ConnectionFlags, StreamFlags};
use super::state::{ConnectionState, Http2Connection};
use super::stream::Http2Stream;
use crate::body::BodyError;
use crate::exchange::{BodyProgress, Consumer, Exchange, response_timed_out};
use crate::h2::ErrorCode;
use crate::site::SiteSettings;

/// Minimum time between two probes of a half-closed client.
const SHORTEST_PROBE: Duration = Duration::from_secs(1);

/// The event that a stream is waiting for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum StreamWait {
    /// More of the body, at the minimum rate.
    Body,
    /// The handler's response.
    Response,
    /// Room for the output: the client reads too slowly, or opens no window.
    Window,
    /// The rest of a request body, after the response.
    End,
}

/// The action for an expired timeout. It runs while nothing is borrowed.
enum TimeoutAction {
    /// Fail the body: it was not received in time.
    Body(Rc<Http2Stream>, Rc<Exchange>),
    /// Respond with an error: the handler did not respond in time.
    Response(Rc<Exchange>),
    /// Reset the stream.
    Reset(Rc<Http2Stream>),
    /// Reset the stream, whose response is complete.
    End(Rc<Http2Stream>),
}

impl Http2Connection {
    /// Arms the deadline for a handler.
    pub(super) fn await_response(&self) {
        self.arm_after(&mut self.state(), |settings| settings.timeouts.response);
    }

    /// Arms the deadline for a request body.
    pub(super) fn await_body(&self) {
        self.arm_after(&mut self.state(), |settings| settings.timeouts.body);
    }

    /// Arms the deadline for the output of a stream that waits for room.
    pub(super) fn await_window(&self, state: &mut ConnectionState) {
        self.arm_after(state, window_timeout);
    }

    /// Arms the deadline for the rest of a request body that is discarded.
    pub(super) fn await_end(&self, state: &mut ConnectionState) {
        self.arm_after(state, linger);
    }

    fn arm_after(
        &self,
        state: &mut ConnectionState,
        limit: impl FnOnce(&SiteSettings) -> Duration,
    ) {
        let limit = limit(&self.service.borrow_site().settings);
        if limit != Duration::MAX {
            self.arm(state, Timestamp::now().after(limit));
        }
    }

    fn arm(&self, state: &mut ConnectionState, due: Timestamp) {
        state.deadline.arm(|| self.token(), due);
    }

    /// Updates what the connection waits for, after an event.
    #[inline]
    pub(super) fn update_waits(&self, state: &mut ConnectionState) {
        let in_head = state.codec.is_mid_frame();
        if in_head != state.flags.contains(ConnectionFlags::IN_HEAD) {
            state.flags.set(ConnectionFlags::IN_HEAD, in_head);
            state.head_since = Timestamp::now();
            self.arm_connection(state);
        } else if state.open_streams() == 0 {
            self.arm_connection(state);
        }
    }

    /// Returns the wait of the connection itself: its start and its time limit.
    fn connection_wait(&self, state: &ConnectionState) -> Option<(Timestamp, Duration)> {
        let site = self.service.borrow_site();
        let timeouts = &site.settings.timeouts;
        let wait = if state.flags.contains(ConnectionFlags::IN_HEAD) {
            (state.head_since, timeouts.head)
        } else if state.open_streams() > 0 || state.flags.contains(ConnectionFlags::DRAINING) {
            return None;
        } else if state.flags.contains(ConnectionFlags::FRESH) {
            (state.since, timeouts.first_byte)
        } else {
            (state.since, timeouts.idle)
        };
        (wait.1 != Duration::MAX).then_some(wait)
    }

    /// Arms the deadline for the wait of the connection itself.
    pub(super) fn arm_connection(&self, state: &mut ConnectionState) {
        if let Some((since, limit)) = self.connection_wait(state) {
            self.arm(state, since.after(limit));
        }
        let others = [self.announcement_wait(state), self.probe_wait(state)];
        for (since, limit) in others.into_iter().flatten() {
            self.arm(state, since.after(limit));
        }
    }

    /// Returns the wait before the last stream is announced, and its time limit.
    fn announcement_wait(&self, state: &ConnectionState) -> Option<(Timestamp, Duration)> {
        let pending = ConnectionFlags::GOING_AWAY | ConnectionFlags::LAST_ANNOUNCED;
        if state.flags & pending != ConnectionFlags::GOING_AWAY {
            return None;
        }
        let since = state.extra.as_ref()?.announced;
        let shutdown = self.service.draining();
        let restarts = shutdown.and_then(|options| options.first_byte_timeout());
        let limit = restarts.unwrap_or(self.service.borrow_site().settings.timeouts.draining);
        (limit != Duration::MAX).then_some((since, limit))
    }

    /// Sends a PING frame to a half-closed client with open streams. The system of a client that has closed its socket answers with a reset,
    /// which ends the handlers.
    pub(super) fn probe(&self, state: &mut ConnectionState) {
        if state.codec.is_empty() || self.service.borrow_site().settings.timeouts.half_open {
            return;
        }
        state.codec.send_ping();
        state.extra().probed = Timestamp::now();
        self.arm_connection(state);
    }

    /// Returns the wait before the next probe of a half-closed client, and its time limit.
    fn probe_wait(&self, state: &ConnectionState) -> Option<(Timestamp, Duration)> {
        let timeouts = self.service.borrow_site().settings.timeouts;
        let probes = state.flags.contains(ConnectionFlags::PEER_ENDED)
            && !state.codec.is_empty()
            && !timeouts.half_open
            && timeouts.grace != Duration::MAX;
        let since = state.extra.as_ref().filter(|_| probes)?.probed;
        Some((since, timeouts.grace.max(SHORTEST_PROBE)))
    }

    /// Handles the expiry of the deadline.
    pub(super) fn expired(&self) {
        {
            let mut state = self.state();
            state.deadline.expired();
            if state.flags.contains(ConnectionFlags::CLOSING) {
                return;
            }
            if state.codec.is_empty() {
                state.codec.shrink();
            }
            let wait = self.announcement_wait(&state);
            if wait.is_some_and(|(since, limit)| since.is_over(limit)) {
                state.announce_last();
            }
            let wait = self.probe_wait(&state);
            if wait.is_some_and(|(since, limit)| since.is_over(limit)) {
                self.probe(&mut state);
            }
        }
        if self.connection_expired() {
            return;
        }
        let mut next: Option<Timestamp> = None;
        let mut actions = Vec::new();
        for stream in self.streams() {
            let Some((wait, since, limit)) = self.wait_of(&stream) else {
                continue;
            };
            if !since.is_over(limit) {
                let due = since.after(limit);
                next = Some(next.map_or(due, |next| next.earlier(due)));
                continue;
            }
            match (wait, stream.exchange()) {
                (StreamWait::Body, Some(exchange)) => {
                    if self.body_rate_reached(&stream, &exchange, limit) {
                        let due = Timestamp::now().after(limit);
                        next = Some(next.map_or(due, |next| next.earlier(due)));
                    } else {
                        actions.push(TimeoutAction::Body(stream, exchange));
                    }
                }
                (StreamWait::Response, Some(exchange)) => {
                    actions.push(TimeoutAction::Response(exchange));
                }
                (StreamWait::Window, _) if !self.is_stalled(&stream, limit) => {
                    stream.state().progress = Timestamp::now();
                    let due = Timestamp::now().after(limit);
                    next = Some(next.map_or(due, |next| next.earlier(due)));
                }
                (StreamWait::End, _) => actions.push(TimeoutAction::End(stream)),
                _ => actions.push(TimeoutAction::Reset(stream)),
            }
        }
        {
            let mut state = self.state();
            if let Some(next) = next {
                self.arm(&mut state, next);
            }
            self.arm_connection(&mut state);
        }
        for action in actions {
            match action {
                TimeoutAction::Body(stream, exchange) => {
                    let started = exchange.is_started();
                    self.fail_body(&stream, &exchange, BodyError::TooSlow);
                    if started {
                        self.reset(&stream, ErrorCode::CANCEL);
                    }
                }
                TimeoutAction::Response(exchange) => response_timed_out(&exchange),
                TimeoutAction::Reset(stream) => self.reset(&stream, ErrorCode::CANCEL),
                TimeoutAction::End(stream) => self.reset(&stream, ErrorCode::NO_ERROR),
            }
        }
        self.advance();
    }

    /// Closes the connection if its own wait is over. Returns `true` if it closes.
    fn connection_expired(&self) -> bool {
        {
            let mut state = self.state();
            let Some((since, limit)) = self.connection_wait(&state) else {
                return false;
            };
            if !since.is_over(limit) {
                return false;
            }
            let in_head = state.flags.contains(ConnectionFlags::IN_HEAD);
            if !in_head && state.acknowledged.is_reading(self.conn) {
                state.since = Timestamp::now();
                self.arm_connection(&mut state);
                return false;
            }
            let code = match in_head {
                true => ErrorCode::ENHANCE_YOUR_CALM,
                false => ErrorCode::NO_ERROR,
            };
            state.codec.go_away(code);
            state.flags.insert(ConnectionFlags::CLOSING);
        }
        self.advance();
        true
    }

    /// Returns the wait of a stream, its start and its time limit.
    fn wait_of(&self, stream: &Http2Stream) -> Option<(StreamWait, Timestamp, Duration)> {
        let site = self.service.borrow_site();
        let settings = &site.settings;
        let of_stream = stream.state();
        // A channel has its own deadline. A waiting request follows others, which have deadlines.
        let exempt = StreamFlags::CLOSED | StreamFlags::WAITING;
        if of_stream.flags.intersects(exempt) || of_stream.channel.is_some() {
            return None;
        }
        let wait = match &of_stream.exchange {
            Some(exchange) if is_body_due(exchange) => {
                (StreamWait::Body, of_stream.since, settings.timeouts.body)
            }
            Some(exchange) if !exchange.is_started() => (
                StreamWait::Response,
                of_stream.since,
                settings.timeouts.response,
            ),
            None if of_stream.flags.contains(StreamFlags::LINGERING) => {
                (StreamWait::End, of_stream.since, linger(settings))
            }
            _ if of_stream.has_output() => (
                StreamWait::Window,
                of_stream.progress,
                window_timeout(settings),
            ),
            _ => return None,
        };
        (wait.2 != Duration::MAX).then_some(wait)
    }

    /// Returns `true` if the client has accepted no output of a stream for a time because of its windows. A stream that only waits for
    /// others is not stalled.
    fn is_stalled(&self, stream: &Http2Stream, limit: Duration) -> bool {
        let state = self.state();
        let codec = &state.codec;
        codec.capacity(stream.key()) == 0
            && (codec.stream_capacity(stream.key()) == 0 || state.progress.is_over(limit))
    }

    /// Returns `true` if the minimum amount of the body was received in the last window, and starts the next window.
    fn body_rate_reached(
        &self,
        stream: &Http2Stream,
        exchange: &Exchange,
        window: Duration,
    ) -> bool {
        let rate = self.service.borrow_site().settings.timeouts.body_rate;
        let least = u64::from(rate) * window.as_secs().max(1);
        let state = self.state();
        let mut of_stream = stream.state();
        // The program has not read this body, or others, in time, so that the client had no window.
        let program_delayed = exchange.program_delayed.take()
            || !of_stream.incoming.is_empty()
            || state.codec.is_consuming_slowly();
        let enough = program_delayed || u64::from(of_stream.counted) >= least;
        of_stream.since = Timestamp::now();
        of_stream.counted = 0;
        enough
    }
}

/// Returns `true` if the client must send more of the body.
fn is_body_due(exchange: &Exchange) -> bool {
    exchange.consumer.get() != Consumer::None
        && exchange.body.get() == BodyProgress::Receiving
        && !exchange.is_done()
}

/// Returns the time limit for the rest of a request body after its response.
fn linger(settings: &SiteSettings) -> Duration {
    settings.linger.unwrap_or(LINGER)
}

/// Returns the time limit for output that the client does not accept: the write timeout of its connection.
fn window_timeout(settings: &SiteSettings) -> Duration {
    match settings.write_timeout {
        None => STALL_LIMIT,
        Some(limit) => limit.unwrap_or(Duration::MAX),
    }
}
