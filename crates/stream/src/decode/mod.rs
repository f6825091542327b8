//! Decoders of lines, frames and values. They use no sockets, clocks or threads.
//!
//! A [`DecodedStream`](crate::DecodedStream) runs a decoder over a stream; used directly, a decoder works on any chunked
//! input.

mod delimiter;
#[cfg(feature = "json")]
mod json;
mod length_prefix;
mod line;

use bytes::{Buf, Bytes, BytesMut};

use crate::error::Error;

pub use delimiter::DelimiterDecoder;
#[cfg(feature = "json")]
pub use json::JsonDecoder;
pub use length_prefix::{LengthPrefix, LengthPrefixDecoder};
pub use line::LineDecoder;

/// The default maximum length of a line or another frame, in bytes: 64 KiB.
pub const MAX_FRAME: usize = 64 * 1024;

/// A decoder of a stream of bytes into items.
///
/// The items do not depend on how the input is split into chunks.
///
/// # Examples
/// ```
/// use bytes::{Buf, Bytes};
/// use uptick_stream::Error;
/// use uptick_stream::decode::Decoder;
///
/// /// One-byte numbers.
/// struct Numbers;
///
/// impl Decoder for Numbers {
///     type Item = u8;
///
///     fn decode(&mut self, input: &mut Bytes) -> Result<Option<u8>, Error> {
///         Ok(input.has_remaining().then(|| input.get_u8()))
///     }
///
///     fn finish(&mut self) -> Result<Option<u8>, Error> {
///         Ok(None)
///     }
/// }
///
/// let mut input = Bytes::from_static(&[1, 2]);
/// assert_eq!(Numbers.decode(&mut input)?, Some(1));
/// assert_eq!(input.len(), 1);
/// # Ok::<(), Error>(())
/// ```
pub trait Decoder: 'static {
    /// The decoded values.
    type Item: Clone + 'static;

    /// Returns the next item and removes its bytes from `input`; the bytes after it stay in `input`.
    ///
    /// If there is no complete item, the decoder consumes all of `input` and buffers what it needs.
    ///
    /// # Errors
    /// The input is not valid. The stream fails, and nothing more is decoded.
    fn decode(&mut self, input: &mut Bytes) -> Result<Option<Self::Item>, Error>;

    /// Returns an item that the end of the input completes. Called until it returns `None`.
    ///
    /// # Errors
    /// The input is incomplete. The stream fails.
    fn finish(&mut self) -> Result<Option<Self::Item>, Error>;
}

/// The beginning of an incomplete frame.
#[derive(Clone, Debug, Default)]
struct PartialFrame(BytesMut);

impl PartialFrame {
    /// Returns the frame that ends after `count` bytes of `input`; it is not copied if it lies within `input`.
    fn complete(&mut self, input: &mut Bytes, count: usize) -> Bytes {
        if self.0.is_empty() {
            return input.split_to(count);
        }
        self.0.extend_from_slice(&input[..count]);
        input.advance(count);
        self.0.split().freeze()
    }

    /// Buffers all of `input`.
    fn keep(&mut self, input: &mut Bytes) {
        self.0.extend_from_slice(input);
        input.clear();
    }

    /// Returns the buffered bytes at the end of the input; `None` if there are none.
    fn take_rest(&mut self) -> Option<Bytes> {
        (!self.0.is_empty()).then(|| self.0.split().freeze())
    }
}

/// Checks the length of a frame.
///
/// # Errors
/// [`Error::FrameTooLong`] for more than `limit` bytes.
fn check_length(length: usize, limit: usize) -> Result<(), Error> {
    if length > limit {
        return Err(Error::FrameTooLong { length, limit });
    }
    Ok(())
}
