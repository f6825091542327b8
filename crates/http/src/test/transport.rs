//! The in-memory transport of test exchanges.

use std::cell::{RefCell, RefMut};
use std::rc::{Rc, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use uptick_event_loop::{add_timer, catch, future_tick, now};
use uptick_socket::Address;
use uptick_stream::FileRange;

use super::state::{Action, ExchangeState, ResponseState, SOFT_LIMIT};
use crate::body::BodyError;
use crate::channel;
use crate::exchange::{
    self, BodyPiece, BodyProgress, Consumer, Exchange, ExchangeTransport, Head, ResponseProgress,
    body_failed, emit_to_request, response_timed_out,
};
use crate::h1::{ResponseBody, is_owned};
use crate::site::Service;
use crate::{HeaderMap, HeaderValue, Method, Request, StatusCode, Upgrade};

/// Maximum size of the unread request body, in bytes.
const MAX_UNREAD: usize = 16 * 1024 * 1024;

/// The transport of an exchange in memory.
pub(super) struct MemoryTransport {
    this: Weak<MemoryTransport>,
    service: Rc<Service>,
    peer: Option<Address>,
    secure: bool,
    /// Timeout of the response.
    timeout: Duration,
    state: RefCell<ExchangeState>,
}

impl MemoryTransport {
    pub(super) fn new(
        service: &Rc<Service>,
        peer: Option<Address>,
        secure: bool,
        timeout: Duration,
    ) -> Rc<Self> {
        Rc::new_cyclic(|this| MemoryTransport {
            this: Weak::clone(this),
            service: Rc::clone(service),
            peer,
            secure,
            timeout,
            state: RefCell::new(ExchangeState::new()),
        })
    }

    /// Borrows the state. It must not be borrowed while callbacks run.
    pub(super) fn state(&self) -> RefMut<'_, ExchangeState> {
        self.state.borrow_mut()
    }

    /// Starts an exchange. Without `body`, the request body is passed to [`push`](Self::push) later. `length` is its announced length.
    pub(super) fn start_exchange(
        &self,
        exchange: &Rc<Exchange>,
        body: Option<Bytes>,
        length: Option<u64>,
    ) {
        let mut state = self.state();
        state.exchange = Some(Rc::clone(exchange));
        state.announced = length.unwrap_or(0);
        state.to_send = length;
        state.ended = exchange.is_received() || body.is_some();
        state.incoming.extend(body.filter(|body| !body.is_empty()));
    }

    /// Adds a piece of the request body. Returns `false` if it is not accepted.
    pub(super) fn push(&self, piece: Bytes) -> bool {
        {
            let mut state = self.state();
            let count = piece.len();
            let waiting = state.unread_body();
            let fits = waiting.saturating_add(count) <= MAX_UNREAD
                && state.to_send.is_none_or(|left| count as u64 <= left);
            if state.ended || !fits || state.exchange.is_none() {
                return false;
            }
            if let Some(left) = &mut state.to_send {
                *left -= count as u64;
            }
            if count > 0 {
                state.incoming.push_back(piece);
            }
        }
        self.advance_later();
        true
    }

    /// Waits until the program has read so much of the request body that less than 64 KiB are buffered.
    pub(super) fn poll_drained(&self, context: &Context<'_>) -> Poll<()> {
        let mut state = self.state();
        if state.exchange.is_none() || state.unread_body() < SOFT_LIMIT {
            return Poll::Ready(());
        }
        state.writer = Some(context.waker().clone());
        Poll::Pending
    }

    /// Ends the request body.
    pub(super) fn end_body(&self) {
        self.state().ended = true;
        self.advance_later();
    }

    /// Starts the timeout of a response that is not ready yet.
    pub(super) fn await_response(&self) {
        self.state().since = now();
        self.start_timer(self.timeout);
    }

    /// Disconnects the client.
    pub(super) fn disconnect(&self) {
        {
            let mut state = self.state();
            if state.outcome == ResponseState::Open {
                state.outcome = ResponseState::Disconnected;
            }
        }
        self.advance();
    }

    /// Takes the next piece of the response's body.
    pub(super) fn take_piece(&self) -> Option<Bytes> {
        let piece = {
            let mut state = self.state();
            let piece = state.pieces.pop_front()?;
            state.unread -= piece.len();
            if state.full && state.unread < SOFT_LIMIT {
                state.full = false;
                state.drained = true;
            }
            piece
        };
        self.advance_later();
        Some(piece)
    }

    /// Sets the waker of the client, which is woken when the response changes.
    pub(super) fn set_reader(&self, waker: Waker) {
        self.state().reader = Some(waker);
    }

    /// Continues in the next iteration.
    fn advance_later(&self) {
        let this = Weak::clone(&self.this);
        future_tick(move || {
            if let Some(this) = this.upgrade() {
                this.advance();
            }
        });
    }

    /// Performs actions until the exchange must wait for the client or the handler.
    fn advance(&self) {
        loop {
            let action = self.state().next_action();
            match action {
                Action::Piece(exchange, piece) => emit_to_request(&exchange, Request::DATA, piece),
                Action::PieceEnd(exchange) => emit_to_request(&exchange, Request::END, ()),
                Action::Failed(exchange) => body_failed(&exchange, BodyError::Closed),
                Action::Drained(exchange) => exchange.drained(),
                Action::Wake(waker) => waker.wake(),
                Action::Abandoned(exchange) => {
                    exchange.abandon();
                    exchange::release(exchange);
                }
                Action::Finished(exchange) => exchange::release(exchange),
                Action::Stop => return,
            }
        }
    }

    /// Starts the timer of the response, unless it has no timeout.
    fn start_timer(&self, time: Duration) {
        if self.timeout == Duration::MAX {
            return;
        }
        let this = Weak::clone(&self.this);
        let timer = add_timer(time, move || {
            if let Some(this) = this.upgrade() {
                this.expired();
            }
        });
        self.state().deadline = Some(timer);
    }

    fn expired(&self) {
        let (exchange, waited) = {
            let state = self.state();
            let waited = now().saturating_duration_since(state.since);
            (state.exchange.clone(), waited)
        };
        let Some(exchange) = exchange.filter(|exchange| !exchange.is_started()) else {
            return;
        };
        // The timeout does not include the time in which the request body is received.
        let for_body = !exchange.is_received() && exchange.consumer.get() != Consumer::None;
        if for_body {
            self.start_timer(self.timeout);
        } else if waited < self.timeout {
            self.start_timer(self.timeout - waited);
        } else {
            response_timed_out(&exchange);
        }
    }

    /// Starts the response.
    fn begin(
        &self,
        exchange: &Exchange,
        head: &Head<'_>,
        body: ResponseBody,
    ) -> RefMut<'_, ExchangeState> {
        exchange.response.set(ResponseProgress::Started);
        self.service.count_response(head.status);
        let is_head = *exchange.head.method() == Method::HEAD;
        let status = head.status;
        let keeps_length = is_head || status == StatusCode::NOT_MODIFIED;
        let mut headers = HeaderMap::new();
        for (name, value) in head.headers.into_iter().flatten() {
            if !is_owned(name) || keeps_length && name == CONTENT_LENGTH {
                headers.append(name, value.clone());
            }
        }
        if let Some(content_type) = head.content_type
            && !headers.contains_key(CONTENT_TYPE)
        {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        let mut state = self.state();
        state.sends_body = !keeps_length
            && !status.is_informational()
            && status != StatusCode::NO_CONTENT
            && status != StatusCode::RESET_CONTENT;
        state.left = match body {
            ResponseBody::Empty => Some(0),
            ResponseBody::Bytes(length) => Some(length),
            ResponseBody::Stream => None,
        };
        state.head = Some((status, headers));
        state
    }
}

impl ExchangeTransport for MemoryTransport {
    fn peer(&self) -> Option<Address> {
        self.peer.clone()
    }

    fn is_secure(&self) -> bool {
        self.secure
    }

    fn is_closing(&self) -> bool {
        matches!(
            self.state().outcome,
            ResponseState::Disconnected | ResponseState::Aborted
        )
    }

    fn poll_body(
        &self,
        exchange: &Exchange,
        taken: u64,
        limit: usize,
        context: &Context<'_>,
    ) -> Poll<Option<Result<Bytes, BodyError>>> {
        let room = (limit as u64).saturating_sub(taken);
        let too_long = || Poll::Ready(Some(Err(BodyError::TooLong { limit })));
        let mut state = self.state();
        if exchange.is_received() {
            return Poll::Ready(None);
        }
        if state.announced > room {
            return too_long();
        }
        if exchange.consumer.get() == Consumer::None {
            exchange.consumer.set(Consumer::Reader);
        }
        match state.next_piece() {
            Some(piece) if piece.len() as u64 > room => too_long(),
            Some(piece) => {
                if state.writer.is_some() {
                    self.advance_later();
                }
                Poll::Ready(Some(Ok(piece)))
            }
            None if !state.ended => {
                exchange.set_reader(context.waker().clone());
                Poll::Pending
            }
            None if state.announced > 0 => {
                exchange.body.set(BodyProgress::Failed);
                exchange.fail_body(BodyError::Closed);
                Poll::Ready(Some(Err(BodyError::Closed)))
            }
            None => {
                state.received(exchange);
                Poll::Ready(None)
            }
        }
    }

    fn resume_body(&self, exchange: &Exchange) {
        exchange.consumer.set(Consumer::Listeners);
        self.advance_later();
    }

    fn respond(&self, exchange: &Exchange, head: &Head<'_>, body: BodyPiece<'_>) -> bool {
        if self.is_closing() {
            return false;
        }
        {
            let mut state = self.begin(exchange, head, ResponseBody::Bytes(body.len() as u64));
            state.add(body);
            state.done(exchange);
        }
        self.advance_later();
        true
    }

    fn start(&self, exchange: &Exchange, head: &Head<'_>, length: ResponseBody) -> bool {
        drop(self.begin(exchange, head, length));
        self.advance_later();
        true
    }

    fn sends_body(&self, _: &Exchange) -> bool {
        self.state().sends_body
    }

    fn write(&self, exchange: &Exchange, piece: BodyPiece<'_>) -> bool {
        let open = {
            let mut state = self.state();
            if !exchange.is_started() || exchange.is_done() {
                return false;
            }
            let left = state.left;
            let fits = left.is_none_or(|left| piece.len() as u64 <= left);
            if fits || !state.sends_body {
                state.left = left.map(|left| left.saturating_sub(piece.len() as u64));
                state.add(piece);
                Some(!state.full)
            } else {
                None
            }
        };
        if open.is_none() {
            tracing::error!("a response was aborted: it is longer than its announced length");
            self.abort();
        }
        self.advance_later();
        open.unwrap_or(false)
    }

    fn write_file(&self, _: &Exchange, range: FileRange) -> Result<bool, FileRange> {
        Err(range)
    }

    fn finish(&self, exchange: &Exchange, trailers: Option<&HeaderMap>) -> bool {
        let whole = {
            let mut state = self.state();
            if !exchange.is_started() || exchange.is_done() {
                return false;
            }
            let whole = !state.sends_body || state.left.is_none_or(|left| left == 0);
            if whole {
                if state.sends_body && state.left.is_none() {
                    let sent = trailers.into_iter().flatten();
                    let sent = sent.filter(|(name, _)| !is_owned(name));
                    state.trailers = sent.map(|(n, v)| (n.clone(), v.clone())).collect();
                }
                state.done(exchange);
            }
            whole
        };
        if whole {
            self.advance_later();
        } else {
            tracing::error!("a response was aborted: it is shorter than its announced length");
            self.abort();
        }
        whole
    }

    fn is_full(&self) -> bool {
        self.state().full
    }

    fn set_last(&self) {}

    fn abort(&self) {
        {
            let mut state = self.state();
            if state.outcome == ResponseState::Open {
                state.outcome = ResponseState::Aborted;
            }
        }
        self.advance_later();
    }

    fn upgrade(&self, exchange: &Exchange, head: &Head<'_>, upgrade: Upgrade) -> bool {
        self.begin(exchange, head, ResponseBody::Empty)
            .done(exchange);
        self.advance_later();
        self.run_upgrade(upgrade);
        true
    }
}

impl MemoryTransport {
    /// Runs an upgrade on a channel in memory, and keeps the client's end.
    fn run_upgrade(&self, upgrade: Upgrade) {
        if upgrade.needs_connection() {
            return;
        }
        let Some([ours, theirs]) = channel::pair([self.peer.clone(), None]) else {
            return;
        };
        self.state().channel = Some(theirs);
        if let Err(message) = catch(|| upgrade.run(ours)) {
            tracing::error!("an upgrade callback panicked: {message}");
            ours.close();
        }
    }
}
