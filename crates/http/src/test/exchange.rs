//! Exchanges in progress, from the client's point of view.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use uptick_event_loop::EventLoop;

use super::state::ResponseState;
use super::transport::MemoryTransport;
use super::{TestError, TestResponse};
use crate::channel::Channel;
use crate::{HeaderMap, StatusCode};

/// Maximum real time of a wait.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Maximum size of a collected body, in bytes.
const MAX_BODY: usize = 64 * 1024 * 1024;

/// A request that was sent, with its response.
///
/// If it is dropped before the response is complete, the client disconnects.
///
/// # Limits
/// As with a connection, up to 64 KiB of a response are buffered before the program sees backpressure. The methods that run the loop do so for
/// at most 10 s of real time.
pub struct TestExchange {
    request: String,
    transport: Rc<MemoryTransport>,
}

impl TestExchange {
    pub(super) fn new(request: String, transport: Rc<MemoryTransport>) -> Self {
        TestExchange { request, transport }
    }

    /// Sends a piece of the body of a [streaming request](super::TestRequest::start_streaming). Returns `false` if the piece is not accepted:
    /// because the body or the exchange has ended, because it exceeds the `Content-Length`, or because 16 MiB are already buffered.
    pub fn push(&self, piece: impl Into<Bytes>) -> bool {
        self.transport.push(piece.into())
    }

    /// Returns the number of bytes of the request body that the program has not read yet.
    pub fn unread(&self) -> usize {
        self.transport.state().unread_body()
    }

    /// Waits until less than 64 KiB of the request body are unread, or until the exchange has ended.
    pub async fn drained(&self) {
        poll_fn(|context| self.transport.poll_drained(context)).await;
    }

    /// Ends the body of the request.
    pub fn end(&self) {
        self.transport.end_body();
    }

    /// Disconnects the client. `close` is emitted, unless the response was written completely.
    pub fn disconnect(&self) {
        self.transport.disconnect();
    }

    /// Returns the status of the response, once it has started.
    pub fn status(&self) -> Option<StatusCode> {
        let state = self.transport.state();
        state.head.as_ref().map(|(status, _)| *status)
    }

    /// Returns the headers of the response, once it has started.
    pub fn headers(&self) -> Option<HeaderMap> {
        let state = self.transport.state();
        state.head.as_ref().map(|(_, headers)| headers.clone())
    }

    /// Returns the trailers of the response, which are complete after its last piece.
    pub fn trailers(&self) -> HeaderMap {
        self.transport.state().trailers.clone()
    }

    /// Takes the client's end of the channel after an upgrade by [`Response::upgrade_channel`](crate::Response::upgrade_channel), once the
    /// response has been received. A channel that is not taken is closed with the exchange.
    pub fn take_channel(&self) -> Option<Channel> {
        self.transport.state().channel.take()
    }

    /// Waits until the response has started, and returns its status and its headers.
    ///
    /// # Errors
    /// [`TestError::Aborted`] if the response was aborted before, [`TestError::Disconnected`] if the client was disconnected.
    pub async fn head(&self) -> Result<(StatusCode, HeaderMap), TestError> {
        poll_fn(|context| self.poll_head(context)).await
    }

    /// Runs the loop of the thread until the next piece of the response's body is received, and returns it; `None` after the last one. The pieces
    /// are those that the program wrote.
    ///
    /// # Errors
    /// The same as [`wait`](TestExchange::wait).
    pub fn next_piece(&self) -> Result<Option<Bytes>, TestError> {
        let event_loop = EventLoop::current();
        let start = Instant::now();
        loop {
            if let Some(taken) = self.take() {
                return taken;
            }
            let request = || self.request.clone();
            let left = TIMEOUT.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(TestError::Timeout {
                    request: request(),
                    waited: TIMEOUT,
                });
            }
            if !event_loop.is_alive() {
                return Err(TestError::NoResponse { request: request() });
            }
            let iteration = event_loop.run_once(Some(left));
            iteration.map_err(|source| TestError::Loop {
                request: request(),
                source,
            })?;
        }
    }

    /// Waits for the next piece of the response's body, and returns it; `None` after the last one.
    ///
    /// # Errors
    /// [`TestError::Aborted`] if the response was aborted, [`TestError::Disconnected`] if the client was disconnected before it was complete.
    pub async fn piece(&self) -> Result<Option<Bytes>, TestError> {
        poll_fn(|context| self.poll_piece(context)).await
    }

    /// Runs the loop of the thread until the response is complete.
    ///
    /// # Errors
    /// The same as [`response`](TestExchange::response); [`TestError::NoResponse`] if the loop has no more work, [`TestError::Timeout`] after 10 s, and
    /// [`TestError::Loop`] in a callback of the loop, where [`response`](TestExchange::response) must be awaited instead.
    pub fn wait(self) -> Result<TestResponse, TestError> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next_piece()? {
            self.append(&mut body, piece)?;
        }
        Ok(self.whole(body))
    }

    /// Waits until the response is complete, and returns it.
    ///
    /// # Errors
    /// The same as [`piece`](TestExchange::piece), and [`TestError::TooLong`] if the body has more than 64 MiB.
    pub async fn response(self) -> Result<TestResponse, TestError> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.piece().await? {
            self.append(&mut body, piece)?;
        }
        Ok(self.whole(body))
    }

    fn poll_head(&self, context: &Context<'_>) -> Poll<Result<(StatusCode, HeaderMap), TestError>> {
        let mut state = self.transport.state();
        let request = || self.request.clone();
        match (&state.head, state.outcome) {
            (Some(head), _) => Poll::Ready(Ok(head.clone())),
            (None, ResponseState::Disconnected) => {
                Poll::Ready(Err(TestError::Disconnected { request: request() }))
            }
            (None, ResponseState::Aborted) => {
                Poll::Ready(Err(TestError::Aborted { request: request() }))
            }
            (None, ResponseState::Open | ResponseState::Done) => {
                state.reader = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }

    fn poll_piece(&self, context: &Context<'_>) -> Poll<Result<Option<Bytes>, TestError>> {
        match self.take() {
            Some(taken) => Poll::Ready(taken),
            None => {
                self.transport.set_reader(context.waker().clone());
                Poll::Pending
            }
        }
    }

    /// Returns the next piece, the end of the response or its error; `None` if none of them has been received.
    fn take(&self) -> Option<Result<Option<Bytes>, TestError>> {
        let outcome = self.transport.state().outcome;
        let request = || self.request.clone();
        if outcome == ResponseState::Disconnected {
            return Some(Err(TestError::Disconnected { request: request() }));
        }
        if let Some(piece) = self.transport.take_piece() {
            return Some(Ok(Some(piece)));
        }
        match outcome {
            ResponseState::Open => None,
            ResponseState::Done => Some(Ok(None)),
            ResponseState::Aborted | ResponseState::Disconnected => {
                Some(Err(TestError::Aborted { request: request() }))
            }
        }
    }

    fn append(&self, body: &mut BytesMut, piece: Bytes) -> Result<(), TestError> {
        if body.len() + piece.len() > MAX_BODY {
            return Err(TestError::TooLong {
                request: self.request.clone(),
                limit: MAX_BODY,
            });
        }
        body.extend_from_slice(&piece);
        Ok(())
    }

    fn whole(&self, body: BytesMut) -> TestResponse {
        let mut state = self.transport.state();
        let (status, headers) = state.head.clone().unwrap_or_default();
        TestResponse {
            status,
            headers,
            body: body.freeze(),
            trailers: std::mem::take(&mut state.trailers),
        }
    }
}

impl Drop for TestExchange {
    fn drop(&mut self) {
        self.transport.disconnect();
        if let Some(channel) = self.take_channel() {
            channel.close();
        }
    }
}

impl fmt::Debug for TestExchange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TestExchange")
            .field("request", &self.request)
            .field("status", &self.status())
            .finish_non_exhaustive()
    }
}
