//! The client handshake over a connection.

use std::cell::RefCell;
use std::future::{Future, poll_fn, ready};
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use uptick_emitter::Emitter;
use uptick_event_loop::Sleep;
use uptick_event_loop::driver::timeout;
use uptick_http::LocalFuture;
use uptick_socket::engine::Engine;
use uptick_socket::{Connection, ConnectorInterface, Error as SocketError};

use super::dial::{DialError, Dialed, Dialer};
use super::refusal::{BODY_TIMEOUT, Refusal};
use super::url::Url;
use crate::protocol::handshake::client::{
    BodyChunk, Handshake, HandshakeError, Request, ResponseDecoder,
};

/// The dialer that opens WebSockets over the connections of a connector.
pub(super) struct ConnectionDialer(Rc<dyn ConnectorInterface>);

impl ConnectionDialer {
    pub(super) fn new(connector: impl ConnectorInterface + 'static) -> Self {
        ConnectionDialer(Rc::new(connector))
    }
}

impl Dialer for ConnectionDialer {
    fn dial(&self, url: &Url, request: Request, limit: Duration) -> LocalFuture<Dialed> {
        let request = match request.finish() {
            Ok(request) => request,
            Err(failure) => return Box::pin(ready(Err(DialError::Handshake(failure)))),
        };
        let connecting = self.0.connect_target(url.server.clone());
        Box::pin(async move {
            let conn = connecting.await.map_err(DialError::Connection)?;
            let (request, response) = request;
            let mut agreed = perform_handshake(conn, request, response, limit).await?;
            conn.unshift(std::mem::take(&mut agreed.rest), false);
            Ok((conn.into(), agreed))
        })
    }
}

/// Sends an upgrade request and waits for the response. Afterwards the connection is paused; the bytes received
/// after the response are in the result.
///
/// Dropping the future closes the connection.
async fn perform_handshake(
    conn: Connection,
    request: Vec<u8>,
    response: ResponseDecoder,
    limit: Duration,
) -> Result<Handshake, DialError> {
    let guard = CloseOnDrop(Some(conn));
    if !conn.is_open() {
        return Err(DialError::Ended);
    }
    let attempt = Rc::new(RefCell::new(Attempt {
        response,
        refusal: None,
        result: None,
        waker: None,
    }));
    let listeners = listen(conn, &attempt);
    conn.write(request);
    let mut limit_timer = Box::pin(timeout(limit));
    let mut content_timer: Option<Pin<Box<Sleep>>> = None;
    let agreed = poll_fn(|context| {
        let refusing = {
            let mut attempt = attempt.borrow_mut();
            if let Some(result) = attempt.result.take() {
                return Poll::Ready(result);
            }
            attempt.waker = Some(context.waker().clone());
            attempt.refusal.is_some()
        };
        if refusing {
            let timer = content_timer.get_or_insert_with(|| Box::pin(timeout(BODY_TIMEOUT)));
            if timer.as_mut().poll(context).is_ready() {
                let refusal = attempt.borrow_mut().refusal.take();
                return Poll::Ready(Err(refusal.map_or(DialError::Ended, DialError::Refused)));
            }
        }
        poll_timeout(limit_timer.as_mut(), context, limit)
    })
    .await?;
    for listener in listeners {
        conn.off(listener);
    }
    if !conn.is_open() {
        return Err(DialError::Ended);
    }
    guard.keep();
    Ok(agreed)
}

fn poll_timeout<T>(
    timer: Pin<&mut Sleep>,
    context: &mut Context<'_>,
    limit: Duration,
) -> Poll<Result<T, DialError>> {
    timer.poll(context).map(|()| Err(DialError::Timeout(limit)))
}

/// A guard that closes a connection on drop, unless the handshake succeeded.
struct CloseOnDrop(Option<Connection>);

impl CloseOnDrop {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for CloseOnDrop {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            conn.close();
        }
    }
}

/// A handshake in progress.
struct Attempt {
    response: ResponseDecoder,
    /// A response that refuses the WebSocket, while its body is received.
    refusal: Option<Box<Refusal>>,
    result: Option<Result<Handshake, DialError>>,
    waker: Option<Waker>,
}

type SharedAttempt = Rc<RefCell<Attempt>>;

fn listen(conn: Connection, attempt: &SharedAttempt) -> [uptick_emitter::ListenerId; 4] {
    let data = Rc::clone(attempt);
    let end = Rc::clone(attempt);
    let error = Rc::clone(attempt);
    let close = Rc::clone(attempt);
    [
        conn.on(Connection::DATA, move |chunk: Bytes| {
            let outcome = data.borrow_mut().receive(chunk);
            if let Some(outcome) = outcome {
                // The bytes that follow belong to the WebSocket.
                conn.pause();
                complete(&data, outcome);
            } else {
                wake(&data);
            }
        }),
        conn.on(Connection::END, move |()| ended(&end)),
        conn.on(Connection::ERROR, move |failure: SocketError| {
            complete(&error, Err(DialError::Connection(failure)));
        }),
        conn.on(Connection::CLOSE, move |()| ended(&close)),
    ]
}

/// Handles the end of the connection, which also ends the body of a refusal.
fn ended(attempt: &SharedAttempt) {
    let refusal = attempt.borrow_mut().refusal.take();
    complete(
        attempt,
        Err(refusal.map_or(DialError::Ended, DialError::Refused)),
    );
}

/// Completes the handshake; only the first outcome counts.
fn complete(attempt: &SharedAttempt, outcome: Result<Handshake, DialError>) {
    attempt.borrow_mut().result.get_or_insert(outcome);
    wake(attempt);
}

fn wake(attempt: &SharedAttempt) {
    let waker = attempt.borrow_mut().waker.take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Attempt {
    /// Processes received bytes; returns the outcome of the handshake once it is known.
    fn receive(&mut self, chunk: Bytes) -> Option<Result<Handshake, DialError>> {
        if self.result.is_some() {
            return None;
        }
        if self.refusal.is_some() {
            self.response.push_body(chunk);
            return self.take_refusal();
        }
        match self.response.push(BytesMut::from(chunk)) {
            Ok(None) => None,
            Ok(Some(agreed)) => Some(Ok(agreed)),
            Err(HandshakeError::Status { status, headers }) => {
                self.refusal = Some(Refusal::new(status, *headers).into());
                self.take_refusal()
            }
            Err(failure) => Some(Err(DialError::Handshake(failure))),
        }
    }

    /// Returns the refusal once enough of its body has been received.
    fn take_refusal(&mut self) -> Option<Result<Handshake, DialError>> {
        let refusal = self.refusal.as_mut()?;
        let is_complete = loop {
            match self.response.next_body_chunk() {
                Some(BodyChunk::Piece(piece)) if refusal.push(&piece) => {}
                Some(_) => break true,
                None => break false,
            }
        };
        let refusal = self.refusal.take_if(|_| is_complete)?;
        Some(Err(DialError::Refused(refusal)))
    }
}
