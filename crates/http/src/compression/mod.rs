//! Responses compressed as the client asks for.

mod coding;
mod negotiate;

pub use coding::Coding;

use std::rc::Rc;

use http::header::{
    ACCEPT_RANGES, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_RANGE, CONTENT_TYPE, ETAG, HeaderName,
    VARY,
};

use crate::{Body, HeaderValue, IntoMiddleware, Middleware, Next, Request, Response, StatusCode};
use negotiate::negotiate;

/// A middleware that compresses responses as the client asks for: by `gzip`, and with the features `brotli` and
/// `zstd` by those.
///
/// It compresses what is in memory and of a type that gets smaller, such as text, JSON and SVG; streams stay as they
/// are, since nothing is known of them. Such a response gets `Vary: Accept-Encoding`, and its strong `ETag` becomes a
/// weak one. A response with `Content-Encoding`, `Content-Range`, a digest or `Cache-Control: no-transform` is left
/// alone.
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
/// A body of more than 1 MiB is sent as it is, since compressing keeps the loop from other work;
/// [`max_size`](Self::max_size) sets that.
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

/// Marks [`Compression`] as a middleware.
#[derive(Debug)]
pub enum Compressing {}

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

    /// The response, compressed by `coding` if there is one and the response is fit for it.
    fn apply(&self, coding: Option<Coding>, mut response: Response) -> Response {
        if !self.fits(&response) {
            return response;
        }
        vary(&mut response);
        let (Some(coding), Some(bytes)) = (coding, response.body().as_bytes()) else {
            return response;
        };
        let small = match coding.compress(bytes) {
            Ok(small) if small.len() < bytes.len() => small,
            Ok(_) => return response,
            Err(error) => {
                tracing::error!("compressing a response failed: {error}");
                return response;
            }
        };
        let tag = response.get_bytes(&ETAG).map(weak);
        response = response.with_body(Body::from(small));
        let headers = response.headers_mut();
        headers.insert(CONTENT_ENCODING, coding.name());
        // Ranges would be those of the compressed bytes, which nobody keeps.
        headers.remove(ACCEPT_RANGES);
        if let Some(Some(tag)) = tag {
            headers.insert(ETAG, tag);
        }
        response
    }

    fn fits(&self, response: &Response) -> bool {
        let status = response.status();
        let has_body = !matches!(
            status,
            StatusCode::NO_CONTENT | StatusCode::PARTIAL_CONTENT | StatusCode::NOT_MODIFIED
        );
        let size = response.body().as_bytes().map_or(0, <[u8]>::len);
        let sized = size > 0 && (self.min_size..=self.max_size).contains(&size);
        if !has_body || !sized || response.failure().is_some() {
            return false;
        }
        let digests = ["content-digest", "repr-digest", "digest", "content-md5"];
        let digested = digests.map(HeaderName::from_static);
        let untouchable = [CONTENT_ENCODING, CONTENT_RANGE];
        let mut names = untouchable.iter().chain(&digested);
        !names.any(|name| response.get_bytes(name).is_some())
            && !forbids(response)
            && response.get_bytes(&CONTENT_TYPE).is_some_and(gets_smaller)
    }
}

impl IntoMiddleware<Compressing> for Compression {
    fn into_middleware(self) -> Middleware {
        Rc::new(move |request: Request, next: Next| {
            let accept = request.header("accept-encoding");
            let coding = accept.and_then(|accept| negotiate(accept, Coding::BUILT));
            let this = self.clone();
            next.run(request)
                .map(move |response| this.apply(coding, response))
        })
    }
}

/// Whether the response says that it is not to be changed on its way.
fn forbids(response: &Response) -> bool {
    let control = response.get_bytes(&CACHE_CONTROL).unwrap_or_default();
    control
        .split(|b| *b == b',')
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

/// Has caches keep the response for clients who ask for the same codings only.
fn vary(response: &mut Response) {
    let headers = response.headers_mut();
    let named = headers.get_all(VARY).iter().any(|value| {
        value.as_bytes().split(|b| *b == b',').any(|name| {
            let name = name.trim_ascii();
            name == b"*" || name.eq_ignore_ascii_case(b"accept-encoding")
        })
    });
    if !named {
        headers.append(VARY, HeaderValue::from_static("accept-encoding"));
    }
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
