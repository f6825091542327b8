//! Requests under way, as the client sees them.

use std::fmt;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::{Bytes, BytesMut};
use uptick_event_loop::EventLoop;

use super::state::Outcome;
use super::transport::MemoryTransport;
use super::{TestError, TestResponse};
use crate::channel::Channel;
use crate::{HeaderMap, StatusCode};

/// The real time that a test waits at most.
const PATIENCE: Duration = Duration::from_secs(10);

/// The number of bytes of a body that is collected at most.
const MOST_BODY: usize = 64 * 1024 * 1024;

/// A request that was sent, with its response.
///
/// When it is dropped before the response is whole, the client has gone.
///
/// # Limits
/// The program writes a response up to 64 KiB ahead of the client, as with a connection. The methods that run the loop do so for 10 s of
/// real time at most.
pub struct TestExchange {
    request: String,
    transport: Rc<MemoryTransport>,
}

impl TestExchange {
    pub(super) fn new(request: String, transport: Rc<MemoryTransport>) -> Self {
        TestExchange { request, transport }
    }

    /// Sends a piece of the body of a request that was [started for it](super::TestRequest::start_streaming). Returns `false` when it
    /// is not taken: the body or the exchange is over, the piece exceeds the `Content-Length`, or 16 MiB wait for the program.
    pub fn push(&self, piece: impl Into<Bytes>) -> bool {
        self.transport.push(piece.into())
    }

    /// Ends the body of the request.
    pub fn end(&self) {
        self.transport.end_body();
    }

    /// Disconnects the client, so that `close` is emitted unless the response is written whole.
    pub fn disconnect(&self) {
        self.transport.leave();
    }

    /// Returns the status of the response, once it has begun.
    pub fn status(&self) -> Option<StatusCode> {
        let state = self.transport.state();
        state.head.as_ref().map(|(status, _)| *status)
    }

    /// Returns the headers of the response, once it has begun.
    pub fn headers(&self) -> Option<HeaderMap> {
        let state = self.transport.state();
        state.head.as_ref().map(|(_, headers)| headers.clone())
    }

    /// Takes the client's end of the channel after an upgrade by [`Response::upgrade_channel`](crate::Response::upgrade_channel), once the
    /// response is there. One that is not taken is closed with the exchange.
    pub fn take_channel(&self) -> Option<Channel> {
        self.transport.state().channel.take()
    }

    /// Waits until the response has begun, and returns its status and its headers.
    ///
    /// # Errors
    /// [`TestError::Cut`] when it broke off before, [`TestError::Gone`] when the client was disconnected.
    pub async fn head(&self) -> Result<(StatusCode, HeaderMap), TestError> {
        poll_fn(|context| self.poll_head(context)).await
    }

    /// Runs the loop of the thread until the next piece of the response's body is there, and returns it; `None` after the last one.
    /// Pieces are those that the program has written.
    ///
    /// # Errors
    /// As [`wait`](TestExchange::wait).
    pub fn next_piece(&self) -> Result<Option<Bytes>, TestError> {
        let event_loop = EventLoop::current();
        let start = Instant::now();
        loop {
            if let Some(taken) = self.take() {
                return taken;
            }
            let request = || self.request.clone();
            let left = PATIENCE.saturating_sub(start.elapsed());
            if left.is_zero() {
                return Err(TestError::Timeout {
                    request: request(),
                    waited: PATIENCE,
                });
            }
            if !event_loop.is_alive() {
                return Err(TestError::NoResponse { request: request() });
            }
            let turned = event_loop.run_once(Some(left));
            turned.map_err(|source| TestError::Loop {
                request: request(),
                source,
            })?;
        }
    }

    /// Returns the next piece of the response's body when it is there; `None` after the last one.
    ///
    /// # Errors
    /// [`TestError::Cut`] when the response broke off, [`TestError::Gone`] when the client was disconnected before it was whole.
    pub async fn piece(&self) -> Result<Option<Bytes>, TestError> {
        poll_fn(|context| self.poll_piece(context)).await
    }

    /// Runs the loop of the thread until the response is whole.
    ///
    /// # Errors
    /// As [`response`](TestExchange::response); [`TestError::NoResponse`] when the loop has nothing left to wait for,
    /// [`TestError::Timeout`] after 10 s, and [`TestError::Loop`] in a callback of the loop, where [`response`](TestExchange::response)
    /// is to be awaited instead.
    pub fn wait(self) -> Result<TestResponse, TestError> {
        let mut body = BytesMut::new();
        while let Some(piece) = self.next_piece()? {
            self.append(&mut body, piece)?;
        }
        Ok(self.whole(body))
    }

    /// Returns the response when it is whole.
    ///
    /// # Errors
    /// As [`piece`](TestExchange::piece), and [`TestError::TooLong`] for more than 64 MiB.
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
            (None, Outcome::Gone) => Poll::Ready(Err(TestError::Gone { request: request() })),
            (None, Outcome::Cut) => Poll::Ready(Err(TestError::Cut { request: request() })),
            (None, Outcome::Open | Outcome::Done) => {
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

    /// Returns the next piece, or how the response ended, if either is there.
    fn take(&self) -> Option<Result<Option<Bytes>, TestError>> {
        let outcome = self.transport.state().outcome;
        let request = || self.request.clone();
        if outcome == Outcome::Gone {
            return Some(Err(TestError::Gone { request: request() }));
        }
        if let Some(piece) = self.transport.take_piece() {
            return Some(Ok(Some(piece)));
        }
        match outcome {
            Outcome::Open => None,
            Outcome::Done => Some(Ok(None)),
            Outcome::Cut | Outcome::Gone => Some(Err(TestError::Cut { request: request() })),
        }
    }

    fn append(&self, body: &mut BytesMut, piece: Bytes) -> Result<(), TestError> {
        if body.len() + piece.len() > MOST_BODY {
            return Err(TestError::TooLong {
                request: self.request.clone(),
                limit: MOST_BODY,
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
        self.transport.leave();
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
