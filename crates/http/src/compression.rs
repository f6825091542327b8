//! Responses compressed as the client asks for.

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

/// A middleware that compresses responses as the client asks for: by `gzip`, and with the features `brotli` and
/// `zstd` by those. Needs the feature `compression`.
///
/// It compresses bodies in memory and files whose type gets smaller, such as text, JSON and SVG; streams stay as they
/// are, since nothing is known of them. Such a response gets `Vary: Accept-Encoding`, and its strong `ETag` becomes a
/// weak one; so it is for HEAD, and for the 304 and the parts (206) of a file, which are not compressed themselves. The 304 and the 206
/// of a handler get `Vary`, and the tag of such a 304 is a weak one if `If-None-Match` has it as that. A response with
/// `Content-Encoding`, a digest or `Cache-Control: no-transform` is left alone.
///
/// Files are read and compressed on the pool of blocking jobs, anew for each request: those that are asked for often
/// are better compressed once ([`StaticFiles::precompressed`](crate::StaticFiles::precompressed)).
///
/// # Security
///
/// The length of a compressed page tells of its content: whoever can have a victim's browser ask for a page in which
/// there is a secret as well as something that the asker chooses, and can watch the lengths, finds the secret out
/// letter by letter, in spite of TLS (BREACH). That is why nothing is compressed unless this middleware is there. Put
/// it around the routes without secrets in them by a group, or have pages with secrets, such as tokens against
/// cross-site requests, say `Cache-Control: no-transform`.
///
/// # Limits
///
/// A body of less than 1 KiB is sent as it is, and one of more than 1 MiB, since compressing keeps the loop from other work and
/// takes memory; [`min_size`](Self::min_size) and [`max_size`](Self::max_size) set that.
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
    /// Compression as it is by default.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets how many bytes a body has to have at least. Default: 1024.
    pub fn min_size(mut self, bytes: usize) -> Self {
        self.min_size = bytes;
        self
    }

    /// Sets how many bytes a body may have at most. Default: 1 MiB.
    pub fn max_size(mut self, bytes: usize) -> Self {
        self.max_size = bytes;
        self
    }

    /// Compresses the response as the client prefers it.
    fn apply(&self, preferences: &Preferences, mut response: Response) -> Reply {
        let fit = self.fit(&response);
        if fit == Fit::No {
            return response.into();
        }
        add_vary(response.headers_mut(), "accept-encoding");
        let Some(coding) = preferences.coding else {
            return response.into();
        };
        let tag = response.get_bytes(&ETAG).and_then(weak);
        let tag = tag.filter(|tag| fit == Fit::Yes || preferences.knows(tag));
        if let Some(tag) = &tag {
            response.headers_mut().insert(ETAG, tag.clone());
        }
        if is_partial(response.status()) {
            return response.into();
        }
        if let Some(bytes) = response.body().as_bytes() {
            return match coding.compress(bytes) {
                Ok(small) => encoded(response, coding, tag, small).into(),
                Err(error) => {
                    tracing::error!("compressing a response failed: {error}");
                    response.into()
                }
            };
        }
        if preferences.is_head {
            // The length is not known before the file is compressed.
            let nothing = futures::stream::empty::<Result<Vec<u8>, std::io::Error>>();
            return encoded(response, coding, tag, BodyStream::new(nothing)).into();
        }
        let Some(range) = response.take_body().into_file() else {
            return response.into();
        };
        Reply::Later(Box::pin(async move {
            let job = spawn_blocking(move || compress_file(coding, range));
            Some(match job.await {
                Ok(Ok(small)) => encoded(response, coding, tag, small),
                Ok(Err(error)) => HttpError::internal(error).into(),
                Err(error) => HttpError::from(error).into(),
            })
        }))
    }

    /// Whether the whole representation is one that is compressed.
    fn fit(&self, response: &Response) -> Fit {
        let status = response.status();
        if status == StatusCode::NO_CONTENT || response.failure().is_some() {
            return Fit::No;
        }
        let digests = ["content-digest", "repr-digest", "digest", "content-md5"];
        let digested = digests.map(HeaderName::from_static);
        let has = |name: &HeaderName| response.get_bytes(name).is_some();
        let partial = is_partial(status);
        if has(&CONTENT_ENCODING) || (has(&CONTENT_RANGE) && !partial) {
            return Fit::No;
        }
        if digested.iter().any(has) || forbids(response) {
            return Fit::No;
        }
        let (kind, length) = match response.selected().filter(|_| partial) {
            Some(whole) if whole.is_encoded => return Fit::No,
            Some(whole) => (Some(whole.content_type.as_bytes()), Some(whole.length)),
            None => {
                let body = response.body();
                let whole = body.as_bytes().is_some() || body.is_file();
                let length = body.len().filter(|_| whole && !partial);
                (response.get_bytes(&CONTENT_TYPE), length)
            }
        };
        match (kind, length) {
            (None, _) if status == StatusCode::NOT_MODIFIED => Fit::Unknown,
            (Some(kind), None) if partial && gets_smaller(kind) => Fit::Unknown,
            (Some(kind), Some(length)) if self.takes(length) && gets_smaller(kind) => Fit::Yes,
            _ => Fit::No,
        }
    }

    fn takes(&self, length: u64) -> bool {
        let sizes = self.min_size as u64..=self.max_size as u64;
        length > 0 && sizes.contains(&length)
    }
}

/// Whether a representation is one that is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fit {
    No,
    /// Unknown, because the response does not have the whole representation.
    Unknown,
    Yes,
}

/// The preferences of a client, and what it has.
struct Preferences {
    coding: Option<Coding>,
    is_head: bool,
    /// The entity tags that the client has, as they were sent.
    tags: Box<[u8]>,
}

impl Preferences {
    fn of(request: &Request) -> Preferences {
        let head = request.head();
        let tags: Vec<u8> = head.fields_of("if-none-match").flatten().copied().collect();
        Preferences {
            coding: negotiate(head.fields_of("accept-encoding"), Coding::BUILT),
            is_head: *request.method() == Method::HEAD,
            tags: tags.into(),
        }
    }

    /// Whether the client has a tag.
    fn knows(&self, tag: &HeaderValue) -> bool {
        let tag = tag.as_bytes();
        !tag.is_empty() && self.tags.windows(tag.len()).any(|window| window == tag)
    }
}

impl IntoMiddleware<Compression> for Compression {
    fn into_middleware(self) -> Middleware {
        Rc::new(move |request: Request, next: Next| {
            let preferences = Preferences::of(&request);
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

/// Whether a response with this status has a part of the representation, or nothing of it.
fn is_partial(status: StatusCode) -> bool {
    status == StatusCode::PARTIAL_CONTENT || status == StatusCode::NOT_MODIFIED
}

/// Reads and compresses a part of a file; this blocks.
fn compress_file(coding: Coding, mut range: FileRange) -> std::io::Result<Vec<u8>> {
    let bytes = range.read(usize::MAX)?;
    coding.compress(&bytes)
}

/// The response with a compressed body.
fn encoded(
    response: Response,
    coding: Coding,
    tag: Option<HeaderValue>,
    body: impl Into<Body>,
) -> Response {
    let mut response = response.with_body(body);
    let headers = response.headers_mut();
    headers.insert(CONTENT_ENCODING, coding.name());
    // Ranges would be those of the compressed bytes, which are not kept.
    headers.remove(ACCEPT_RANGES);
    if let Some(tag) = tag {
        headers.insert(ETAG, tag);
    }
    response
}

/// Whether the response says that it is not to be changed on its way.
fn forbids(response: &Response) -> bool {
    let lines = response.get_all_bytes(&CACHE_CONTROL);
    lines
        .flat_map(|line| line.split(|b| *b == b','))
        .any(|directive| directive.trim_ascii().eq_ignore_ascii_case(b"no-transform"))
}

/// Whether compressing content of a type is worth the while.
fn gets_smaller(content_type: &[u8]) -> bool {
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

/// The tag as a weak one: the compressed bytes are not those that it was made for. (RFC 9110 section 8.8.3)
fn weak(tag: &[u8]) -> Option<HeaderValue> {
    if tag.starts_with(b"W/") {
        return HeaderValue::from_bytes(tag).ok();
    }
    HeaderValue::from_bytes(&[b"W/", tag].concat()).ok()
}

#[cfg(test)]
mod tests;
