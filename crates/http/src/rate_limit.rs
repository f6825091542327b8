//! Rate limits for clients.

use std::cell::RefCell;
use std::fmt;
use std::hash::Hash;

use http::{HeaderName, HeaderValue, StatusCode, header};
use uptick_event_loop::driver;
use uptick_rate_limit::{Client, Decision, Limit, RateLimiter};

use crate::{HeaderMap, HttpError, IntoMiddleware, Middleware, Next, Reply, Request, Response};

/// Middleware that limits the request rate: further requests are answered with 429 and `Retry-After`.
///
/// All responses have the headers `RateLimit` and `RateLimit-Policy` of draft-ietf-httpapi-ratelimit-headers-10, which report the
/// remaining quota to the client.
///
/// # Limits
/// Up to 65,536 clients are tracked ([`RateLimiter::max_keys`]). Each loop counts separately: with several loops, a client that reaches
/// all of them gets the limit of each.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_http::{HttpServer, RateLimiting, Request};
/// use uptick_rate_limit::Limit;
///
/// let http = HttpServer::new().wrap(RateLimiting::new(Limit::token_bucket(100, Duration::from_secs(60))));
///
/// // Login attempts are limited by account name.
/// let limit = Limit::fixed_window(5, Duration::from_secs(300));
/// let by_account = RateLimiting::by(limit, |req: &Request| req.header("x-account").map(str::to_owned));
/// http.group("/login", |login| {
///     login.wrap(by_account).post("/", |_: Request| "welcome");
/// });
/// ```
pub struct RateLimiting<K = Option<Client>> {
    limiter: RateLimiter<K>,
    key: Key<K>,
    name: String,
}

/// A function that returns the key of a request.
type Key<K> = Box<dyn Fn(&Request) -> Option<K>>;

impl RateLimiting {
    /// Limits each [`Client`]: an IPv4 address, or an IPv6 network of 64 bits.
    ///
    /// The client is determined by [`Request::client`]. Requests from unknown clients, for example on a Unix socket or from a proxy that
    /// hides the client, share one limit.
    pub fn new(limit: Limit) -> RateLimiting {
        RateLimiting::by(limit, |request| Some(request.client().map(Client::from)))
    }
}

impl<K: Hash + Eq + Clone + 'static> RateLimiting<K> {
    /// Limits requests by a key, such as a user name. Requests without a key are not limited.
    pub fn by(limit: Limit, key: impl Fn(&Request) -> Option<K> + 'static) -> RateLimiting<K> {
        RateLimiting {
            limiter: RateLimiter::new(limit),
            key: Box::new(key),
            name: "default".to_owned(),
        }
    }

    /// Sets the maximum number of tracked keys ([`RateLimiter::max_keys`]). Default: 65,536.
    pub fn max_keys(mut self, max_keys: usize) -> Self {
        self.limiter = self.limiter.max_keys(max_keys);
        self
    }

    /// Sets the name of the limit in the response headers. Default: `default`.
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }
}

impl<K: Hash + Eq + Clone + 'static> IntoMiddleware<RateLimiting<K>> for RateLimiting<K> {
    fn into_middleware(self) -> Middleware {
        let RateLimiting { limiter, key, name } = self;
        let policy = HeaderValue::try_from(limiter.limit().policy_value(&name)).ok();
        let limiter = RefCell::new(limiter);
        (move |request: Request, next: Next| {
            let Some(key) = key(&request) else {
                return next.run(request);
            };
            let decision = limiter.borrow_mut().check(&key, driver::current_time());
            let (policy, name) = (policy.clone(), name.clone());
            request.on_response_headers(move |_, headers| {
                add_headers(headers, policy.clone(), &decision, &name);
            });
            match decision.allowed {
                true => next.run(request),
                false => Reply::Ready(refusal(&decision)),
            }
        })
        .into_middleware()
    }
}

fn refusal(decision: &Decision) -> Response {
    let error = HttpError::from_status(StatusCode::TOO_MANY_REQUESTS);
    match decision.retry_after_seconds() {
        Some(wait) => error.with_header(header::RETRY_AFTER, wait.into()).into(),
        None => error.into(),
    }
}

/// Adds the headers. With several limits, each adds one member to the lists.
fn add_headers(
    headers: &mut HeaderMap,
    policy: Option<HeaderValue>,
    decision: &Decision,
    name: &str,
) {
    if let Some(policy) = policy {
        headers.append(HeaderName::from_static("ratelimit-policy"), policy);
    }
    if let Ok(left) = HeaderValue::try_from(decision.field_value(name)) {
        headers.append(HeaderName::from_static("ratelimit"), left);
    }
}

impl<K> fmt::Debug for RateLimiting<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RateLimiting")
            .field("limiter", &self.limiter)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
