//! Entity tags of dynamic responses.

use std::fmt;
use std::hash::{DefaultHasher, Hasher};
use std::rc::Rc;

use http::header::{CONTENT_LENGTH, CONTENT_TYPE, ETAG, IF_NONE_MATCH};

use crate::{Body, HeaderValue, IntoMiddleware, Method, Middleware, Response, StatusCode};

/// A middleware that adds a weak `ETag` to the 200 responses to GET and HEAD, and answers with 304 if the request has the same tag
/// (RFC 9110, section 8.8.3).
///
/// The tag is a hash of the body. The handler runs for each request; only the transfer is saved. Streams, files and responses sent by a
/// [`Responder`](crate::Responder) get no tag. A response that already has an `ETag` keeps it. The tags of equal bodies may differ
/// between builds of the program.
///
/// # Examples
/// ```
/// use uptick_http::{ETags, HttpServer, Request};
///
/// let http = HttpServer::new().wrap(ETags::new());
/// http.get("/", |_: Request| "hello");
/// # let first = http.test().get("/").send()?;
/// # let tag = first.header("etag").unwrap_or_default();
/// # let second = http.test().get("/").header("if-none-match", tag).send()?;
/// # assert_eq!((second.status().as_u16(), second.text().is_empty()), (304, true));
/// # Ok::<(), uptick_http::test::TestError>(())
/// ```
#[derive(Clone, Copy, Default)]
pub struct ETags {
    _private: (),
}

impl ETags {
    /// Creates the middleware.
    pub fn new() -> Self {
        ETags::default()
    }
}

impl IntoMiddleware<ETags> for ETags {
    fn into_middleware(self) -> Middleware {
        Rc::new(|request, next| {
            if !matches!(*request.method(), Method::GET | Method::HEAD) {
                return next.run(request);
            }
            let lines: Vec<&[u8]> = request.head().fields_of(IF_NONE_MATCH.as_str()).collect();
            let known = lines.join(&b","[..]);
            next.run(request)
                .map(move |response| tagged(response, &known))
        })
    }
}

/// Adds the tag to a response, or returns a 304 if the client has the tag.
fn tagged(response: Response, known: &[u8]) -> Response {
    if response.status() != StatusCode::OK || matches!(response.body(), Body::Upgrade(_)) {
        return response;
    }
    let tag = match response.get_bytes(&ETAG) {
        Some(tag) => tag.to_vec(),
        None => match response.body().as_bytes() {
            Some(body) => weak_tag(body).into_bytes(),
            None => return response,
        },
    };
    let Ok(value) = HeaderValue::from_bytes(&tag) else {
        return response;
    };
    let mut response = match is_known(known, &tag) {
        true => {
            let mut response = response
                .with_body(Body::Empty)
                .with_status(StatusCode::NOT_MODIFIED);
            response.headers_mut().remove(CONTENT_TYPE);
            response.headers_mut().remove(CONTENT_LENGTH);
            response
        }
        false => response,
    };
    response.headers_mut().insert(ETAG, value);
    response
}

fn weak_tag(body: &[u8]) -> String {
    let mut hasher = DefaultHasher::new();
    hasher.write(body);
    format!("W/\"{:x}-{:016x}\"", body.len(), hasher.finish())
}

/// Returns whether `If-None-Match` contains a tag, by weak comparison (RFC 9110, section 8.8.3.2).
fn is_known(known: &[u8], tag: &[u8]) -> bool {
    let opaque = |tag: &[u8]| tag.strip_prefix(b"W/").unwrap_or(tag).to_vec();
    let tag = opaque(tag);
    let mut listed = known.split(|byte| *byte == b',').map(<[u8]>::trim_ascii);
    listed.any(|other| other == b"*" || opaque(other) == tag)
}

impl fmt::Debug for ETags {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ETags").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly() {
        assert!(is_known(b"W/\"a\"", b"\"a\""));
        assert!(is_known(b"\"b\" , W/\"a\"", b"W/\"a\""));
        assert!(is_known(b"*", b"\"a\""));
        assert!(!is_known(b"", b"\"a\""));
        assert!(!is_known(b"\"ab\"", b"\"a\""));
    }
}
