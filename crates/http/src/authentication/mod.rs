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

/// A middleware that runs handlers only for clients that have authenticated, and answers others with 401 and `WWW-Authenticate`.
///
/// The program verifies what the client sends. The value that it returns, such as the user, is an
/// [extension](Request::extension) of the request.
///
/// # Limits
/// [`limit_failures`](Authentication::limit_failures) bounds the failures of each client; by default they are not limited.
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
///         None => "nobody",
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
enum Given {
    Basic(Credentials),
    Bearer(String),
}

/// The result of a verification.
enum Verified<T> {
    Now(Option<T>),
    Later(LocalFuture<Option<T>>),
}

type Verify<T> = Rc<dyn Fn(Request, Given) -> Verified<T>>;

impl<T: 'static> Authentication<T> {
    /// Authenticates by name and password (RFC 7617). `verify` returns the user, or `None` if the password is wrong.
    ///
    /// Passwords that users choose are to be stored as hashes that are slow to compute, such as those of Argon2: verify them in a job of
    /// [`spawn_blocking`](uptick_event_loop::spawn_blocking) by [`basic_async`](Authentication::basic_async).
    pub fn basic(
        realm: &str,
        verify: impl Fn(&Request, &Credentials) -> Option<T> + 'static,
    ) -> Self {
        Self::new(Scheme::Basic, realm, move |request, given| match given {
            Given::Basic(credentials) => Verified::Now(verify(&request, &credentials)),
            Given::Bearer(_) => Verified::Now(None),
        })
    }

    /// Authenticates by name and password, which are verified asynchronously.
    pub fn basic_async<F: Future<Output = Option<T>> + 'static>(
        realm: &str,
        verify: impl Fn(Request, Credentials) -> F + 'static,
    ) -> Self {
        Self::new(Scheme::Basic, realm, move |request, given| match given {
            Given::Basic(credentials) => Verified::Later(Box::pin(verify(request, credentials))),
            Given::Bearer(_) => Verified::Now(None),
        })
    }

    /// Authenticates by a token (RFC 6750). `verify` returns its owner, or `None` if the token is not valid. Compare secrets with
    /// [`constant_time_eq`].
    pub fn bearer(realm: &str, verify: impl Fn(&Request, &str) -> Option<T> + 'static) -> Self {
        Self::new(Scheme::Bearer, realm, move |request, given| match given {
            Given::Bearer(token) => Verified::Now(verify(&request, &token)),
            Given::Basic(_) => Verified::Now(None),
        })
    }

    /// Authenticates by a token, which is verified asynchronously.
    pub fn bearer_async<F: Future<Output = Option<T>> + 'static>(
        realm: &str,
        verify: impl Fn(Request, String) -> F + 'static,
    ) -> Self {
        Self::new(Scheme::Bearer, realm, move |request, given| match given {
            Given::Bearer(token) => Verified::Later(Box::pin(verify(request, token))),
            Given::Basic(_) => Verified::Now(None),
        })
    }

    fn new(
        scheme: Scheme,
        realm: &str,
        verify: impl Fn(Request, Given) -> Verified<T> + 'static,
    ) -> Self {
        Authentication {
            scheme,
            realm: realm.to_owned(),
            verify: Rc::new(verify),
            failures: None,
        }
    }

    /// Limits the failures of each client: beyond them, its requests are answered with 429 without being verified. A request without
    /// credentials is no failure. Attempts that are still being verified count as failures. Default: no limit.
    pub fn limit_failures(mut self, limit: Limit) -> Self {
        self.failures = Some(RefCell::new(RateLimiter::new(limit)));
        self
    }
}

/// Returns whether two secrets are equal, in a time that depends on their lengths only.
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
