//! The TLS handshake of a client on a new connection.

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
use crate::filter::{HandshakeObserver, TlsFilter};
use crate::session::{HandshakeControl, Session};

/// Performs a TLS handshake on a connection, and returns the connection when it is complete.
pub(super) async fn handshake(
    conn: Connection,
    session: Session,
    uri: Arc<str>,
    timeout: Option<Duration>,
) -> Result<Connection, Error> {
    let pending_result = Rc::new(HandshakeResult::default());
    let handshake = ClientHandshake {
        conn,
        pending_result: Rc::clone(&pending_result),
        uri: Arc::clone(&uri),
        listener: Cell::new(None),
    };
    let guard = CloseOnDrop(Some(conn));
    if !conn.is_open() {
        return Err(handshake.closed_error());
    }
    handshake.listen();
    conn.add_filter(TlsFilter::new(session, handshake));
    // This sends the ClientHello.
    conn.resume_filters();
    let mut timer: Option<Pin<Box<Sleep>>> = timeout.map(|limit| Box::pin(driver::timeout(limit)));
    let result = poll_fn(|context| {
        if let Poll::Ready(result) = pending_result.poll(context) {
            return Poll::Ready(Some(result));
        }
        match &mut timer {
            Some(timer) => timer.as_mut().poll(context).map(|()| None),
            None => Poll::Pending,
        }
    })
    .await;
    match result {
        // A failed connection lingers, so that its peer can read the alert, and then closes without further action.
        Some(result) => {
            guard.disarm();
            result.map(|()| conn)
        }
        None => Err(Error::Timeout {
            what: format!("the TLS handshake with {uri}").into(),
            after: timeout.unwrap_or_default(),
        }),
    }
}

/// A guard that closes the connection if the handshake times out or its future is dropped.
struct CloseOnDrop(Option<Connection>);

impl CloseOnDrop {
    fn disarm(mut self) {
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

/// The result of a handshake, which a future awaits.
#[derive(Default)]
struct HandshakeResult {
    result: RefCell<Option<Result<(), Error>>>,
    waker: RefCell<Option<Waker>>,
}

impl HandshakeResult {
    /// Sets the result, unless it is already set.
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

/// A handshake in progress.
struct ClientHandshake {
    conn: Connection,
    pending_result: Rc<HandshakeResult>,
    uri: Arc<str>,
    /// The listener for the connection's errors.
    listener: Cell<Option<ListenerId>>,
}

impl ClientHandshake {
    /// Registers the listener for the connection's errors.
    fn listen(&self) {
        let (pending_result, uri) = (Rc::clone(&self.pending_result), Arc::clone(&self.uri));
        let listener = self.conn.on(Connection::ERROR, move |error: Error| {
            pending_result.set(Err(explain(error, &uri)));
        });
        self.listener.set(Some(listener));
    }

    fn closed_error(&self) -> Error {
        Error::Closed {
            what: format!("the connection with {}", self.uri).into(),
        }
    }
}

impl HandshakeObserver for ClientHandshake {
    fn done(self: Box<Self>) {
        if let Some(listener) = self.listener.take() {
            self.conn.off(listener);
        }
        self.conn.set_secure(true);
        self.pending_result.set(Ok(()));
    }

    fn closed(self: Box<Self>) {
        self.pending_result.set(Err(self.closed_error()));
    }

    fn control(&self) -> Option<&dyn HandshakeControl> {
        None
    }
}

/// Converts an error of the connection to an error of connecting.
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
