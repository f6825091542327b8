//! Response compression.

use std::rc::Rc;

use uptick_event_loop::spawn_blocking;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
};

use crate::content_coding::{Coding, negotiate};
use crate::vary::add_vary;
use crate::{
    Body, BodyStream, FileRange, HeaderValue, HttpError, IntoMiddleware, Method, Middleware, Next,
    Reply, Request, Response, StatusCode,
};

/// A middleware that compresses responses with a content coding that the client accepts: `gzip`, and with the features `brotli` and `zstd`
/// also these. Requires the feature `compression`.
///
/// It compresses bodies in memory and files whose type compresses well, such as text, JSON and SVG. Streams are sent unchanged, because
/// their content is not known in advance. A compressed response gets `Vary: Accept-Encoding`, and its strong `ETag` becomes weak. The same
/// headers are set on responses to HEAD, and on 304 and 206 responses for a file, which are not compressed themselves. The 304 and 206
/// responses of a handler get `Vary`, and the tag of such a 304 becomes weak if `If-None-Match` contains the weak tag. A response with
/// `Content-Encoding`, a digest or `Cache-Control: no-transform` is not changed.
///
/// Files are read and compressed on the pool of blocking jobs for every request. Compress frequently requested files once instead
/// ([`StaticFiles::precompressed`](crate::StaticFiles::precompressed)).
///
/// # Security
///
/// The length of a compressed page depends on its content. If a page contains both a secret and text from the request, an attacker who can
/// make the victim's browser request that page and can observe the lengths of the responses can recover the secret byte by byte, in spite
/// of TLS (BREACH). For this reason, responses are compressed only if this middleware is added. Add it to a group of routes whose responses
/// contain no secrets, or send pages with secrets, such as CSRF tokens, with `Cache-Control: no-transform`.
///
/// # Limits
///
/// Bodies of less than 1 KiB or more than 1 MiB are not compressed, because compression blocks the loop and takes memory;
/// [`min_size`](Self::min_size) and [`max_size`](Self::max_size) set these limits.
///
/// # Examples
///
/// ```
/// use uptick_http::{Compression, IntoMiddleware};
///
/// fn middleware<M>(_: impl IntoMiddleware<M>) {}
///
/// middleware(Compression::new().min_size(512));
/// ```
#[derive(Clone, Debug)]
pub struct Compression {
    min_size: usize,
    max_size: usize,
}

impl Default for Compression {
    fn default() -> Self {
        Self {
            min_size: 1024,
            max_size: 1 << 20,
        }
    }
}

impl Compression {
    /// Creates the middleware with the default limits.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the minimum size of bodies that are compressed, in bytes. Default: 1024.
    pub fn min_size(mut self, bytes: usize) -> Self {
        self.min_size = bytes;
        self
    }

    /// Sets the maximum size of bodies that are compressed, in bytes. Default: 1 MiB.
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.max_size = bytes;
        self
    }

    /// Compresses the response with the coding that the client prefers.
    fn apply(&self, preferences: &ClientPreferences, mut response: Response) -> Reply {
        let eligibility = self.eligibility(&response);
        if eligibility == Eligibility::No {
            return response.into();
        }
        add_vary(response.headers_mut(), "accept-encoding");
        let Some(coding) = preferences.coding else {
            return response.into();
        };
        let tag = response.get_bytes(&ETAG).and_then(weak_tag);
        let tag = tag.filter(|tag| eligibility == Eligibility::Yes || preferences.has_tag(tag));
        if let Some(tag) = &tag {
            response.headers_mut().insert(ETAG, tag.clone());
        }
        if is_partial(response.status()) {
            return response.into();
        }
        if let Some(bytes) = response.body().as_bytes() {
            return match coding.compress(bytes) {
                Ok(small) => with_encoded_body(response, coding, tag, small).into(),
                Err(error) => {
                    tracing::error!("compressing a response failed: {error}");
                    response.into()
                }
            };
        }
        if preferences.is_head {
            // The length is known only after the file has been compressed.
            let nothing = futures::stream::empty::<Result<Vec<u8>, std::io::Error>>();
            return with_encoded_body(response, coding, tag, BodyStream::new(nothing)).into();
        }
        let Some(range) = response.take_body().into_file() else {
            return response.into();
        };
        Reply::Later(Box::pin(async move {
            let job = spawn_blocking(move || compress_file(coding, range));
            Some(match job.await {
                Ok(Ok(small)) => with_encoded_body(response, coding, tag, small),
                Ok(Err(error)) => HttpError::internal(error).into(),
                Err(error) => HttpError::from(error).into(),
            })
        }))
    }

    /// Returns whether the complete representation is compressed for clients that accept it.
    fn eligibility(&self, response: &Response) -> Eligibility {
        let status = response.status();
        if status == StatusCode::NO_CONTENT || response.failure().is_some() {
            return Eligibility::No;
        }
        let digests = ["content-digest", "repr-digest", "digest", "content-md5"];
        let digested = digests.map(HeaderName::from_static);
        let has = |name: &HeaderName| response.get_bytes(name).is_some();
        let partial = is_partial(status);
        if has(&CONTENT_ENCODING) || (has(&CONTENT_RANGE) && !partial) {
            return Eligibility::No;
        }
        if digested.iter().any(has) || forbids_transform(response) {
            return Eligibility::No;
        }
        let (kind, length) = match response.selected().filter(|_| partial) {
            Some(whole) if whole.is_encoded => return Eligibility::No,
            Some(whole) => (Some(whole.content_type.as_bytes()), Some(whole.length)),
            None => {
                let body = response.body();
                let whole = body.as_bytes().is_some() || body.is_file();
                let length = body.len().filter(|_| whole && !partial);
                (response.get_bytes(&CONTENT_TYPE), length)
            }
        };
        match (kind, length) {
            (None, _) if status == StatusCode::NOT_MODIFIED => Eligibility::Unknown,
            (Some(kind), None) if partial && is_compressible(kind) => Eligibility::Unknown,
            (Some(kind), Some(length))
                if self.is_size_eligible(length) && is_compressible(kind) =>
            {
                Eligibility::Yes
            }
            _ => Eligibility::No,
        }
    }

    fn is_size_eligible(&self, length: u64) -> bool {
        let sizes = self.min_size as u64..=self.max_size as u64;
        length > 0 && sizes.contains(&length)
    }
}

/// The eligibility of a representation for compression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Eligibility {
    No,
    /// Unknown, because the response does not contain the complete representation.
    Unknown,
    Yes,
}

/// The headers of a request that the compression depends on.
struct ClientPreferences {
    coding: Option<Coding>,
    is_head: bool,
    /// The values of `If-None-Match`, concatenated.
    tags: Box<[u8]>,
}

impl ClientPreferences {
    fn of(request: &Request) -> ClientPreferences {
        let head = request.head();
        let tags: Vec<u8> = head.fields_of("if-none-match").flatten().copied().collect();
        ClientPreferences {
            coding: negotiate(head.fields_of("accept-encoding"), Coding::AVAILABLE),
            is_head: *request.method() == Method::HEAD,
            tags: tags.into(),
        }
    }

    /// Returns whether `If-None-Match` contains a tag.
    fn has_tag(&self, tag: &HeaderValue) -> bool {
        let tag = tag.as_bytes();
        !tag.is_empty() && self.tags.windows(tag.len()).any(|window| window == tag)
    }
}

impl IntoMiddleware<Compression> for Compression {
    fn into_middleware(self) -> Middleware {
        Rc::new(move |request: Request, next: Next| {
            let preferences = ClientPreferences::of(&request);
            match next.run(request) {
                Reply::Ready(response) => self.apply(&preferences, response),
                Reply::Later(future) => {
                    let this = self.clone();
                    Reply::Later(Box::pin(async move {
                        let response = future.await?;
                        this.apply(&preferences, response).await
                    }))
                }
                Reply::Detached => Reply::Detached,
            }
        })
    }
}

/// Returns `true` if a response with this status contains only a part of the representation, or none of it.
fn is_partial(status: StatusCode) -> bool {
    status == StatusCode::PARTIAL_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// Reads and compresses a part of a file. Blocks.
fn compress_file(coding: Coding, mut range: FileRange) -> std::io::Result<Vec<u8>> {
    let bytes = range.read(usize::MAX)?;
    coding.compress(&bytes)
}

/// Replaces the body of a response by a compressed one.
fn with_encoded_body(
    response: Response,
    coding: Coding,
    tag: Option<HeaderValue>,
    body: impl Into<Body>,
) -> Response {
    let mut response = response.with_body(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, coding.name());
    // Ranges would refer to the compressed bytes, which are not stored.
    headers.remove(ACCEPT_RANGES);
    if let Some(tag) = tag {
        headers.insert(ETAG, tag);
    }
    response
}

/// Returns whether the response has `Cache-Control: no-transform`.
fn forbids_transform(response: &Response) -> bool {
    let lines = response.get_all_bytes(&CACHE_CONTROL);
    lines
        .flat_map(|line| line.split(|b| *b == b','))
        .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Returns whether content of a type compresses well.
fn is_compressible(content_type: &[u8]) -> bool {
    let end = content_type.iter().position(|b| *b == b';');
    let essence = &content_type[..end.unwrap_or(content_type.len())];
    let essence = essence.trim_ascii().to_ascii_lowercase();
    let others: [&[u8]; 10] = [
        b"application/json",
        b"application/javascript",
        b"application/xml",
        b"application/wasm",
        b"application/x-ndjson",
        b"application/x-javascript",
        b"application/rtf",
        b"image/bmp",
        b"font/ttf",
        b"font/otf",
    ];
    essence.starts_with(b"text/")
        || essence.ends_with(b"+json")
        || essence.ends_with(b"+xml")
        || others.contains(&essence.as_slice())
}

/// Returns the weak form of a tag: the compressed bytes differ from the tagged ones (RFC 9110, section 8.8.3).
fn weak_tag(tag: &[u8]) -> Option<HeaderValue> {
    if tag.starts_with(b"W/") {
        return HeaderValue::from_bytes(tag).ok();
    }
    HeaderValue::from_bytes(&[b"W/", tag].concat()).ok()
}

#[cfg(test)]
mod tests;
