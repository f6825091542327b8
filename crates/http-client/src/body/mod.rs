//! Bodies of requests: bytes, streams, files, forms and JSON.

mod form;
mod multipart;
#[cfg(test)]
mod tests;

use std::error::Error as StdError;
use std::fmt::{self, Debug, Formatter};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use futures::stream::{self, Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue};
use serde::Serialize;
use uptick_event_loop::spawn_blocking;

use crate::error::{Error, ErrorKind};
use crate::transport::OutgoingBody;

pub(crate) use form::encode_pairs;
pub use multipart::MultipartForm;

/// Number of bytes read from a file at a time.
const FILE_PIECE: u64 = 64 * 1024;

type BoxError = Box<dyn StdError + Send + Sync>;

/// The pieces of a body as they are sent.
pub(crate) type Pieces = Pin<Box<dyn Stream<Item = Result<Bytes, BoxError>>>>;

/// The body of a request. The default is no body.
///
/// A body of bytes is sent with its length. A stream is sent with the transfer coding `chunked`, or, if
/// [`with_length`](RequestBody::with_length) sets its length, with `Content-Length`. Pieces of a stream are requested as the server accepts them.
///
/// # Examples
///
/// ```
/// use futures::stream;
/// use uptick_http_client::RequestBody;
///
/// let text = RequestBody::from("hello");
/// let pieces = ["one", "two"].map(Ok::<_, std::io::Error>);
/// let stream = RequestBody::stream(stream::iter(pieces)).with_length(6);
/// # let _ = (text, stream);
/// ```
#[derive(Default)]
pub struct RequestBody {
    content: Content,
    length: Option<u64>,
    content_type: Option<HeaderValue>,
    trailers: Option<Rc<dyn Fn() -> HeaderMap>>,
}

#[derive(Default)]
enum Content {
    #[default]
    Empty,
    Bytes(Bytes),
    /// A stream that can be sent once; `None` if it was sent.
    Once(Option<Pieces>),
    Repeatable(Rc<dyn Fn() -> Pieces>),
}

impl RequestBody {
    fn of(content: Content) -> RequestBody {
        RequestBody {
            content,
            ..RequestBody::default()
        }
    }

    /// Creates a body from a stream of pieces. It can be sent only once: such a request is neither retried nor sent again to the target of a
    /// redirect that keeps the body.
    pub fn stream<S, B, E>(stream: S) -> RequestBody
    where
        S: Stream<Item = Result<B, E>> + 'static,
        B: Into<Bytes> + 'static,
        E: Into<BoxError> + 'static,
    {
        RequestBody::of(Content::Once(Some(boxed(stream))))
    }

    /// Creates a body from a function that returns the stream of its pieces. It is called once for each time that the body is sent: again for a
    /// retry, and for redirects with status 307 and 308.
    ///
    /// # Examples
    ///
    /// ```
    /// use futures::stream;
    /// use uptick_http_client::RequestBody;
    ///
    /// let zeros = || stream::repeat_with(|| Ok::<_, std::io::Error>(&[b'0'; 1000][..]));
    /// let body = RequestBody::repeatable(move || futures::StreamExt::take(zeros(), 1000)).with_length(1_000_000);
    /// # let _ = body;
    /// ```
    pub fn repeatable<F, S, B, E>(make: F) -> RequestBody
    where
        F: Fn() -> S + 'static,
        S: Stream<Item = Result<B, E>> + 'static,
        B: Into<Bytes> + 'static,
        E: Into<BoxError> + 'static,
    {
        RequestBody::of(Content::Repeatable(Rc::new(move || boxed(make()))))
    }

    /// Creates a body from a file. The file is opened now, and read in other threads while the body is sent.
    ///
    /// # Errors
    ///
    /// The error of opening the file, or of reading its length.
    pub fn file(path: impl AsRef<Path>) -> io::Result<RequestBody> {
        let file = File::open(path)?;
        let length = file.metadata()?.len();
        Ok(RequestBody::file_range(file, 0, length))
    }

    /// Creates a body from `length` bytes of a regular file from `offset` on. The request fails if the file is shorter. The position of the file is
    /// neither used nor moved.
    pub fn file_range(file: impl Into<File>, offset: u64, length: u64) -> RequestBody {
        let file = Arc::new(file.into());
        RequestBody::repeatable(move || file_pieces(file.clone(), offset, length))
            .with_length(length)
    }

    /// Creates a body from a value in JSON, with the content type `application/json`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] if the value cannot be serialized.
    pub fn json<T: Serialize + ?Sized>(value: &T) -> Result<RequestBody, Error> {
        let text = serde_json::to_vec(value).map_err(|error| {
            let reason = format!("serializing the body as JSON failed: {error}");
            Error::new(ErrorKind::InvalidRequest, reason)
        })?;
        Ok(RequestBody::from(text).with_content_type(HeaderValue::from_static("application/json")))
    }

    /// Creates a body from a URL-encoded form, with the content type `application/x-www-form-urlencoded`.
    ///
    /// The value is a struct, a map or a sequence of pairs. Values are strings, numbers, booleans and unit variants; `None` is left out, and a
    /// sequence repeats the name.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidRequest`] if the value has another form.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_http_client::RequestBody;
    ///
    /// let body = RequestBody::form(&[("name", "Ada"), ("language", "en")])?;
    /// # let _ = body;
    /// # Ok::<(), uptick_http_client::Error>(())
    /// ```
    pub fn form<T: Serialize + ?Sized>(value: &T) -> Result<RequestBody, Error> {
        let text = encode_pairs(value)?;
        let content_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        Ok(RequestBody::from(text).with_content_type(content_type))
    }

    /// Sets the length of a stream. A stream of another length is an error, and its connection is closed.
    ///
    /// Default: unknown, sent with the transfer coding `chunked`.
    pub fn with_length(mut self, length: u64) -> RequestBody {
        self.length = Some(length);
        self
    }

    /// Sets a function that returns the trailers. It is called after the last piece of the body. A body with trailers is sent without its length.
    ///
    /// Default: no trailers.
    pub fn with_trailers(mut self, trailers: impl Fn() -> HeaderMap + 'static) -> RequestBody {
        self.trailers = Some(Rc::new(trailers));
        self
    }

    /// Sets the content type of requests that have no header `Content-Type`.
    ///
    /// Default: none.
    pub fn with_content_type(mut self, content_type: HeaderValue) -> RequestBody {
        self.content_type = Some(content_type);
        self
    }

    /// Returns the content type of requests that have no own one.
    pub(crate) fn content_type(&self) -> Option<&HeaderValue> {
        self.content_type.as_ref()
    }

    /// Returns `true` if there is no body, as opposed to a body without bytes.
    pub(crate) fn is_none(&self) -> bool {
        matches!(self.content, Content::Empty) && self.trailers.is_none()
    }

    /// Returns the framing of the body and, if it is in memory, its bytes.
    pub(crate) fn outgoing(&self) -> OutgoingBody {
        if self.trailers.is_some() {
            return OutgoingBody::Stream;
        }
        match (&self.content, self.length) {
            (Content::Empty, _) => OutgoingBody::Empty,
            (Content::Bytes(bytes), _) => OutgoingBody::Bytes(bytes.clone()),
            (_, Some(length)) => OutgoingBody::Sized(length),
            (_, None) => OutgoingBody::Stream,
        }
    }

    /// Returns the length of the body, if it is known.
    pub(crate) fn length(&self) -> Option<u64> {
        match &self.content {
            Content::Empty => Some(0),
            Content::Bytes(bytes) => Some(bytes.len() as u64),
            _ => self.length,
        }
    }

    /// Returns `true` if the body can be sent more than once.
    pub(crate) fn is_repeatable(&self) -> bool {
        !matches!(self.content, Content::Once(_))
    }

    /// Returns the pieces of the body; `None` if it can be sent only once and was already sent.
    pub(crate) fn open(&mut self) -> Option<Pieces> {
        match &mut self.content {
            Content::Empty => Some(stream::empty().boxed_local()),
            Content::Bytes(bytes) => {
                let bytes = bytes.clone();
                Some(stream::once(async { Ok(bytes) }).boxed_local())
            }
            Content::Once(pieces) => pieces.take(),
            Content::Repeatable(make) => Some(make()),
        }
    }

    /// Returns the function that creates the trailers, which is called after the last piece of the body.
    pub(crate) fn trailers(&self) -> Option<Rc<dyn Fn() -> HeaderMap>> {
        self.trailers.clone()
    }
}

fn boxed<S, B, E>(stream: S) -> Pieces
where
    S: Stream<Item = Result<B, E>> + 'static,
    B: Into<Bytes> + 'static,
    E: Into<BoxError> + 'static,
{
    stream
        .map(|piece| piece.map(Into::into).map_err(Into::into))
        .boxed_local()
}

fn file_pieces(file: Arc<File>, offset: u64, length: u64) -> impl Stream<Item = io::Result<Bytes>> {
    let end = offset.saturating_add(length);
    stream::try_unfold(offset, move |position| {
        let file = file.clone();
        async move {
            let count = FILE_PIECE.min(end - position);
            if count == 0 {
                return Ok(None);
            }
            let job = spawn_blocking(move || {
                let mut piece = vec![0; count as usize];
                file.read_exact_at(&mut piece, position)
                    .map(|()| Bytes::from(piece))
            });
            let piece = job.await.map_err(io::Error::other)??;
            Ok(Some((piece, position + count)))
        }
    })
}

impl Debug for RequestBody {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBody")
            .field("length", &self.length())
            .field("is_repeatable", &self.is_repeatable())
            .field("content_type", &self.content_type)
            .field("has_trailers", &self.trailers.is_some())
            .finish()
    }
}

macro_rules! from_bytes {
    ($($type:ty),*) => {$(
        impl From<$type> for RequestBody {
            fn from(bytes: $type) -> RequestBody {
                RequestBody::of(Content::Bytes(bytes.into()))
            }
        }
    )*};
}

from_bytes!(
    Bytes,
    Vec<u8>,
    String,
    &'static str,
    &'static [u8],
    Box<[u8]>
);

impl From<()> for RequestBody {
    fn from((): ()) -> RequestBody {
        RequestBody::default()
    }
}
