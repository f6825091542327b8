//! The queues and states of a stream.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use uptick_event_loop::driver::{LazyDeadline, Timestamp};
use uptick_socket::Error;
use uptick_socket::engine::ChannelSession;
use uptick_stream::WriteQueue;
use uptick_stream::transport::{HARD_LIMIT, LINGER, SOFT_LIMIT, STALL_LIMIT};

pub(super) type DynSession = Rc<dyn ChannelSession<Error>>;

/// The state of the sending direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Open,
    /// End of stream follows the queued bytes.
    Ending,
    /// End of stream was sent.
    Ended,
}

/// The state of the receiving direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    Open,
    /// End of stream follows the received bytes.
    Ending,
    /// End of stream was delivered.
    Ended,
}

/// The state of a stream.
pub(super) struct StreamState {
    pub(super) session: Option<DynSession>,
    pub(super) queue: WriteQueue,
    /// Received bytes, not yet delivered.
    pub(super) received: BytesMut,
    pub(super) sending: Sending,
    pub(super) receiving: Receiving,
    pub(super) soft_limit: usize,
    pub(super) hard_limit: usize,
    pub(super) written: u64,
    pub(super) acknowledged: u64,
    /// The error that closes the stream in the next iteration.
    pub(super) failure: Option<Error>,
    pub(super) is_closing: bool,
    pub(super) is_paused: bool,
    /// `true` if the queue has reached its soft limit, so that `drain` follows.
    pub(super) is_full: bool,
    pub(super) deadline: LazyDeadline,
    /// Start of the current wait: the last progress of sending, or the sending of end of stream.
    pub(super) since: Timestamp,
}

/// The next action of a stream. It runs while no `RefCell` is borrowed.
pub(super) enum StreamAction {
    Data(DynSession, BytesMut),
    /// Report this number of received bytes as delivered; they are discarded.
    Discarded(usize),
    Drain(Option<DynSession>),
    End(Option<DynSession>),
    Fail(Error),
    Close,
    Stop,
}

impl StreamState {
    pub(super) fn new() -> Self {
        StreamState {
            session: None,
            queue: WriteQueue::new(),
            received: BytesMut::new(),
            sending: Sending::Open,
            receiving: Receiving::Open,
            soft_limit: SOFT_LIMIT,
            hard_limit: HARD_LIMIT,
            written: 0,
            acknowledged: 0,
            failure: None,
            is_closing: false,
            is_paused: false,
            is_full: false,
            deadline: LazyDeadline::default(),
            since: Timestamp::now(),
        }
    }

    /// Returns the next action.
    pub(super) fn next_action(&mut self) -> StreamAction {
        if self.is_closing {
            return StreamAction::Stop;
        }
        if let Some(error) = self.failure.take() {
            return StreamAction::Fail(error);
        }
        if self.is_full && self.queue.len() < self.soft_limit {
            self.is_full = false;
            return StreamAction::Drain(self.session.clone());
        }
        let is_sending = self.sending == Sending::Open;
        if is_sending && (self.is_paused || self.session.is_none()) {
            return StreamAction::Stop;
        }
        // Bytes received after end of stream was sent are discarded.
        let session = self.session.clone().filter(|_| is_sending);
        if !self.received.is_empty() {
            let bytes = self.received.split();
            return match session {
                Some(session) => StreamAction::Data(session, bytes),
                None => StreamAction::Discarded(bytes.len()),
            };
        }
        match (self.receiving, self.sending) {
            (Receiving::Ending, _) => {
                self.receiving = Receiving::Ended;
                StreamAction::End(session)
            }
            (Receiving::Ended, Sending::Ended) => StreamAction::Close,
            _ => StreamAction::Stop,
        }
    }

    /// Takes up to `most` bytes from the write queue.
    pub(super) fn take_output(&mut self, most: usize) -> Option<BytesMut> {
        let mut bytes = None;
        self.take_output_with(most, |taken| bytes = Some(BytesMut::from(taken)));
        bytes
    }

    /// Calls `send` with up to `most` bytes of the write queue, unless there are none, and removes them. Returns their number.
    pub(super) fn take_output_with(&mut self, most: usize, send: impl FnOnce(&[u8])) -> usize {
        let front = self.queue.front();
        let bytes = &front[..most.min(front.len())];
        let count = bytes.len();
        if count == 0 {
            // The carrier accepts no bytes now: the wait continues.
            return 0;
        }
        send(bytes);
        self.queue.consume(count);
        self.written += count as u64;
        self.since = Timestamp::now();
        count
    }

    /// Returns the session if received bytes may be passed to it immediately.
    pub(super) fn session_for_now(&self) -> Option<DynSession> {
        let is_free = self.received.is_empty()
            && self.failure.is_none()
            && !self.is_paused
            && self.sending == Sending::Open;
        self.session.clone().filter(|_| is_free)
    }

    /// Returns `true`, once, if end of stream must be sent now.
    pub(super) fn take_end(&mut self) -> bool {
        let is_due = self.sending == Sending::Ending && self.queue.is_empty();
        if is_due {
            self.sending = Sending::Ended;
            self.since = Timestamp::now();
        }
        is_due
    }

    /// Returns the time limit of the current wait: for the peer to read, or for its end of stream.
    pub(super) fn limit(&self) -> Option<Duration> {
        if self.sending == Sending::Ended {
            return Some(LINGER);
        }
        (!self.queue.is_empty()).then_some(STALL_LIMIT)
    }
}
