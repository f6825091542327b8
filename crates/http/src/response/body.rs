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
    /// Bytes that are part of the program.
    Static(&'static [u8]),
    /// Bytes in memory.
    Bytes(Bytes),
    /// A part of a file. The kernel sends it to clients without TLS on Linux; to others it is sent as
    /// [`BodyStream::file`].
    File(FileRange),
    /// Pieces that come one by one.
    Stream(BodyStream),
    /// None: another protocol follows.
    Upgrade(Upgrade),
}

pub(crate) type Pieces =
    Pin<Box<dyn Stream<Item = Result<Bytes, Box<dyn StdError + Send + Sync>>>>>;

/// A body that comes in pieces, polled as fast as the client takes them.
///
/// When a piece is an error, the connection is cut, so that the client cannot take a part for the whole.
pub struct BodyStream {
    source: Source,
    /// How many bytes they are together, if that is known.
    pub(crate) length: Option<u64>,
}

/// Ends a body that has no end of its own, such as a stream of events, when the server shuts down.
#[derive(Clone, Copy, Debug)]
pub(crate) struct EarlyEnd {
    stream: Option<Id>,
    end: fn(Option<Id>, Option<Duration>),
}

impl EarlyEnd {
    /// Creates one that calls `end` with `stream`, and the time after which the client is to reconnect.
    pub(crate) fn new(stream: Option<Id>, end: fn(Option<Id>, Option<Duration>)) -> Self {
        EarlyEnd { stream, end }
    }

    /// Ends the body.
    pub(crate) fn end(self, reconnect_after: Option<Duration>) {
        (self.end)(self.stream, reconnect_after);
    }
}

/// Makes the trailers when the pieces are over.
pub(crate) type MakeTrailers = Box<dyn FnOnce() -> HeaderMap>;

/// Where the pieces come from.
enum Source {
    Pieces(Pieces),
    File(FileRange),
    WithTrailers(Box<(Pieces, MakeTrailers)>),
    Endless(Box<(Pieces, EarlyEnd)>),
}

impl BodyStream {
    /// A body of the pieces of a stream.
    pub fn new<S, B, E>(stream: S) -> Self
    where
        S: Stream<Item = Result<B, E>> + 'static,
        B: Into<Bytes>,
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        let pieces = stream.map(|piece| piece.map(Into::into).map_err(Into::into));
        Self {
            source: Source::Pieces(Box::pin(pieces)),
            length: None,
        }
    }

    /// A part of a file, read on the pool of blocking jobs as fast as the client takes it.
    ///
    /// For files on slow disks, and for those whose bytes are changed on their way: a [`FileRange`] that is a [`Body`] itself
    /// is sent by the kernel where that is possible, and else by this.
    ///
    /// Of a file that grows meanwhile, only the part that was announced is sent. One that becomes shorter is an error.
    ///
    /// # Limits
    /// 64 KiB are read at once.
    pub fn file(range: FileRange) -> Self {
        BodyStream {
            length: Some(range.len()),
            source: Source::File(range),
        }
    }

    /// Sets the function that makes the trailers, which is called when the pieces are over. The response can announce their names in
    /// `Trailer`.
    ///
    /// They are sent where the client accepts them (`TE: trailers`) and the body is chunked: not to HTTP/1.0, nor behind a body with a
    /// [length](BodyStream::with_length). Default: none.
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
            source: Source::WithTrailers(Box::new((pieces, Box::new(trailers)))),
            length,
        }
    }

    /// The same body with the number of its bytes, which becomes the Content-Length.
    ///
    /// If the pieces are more or fewer, the connection is cut. Default: unknown.
    pub fn with_length(mut self, length: u64) -> Self {
        self.length = Some(length);
        self
    }

    /// A body of pieces that has no end of its own.
    pub(crate) fn endless(pieces: Pieces, early_end: EarlyEnd) -> Self {
        BodyStream {
            source: Source::Endless(Box::new((pieces, early_end))),
            length: None,
        }
    }

    /// Returns what ends a body that has no end of its own.
    pub(crate) fn early_end(&self) -> Option<EarlyEnd> {
        match &self.source {
            Source::Endless(both) => Some(both.1),
            _ => None,
        }
    }

    /// Returns the pieces, and the function that makes the trailers.
    pub(crate) fn into_parts(self) -> (Pieces, Option<MakeTrailers>) {
        match self.source {
            Source::Pieces(pieces) => (pieces, None),
            Source::File(range) => (Box::pin(file::pieces(range).map_err(Into::into)), None),
            Source::WithTrailers(both) => (both.0, Some(both.1)),
            Source::Endless(both) => (both.0, None),
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
    /// How many bytes the body has, if that is known beforehand.
    pub fn len(&self) -> Option<u64> {
        match self {
            Self::Empty | Self::Upgrade(_) => Some(0),
            Self::Static(bytes) => Some(bytes.len() as u64),
            Self::Bytes(bytes) => Some(bytes.len() as u64),
            Self::File(range) => Some(range.len()),
            Self::Stream(stream) => stream.length,
        }
    }

    /// Whether it is known that there are no bytes.
    pub fn is_empty(&self) -> bool {
        self.len() == Some(0)
    }

    /// The part of a file that the body is, if it is one.
    #[cfg(feature = "compression")]
    pub(crate) fn into_file(self) -> Option<FileRange> {
        match self {
            Self::File(range) => Some(range),
            Self::Stream(BodyStream {
                source: Source::File(range),
                ..
            }) => Some(range),
            _ => None,
        }
    }

    /// Whether the body is a part of a file.
    #[cfg(feature = "compression")]
    pub(crate) fn is_file(&self) -> bool {
        match self {
            Self::File(_) => true,
            Self::Stream(stream) => matches!(stream.source, Source::File(_)),
            _ => false,
        }
    }

    /// Returns the bytes of a body in memory; those of another one are none.
    pub(crate) fn into_bytes(self) -> Bytes {
        match self {
            Self::Static(bytes) => Bytes::from_static(bytes),
            Self::Bytes(bytes) => bytes,
            _ => Bytes::new(),
        }
    }

    /// The bytes, if the body is in memory.
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
