//! The state machine of an exchange in memory.

use std::collections::VecDeque;
use std::rc::Rc;
use std::task::Waker;
use std::time::Instant;

use bytes::Bytes;
use uptick_event_loop::{Timer, now};

use crate::channel::Channel;
use crate::exchange::{BodyPiece, BodyProgress, Consumer, Exchange, ResponseProgress};
use crate::{HeaderMap, StatusCode};

/// Number of unread bytes of a response from which its writer sees backpressure: the soft limit of a connection.
pub(super) const SOFT_LIMIT: usize = 64 * 1024;

/// The state of a response from the client's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ResponseState {
    /// The response is not complete.
    Open,
    /// The response is complete.
    Done,
    /// The response was aborted.
    Aborted,
    /// The client is disconnected.
    Disconnected,
}

/// The state of an exchange in memory.
pub(super) struct ExchangeState {
    pub(super) exchange: Option<Rc<Exchange>>,
    /// The pieces of the request body that the program has not read.
    pub(super) incoming: VecDeque<Bytes>,
    /// Number of unread bytes of a request body with a length; 0 for other bodies.
    pub(super) announced: u64,
    /// Number of bytes that the client may still send; `None` for a body without a length.
    pub(super) to_send: Option<u64>,
    pub(super) ended: bool,
    /// The status and the headers of the response.
    pub(super) head: Option<(StatusCode, HeaderMap)>,
    /// The pieces of the response's body that the client has not read.
    pub(super) pieces: VecDeque<Bytes>,
    pub(super) unread: usize,
    /// Number of bytes that the program must still write for a body with a length.
    pub(super) left: Option<u64>,
    pub(super) sends_body: bool,
    pub(super) full: bool,
    pub(super) drained: bool,
    pub(super) trailers: HeaderMap,
    pub(super) outcome: ResponseState,
    /// The client's end of the channel after an upgrade.
    pub(super) channel: Option<Channel>,
    /// The waker of the client.
    pub(super) reader: Option<Waker>,
    /// The waker of a client that waits until the program has read its body.
    pub(super) writer: Option<Waker>,
    pub(super) deadline: Option<Timer>,
    /// Start of the wait for the response.
    pub(super) since: Instant,
}

/// An action that is performed while the state is not borrowed.
pub(super) enum Action {
    Piece(Rc<Exchange>, Bytes),
    PieceEnd(Rc<Exchange>),
    Failed(Rc<Exchange>),
    Drained(Rc<Exchange>),
    Wake(Waker),
    /// The client disconnected, or the response was aborted.
    Abandoned(Rc<Exchange>),
    Finished(Rc<Exchange>),
    Stop,
}

impl ExchangeState {
    pub(super) fn new() -> Self {
        ExchangeState {
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
            outcome: ResponseState::Open,
            channel: None,
            reader: None,
            writer: None,
            deadline: None,
            since: now(),
        }
    }

    /// Returns the number of bytes of the request body that the program has not read.
    pub(super) fn unread_body(&self) -> usize {
        self.incoming.iter().map(Bytes::len).sum()
    }

    /// Returns the next action.
    pub(super) fn next_action(&mut self) -> Action {
        if self.writer.is_some()
            && (self.exchange.is_none() || self.unread_body() < SOFT_LIMIT)
            && let Some(writer) = self.writer.take()
        {
            return Action::Wake(writer);
        }
        if self.changed()
            && let Some(reader) = self.reader.take()
        {
            return Action::Wake(reader);
        }
        let Some(exchange) = &self.exchange else {
            return Action::Stop;
        };
        if matches!(
            self.outcome,
            ResponseState::Disconnected | ResponseState::Aborted
        ) {
            return self.take().map_or(Action::Stop, Action::Abandoned);
        }
        if exchange.is_done() {
            return self.take().map_or(Action::Stop, Action::Finished);
        }
        let exchange = Rc::clone(exchange);
        if std::mem::take(&mut self.drained) {
            return Action::Drained(exchange);
        }
        let due = self.ended || !self.incoming.is_empty();
        if exchange.body.get() == BodyProgress::Receiving
            && due
            && let Some(reader) = exchange.take_reader()
        {
            return Action::Wake(reader);
        }
        if exchange.consumer.get() != Consumer::Listeners {
            return Action::Stop;
        }
        match exchange.body.get() {
            BodyProgress::EndPending => {
                exchange.body.set(BodyProgress::Received);
                Action::PieceEnd(exchange)
            }
            BodyProgress::Receiving => match self.next_piece() {
                Some(piece) => Action::Piece(exchange, piece),
                None if !self.ended => Action::Stop,
                None if self.announced > 0 => Action::Failed(exchange),
                None => {
                    self.received(&exchange);
                    Action::PieceEnd(exchange)
                }
            },
            BodyProgress::Received | BodyProgress::Failed => Action::Stop,
        }
    }

    /// Returns whether the response has started or ended.
    fn changed(&self) -> bool {
        self.head.is_some() || self.outcome != ResponseState::Open
    }

    /// Takes the exchange and cancels its deadline.
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

    /// Marks the request body as completely read.
    pub(super) fn received(&mut self, exchange: &Exchange) {
        exchange.body.set(BodyProgress::Received);
        self.since = now();
    }

    /// Adds a piece of the response's body.
    pub(super) fn add(&mut self, piece: BodyPiece<'_>) {
        let piece = match piece {
            BodyPiece::Short(bytes) => Bytes::copy_from_slice(bytes),
            BodyPiece::Long(bytes) => bytes,
        };
        if self.sends_body && !piece.is_empty() {
            self.unread += piece.len();
            self.full |= self.unread >= SOFT_LIMIT;
            self.pieces.push_back(piece);
        }
    }

    pub(super) fn done(&mut self, exchange: &Exchange) {
        exchange.response.set(ResponseProgress::Done);
        self.outcome = ResponseState::Done;
    }
}
