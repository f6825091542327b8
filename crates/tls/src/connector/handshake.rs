//! The time between a connection and its TLS.

use std::cell::{Cell, RefCell};
use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use uptick_emitter::{Emitter, ListenerId};
use uptick_event_loop::{Sleep, driver};
use uptick_socket::engine::Engine;
use uptick_socket::{Connection, Error};

use super::failure;
use crate::error::Error as TlsError;
use crate::filter::{TlsFilter, Waiter};
use crate::session::{Gate, Session};

/// Speaks TLS on a connection; gives it back when the handshake is done.
pub(super) async fn shake_hands(
    conn: Connection,
    session: Session,
    uri: Arc<str>,
    timeout: Option<Duration>,
) -> Result<Connection, Error> {
    let outcome = Rc::new(Outcome::default());
    let attempt = Attempt {
        conn,
        outcome: Rc::clone(&outcome),
        uri: Arc::clone(&uri),
        listener: Cell::new(None),
    };
    let guard = Guard(Some(conn));
    if !conn.is_open() {
        return Err(attempt.closed_error());
    }
    attempt.listen();
    conn.add_filter(TlsFilter::new(session, attempt));
    // It begins to speak.
    conn.resume_filters();
    let mut timer: Option<Pin<Box<Sleep>>> = timeout.map(|limit| Box::pin(driver::timeout(limit)));
    let result = poll_fn(|context| {
        if let Poll::Ready(result) = outcome.poll(context) {
            return Poll::Ready(Some(result));
        }
        match &mut timer {
            Some(timer) => timer.as_mut().poll(context).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await;
    match result {
        // A connection that has failed closes by itself, when its peer has had the time to read the alert.
        Some(result) => {
            guard.release();
            result.map(|()| conn)
        }
        None => Err(Error::Timeout {
            what: format!("the TLS handshake with {uri}").into(),
            after: timeout.unwrap_or_default(),
        }),
    }
}

/// Closes the connection of an attempt that is given up.
struct Guard(Option<Connection>);

impl Guard {
    fn release(mut self) {
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

/// What has come of a handshake, for who awaits it.
#[derive(Default)]
struct Outcome {
    result: RefCell<Option<Result<(), Error>>>,
    waker: RefCell<Option<Waker>>,
}

impl Outcome {
    /// Only the first counts.
    fn set(&self, result: Result<(), Error>) {
        self.result.borrow_mut().get_or_insert(result);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn poll(&self, context: &Context<'_>) -> Poll<Result<(), Error>> {
        match self.result.borrow_mut().take() {
            Some(result) => Poll::Ready(result),
            None => {
                *self.waker.borrow_mut() = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}

/// A handshake under way.
struct Attempt {
    conn: Connection,
    outcome: Rc<Outcome>,
    uri: Arc<str>,
    /// Of the connection's errors.
    listener: Cell<Option<ListenerId>>,
}

impl Attempt {
    /// Takes the connection's errors.
    fn listen(&self) {
        let (outcome, uri) = (Rc::clone(&self.outcome), Arc::clone(&self.uri));
        let listener = self.conn.on(Connection::ERROR, move |error: Error| {
            outcome.set(Err(explain(error, &uri)));
        });
        self.listener.set(Some(listener));
    }

    fn closed_error(&self) -> Error {
        Error::Closed {
            what: format!("the connection with {}", self.uri).into(),
        }
    }
}

impl Waiter for Attempt {
    fn done(self: Box<Self>) {
        if let Some(listener) = self.listener.take() {
            self.conn.off(listener);
        }
        self.conn.set_secure(true);
        self.outcome.set(Ok(()));
    }

    fn closed(self: Box<Self>) {
        self.outcome.set(Err(self.closed_error()));
    }

    fn gate(&self) -> Option<&dyn Gate> {
        None
    }
}

/// The error of a connection as that of the attempt to make one.
fn explain(error: Error, uri: &Arc<str>) -> Error {
    const WHEN: &str = "during the TLS handshake";
    match error {
        Error::Filter { source, .. } => Error::ConnectLayer {
            uri: Arc::clone(uri),
            when: WHEN.into(),
            source,
        },
        Error::Read { source, .. } | Error::Write { source, .. } => {
            failure(uri, WHEN, TlsError::Below { source })
        }
        other => other,
    }
}
