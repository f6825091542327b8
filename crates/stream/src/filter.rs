//! Filters: layers inside a stream, between the descriptor and the listeners, such as TLS or a PROXY header.
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
pub(crate) use stack::{FilterEvent, Filters};

/// A layer inside a stream. It does no I/O: it only transforms bytes.
///
/// `add_filter` adds it to a stream, above the existing filters. If it returns an error, the stream emits the error after
/// the data delivered before, and closes. If the filter has sent an alert with the error, the stream closes after the linger
/// time at the latest, in which the peer can read the alert. A filter may use the loop, but not its own stream; it requests
/// actions on the stream through the [`FilterContext`].
pub trait Filter: Any {
    /// Called with bytes received from the layer below. The bytes are borrowed and may be changed in place:
    /// [`FilterContext::deliver_within`] delivers a part of them.
    ///
    /// # Errors
    /// An error closes the stream.
    fn received(&mut self, bytes: &mut [u8], context: &mut FilterContext) -> Result<(), Error>;

    /// Called with bytes that the layer above sends.
    ///
    /// Written data is gathered until the event of the stream or the iteration ends, and is passed in pieces of at most 16
    /// KiB, or longer if a single write was longer.
    ///
    /// # Errors
    /// An error closes the stream.
    fn sending(&mut self, bytes: Bytes, context: &mut FilterContext) -> Result<(), Error>;

    /// Like [`sending`](Filter::sending), for bytes in a buffer that is reused. The default copies them.
    ///
    /// # Errors
    /// An error closes the stream.
    fn sending_slice(&mut self, bytes: &[u8], context: &mut FilterContext) -> Result<(), Error> {
        self.sending(Bytes::copy_from_slice(bytes), context)
    }

    /// Called when `resume_filters` was called on the stream, so that the filter can continue with retained data. The
    /// default does nothing.
    ///
    /// # Errors
    /// An error closes the stream.
    fn resumed(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        let _ = context;
        Ok(())
    }

    /// Called at the peer's end of stream. The default passes it on; an error reports that it was premature.
    ///
    /// # Errors
    /// An error closes the stream.
    fn peer_ended(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        context.deliver_end();
        Ok(())
    }

    /// Called when the layer above ends its writing side, or when the stream is about to close with an empty queue; bytes sent now
    /// are the last ones. Not called before a close that follows an error or discards bytes. The default sends nothing.
    ///
    /// # Errors
    /// An error closes the stream.
    fn ending(&mut self, context: &mut FilterContext) -> Result<(), Error> {
        let _ = context;
        Ok(())
    }

    /// Returns the protocol for the layer above that was negotiated by the filter, such as `h2` (ALPN, RFC 7301). The
    /// default is `None`.
    fn alpn_protocol(&self) -> Option<&[u8]> {
        None
    }

    /// Called when the stream has closed. The filter is dropped when the `close` listeners have run.
    fn closed(&mut self) {}
}
