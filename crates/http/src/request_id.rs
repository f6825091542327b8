//! Request ids for logs.

use std::cell::Cell;
use std::fmt;
use std::hash::{BuildHasher, RandomState};
use std::rc::Rc;

use http::HeaderName;

use crate::{HeaderValue, IntoMiddleware, Middleware};

const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Maximum length of an id from a proxy, in bytes.
const MAX_LENGTH: usize = 128;

/// A middleware that sets an id for each request ([`Request::id`](crate::Request::id)). The id is sent in the header `X-Request-Id` of the
/// response, and is in the log lines of errors, in the access log, and in the spans of [`TraceRequests`](crate::TraceRequests) if that
/// middleware runs inside this one.
///
/// The `X-Request-Id` of the request is used if the request comes from a trusted proxy
/// ([`HttpServer::trusted_proxies`](crate::HttpServer::trusted_proxies)) and the id has at most 128 bytes and consists of letters, digits and
/// `-._~+/=:`. Otherwise a new id is generated. Ids are unique but predictable.
///
/// # Examples
/// ```
/// use uptick_http::{HttpServer, Request, RequestIds};
///
/// let http = HttpServer::new().wrap(RequestIds::new());
/// http.get("/", |req: Request| req.id().unwrap_or_default().to_string());
/// # let response = http.test().get("/").send()?;
/// # assert_eq!(response.header("x-request-id"), Some(&*response.text()));
/// # Ok::<(), uptick_http::test::TestError>(())
/// ```
#[derive(Clone)]
pub struct RequestIds {
    header: HeaderName,
}

impl Default for RequestIds {
    fn default() -> Self {
        RequestIds {
            header: X_REQUEST_ID,
        }
    }
}

impl RequestIds {
    /// Creates the middleware.
    pub fn new() -> Self {
        RequestIds::default()
    }

    /// Sets the header of the id, in requests and in responses. Default: `X-Request-Id`.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }
}

impl IntoMiddleware<RequestIds> for RequestIds {
    fn into_middleware(self) -> Middleware {
        Rc::new(move |request, next| {
            let received = match request.is_forwarded() {
                true => request.header(self.header.as_str()).filter(|id| is_id(id)),
                false => None,
            };
            let id: Rc<str> = match received {
                Some(id) => id.into(),
                None => new_id().into(),
            };
            if let Ok(value) = HeaderValue::from_str(&id) {
                let name = self.header.clone();
                request.on_response_headers(move |_, headers| {
                    headers.insert(name.clone(), value.clone());
                });
            }
            request.set_id(id);
            next.run(request)
        })
    }
}

/// Returns whether an id from a proxy is used.
fn is_id(text: &str) -> bool {
    let is_safe = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~+/=:".contains(&byte);
    (1..=MAX_LENGTH).contains(&text.len()) && text.bytes().all(is_safe)
}

thread_local! {
    /// A random number, and the number of ids that the thread has generated.
    static NEXT: Cell<(u64, u64)> = Cell::new((RandomState::new().hash_one(std::process::id()), 0));
}

/// Generates an id from the random number of the thread and a counter.
fn new_id() -> String {
    let (thread, count) = NEXT
        .try_with(|next| {
            let (thread, count) = next.get();
            next.set((thread, count + 1));
            (thread, count)
        })
        .unwrap_or_default();
    format!("{thread:016x}-{count:x}")
}

impl fmt::Debug for RequestIds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestIds")
            .field("header", &self.header)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_harmless_ids_from_proxies_are_used() {
        assert!(is_id("0af7651916cd43dd8448eb211c80319c"));
        assert!(is_id("a-b.c_d~e+f/g=:h"));
        assert!(is_id(&"x".repeat(128)));
        for id in ["", "a b", "a\"b", "a\nb", "ä", "<b>", &"x".repeat(129)] {
            assert!(!is_id(id), "{id:?}");
        }
    }

    #[test]
    fn ids_differ() {
        let ids: std::collections::HashSet<String> = (0..1_000).map(|_| new_id()).collect();
        assert_eq!(ids.len(), 1_000);
    }
}
