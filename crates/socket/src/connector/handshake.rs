//! The phase between the start of a `connect` call and its result.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::io;
use std::os::fd::OwnedFd;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use rustix::io::Errno;
use uptick_event_loop::{Error as LoopError, add_write_stream, remove_write_stream};
use uptick_stream::transport::TransportOptions;

use crate::Address;
use crate::connection::Connection;
use crate::error::{Cause, Error};

/// Creates a connection from a connected socket.
pub(super) fn connection_from_socket(socket: OwnedFd, peer: Address) -> Result<Connection, Error> {
    let remote = peer.clone();
    let conn = Connection::open(socket, peer, TransportOptions::default(), None)?;
    // There is no listener yet, so this only registers the socket; reading starts with a `data` listener.
    conn.start();
    if conn.is_open() {
        Ok(conn)
    } else {
        Err(Error::Closed {
            object: format!("the connection with {remote}").into(),
        })
    }
}

/// Waits until a connect in progress has succeeded or failed, and returns the socket.
pub(super) async fn connect_finished(mut socket: OwnedFd) -> Result<OwnedFd, Cause> {
    loop {
        socket = WritableFuture::new(socket).await?;
        rustix::net::sockopt::socket_error(&socket)??;
        match rustix::net::getpeername(&socket) {
            Ok(_) => return Ok(socket),
            // Readiness may be reported spuriously.
            Err(Errno::NOTCONN) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// A future that resolves when a socket is writable or has an error.
struct WritableFuture {
    /// `None` once the future has completed.
    socket: Option<Rc<OwnedFd>>,
    signal: Rc<ReadySignal>,
    watched: bool,
}

#[derive(Default)]
struct ReadySignal {
    ready: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl ReadySignal {
    fn set(&self) {
        self.ready.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl WritableFuture {
    fn new(socket: OwnedFd) -> Self {
        WritableFuture {
            socket: Some(Rc::new(socket)),
            signal: Rc::default(),
            watched: false,
        }
    }

    fn watch(&mut self) -> Result<(), Cause> {
        let Some(socket) = self.socket.clone().filter(|_| !self.watched) else {
            return Ok(());
        };
        let signal = Rc::clone(&self.signal);
        let mut watched = Some(Rc::clone(&socket));
        let result = add_write_stream(socket, move || {
            // The watch is no longer needed: the connection registers the socket again, edge-triggered.
            if let Some(socket) = watched.take() {
                remove_write_stream(socket);
            }
            signal.set();
        });
        self.watched = result.is_ok();
        result.map_err(|error| match error {
            LoopError::Watch { source, .. } => source.into(),
            error => io::Error::other(error).into(),
        })
    }

    /// Stops watching, and returns the socket if there is no other owner.
    fn release(&mut self) -> Option<OwnedFd> {
        let socket = self.socket.take()?;
        if self.watched {
            remove_write_stream(&socket);
        }
        Rc::try_unwrap(socket).ok()
    }
}

impl Future for WritableFuture {
    type Output = Result<OwnedFd, Cause>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.signal.ready.get() {
            let socket = self.release();
            // The watch shared the socket until it was removed.
            return Poll::Ready(socket.ok_or_else(|| Errno::BADF.into()));
        }
        *self.signal.waker.borrow_mut() = Some(context.waker().clone());
        match self.watch() {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for WritableFuture {
    fn drop(&mut self) {
        drop(self.release());
    }
}
