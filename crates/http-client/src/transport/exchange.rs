//! One request with its response: the state that the request and its transport share.
//!
//! Data goes up by the methods of the transport ([`head`](Exchange::head), [`data`](Exchange::data), …), which wake the request. The request takes
//! it by the `poll` methods, and sends its body down through the [`ExchangeTransport`].

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use uptick_http::Channel;
use uptick_http::h1::Trailers;
use uptick_http::h1::client::{BodyLength, ResponseHead};

use crate::error::{ErrorKind, Failure};

/// The next step of the transport after it has passed on data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Flow {
    Continue,
    /// It stops reading this response until [`resume`](ExchangeTransport::resume).
    Pause,
    /// It ends the exchange, as [`cancel`](ExchangeTransport::cancel) does.
    Stop,
}

/// The connection below an exchange.
pub(crate) trait ExchangeTransport {
    /// Sends a piece of the request body. Returns `false` if the request should wait for [`Exchange::writable`].
    fn write(&self, piece: Bytes) -> bool;

    /// Ends the request body.
    fn end(&self, trailers: Option<&HeaderMap>);

    /// Continues to read the response after [`Flow::Pause`].
    fn resume(&self);

    /// Returns the channel after a response with status 101, paused, with the bytes received after the response.
    fn take_upgraded(&self) -> Option<Channel> {
        None
    }

    /// Ends the exchange: closes an HTTP/1 connection, resets an HTTP/2 stream. [`Exchange::fail`] is not called.
    fn cancel(&self);
}

/// A request with its response. The transport drops its reference after [`complete`](Exchange::complete) or [`fail`](Exchange::fail).
pub(crate) struct Exchange {
    transport: RefCell<Option<Rc<dyn ExchangeTransport>>>,
    waker: Cell<Option<Waker>>,
    state: RefCell<ExchangeState>,
    read_ahead: usize,
    /// Maximum size of the body, in bytes.
    max_body: Cell<u64>,
}

struct ExchangeState {
    /// The status codes of the interim responses.
    informational: Vec<u16>,
    /// The head of the response, until it is taken.
    head: Option<ResponseHead>,
    /// Number of bytes that the body has according to the head; 0 if it is not known.
    announced: u64,
    body: BytesMut,
    /// Number of body bytes received.
    received: u64,
    trailers: Option<Trailers>,
    outcome: Option<Result<(), Failure>>,
    is_paused: bool,
    is_writable: bool,
    /// The whole body is wanted at once: data does not wake the request, and `read_ahead` does not apply.
    collects: bool,
}

impl Exchange {
    pub(crate) fn new(read_ahead: usize, max_body: Option<u64>) -> Exchange {
        Exchange {
            transport: RefCell::new(None),
            waker: Cell::new(None),
            state: RefCell::new(ExchangeState {
                informational: Vec::new(),
                head: None,
                announced: 0,
                body: BytesMut::new(),
                received: 0,
                trailers: None,
                outcome: None,
                is_paused: false,
                is_writable: true,
                collects: false,
            }),
            read_ahead,
            max_body: Cell::new(max_body.unwrap_or(u64::MAX)),
        }
    }

    /// Connects the exchange with its transport.
    pub(crate) fn set_transport(&self, transport: Rc<dyn ExchangeTransport>) {
        *self.transport.borrow_mut() = Some(transport);
    }

    fn transport(&self) -> Option<Rc<dyn ExchangeTransport>> {
        self.transport.borrow().clone()
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn register(&self, context: &Context<'_>) {
        self.waker.set(Some(context.waker().clone()));
    }
}

/// Called by the transport.
impl Exchange {
    /// Records an interim response.
    pub(crate) fn interim(&self, status: u16) {
        self.state.borrow_mut().informational.push(status);
        self.wake();
    }

    /// Records the head of the final response.
    pub(crate) fn head(&self, head: ResponseHead) {
        {
            let mut state = self.state.borrow_mut();
            if let BodyLength::Bytes(length) = head.body() {
                state.announced = length;
            }
            state.head = Some(head);
        }
        self.wake();
    }

    /// Records a piece of the body.
    pub(crate) fn data(&self, piece: &[u8]) -> Flow {
        let mut state = self.state.borrow_mut();
        state.received += piece.len() as u64;
        if state.received > self.max_body.get() {
            let reason = format!(
                "the body exceeds the limit of {} bytes",
                self.max_body.get()
            );
            state.outcome = Some(Err(Failure::new(ErrorKind::TooLarge, reason)));
            drop(state);
            self.wake();
            return Flow::Stop;
        }
        if state.body.capacity() == 0 {
            // A body of known length is in memory of that size, as far as it is not unusually large.
            let rest = (state.announced + piece.len() as u64).saturating_sub(state.received);
            let expected = usize::try_from(rest).unwrap_or(usize::MAX);
            let size = piece.len().max(expected.min(self.read_ahead));
            state.body = BytesMut::with_capacity(size);
        }
        state.body.extend_from_slice(piece);
        if state.collects {
            return Flow::Continue;
        }
        state.is_paused = state.body.len() >= self.read_ahead;
        let flow = match state.is_paused {
            true => Flow::Pause,
            false => Flow::Continue,
        };
        drop(state);
        self.wake();
        flow
    }

    /// Records the end of the response.
    pub(crate) fn complete(&self, trailers: Option<Trailers>) {
        let mut state = self.state.borrow_mut();
        state.trailers = trailers;
        state.outcome.get_or_insert(Ok(()));
        drop(state);
        self.wake();
    }

    /// Records a failure. The data received before it can still be read.
    pub(crate) fn fail(&self, failure: Failure) {
        self.state.borrow_mut().outcome.get_or_insert(Err(failure));
        self.wake();
    }

    /// Reports that the transport accepts more of the request body after [`write`](ExchangeTransport::write) has returned `false`.
    pub(crate) fn writable(&self) {
        self.state.borrow_mut().is_writable = true;
        self.wake();
    }
}

/// Called by the request.
impl Exchange {
    /// Returns `true` if the response is complete or has failed.
    pub(crate) fn is_done(&self) -> bool {
        self.state.borrow().outcome.is_some()
    }

    /// Returns `true` if the head of the final response has arrived, or if the exchange is done.
    pub(crate) fn is_answered(&self) -> bool {
        let state = self.state.borrow();
        state.head.is_some() || state.outcome.is_some()
    }

    /// Waits for the head of the response.
    pub(crate) fn poll_head(&self, context: &Context<'_>) -> Poll<Result<ResponseHead, Failure>> {
        let mut state = self.state.borrow_mut();
        if let Some(head) = state.head.take() {
            return Poll::Ready(Ok(head));
        }
        match &state.outcome {
            Some(Err(failure)) => Poll::Ready(Err(failure.clone())),
            Some(Ok(())) => Poll::Ready(Err(Failure::new(
                ErrorKind::Other,
                "the response has no head",
            ))),
            None => {
                drop(state);
                self.register(context);
                Poll::Pending
            }
        }
    }

    /// Sets the maximum size of the body, in bytes. A longer one fails the exchange.
    pub(crate) fn limit_body(&self, bytes: u64) {
        self.max_body.set(bytes);
    }

    /// Returns `true` if an interim response with status 100 has arrived.
    pub(crate) fn is_continued(&self) -> bool {
        self.state.borrow().informational.contains(&100)
    }

    /// Waits for an interim response with status 100, the final response or a failure.
    pub(crate) fn poll_continue(&self, context: &Context<'_>) -> Poll<()> {
        if self.is_answered() || self.is_continued() {
            return Poll::Ready(());
        }
        self.register(context);
        Poll::Pending
    }

    /// Waits for the next bytes of the body; `None` at its end.
    pub(crate) fn poll_body(&self, context: &Context<'_>) -> Poll<Option<Result<Bytes, Failure>>> {
        let mut state = self.state.borrow_mut();
        if !state.body.is_empty() {
            let piece = std::mem::take(&mut state.body).freeze();
            let resumes = std::mem::take(&mut state.is_paused) && state.outcome.is_none();
            drop(state);
            if resumes && let Some(transport) = self.transport() {
                transport.resume();
            }
            return Poll::Ready(Some(Ok(piece)));
        }
        match &state.outcome {
            Some(Err(failure)) => Poll::Ready(Some(Err(failure.clone()))),
            Some(Ok(())) => Poll::Ready(None),
            None => {
                drop(state);
                self.register(context);
                Poll::Pending
            }
        }
    }

    /// Waits for the whole body. Data beyond the limit of the body fails the exchange.
    pub(crate) fn poll_collected(&self, context: &Context<'_>) -> Poll<Result<Bytes, Failure>> {
        let mut state = self.state.borrow_mut();
        match &state.outcome {
            Some(Err(failure)) => Poll::Ready(Err(failure.clone())),
            Some(Ok(())) => Poll::Ready(Ok(std::mem::take(&mut state.body).freeze())),
            None => {
                state.collects = true;
                let resumes = std::mem::take(&mut state.is_paused);
                drop(state);
                self.register(context);
                if resumes && let Some(transport) = self.transport() {
                    transport.resume();
                }
                Poll::Pending
            }
        }
    }

    /// Waits until the transport accepts more of the request body.
    pub(crate) fn poll_writable(&self, context: &Context<'_>) -> Poll<()> {
        if self.state.borrow().is_writable {
            return Poll::Ready(());
        }
        self.register(context);
        Poll::Pending
    }

    /// Sends a piece of the request body, unless the exchange is done.
    pub(crate) fn write(&self, piece: Bytes) {
        let Some(transport) = self.transport() else {
            return;
        };
        if !self.is_done() && !transport.write(piece) {
            self.state.borrow_mut().is_writable = false;
        }
    }

    /// Ends the request body.
    pub(crate) fn end(&self, trailers: Option<&HeaderMap>) {
        if let Some(transport) = self.transport()
            && !self.is_done()
        {
            transport.end(trailers);
        }
    }

    /// Ends the exchange if it is not done.
    pub(crate) fn cancel(&self) {
        let transport = self.transport.borrow_mut().take();
        if let Some(transport) = transport
            && !self.is_done()
        {
            transport.cancel();
        }
    }

    /// Takes the channel after a response with status 101.
    pub(crate) fn take_upgraded(&self) -> Option<Channel> {
        self.transport()?.take_upgraded()
    }

    /// Takes the trailers of the response.
    pub(crate) fn take_trailers(&self) -> Option<Trailers> {
        self.state.borrow_mut().trailers.take()
    }

    /// Returns the status codes of the interim responses.
    pub(crate) fn informational(&self) -> Vec<u16> {
        self.state.borrow().informational.clone()
    }
}
