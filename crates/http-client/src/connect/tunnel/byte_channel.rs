//! Sequential reads and writes on a connection.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use uptick_socket::engine::{ChannelSession, Engine};
use uptick_socket::{Connection, Error as SocketError};

use crate::connect::connection_guard::ConnectionGuard;

/// A connection whose bytes are read by a future. It pauses while no read is waiting.
pub(super) struct ByteChannel {
    conn: ConnectionGuard,
    received: Rc<ReceivedBytes>,
    /// Bytes that were read but not taken.
    buffer: BytesMut,
}

/// The bytes received and not yet read.
struct ReceivedBytes {
    conn: Connection,
    bytes: RefCell<BytesMut>,
    end: RefCell<Option<ChannelEnd>>,
    is_paused: Cell<bool>,
    waker: Cell<Option<Waker>>,
}

/// The reason why no more bytes follow.
enum ChannelEnd {
    Closed,
    Failed(SocketError),
}

impl ByteChannel {
    pub(super) fn new(conn: ConnectionGuard) -> ByteChannel {
        let received = Rc::new(ReceivedBytes {
            conn: conn.get(),
            bytes: RefCell::default(),
            end: RefCell::default(),
            is_paused: Cell::new(false),
            waker: Cell::default(),
        });
        conn.get().set_session(Rc::clone(&received) as _);
        ByteChannel {
            conn,
            received,
            buffer: BytesMut::new(),
        }
    }

    pub(super) fn write(&self, bytes: Vec<u8>) {
        self.conn.get().write(bytes);
    }

    /// Waits for bytes.
    ///
    /// # Errors
    /// A text, if the connection failed or has ended.
    pub(super) async fn read(&mut self) -> Result<Bytes, String> {
        if !self.buffer.is_empty() {
            return Ok(self.buffer.split().freeze());
        }
        poll_fn(|context| self.received.poll(context)).await
    }

    /// Waits for `length` bytes, and returns them.
    pub(super) async fn read_exact(&mut self, length: usize) -> Result<Bytes, String> {
        while self.buffer.len() < length {
            let bytes = poll_fn(|context| self.received.poll(context)).await?;
            self.buffer.extend_from_slice(&bytes);
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    /// Unreads bytes: they are read before later ones.
    pub(super) fn unread(&mut self, bytes: Bytes) {
        let rest = std::mem::replace(&mut self.buffer, BytesMut::from(bytes));
        self.buffer.extend_from_slice(&rest);
    }

    /// Returns the connection. Bytes that were not read are delivered first.
    pub(super) fn finish(mut self) -> ConnectionGuard {
        let conn = self.conn.get();
        self.buffer
            .extend_from_slice(&self.received.bytes.borrow_mut().split());
        conn.clear_session();
        conn.unshift(self.buffer.freeze(), false);
        self.conn
    }
}

impl ReceivedBytes {
    fn poll(&self, context: &Context<'_>) -> Poll<Result<Bytes, String>> {
        let bytes = self.bytes.borrow_mut().split().freeze();
        if !bytes.is_empty() {
            return Poll::Ready(Ok(bytes));
        }
        match &*self.end.borrow() {
            Some(ChannelEnd::Closed) => {
                return Poll::Ready(Err("the proxy closed the connection".into()));
            }
            Some(ChannelEnd::Failed(error)) => return Poll::Ready(Err(error.to_string())),
            None => {}
        }
        self.waker.set(Some(context.waker().clone()));
        if self.is_paused.take() {
            self.conn.resume();
        }
        Poll::Pending
    }

    fn wake(&self) {
        if let Some(waker) = self.waker.take() {
            waker.wake();
        }
    }

    fn set_end(&self, end: ChannelEnd) {
        self.end.borrow_mut().get_or_insert(end);
        self.wake();
    }
}

impl ChannelSession<SocketError> for ReceivedBytes {
    fn data(&self, bytes: &mut BytesMut) {
        self.bytes.borrow_mut().extend_from_slice(bytes);
        self.is_paused.set(true);
        self.conn.pause();
        self.wake();
    }

    fn end(&self) {
        self.set_end(ChannelEnd::Closed);
    }

    fn error(&self, error: &SocketError) {
        self.set_end(ChannelEnd::Failed(error.clone()));
    }

    fn close(&self) {
        self.set_end(ChannelEnd::Closed);
    }
}
