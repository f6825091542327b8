//! Timeouts. A session has one deadline in the loop's wheel for all of its streams; it is only armed for an earlier time.

use std::rc::Rc;
use std::time::Duration;

use uptick_event_loop::driver::Timestamp;

use super::ending::StreamOutcome;
use super::flags::{SessionFlags, StreamFlags};
use super::state::{Http2Session, SessionState};
use super::stream::{Http2Stream, StreamState};
use crate::error::{ErrorKind, Failure};

/// Interval of the checks for the progress of a request that is being sent.
const WRITE_CHECK: Duration = Duration::from_millis(250);

/// Time without received bytes after which a PING frame is sent, if a request waits.
const PING_AFTER: Duration = Duration::from_secs(5);

/// Maximum time until something is received after a PING frame.
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// A wait for the server: its start and its time limit.
#[derive(Clone, Copy, Debug)]
struct ServerWait {
    kind: ErrorKind,
    since: Timestamp,
    limit: Option<Duration>,
}

/// The earliest time of several.
#[derive(Default)]
struct Earliest(Option<Timestamp>);

impl Earliest {
    fn add(&mut self, due: Timestamp) {
        self.0 = Some(self.0.map_or(due, |earliest| earliest.earlier(due)));
    }
}

impl Http2Session {
    /// Arms the deadline for a new request.
    pub(super) fn await_request(&self, state: &mut SessionState, stream: &Http2Stream) {
        let settings = &stream.settings;
        let limits = [settings.write_timeout, settings.first_byte_timeout];
        let first = limits
            .into_iter()
            .flatten()
            .fold(WRITE_CHECK, Duration::min);
        self.arm(state, Timestamp::now().after(first));
    }

    /// Starts the wait for the next bytes of a response.
    pub(super) fn await_response(
        &self,
        state: &mut SessionState,
        stream: &Http2Stream,
        of_stream: &mut StreamState,
    ) {
        of_stream.since = Timestamp::now();
        let limit = stream.settings.read_timeout.unwrap_or(PING_AFTER);
        self.arm(state, of_stream.since.after(limit.min(PING_AFTER)));
    }

    /// Handles the expiry of the deadline.
    pub(super) fn expired(&self) {
        {
            let mut state = self.state();
            state.deadline.expired();
            if state.flags.contains(SessionFlags::CLOSING) {
                return;
            }
            state.update_progress(self.conn.bytes_written());
        }
        if self.state().codec.is_empty() {
            return self.idle_expired();
        }
        let is_sending = self.conn.is_sending();
        let mut next = Earliest::default();
        let mut failed = Vec::new();
        let mut waiting: Option<Timestamp> = None;
        for stream in self.streams() {
            let wait = self.wait_of(&stream, is_sending, &mut next);
            let Some(wait) = wait else { continue };
            let limit = wait.limit.unwrap_or(Duration::MAX);
            if limit != Duration::MAX && wait.since.is_over(limit) {
                failed.push((stream, wait.kind, limit));
                continue;
            }
            if limit != Duration::MAX {
                next.add(wait.since.after(limit));
            }
            if wait.kind != ErrorKind::WriteTimeout {
                let earliest = waiting.map_or(wait.since, |other| other.earlier(wait.since));
                waiting = Some(earliest);
            }
        }
        for (stream, kind, limit) in failed {
            self.time_out(&stream, kind, limit);
        }
        if let Some(since) = waiting
            && self.check_ping(since, &mut next)
        {
            return self.ping_timed_out();
        }
        if let Some(due) = next.0 {
            self.arm(&mut self.state(), due);
        }
        self.advance();
    }

    /// Returns what a stream waits for, if it waits for the server.
    fn wait_of(
        &self,
        stream: &Rc<Http2Stream>,
        is_sending: bool,
        next: &mut Earliest,
    ) -> Option<ServerWait> {
        let state = self.state();
        let mut of_stream = stream.state();
        let settings = &stream.settings;
        let flags = of_stream.flags;
        if flags.contains(StreamFlags::ANSWERED) {
            return (!flags.contains(StreamFlags::PAUSED)).then_some(ServerWait {
                kind: ErrorKind::ReadTimeout,
                since: of_stream.since,
                limit: settings.read_timeout,
            });
        }
        let is_sent = flags.contains(StreamFlags::ENDED) && !is_sending;
        if is_sent && !flags.contains(StreamFlags::SENT) {
            of_stream.flags.insert(StreamFlags::SENT);
            if flags.contains(StreamFlags::SENDING) {
                of_stream.since = Timestamp::now();
            }
        }
        if of_stream.flags.contains(StreamFlags::SENT) {
            return Some(ServerWait {
                kind: ErrorKind::FirstByteTimeout,
                since: of_stream.since,
                limit: settings.first_byte_timeout,
            });
        }
        let is_queued = !of_stream.output.is_empty();
        if !is_queued && !is_sending {
            // The request waits for its program.
            of_stream.progress = Timestamp::now();
            return None;
        }
        if flags.contains(StreamFlags::ENDED) {
            of_stream.flags.insert(StreamFlags::SENDING);
        }
        // Progress of the connection counts for a stream, unless the stream waits for its own window.
        let is_blocked = is_queued && state.codec.stream_capacity(stream.key) == 0;
        if !is_blocked && of_stream.progress.is_before(state.progress) {
            of_stream.progress = state.progress;
        }
        next.add(Timestamp::now().after(WRITE_CHECK));
        Some(ServerWait {
            kind: ErrorKind::WriteTimeout,
            since: of_stream.progress,
            limit: settings.write_timeout,
        })
    }

    fn time_out(&self, stream: &Http2Stream, kind: ErrorKind, limit: Duration) {
        let seconds = limit.as_secs_f64();
        let reason = match kind {
            ErrorKind::WriteTimeout => {
                format!("the server accepted no byte of the request for {seconds} s")
            }
            ErrorKind::FirstByteTimeout => {
                format!("the response did not begin within {seconds} s")
            }
            _ => format!("the response paused for {seconds} s"),
        };
        self.finish(stream, StreamOutcome::Failed(Failure::new(kind, reason)));
    }

    /// Sends a PING frame if it is due. `since` is the start of the longest wait of a request. Returns `true` if the server has not reacted to one.
    fn check_ping(&self, since: Timestamp, next: &mut Earliest) -> bool {
        let mut state = self.state();
        if !state.flags.contains(SessionFlags::PINGED) {
            let since = match since.is_before(state.received) {
                true => state.received,
                false => since,
            };
            if !since.is_over(PING_AFTER) {
                next.add(since.after(PING_AFTER));
                return false;
            }
            state.codec.send_ping();
            state.flags.insert(SessionFlags::PINGED);
            state.pinged = Timestamp::now();
        }
        next.add(state.pinged.after(PING_TIMEOUT));
        state.pinged.is_over(PING_TIMEOUT)
    }

    /// Closes a connection whose server does not react any more.
    fn ping_timed_out(&self) {
        {
            let mut state = self.state();
            state
                .flags
                .insert(SessionFlags::CLOSING | SessionFlags::RETIRED);
        }
        self.report_room();
        let reason = "the server did not answer a PING frame within 5 s";
        self.fail_all(|_, _| Failure::new(ErrorKind::Http2, reason));
        self.conn.close();
    }
}

impl SessionState {
    /// Records whether the kernel has accepted bytes since the last check.
    fn update_progress(&mut self, written: u64) {
        let written = written as u32;
        if written != self.written {
            self.written = written;
            self.progress = Timestamp::now();
        }
    }
}
