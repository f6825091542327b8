//! A stream of a connection: the transport of an exchange, or the carrier of a channel.

use std::cell::{Cell, RefCell, RefMut};
use std::rc::Rc;

use bytes::{Bytes, BytesMut};
use uptick_event_loop::driver::Timestamp;
use uptick_stream::WriteQueue;

use super::flags::StreamFlags;
use super::state::Http2Connection;
use crate::HeaderMap;
use crate::channel::VirtualStream;
use crate::exchange::Exchange;
use crate::h2::StreamKey;

/// Number of queued bytes of a stream from which its writer waits: the soft limit of a connection.
pub(super) const SOFT_LIMIT: usize = 64 * 1024;

/// Maximum number of streams that a thread keeps for reuse.
const KEPT: usize = 64;

thread_local! {
    static FREE: RefCell<Vec<Rc<Http2Stream>>> = const { RefCell::new(Vec::new()) };
}

/// A stream of an HTTP/2 connection.
pub(super) struct Http2Stream {
    connection: Option<Rc<Http2Connection>>,
    key: Cell<StreamKey>,
    state: RefCell<StreamState>,
}

/// The mutable state of a stream.
#[derive(Default)]
pub(super) struct StreamState {
    /// The exchange, until the whole response is accepted.
    pub(super) exchange: Option<Rc<Exchange>>,
    /// The channel, after an upgrade.
    pub(super) channel: Option<Rc<VirtualStream>>,
    /// The received part of the request body that the program has not read.
    pub(super) incoming: BytesMut,
    /// Number of bytes of the request body that the program has read.
    pub(super) read: u64,
    /// The output that was not written: the windows of the client or the connection are full.
    pub(super) output: WriteQueue,
    /// The trailers that follow the output.
    pub(super) trailers: Option<Box<HeaderMap>>,
    /// Number of bytes that the program must still write, for a body with a length.
    pub(super) left: Option<u64>,
    /// Start of the current wait for the client or the handler.
    pub(super) since: Timestamp,
    /// Time of the last progress of the output.
    pub(super) progress: Timestamp,
    /// Bytes of the body received in the current window.
    pub(super) counted: u32,
    pub(super) flags: StreamFlags,
}

impl Http2Stream {
    /// Returns a stream without other references, of a connection.
    #[inline]
    pub(super) fn take(connection: &Rc<Http2Connection>, key: StreamKey) -> Rc<Http2Stream> {
        let kept = FREE.try_with(|free| free.borrow_mut().pop());
        let mut stream = kept.ok().flatten().unwrap_or_else(|| {
            Rc::new(Http2Stream {
                connection: None,
                key: Cell::new(key),
                state: RefCell::default(),
            })
        });
        if let Some(new) = Rc::get_mut(&mut stream) {
            new.connection = Some(Rc::clone(connection));
            new.key.set(key);
        }
        stream
    }

    /// Keeps a stream for reuse, unless there are other references. Must be called while no `RefCell` is borrowed.
    #[inline]
    pub(super) fn release(mut stream: Rc<Http2Stream>) {
        let Some(unique) = Rc::get_mut(&mut stream) else {
            return;
        };
        let connection = unique.connection.take();
        let state = unique.state.get_mut();
        if state.exchange.is_some() || state.channel.is_some() || state.trailers.is_some() {
            *state = StreamState::default();
        } else {
            state.reset();
        }
        // During thread teardown, the stream is dropped.
        let _ = FREE.try_with(|free| {
            let mut free = free.borrow_mut();
            if free.len() < KEPT {
                free.push(stream);
            }
        });
        drop(connection);
    }

    /// Returns the connection, unless the stream is kept for reuse.
    #[inline]
    pub(super) fn connection(&self) -> Option<&Rc<Http2Connection>> {
        self.connection.as_ref()
    }

    #[inline]
    pub(super) fn key(&self) -> StreamKey {
        self.key.get()
    }

    /// Borrows the state. Callbacks must not run while it is borrowed.
    #[inline]
    pub(super) fn state(&self) -> RefMut<'_, StreamState> {
        self.state.borrow_mut()
    }

    /// Returns the exchange, until the whole response is accepted.
    pub(super) fn exchange(&self) -> Option<Rc<Exchange>> {
        self.state().exchange.clone()
    }
}

impl StreamState {
    /// Prepares the state for another stream. Memory for queued bytes is not kept.
    fn reset(&mut self) {
        if self.incoming.capacity() > 0 {
            self.incoming = BytesMut::new();
        }
        self.output.clear();
        self.read = 0;
        self.left = None;
        self.counted = 0;
        self.flags = StreamFlags::empty();
    }

    /// Takes the received part of the request body, up to `most` bytes.
    pub(super) fn take_incoming(&mut self) -> Option<Bytes> {
        if self.incoming.is_empty() {
            return None;
        }
        let piece = std::mem::take(&mut self.incoming).freeze();
        self.read += piece.len() as u64;
        Some(piece)
    }

    /// Returns `true` while the rest of the request body is discarded after the response.
    #[inline]
    pub(super) fn is_draining(&self) -> bool {
        let over = StreamFlags::REMOTE_ENDED | StreamFlags::CLOSED;
        self.flags.contains(StreamFlags::DRAINING) && !self.flags.intersects(over)
    }

    /// Returns `true` if output or the end of the stream must still be written.
    #[inline]
    pub(super) fn has_output(&self) -> bool {
        !self.output.is_empty()
            || self.flags.contains(StreamFlags::ENDING) && !self.flags.contains(StreamFlags::ENDED)
    }
}
