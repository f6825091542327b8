//! Decoders: bytes in, lines, frames or values out. They have no sockets, clocks or threads.
//!
//! A [`DecodedStream`](crate::DecodedStream) runs one over a stream; by themselves they work on anything that comes in chunks.

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

/// The default limit of a line or another frame, in bytes: 64 KiB.
pub const MAX_FRAME: usize = 64 * 1024;

/// Decodes a stream of bytes into items.
///
/// How the input is split into chunks makes no difference to the items.
///
/// # Examples
/// ```
/// use bytes::{Buf, Bytes};
/// use uptick_stream::Error;
/// use uptick_stream::decode::Decoder;
///
/// /// Numbers of one byte.
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

    /// Returns the next item and removes its bytes from `input`; what follows them stays there.
    ///
    /// Without an item, the decoder takes all of `input` and keeps what it needs of it.
    ///
    /// # Errors
    /// The input is not valid: the stream fails. Nothing more is decoded.
    fn decode(&mut self, input: &mut Bytes) -> Result<Option<Self::Item>, Error>;

    /// Returns what the end of the input completes. Called until it returns `None`.
    ///
    /// # Errors
    /// The input is not complete: the stream fails.
    fn finish(&mut self) -> Result<Option<Self::Item>, Error>;
}

/// The beginning of a frame that has not come whole.
#[derive(Clone, Debug, Default)]
struct Partial(BytesMut);

impl Partial {
    /// Returns the frame that ends behind the first `count` bytes of `input`; without a copy if it began there.
    fn complete(&mut self, input: &mut Bytes, count: usize) -> Bytes {
        if self.0.is_empty() {
            return input.split_to(count);
        }
        self.0.extend_from_slice(&input[..count]);
        input.advance(count);
        self.0.split().freeze()
    }

    /// Keeps all of `input`.
    fn keep(&mut self, input: &mut Bytes) {
        self.0.extend_from_slice(input);
        input.clear();
    }

    /// Returns what is left at the end of the input; `None` if there is nothing.
    fn rest(&mut self) -> Option<Bytes> {
        (!self.0.is_empty()).then(|| self.0.split().freeze())
    }
}

/// # Errors
/// [`Error::FrameTooLong`] for more than `limit` bytes.
fn check_length(length: usize, limit: usize) -> Result<(), Error> {
    if length > limit {
        return Err(Error::FrameTooLong { length, limit });
    }
    Ok(())
}
