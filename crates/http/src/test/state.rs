//! The state of an exchange in memory, and what happens next.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use uptick_event_loop::{Timer, now};

use crate::channel::Channel;
use crate::exchange::{BodyProgress, Consumer, Exchange, Piece, ResponseProgress};
use crate::{HeaderMap, StatusCode};

/// The number of unread bytes of a response at which its writer waits: that of a connection's soft limit.
pub(super) const ROOM: usize = 64 * 1024;

/// The state of a response as the client sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// More of it may come.
    Open,
    /// It is whole.
    Done,
    /// It broke off.
    Cut,
    /// The client has gone.
    Gone,
}

/// The state of an exchange in memory.
pub(super) struct State {
    pub(super) exchange: Option<Rc<Exchange>>,
    /// The pieces of the body that the program has not read.
    pub(super) incoming: VecDeque<Bytes>,
    /// The number of bytes of a body with a length that were not read; of another one 0.
    pub(super) announced: u64,
    /// The number of bytes that the client may still send.
    pub(super) to_send: Option<u64>,
    pub(super) ended: bool,
    /// Status and headers of the response.
    pub(super) head: Option<(StatusCode, HeaderMap)>,
    /// The pieces of the response's body that the client has not read.
    pub(super) pieces: VecDeque<Bytes>,
    pub(super) unread: usize,
    /// The number of bytes that a body with a length still has.
    pub(super) left: Option<u64>,
    pub(super) sends_body: bool,
    pub(super) full: bool,
    pub(super) drained: bool,
    pub(super) trailers: HeaderMap,
    pub(super) outcome: Outcome,
    /// The client's end of the channel after an upgrade.
    pub(super) channel: Option<Channel>,
    /// The waker of the client.
    pub(super) reader: Option<Waker>,
    pub(super) deadline: Option<Timer>,
    /// Start of the wait for the response.
    pub(super) since: Instant,
}

/// A step that is done while nothing is borrowed.
pub(super) enum Step {
    Piece(Rc<Exchange>, Bytes),
    PieceEnd(Rc<Exchange>),
    Failed(Rc<Exchange>),
    Drained(Rc<Exchange>),
    Wake(Waker),
    /// The client has gone, or the response broke off.
    Abandoned(Rc<Exchange>),
    Finished(Rc<Exchange>),
    Stop,
}

impl State {
    pub(super) fn new() -> Self {
        State {
            exchange: None,
            incoming: VecDeque::new(),
            announced: 0,
            to_send: None,
            ended: false,
            head: None,
            pieces: VecDeque::new(),
            unread: 0,
            left: None,
            sends_body: false,
            full: false,
            drained: false,
            trailers: HeaderMap::new(),
            outcome: Outcome::Open,
            channel: None,
            reader: None,
            deadline: None,
            since: now(),
        }
    }

    /// Returns what is to be done next.
    pub(super) fn step(&mut self) -> Step {
        if self.changed()
            && let Some(reader) = self.reader.take()
        {
            return Step::Wake(reader);
        }
        let Some(exchange) = &self.exchange else {
            return Step::Stop;
        };
        if matches!(self.outcome, Outcome::Gone | Outcome::Cut) {
            return self.take().map_or(Step::Stop, Step::Abandoned);
        }
        if exchange.is_done() {
            return self.take().map_or(Step::Stop, Step::Finished);
        }
        let exchange = Rc::clone(exchange);
        if std::mem::take(&mut self.drained) {
            return Step::Drained(exchange);
        }
        let due = self.ended || !self.incoming.is_empty();
        if exchange.body.get() == BodyProgress::Coming
            && due
            && let Some(reader) = exchange.take_reader()
        {
            return Step::Wake(reader);
        }
        if exchange.consumer.get() != Consumer::Listeners {
            return Step::Stop;
        }
        match exchange.body.get() {
            BodyProgress::EndDue => {
                exchange.body.set(BodyProgress::Received);
                Step::PieceEnd(exchange)
            }
            BodyProgress::Coming => match self.next_piece() {
                Some(piece) => Step::Piece(exchange, piece),
                None if !self.ended => Step::Stop,
                None if self.announced > 0 => Step::Failed(exchange),
                None => {
                    self.received(&exchange);
                    Step::PieceEnd(exchange)
                }
            },
            BodyProgress::Received | BodyProgress::Failed => Step::Stop,
        }
    }

    /// Returns whether the client has something to look at.
    fn changed(&self) -> bool {
        self.head.is_some() || self.outcome != Outcome::Open
    }

    /// Ends the exchange.
    fn take(&mut self) -> Option<Rc<Exchange>> {
        if let Some(deadline) = self.deadline.take() {
            deadline.cancel();
        }
        self.incoming.clear();
        self.exchange.take()
    }

    pub(super) fn next_piece(&mut self) -> Option<Bytes> {
        let piece = self.incoming.pop_front()?;
        self.announced = self.announced.saturating_sub(piece.len() as u64);
        Some(piece)
    }

    /// All of the body was read.
    pub(super) fn received(&mut self, exchange: &Exchange) {
        exchange.body.set(BodyProgress::Received);
        self.since = now();
    }

    /// Adds a piece of the response's body.
    pub(super) fn add(&mut self, piece: Piece<'_>) {
        let piece = match piece {
            Piece::Short(bytes) => Bytes::copy_from_slice(bytes),
            Piece::Long(bytes) => bytes,
        };
        if self.sends_body && !piece.is_empty() {
            self.unread += piece.len();
            self.full |= self.unread >= ROOM;
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn done(&mut self, exchange: &Exchange) {
        exchange.response.set(ResponseProgress::Done);
        self.outcome = Outcome::Done;
    }
}
