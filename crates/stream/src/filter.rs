//! Layers inside a stream, between the descriptor and the listeners: TLS, a PROXY header.
//!
//! ```text
//! listeners ─ write ─▶ Filter::sending ─▶ … ─▶ write queue ─▶ descriptor
//!           ◀─ data ── Filter::received ◀─ … ◀── reads ◀───── descriptor
//! ```

pub(crate) mod context;
mod stack;

use std::any::Any;

use bytes::Bytes;

use crate::error::Error;

pub use context::FilterContext;
pub(crate) use stack::{Filters, Passage};

/// A layer inside a stream. It does no I/O: bytes in, bytes out.
///
/// It is put on a stream with `add_filter`, above the filters that are there. An error that it returns is emitted by
/// the stream, behind what was delivered before, and the stream closes: where the filter has sent an alert with the error, after
/// the linger time at most, in which the peer can read it. It may call the loop, but not the stream that it is in: what it wants done there
/// goes through the [`FilterContext`].
pub trait Filter: Any {
    /// Bytes were received from below. They are lent, and may be changed in place: [`FilterContext::deliver_within`] delivers
    /// a part of them.
    ///
    /// # Errors
    /// Closes the stream.
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error>;

    /// The layer above sends bytes.
    ///
    /// What a user writes is gathered until the event of the stream or the iteration ends, and comes in pieces of 16 KiB at
    /// most, or longer where more was written at once.
    ///
    /// # Errors
    /// Closes the stream.
    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error>;

    /// As [`sending`](Filter::sending), for bytes that were gathered in a buffer which is used again. The default copies
    /// them.
    ///
    /// # Errors
    /// Closes the stream.
    fn sending_slice(&mut self, bytes: &[u8], context: &mut FilterContext) -> Result<(), Error> {
        self.sending(Bytes::copy_from_slice(bytes), context)
    }

    /// `resume_filters` was called on the stream: what the filter has kept back may go on. The default does nothing.
    ///
    /// # Errors
    /// Closes the stream.
    fn resumed(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        let _ = context;
        Ok(())
    }

    /// The peer has ended its side. The default hands that on; an error says that the end came too early.
    ///
    /// # Errors
    /// Closes the stream.
    fn peer_ended(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        context.deliver_end();
        Ok(())
    }

    /// The layer above ends its side, or the stream is about to close with nothing left to be sent; what is sent now is the
    /// last. Not called before a close that follows an error or discards bytes. The default sends nothing.
    ///
    /// # Errors
    /// Closes the stream.
    fn ending(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        let _ = context;
        Ok(())
    }

    /// Returns the protocol for the layer above that the filter has negotiated, such as `h2` (ALPN, RFC 7301). The default is `None`.
    fn alpn_protocol(&self) -> Option<&[u8]> {
        None
    }

    /// The stream has closed, and the filter is dropped when the `close` listeners have run.
    fn closed(&mut self) {}
}
