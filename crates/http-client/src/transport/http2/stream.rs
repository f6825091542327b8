//! A stream of a session: one request with its response.

use std::cell::{RefCell, RefMut};
use std::rc::Rc;

use http::HeaderMap;
use uptick_event_loop::driver::Timestamp;
use uptick_http::h2::StreamKey;
use uptick_stream::WriteQueue;

use super::flags::StreamFlags;
use super::state::Http2Session;
use crate::error::{ErrorKind, Failure};
use crate::transport::{Exchange, ExchangeSettings};

/// Number of queued bytes of a stream from which its writer waits: the soft limit of a connection.
pub(super) const SOFT_LIMIT: usize = 64 * 1024;

/// A stream of an HTTP/2 connection.
pub(super) struct Http2Stream {
    pub(super) session: Rc<Http2Session>,
    pub(super) key: StreamKey,
    pub(super) settings: ExchangeSettings,
    state: RefCell<StreamState>,
}

/// The mutable state of a stream.
pub(super) struct StreamState {
    /// The exchange, until it is done.
    pub(super) exchange: Option<Rc<Exchange>>,
    /// The part of the request body that was not written: the windows of the server or the connection are full.
    pub(super) output: WriteQueue,
    /// The trailers that follow the output.
    pub(super) trailers: Option<Box<HeaderMap>>,
    /// Number of bytes that the request must still write, for a body with a length.
    pub(super) left: Option<u64>,
    /// Number of received bytes that the reader has not consumed.
    pub(super) unread: usize,
    /// Start of the current wait for the server.
    pub(super) since: Timestamp,
    /// Time of the last progress of the request.
    pub(super) progress: Timestamp,
    /// Number of interim responses.
    pub(super) interim: u8,
    pub(super) flags: StreamFlags,
}

impl Http2Stream {
    pub(super) fn new(
        session: &Rc<Http2Session>,
        key: StreamKey,
        settings: ExchangeSettings,
        exchange: &Rc<Exchange>,
        length: Option<u64>,
    ) -> Rc<Http2Stream> {
        Rc::new(Http2Stream {
            session: Rc::clone(session),
            key,
            settings,
            state: RefCell::new(StreamState {
                exchange: Some(Rc::clone(exchange)),
                output: WriteQueue::new(),
                trailers: None,
                left: length,
                unread: 0,
                since: Timestamp::now(),
                progress: Timestamp::now(),
                interim: 0,
                flags: StreamFlags::empty(),
            }),
        })
    }

    /// Borrows the state. Neither the exchange nor the owner of the session is called while it is borrowed.
    #[inline]
    pub(super) fn state(&self) -> RefMut<'_, StreamState> {
        self.state.borrow_mut()
    }

    /// Returns the exchange, unless it is done.
    pub(super) fn exchange(&self) -> Option<Rc<Exchange>> {
        self.state().exchange.clone()
    }

    pub(super) fn has(&self, flags: StreamFlags) -> bool {
        self.state().flags.intersects(flags)
    }
}

impl StreamState {
    /// Subtracts the length of a body piece from the announced length. Returns `false` if the piece is too long.
    pub(super) fn take_from_length(&mut self, piece: usize) -> bool {
        match &mut self.left {
            None => true,
            Some(left) => match left.checked_sub(piece as u64) {
                Some(rest) => {
                    *left = rest;
                    true
                }
                None => false,
            },
        }
    }

    /// Returns the kind of the failure of a stream whose connection has ended. `in_head` is `true` if a part of the head was received.
    pub(super) fn lost_kind(&self, in_head: bool) -> ErrorKind {
        if self.flags.contains(StreamFlags::ANSWERED) {
            ErrorKind::ClosedInBody
        } else if in_head || self.interim > 0 {
            ErrorKind::ClosedInHead
        } else {
            ErrorKind::ClosedBeforeResponse
        }
    }

    /// Returns a failure of kind [`ErrorKind::Http2`] of a request that the server has declared not processed. If a part of the response was
    /// received, it may have been processed.
    pub(super) fn unprocessed(&self, reason: String) -> Failure {
        Failure {
            unprocessed: self.interim == 0 && !self.flags.contains(StreamFlags::ANSWERED),
            ..Failure::new(ErrorKind::Http2, reason)
        }
    }
}
