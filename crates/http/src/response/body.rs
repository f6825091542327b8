//! The body of a response.

use std::error::Error as StdError;
use std::fmt;
use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures::Stream;
use futures::stream::{StreamExt as _, TryStreamExt as _};
use uptick_event_loop::Id;
use uptick_stream::FileRange;

use super::file;
use crate::{HeaderMap, Upgrade};

/// The body of a response.
#[derive(Debug, Default)]
#[non_exhaustive]
pub enum Body {
    /// No body.
    #[default]
    Empty,
    /// Bytes in static memory.
    Static(&'static [u8]),
    /// Bytes in memory.
    Bytes(Bytes),
    /// A range of a file. On Linux, the kernel sends it directly to clients without TLS; otherwise it is sent like [`BodyStream::file`].
    File(FileRange),
    /// A stream of pieces.
    Stream(BodyStream),
    /// No body: another protocol follows.
    Upgrade(Upgrade),
}

pub(crate) type Pieces =
    Pin<Box<dyn Stream<Item = Result<Bytes, Box<dyn StdError + Send + Sync>>>>>;

/// A streamed body. The stream is polled at the client's speed.
///
/// If the stream yields an error, the connection is aborted, so that the client detects the incomplete body.
pub struct BodyStream {
    source: StreamSource,
    /// Total size in bytes, if it is known.
    pub(crate) length: Option<u64>,
}

/// A callback that ends an endless body, such as an event stream, when the server shuts down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EarlyEnd {
    stream: Option<Id>,
    end: fn(Option<Id>, Option<Duration>),
}

impl EarlyEnd {
    /// Creates the handle; `end` is called with `stream` and the reconnection delay for the client.
    pub(crate) fn new(stream: Option<Id>, end: fn(Option<Id>, Option<Duration>)) -> Self {
        EarlyEnd { stream, end }
    }

    /// Ends the body.
    pub(crate) fn end(self, reconnect_after: Option<Duration>) {
        (self.end)(self.stream, reconnect_after);
    }
}

/// A function that creates the trailers after the last piece.
pub(crate) type MakeTrailers = Box<dyn FnOnce() -> HeaderMap>;

/// The source of the pieces.
enum StreamSource {
    Pieces(Pieces),
    File(FileRange),
    WithTrailers(Box<(Pieces, MakeTrailers)>),
    Endless(Box<(Pieces, EarlyEnd)>),
}

impl BodyStream {
    /// Creates a body from a stream of pieces.
    pub fn new<S, B, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + 'static,
        B: Into<Bytes>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let pieces = stream.map(|piece| piece.map(Into::into).map_err(Into::into));
        Self {
            source: StreamSource::Pieces(Box::pin(pieces)),
            length: None,
        }
    }

    /// Creates a body from a range of a file, which is read by the pool of blocking jobs at the client's speed.
    ///
    /// Use this for files on slow disks, and if the bytes are transformed before they are sent. A [`FileRange`] used as a [`Body`] is
    /// sent by the kernel if possible, and otherwise like this.
    ///
    /// If the file grows in the meantime, only the announced range is sent. If it shrinks, the body fails.
    ///
    /// # Limits
    /// 64 KiB are read at a time.
    pub fn file(range: FileRange) -> Self {
        BodyStream {
            length: Some(range.len()),
            source: StreamSource::File(range),
        }
    }

    /// Sets the function that creates the trailers, which is called after the last piece. The response can announce their names in
    /// `Trailer`.
    ///
    /// HTTP/2 clients always get them. HTTP/1 clients do only if they accept trailers (`TE: trailers`) and the body is chunked: not for
    /// HTTP/1.0, and not after a body with a [length](BodyStream::with_length). Default: none.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{BodyStream, HeaderMap, HeaderValue, HttpServer, Response};
    ///
    /// let http = HttpServer::new();
    /// http.get("/report", |_| {
    ///     let pieces = futures::stream::iter(["one\n", "two\n"].map(Ok::<_, std::io::Error>));
    ///     let body = BodyStream::new(pieces).with_trailers(|| {
    ///         let mut trailers = HeaderMap::new();
    ///         trailers.insert("x-lines", HeaderValue::from_static("2"));
    ///         trailers
    ///     });
    ///     Response::plain(body).header("trailer", "x-lines")
    /// });
    /// ```
    pub fn with_trailers(self, trailers: impl FnOnce() -> HeaderMap + 'static) -> Self {
        let length = self.length;
        let (pieces, _) = self.into_parts();
        Self {
            source: StreamSource::WithTrailers(Box::new((pieces, Box::new(trailers)))),
            length,
        }
    }

    /// Sets the total number of bytes, which becomes the `Content-Length`.
    ///
    /// If the stream yields more or fewer bytes, the connection is aborted. Default: unknown.
    pub fn with_length(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    /// Creates an endless body.
    pub(crate) fn endless(pieces: Pieces, early_end: EarlyEnd) -> Self {
        BodyStream {
            source: StreamSource::Endless(Box::new((pieces, early_end))),
            length: None,
        }
    }

    /// Returns the handle that ends an endless body.
    pub(crate) fn early_end(&self) -> Option<EarlyEnd> {
        match &self.source {
            StreamSource::Endless(both) => Some(both.1),
            _ => None,
        }
    }

    /// Returns the pieces, and the function that creates the trailers.
    pub(crate) fn into_parts(self) -> (Pieces, Option<MakeTrailers>) {
        match self.source {
            StreamSource::Pieces(pieces) => (pieces, None),
            StreamSource::File(range) => (Box::pin(file::pieces(range).map_err(Into::into)), None),
            StreamSource::WithTrailers(both) => (both.0, Some(both.1)),
            StreamSource::Endless(both) => (both.0, None),
        }
    }
}

impl fmt::Debug for BodyStream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("BodyStream")
            .field("length", &self.length)
            .finish_non_exhaustive()
    }
}

impl Body {
    /// Returns the size of the body in bytes, if it is known in advance.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::Empty | Self::Upgrade(_) => Some(0),
            Self::Static(bytes) => Some(bytes.len() as u64),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File(range) => Some(range.len()),
            Self::Stream(stream) => stream.length,
        }
    }

    /// Returns `true` if the body is known to be empty.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// Returns the file range of the body, if it is one.
    #[cfg(feature = "compression")]
    pub(crate) fn into_file(self) -> Option<FileRange> {
        match self {
            Self::File(range) => Some(range),
            Self::Stream(BodyStream {
                source: StreamSource::File(range),
                ..
            }) => Some(range),
            _ => None,
        }
    }

    /// Returns `true` if the body is a file range.
    #[cfg(feature = "compression")]
    pub(crate) fn is_file(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Stream(stream) => matches!(stream.source, StreamSource::File(_)),
            _ => false,
        }
    }

    /// Returns the bytes of a body in memory; empty for every other body.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Static(bytes) => Bytes::from_static(bytes),
            Self::Bytes(bytes) => bytes,
            _ => Bytes::new(),
        }
    }

    /// Returns the bytes, if the body is in memory.
    #[inline]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Empty | Self::Upgrade(_) => Some(&[]),
            Self::Static(bytes) => Some(bytes),
            Self::Bytes(bytes) => Some(bytes),
            Self::File(_) | Self::Stream(_) => None,
        }
    }
}

impl From<&'static str> for Body {
    fn from(text: &'static str) -> Self {
        Self::from(text.as_bytes())
    }
}

impl From<&'static [u8]> for Body {
    fn from(bytes: &'static [u8]) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Static(bytes)
        }
    }
}

impl<const N: usize> From<&'static [u8; N]> for Body {
    fn from(bytes: &'static [u8; N]) -> Self {
        Self::from(bytes.as_slice())
    }
}

impl From<Bytes> for Body {
    fn from(bytes: Bytes) -> Self {
        if bytes.is_empty() {
            Self::Empty
        } else {
            Self::Bytes(bytes)
        }
    }
}

impl From<String> for Body {
    fn from(text: String) -> Self {
        Self::from(Bytes::from(text))
    }
}

impl From<Vec<u8>> for Body {
    fn from(bytes: Vec<u8>) -> Self {
        Self::from(Bytes::from(bytes))
    }
}

impl From<BodyStream> for Body {
    fn from(stream: BodyStream) -> Self {
        Self::Stream(stream)
    }
}

impl From<FileRange> for Body {
    fn from(range: FileRange) -> Self {
        if range.is_empty() {
            Self::Empty
        } else {
            Self::File(range)
        }
    }
}
