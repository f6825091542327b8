//! The time between a connection and its WebSocket.

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
use super::refusal::{CONTENT_TIME, Refusal};
use super::url::Url;
use crate::protocol::handshake::client::{Agreed, Answer, Content, Failure, Request};

/// Opens WebSockets over the connections of a connector.
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
            Err(failure) => return Box::pin(ready(Err(DialError::Failure(failure)))),
        };
        let connecting = self.0.connect_target(url.server.clone());
        Box::pin(async move {
            let conn = connecting.await.map_err(DialError::Connection)?;
            let (request, answer) = request;
            let mut agreed = shake_hands(conn, request, answer, limit).await?;
            conn.unshift(std::mem::take(&mut agreed.rest), false);
            Ok((conn.into(), agreed))
        })
    }
}

/// Sends a request for a WebSocket and waits for the answer. The connection is paused after that; nothing that came
/// behind the answer is lost.
///
/// Dropping the future closes the connection.
async fn shake_hands(
    conn: Connection,
    request: Vec<u8>,
    answer: Answer,
    limit: Duration,
) -> Result<Agreed, DialError> {
    let guard = Guard(Some(conn));
    if !conn.is_open() {
        return Err(DialError::Ended);
    }
    let attempt = Rc::new(RefCell::new(Attempt {
        answer,
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
            let timer = content_timer.get_or_insert_with(|| Box::pin(timeout(CONTENT_TIME)));
            if timer.as_mut().poll(context).is_ready() {
                let refusal = attempt.borrow_mut().refusal.take();
                return Poll::Ready(Err(refusal.map_or(DialError::Ended, DialError::Refused)));
            }
        }
        late(limit_timer.as_mut(), context, limit)
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

fn late<T>(
    timer: Pin<&mut Sleep>,
    context: &mut Context<'_>,
    limit: Duration,
) -> Poll<Result<T, DialError>> {
    timer.poll(context).map(|()| Err(DialError::Late(limit)))
}

/// Closes a connection of which nothing has come.
struct Guard(Option<Connection>);

impl Guard {
    fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(conn) = self.0.take() {
            conn.close();
        }
    }
}

/// A handshake under way.
struct Attempt {
    answer: Answer,
    /// An answer that refuses, whose content still comes.
    refusal: Option<Box<Refusal>>,
    result: Option<Result<Agreed, DialError>>,
    waker: Option<Waker>,
}

type Shared = Rc<RefCell<Attempt>>;

fn listen(conn: Connection, attempt: &Shared) -> [uptick_emitter::ListenerId; 4] {
    let data = Rc::clone(attempt);
    let end = Rc::clone(attempt);
    let error = Rc::clone(attempt);
    let close = Rc::clone(attempt);
    [
        conn.on(Connection::DATA, move |chunk: Bytes| {
            let outcome = data.borrow_mut().came(chunk);
            if let Some(outcome) = outcome {
                // What follows is the WebSocket's.
                conn.pause();
                settle(&data, outcome);
            } else {
                wake(&data);
            }
        }),
        conn.on(Connection::END, move |()| ended(&end)),
        conn.on(Connection::ERROR, move |failure: SocketError| {
            settle(&error, Err(DialError::Connection(failure)));
        }),
        conn.on(Connection::CLOSE, move |()| ended(&close)),
    ]
}

/// The peer has ended: an answer that refuses is whole.
fn ended(attempt: &Shared) {
    let refusal = attempt.borrow_mut().refusal.take();
    settle(
        attempt,
        Err(refusal.map_or(DialError::Ended, DialError::Refused)),
    );
}

/// Only the first outcome counts.
fn settle(attempt: &Shared, outcome: Result<Agreed, DialError>) {
    attempt.borrow_mut().result.get_or_insert(outcome);
    wake(attempt);
}

fn wake(attempt: &Shared) {
    let waker = attempt.borrow_mut().waker.take();
    if let Some(waker) = waker {
        waker.wake();
    }
}

impl Attempt {
    /// What bytes that came make of it.
    fn came(&mut self, chunk: Bytes) -> Option<Result<Agreed, DialError>> {
        if self.result.is_some() {
            return None;
        }
        if self.refusal.is_some() {
            self.answer.push_content(chunk);
            return self.refused();
        }
        match self.answer.push(BytesMut::from(chunk)) {
            Ok(None) => None,
            Ok(Some(agreed)) => Some(Ok(agreed)),
            Err(Failure::Status { status, headers }) => {
                self.refusal = Some(Refusal::new(status, *headers).into());
                self.refused()
            }
            Err(failure) => Some(Err(DialError::Failure(failure))),
        }
    }

    /// The refusal, once enough of its content has come.
    fn refused(&mut self) -> Option<Result<Agreed, DialError>> {
        let refusal = self.refusal.as_mut()?;
        let is_whole = loop {
            match self.answer.next_content() {
                Some(Content::Piece(piece)) if refusal.push(&piece) => {}
                Some(_) => break true,
                None => break false,
            }
        };
        let refusal = self.refusal.take_if(|_| is_whole)?;
        Some(Err(DialError::Refused(refusal)))
    }
}
