//! HTTP authentication: Basic (RFC 7617) and Bearer (RFC 6750).

mod credentials;
mod middleware;

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;

use subtle::ConstantTimeEq;
use uptick_rate_limit::{Client, Limit, RateLimiter};

use crate::{LocalFuture, Request};

pub use credentials::Credentials;

/// A middleware that runs handlers only for clients with valid credentials, and answers other requests with 401 and `WWW-Authenticate`.
///
/// A callback verifies the credentials. The value that it returns, such as the user, is added to the request as an
/// [extension](Request::extension).
///
/// # Limits
/// [`limit_failures`](Authentication::limit_failures) limits the failures of each client; by default they are not limited.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_http::{Authentication, HttpServer, Request, constant_time_eq};
/// use uptick_rate_limit::Limit;
///
/// struct Service(&'static str);
///
/// let bearer = Authentication::bearer("api", |_: &Request, token: &str| {
///     constant_time_eq(token, "sesame").then_some(Service("billing"))
/// });
/// let bearer = bearer.limit_failures(Limit::token_bucket(10, Duration::from_secs(60)));
///
/// let http = HttpServer::new();
/// http.group("/api", |api| {
///     api.wrap(bearer);
///     api.get("/name", |req: Request| match req.extension::<Service>() {
///         Some(service) => service.0,
///         None => "anonymous",
///     });
/// });
/// # let response = http.test().get("/api/name").header("authorization", "Bearer sesame").send()?;
/// # assert_eq!(response.text(), "billing");
/// # let response = http.test().get("/api/name").send()?;
/// # assert_eq!((response.status().as_u16(), response.header("www-authenticate")), (401, Some("Bearer realm=\"api\"")));
/// # Ok::<(), uptick_http::test::TestError>(())
/// ```
pub struct Authentication<T> {
    scheme: Scheme,
    realm: String,
    verify: Verify<T>,
    failures: Option<RefCell<RateLimiter<Option<Client>>>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    Basic,
    Bearer,
}

/// The credentials of a request.
enum ReceivedCredentials {
    Basic(Credentials),
    Bearer(String),
}

/// The result of a verification.
enum Verification<T> {
    Now(Option<T>),
    Later(LocalFuture<Option<T>>),
}

type Verify<T> = Rc<dyn Fn(Request, ReceivedCredentials) -> Verification<T>>;

impl<T: 'static> Authentication<T> {
    /// Creates a middleware that authenticates by name and password (RFC 7617). `verify` returns the user, or `None` if the password is wrong.
    ///
    /// Store user passwords as slow hashes, such as Argon2, and verify them with [`basic_async`](Authentication::basic_async) in a
    /// [`spawn_blocking`](uptick_event_loop::spawn_blocking) job.
    pub fn basic(
        realm: &str,
        verify: impl Fn(&Request, &Credentials) -> Option<T> + 'static,
    ) -> Self {
        Self::new(
            Scheme::Basic,
            realm,
            move |request, received| match received {
                ReceivedCredentials::Basic(credentials) => {
                    Verification::Now(verify(&request, &credentials))
                }
                ReceivedCredentials::Bearer(_) => Verification::Now(None),
            },
        )
    }

    /// Creates a middleware that authenticates by name and password, which are verified asynchronously.
    pub fn basic_async<F: Future<Output = Option<T>> + 'static>(
        realm: &str,
        verify: impl Fn(Request, Credentials) -> F + 'static,
    ) -> Self {
        Self::new(
            Scheme::Basic,
            realm,
            move |request, received| match received {
                ReceivedCredentials::Basic(credentials) => {
                    Verification::Later(Box::pin(verify(request, credentials)))
                }
                ReceivedCredentials::Bearer(_) => Verification::Now(None),
            },
        )
    }

    /// Creates a middleware that authenticates by a token (RFC 6750). `verify` returns the owner of the token, or `None` if it is not valid.
    /// Compare secrets with [`constant_time_eq`].
    pub fn bearer(realm: &str, verify: impl Fn(&Request, &str) -> Option<T> + 'static) -> Self {
        Self::new(
            Scheme::Bearer,
            realm,
            move |request, received| match received {
                ReceivedCredentials::Bearer(token) => Verification::Now(verify(&request, &token)),
                ReceivedCredentials::Basic(_) => Verification::Now(None),
            },
        )
    }

    /// Creates a middleware that authenticates by a token, which is verified asynchronously.
    pub fn bearer_async<F: Future<Output = Option<T>> + 'static>(
        realm: &str,
        verify: impl Fn(Request, String) -> F + 'static,
    ) -> Self {
        Self::new(
            Scheme::Bearer,
            realm,
            move |request, received| match received {
                ReceivedCredentials::Bearer(token) => {
                    Verification::Later(Box::pin(verify(request, token)))
                }
                ReceivedCredentials::Basic(_) => Verification::Now(None),
            },
        )
    }

    fn new(
        scheme: Scheme,
        realm: &str,
        verify: impl Fn(Request, ReceivedCredentials) -> Verification<T> + 'static,
    ) -> Self {
        Authentication {
            scheme,
            realm: realm.to_owned(),
            verify: Rc::new(verify),
            failures: None,
        }
    }

    /// Limits the failures of each client: an IPv4 address or an IPv6 /64 network. Beyond the limit, its requests are answered with 429 and
    /// `Retry-After`, and their credentials are not verified. A request without credentials is not a failure. Attempts that are still being
    /// verified count as failures. Default: no limit.
    ///
    /// # Limits
    /// 65,536 clients, the default of [`RateLimiter::max_keys`].
    pub fn limit_failures(mut self, limit: Limit) -> Self {
        self.failures = Some(RefCell::new(RateLimiter::new(limit)));
        self
    }
}

/// Returns whether two secrets are equal, in a time that depends only on their lengths.
///
/// # Examples
/// ```
/// use uptick_http::constant_time_eq;
///
/// assert!(constant_time_eq("sesame", b"sesame"));
/// assert!(!constant_time_eq("sesame", "Sesame"));
/// ```
pub fn constant_time_eq(one: impl AsRef<[u8]>, other: impl AsRef<[u8]>) -> bool {
    one.as_ref().ct_eq(other.as_ref()).into()
}

impl<T> fmt::Debug for Authentication<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authentication")
            .field("scheme", &self.scheme)
            .field("realm", &self.realm)
            .finish_non_exhaustive()
    }
}
