//! The time between the start of a connect and its outcome.

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

/// Makes a connection of a connected socket.
pub(super) fn established(socket: OwnedFd, peer: Address) -> Result<Connection, Error> {
    let what = peer.clone();
    let conn = Connection::open(socket, peer, TransportOptions::default(), None)?;
    // Nobody can listen yet, so this only registers the socket; reading waits for a `data` listener.
    conn.start();
    if conn.is_open() {
        Ok(conn)
    } else {
        Err(Error::Closed {
            what: format!("the connection with {what}").into(),
        })
    }
}

/// Waits until a connect under way has succeeded or failed; gives the socket back.
pub(super) async fn finished(mut socket: OwnedFd) -> Result<OwnedFd, Cause> {
    loop {
        socket = Writable::new(socket).await?;
        rustix::net::sockopt::socket_error(&socket)??;
        match rustix::net::getpeername(&socket) {
            Ok(_) => return Ok(socket),
            // Readiness may be reported when there is none.
            Err(Errno::NOTCONN) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
}

/// Waits until a socket is writable or has an error.
struct Writable {
    /// `None` once it is over.
    socket: Option<Rc<OwnedFd>>,
    signal: Rc<Signal>,
    watched: bool,
}

#[derive(Default)]
struct Signal {
    ready: Cell<bool>,
    waker: RefCell<Option<Waker>>,
}

impl Signal {
    fn set(&self) {
        self.ready.set(true);
        let waker = self.waker.borrow_mut().take();
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Writable {
    fn new(socket: OwnedFd) -> Self {
        Writable {
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
            // Once is enough: the connection registers the socket anew, edge-triggered.
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

    /// Ends the watch, and gives the socket if nobody else has it.
    fn release(&mut self) -> Option<OwnedFd> {
        let socket = self.socket.take()?;
        if self.watched {
            remove_write_stream(&socket);
        }
        Rc::try_unwrap(socket).ok()
    }
}

impl Future for Writable {
    type Output = Result<OwnedFd, Cause>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.signal.ready.get() {
            let socket = self.release();
            // The watch held the socket too, and is over.
            return Poll::Ready(socket.ok_or_else(|| Errno::BADF.into()));
        }
        *self.signal.waker.borrow_mut() = Some(context.waker().clone());
        match self.watch() {
            Ok(()) => Poll::Pending,
            Err(error) => Poll::Ready(Err(error)),
        }
    }
}

impl Drop for Writable {
    fn drop(&mut self) {
        drop(self.release());
    }
}
