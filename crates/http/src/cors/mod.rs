//! Cross-origin resource sharing: the CORS protocol of the Fetch standard.
//!
//! Cost: nothing for servers without it. A request is looked up for `Origin`, and gets one callback for the headers of its response.

mod error;
mod middleware;
mod origin;

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::HeaderName;

use crate::{HeaderValue, Method, Request};
use origin::OriginRule;

pub use error::CorsError;
pub(crate) use middleware::is_preflight;

/// The methods that are allowed by default.
const METHODS: &str = "GET, HEAD, PUT, PATCH, POST, DELETE";

/// A middleware that lets pages of other origins read responses: cross-origin resource sharing (CORS).
///
/// Browsers hide a response from a page of another origin unless the response allows that origin. Before a request that a form could
/// not send, such as a PUT or one with `Authorization`, they send a *preflight*: OPTIONS with `Origin` and
/// `Access-Control-Request-Method`. This middleware answers preflights with 204, without running the middleware inside it or a
/// handler, and adds the headers to all other responses of the requests that it runs for: also to errors, to 404, and to those that a
/// [`Responder`](crate::Responder) sends.
///
/// Wrap it around the server first, before middleware that authenticates, because browsers send preflights without credentials. In a
/// group ([`Group::wrap`](crate::router::Group::wrap)), it is for the routes of the group, whose preflights it answers although they have no
/// route for OPTIONS.
///
/// Allowed are the origins that any of the `allow_origin` methods allows; with none of them, no origin is. A request from another one
/// is passed on, and its response has no `Access-Control` headers. A response with an `Access-Control-Allow-Origin` of its own keeps it, and
/// gets `Vary` only.
///
/// | header | value |
/// |---|---|
/// | `Access-Control-Allow-Origin` | the origin of the request if it is allowed; `*` with [`allow_any_origin`](Cors::allow_any_origin) and no credentials |
/// | `Access-Control-Allow-Credentials` | `true` with [`allow_credentials`](Cors::allow_credentials) |
/// | `Access-Control-Expose-Headers` | [`expose_headers`](Cors::expose_headers) |
/// | `Access-Control-Allow-Methods` | in preflights: [`allow_methods`](Cors::allow_methods) |
/// | `Access-Control-Allow-Headers` | in preflights: [`allow_headers`](Cors::allow_headers), or those that the request names |
/// | `Access-Control-Max-Age` | in preflights: [`max_age`](Cors::max_age) |
/// | `Access-Control-Allow-Private-Network` | in preflights that ask for it: [`allow_private_network`](Cors::allow_private_network) |
/// | `Vary` | `origin` is added unless `Access-Control-Allow-Origin` is always `*`; in preflights, the other headers that the response depends on, too |
///
/// # Security
/// CORS protects nothing by itself: it relaxes a rule of browsers. Requests that need no preflight, such as a GET or the POST of a form,
/// reach the handler from any page, with the cookies that their `SameSite` attribute lets through.
/// Allow credentials for origins only whose pages may do everything that a signed-in user may. WebSockets are not subject to CORS: the server
/// has to check their origin.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_http::{Cors, HttpServer, Request};
///
/// let cors = Cors::new()
///     .allow_origins(["https://app.example.com", "https://*.preview.example.com"])
///     .allow_credentials(true)
///     .expose_headers(["etag"])
///     .max_age(Duration::from_secs(600));
/// let http = HttpServer::new().wrap(cors);
/// http.get("/me", |_: Request| "Ada");
///
/// let response = http.test().get("/me").header("origin", "https://app.example.com").send()?;
/// assert_eq!(response.header("access-control-allow-origin"), Some("https://app.example.com"));
/// # Ok::<(), uptick_http::test::TestError>(())
/// ```
#[derive(Clone)]
pub struct Cors {
    any_origin: bool,
    origins: Vec<OriginRule>,
    credentials: bool,
    private_network: bool,
    methods: HeaderValue,
    /// `None` to allow those that a preflight names.
    headers: Option<HeaderValue>,
    exposed: Option<HeaderValue>,
    max_age: Option<HeaderValue>,
}

impl Default for Cors {
    fn default() -> Self {
        Cors {
            any_origin: false,
            origins: Vec::new(),
            credentials: false,
            private_network: false,
            methods: HeaderValue::from_static(METHODS),
            headers: None,
            exposed: None,
            max_age: None,
        }
    }
}

impl Cors {
    /// Creates a middleware that allows no origin yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows an origin, `https://example.com` or `http://localhost:3000`, or those of a pattern.
    ///
    /// A host `*.example.com` stands for all hosts below `example.com`, not for that host itself, and a port `*` for every port, including
    /// none: `http://localhost:*`. The port that is the default of `http` or `https` may be left out. `null` is the origin of sandboxed
    /// frames and of local files, so that any page can have it; it is allowed only if it is listed. Default: none.
    ///
    /// # Panics
    /// If it is not an origin or a pattern; [`try_allow_origin`](Cors::try_allow_origin) returns the error instead.
    #[track_caller]
    pub fn allow_origin(self, origin: impl AsRef<str>) -> Self {
        valid(self.try_allow_origin(origin))
    }

    /// Allows several origins and patterns, as [`allow_origin`](Cors::allow_origin) does. Default: none.
    ///
    /// # Panics
    /// As [`allow_origin`](Cors::allow_origin).
    #[track_caller]
    pub fn allow_origins(mut self, origins: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        for origin in origins {
            self = self.allow_origin(origin);
        }
        self
    }

    /// Allows an origin or a pattern that may be malformed, such as one from a configuration file; see
    /// [`allow_origin`](Cors::allow_origin). Default: none.
    ///
    /// # Errors
    /// If it is not an origin or a pattern.
    pub fn try_allow_origin(mut self, origin: impl AsRef<str>) -> Result<Self, CorsError> {
        self.origins.push(OriginRule::parse(origin.as_ref())?);
        Ok(self)
    }

    /// Allows the origins that match a regular expression as a whole, such as `https://pr-[0-9]+\.example\.com`. Needs the
    /// feature `regex`. Default: none.
    ///
    /// # Panics
    /// If the expression is malformed or takes more than 1 MiB compiled.
    #[cfg(feature = "regex")]
    #[track_caller]
    pub fn allow_origin_regex(mut self, expression: &str) -> Self {
        self.origins.push(valid(OriginRule::regex(expression)));
        self
    }

    /// Allows the origins for which a callback returns `true`. It is called with the `Origin` header, which may also be `null`, for each
    /// request and each preflight that no rule before it allows. Default: none.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{Cors, Request};
    ///
    /// // Each tenant has a host of its own, and its pages are at the host without `api.`.
    /// let cors = Cors::new().allow_origin_if(|origin: &str, req: &Request| {
    ///     let host = req.host().and_then(|host| host.strip_prefix("api."));
    ///     host.is_some() && origin.strip_prefix("https://") == host
    /// });
    /// # let _ = cors;
    /// ```
    pub fn allow_origin_if(mut self, allows: impl Fn(&str, &Request) -> bool + 'static) -> Self {
        self.origins.push(OriginRule::Callback(Rc::new(allows)));
        self
    }

    /// Allows every origin, `null` included: with `*`, or, if [credentials](Cors::allow_credentials) are allowed, by sending the origin of the
    /// request back, since browsers refuse `*` then. With credentials, every page can act as its visitor. Default: not allowed.
    pub fn allow_any_origin(mut self) -> Self {
        self.any_origin = true;
        self
    }

    /// Sets whether pages may send and receive credentials: cookies, HTTP authentication and client certificates. Default: `false`.
    pub fn allow_credentials(mut self, allow: bool) -> Self {
        self.credentials = allow;
        self
    }

    /// Sets the methods that pages may use. Browsers always allow GET, HEAD and POST. Default: GET, HEAD, PUT, PATCH, POST and DELETE.
    ///
    /// # Panics
    /// If one is not the name of a method, or is `*`.
    #[track_caller]
    pub fn allow_methods(mut self, methods: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let is_method = |name: &str| Method::from_bytes(name.as_bytes()).is_ok();
        self.methods = valid(list("method", methods, is_method));
        self
    }

    /// Sets the request headers that pages may send. Default: all, as the response to a preflight lists those that it names.
    ///
    /// # Panics
    /// If one is not the name of a header, or is `*`.
    #[track_caller]
    pub fn allow_headers(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.headers = Some(valid(list("header", names, is_header)));
        self
    }

    /// Sets the response headers that pages may read, in addition to those that the Fetch standard lists, such as `Content-Type`. Default:
    /// none.
    ///
    /// # Panics
    /// If one is not the name of a header, or is `*`, which browsers take for a name if credentials are allowed.
    #[track_caller]
    pub fn expose_headers(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let names = valid(list("header", names, is_header));
        self.exposed = Some(names).filter(|names| !names.is_empty());
        self
    }

    /// Sets how long browsers may keep the response to a preflight, in whole seconds. They have limits of their own, of 2 to 24 hours;
    /// zero keeps none. Default: not sent, for which browsers take 5 s.
    pub fn max_age(mut self, time: Duration) -> Self {
        self.max_age = Some(time.as_secs().into());
        self
    }

    /// Sets whether public pages may send requests to this server in a private network, for browsers that ask with
    /// `Access-Control-Request-Private-Network`. Default: `false`.
    pub fn allow_private_network(mut self, allow: bool) -> Self {
        self.private_network = allow;
        self
    }
}

fn is_header(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

/// Returns the names as the value of a header.
fn list(
    kind: &'static str,
    names: impl IntoIterator<Item = impl AsRef<str>>,
    is_name: impl Fn(&str) -> bool,
) -> Result<HeaderValue, CorsError> {
    let mut all = String::new();
    for name in names {
        let name = name.as_ref();
        let error = |why| CorsError::new(kind, name, why);
        if name == "*" {
            return Err(error("it is a wildcard: list the names".to_owned()));
        }
        if !is_name(name) {
            return Err(error(format!("it is not the name of a {kind}")));
        }
        if !all.is_empty() {
            all.push_str(", ");
        }
        all.push_str(name);
    }
    HeaderValue::from_str(&all).map_err(|e| CorsError::new(kind, &all, e.to_string()))
}

/// Returns what is valid; panics with the error of what is not.
#[track_caller]
#[allow(
    clippy::panic,
    reason = "a malformed origin or name is a mistake in the program"
)]
fn valid<T>(result: Result<T, CorsError>) -> T {
    match result {
        Ok(value) => value,
        Err(error) => panic!("{error}"),
    }
}

impl fmt::Debug for Cors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cors")
            .field("any_origin", &self.any_origin)
            .field("origins", &self.origins)
            .field("credentials", &self.credentials)
            .field("private_network", &self.private_network)
            .field("methods", &self.methods)
            .field("headers", &self.headers)
            .field("exposed", &self.exposed)
            .field("max_age", &self.max_age)
            .finish()
    }
}
