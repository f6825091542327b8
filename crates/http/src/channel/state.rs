//! The queues and states of a stream.

use std::rc::Rc;
use std::time::Duration;

use bytes::BytesMut;
use uptick_event_loop::driver::{LazyDeadline, Timestamp};
use uptick_socket::Error;
use uptick_socket::engine::ChannelSession;
use uptick_stream::WriteQueue;
use uptick_stream::transport::{HARD_LIMIT, LINGER, SOFT_LIMIT, STALL_LIMIT};

pub(super) type Session = Rc<dyn ChannelSession<Error>>;

/// The state of the sending side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sending {
    Open,
    /// The end follows the bytes that wait.
    Ending,
    /// The end was sent.
    Ended,
}

/// The state of the receiving side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Receiving {
    Open,
    /// The end follows the received bytes.
    Ending,
    /// The end was delivered.
    Ended,
}

/// The state of a stream.
pub(super) struct State {
    pub(super) session: Option<Session>,
    pub(super) queue: WriteQueue,
    /// The received bytes that were not delivered.
    pub(super) received: BytesMut,
    pub(super) sending: Sending,
    pub(super) receiving: Receiving,
    pub(super) soft_limit: usize,
    pub(super) hard_limit: usize,
    pub(super) written: u64,
    pub(super) acknowledged: u64,
    /// The error with which the stream closes in the next iteration.
    pub(super) failure: Option<Error>,
    pub(super) is_closing: bool,
    pub(super) is_paused: bool,
    /// Whether the queue has reached its soft limit, so that a drain follows.
    pub(super) is_full: bool,
    pub(super) deadline: LazyDeadline,
    /// Start of the current wait: the last progress of sending, or the end of the sending side.
    pub(super) since: Timestamp,
}

/// An action of a stream, to be taken while nothing is borrowed.
pub(super) enum Step {
    Data(Session, BytesMut),
    /// Report so many received bytes as delivered, which are discarded.
    Discarded(usize),
    Drain(Option<Session>),
    End(Option<Session>),
    Fail(Error),
    Close,
    Stop,
}

impl State {
    pub(super) fn new() -> Self {
        State {
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
    pub(super) fn step(&mut self) -> Step {
        if self.is_closing {
            return Step::Stop;
        }
        if let Some(error) = self.failure.take() {
            return Step::Fail(error);
        }
        if self.is_full && self.queue.len() < self.soft_limit {
            self.is_full = false;
            return Step::Drain(self.session.clone());
        }
        let is_sending = self.sending == Sending::Open;
        if is_sending && (self.is_paused || self.session.is_none()) {
            return Step::Stop;
        }
        // What comes behind the end of this side is discarded.
        let session = self.session.clone().filter(|_| is_sending);
        if !self.received.is_empty() {
            let bytes = self.received.split();
            return match session {
                Some(session) => Step::Data(session, bytes),
                None => Step::Discarded(bytes.len()),
            };
        }
        match (self.receiving, self.sending) {
            (Receiving::Ending, _) => {
                self.receiving = Receiving::Ended;
                Step::End(session)
            }
            (Receiving::Ended, Sending::Ended) => Step::Close,
            _ => Step::Stop,
        }
    }

    /// Takes up to `most` bytes out of the write queue.
    pub(super) fn take_output(&mut self, most: usize) -> Option<BytesMut> {
        let mut pieces = [std::io::IoSlice::new(&[]); 1];
        let count = self.queue.slices(&mut pieces);
        let piece = pieces.get(..count)?.first()?;
        let bytes = BytesMut::from(piece.get(..most.min(piece.len()))?);
        if bytes.is_empty() {
            // The carrier has no room, which is no progress.
            return None;
        }
        self.queue.consume(bytes.len());
        self.written += bytes.len() as u64;
        self.since = Timestamp::now();
        Some(bytes)
    }

    /// Returns whether the end of the sending side is to be sent now, which happens once.
    pub(super) fn take_end(&mut self) -> bool {
        let is_due = self.sending == Sending::Ending && self.queue.is_empty();
        if is_due {
            self.sending = Sending::Ended;
            self.since = Timestamp::now();
        }
        is_due
    }

    /// Returns the limit of the current wait: for the peer to take bytes, or for its end.
    pub(super) fn limit(&self) -> Option<Duration> {
        if self.sending == Sending::Ended {
            return Some(LINGER);
        }
        (!self.queue.is_empty()).then_some(STALL_LIMIT)
    }
}
