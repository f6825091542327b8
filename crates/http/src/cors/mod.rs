//! Cross-origin resource sharing: the CORS protocol of the Fetch standard.
//!
//! Cost: none for servers without CORS. With it, `Origin` is looked up in each request, and one callback edits the response headers.

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

/// A middleware that allows pages of other origins to read responses: cross-origin resource sharing (CORS).
///
/// Browsers hide a response from a page of another origin unless the response allows that origin. Before a request that a form could
/// not send, such as a PUT or a request with `Authorization`, they send a *preflight*: OPTIONS with `Origin` and
/// `Access-Control-Request-Method`. This middleware answers preflights with 204, without running the inner middleware or a handler. It
/// adds the headers to all other responses, including errors, 404 and responses sent by a [`Responder`](crate::Responder).
///
/// Add it to the server before any authentication middleware, because browsers send preflights without credentials. Added to a group
/// ([`Group::wrap`](crate::router::Group::wrap)), it applies to the routes of the group and answers their preflights, although they have
/// no route for OPTIONS.
///
/// An origin is allowed if any of the `allow_origin` methods allows it; without them, no origin is allowed. A request from an origin that
/// is not allowed is handled, and its response has no `Access-Control` headers. If a response already has `Access-Control-Allow-Origin`,
/// the middleware keeps it and adds only `Vary`.
///
/// | header | value |
/// |---|---|
/// | `Access-Control-Allow-Origin` | the origin of the request if it is allowed; `*` with [`allow_any_origin`](Cors::allow_any_origin) without credentials |
/// | `Access-Control-Allow-Credentials` | `true` with [`allow_credentials`](Cors::allow_credentials) |
/// | `Access-Control-Expose-Headers` | [`expose_headers`](Cors::expose_headers) |
/// | `Access-Control-Allow-Methods` | in preflights: [`allow_methods`](Cors::allow_methods) |
/// | `Access-Control-Allow-Headers` | in preflights: [`allow_headers`](Cors::allow_headers), or the headers that the request lists |
/// | `Access-Control-Max-Age` | in preflights: [`max_age`](Cors::max_age) |
/// | `Access-Control-Allow-Private-Network` | in preflights that request it: [`allow_private_network`](Cors::allow_private_network) |
/// | `Vary` | `origin` is added unless `Access-Control-Allow-Origin` is always `*`; in preflights, the other headers that the response depends on, too |
///
/// # Security
/// CORS does not protect a server: it relaxes the same-origin policy of browsers. Requests that need no preflight, such as a GET or the POST
/// of a form, reach the handler from any page, with the cookies that their `SameSite` attribute permits. Allow credentials only for origins
/// whose pages may do everything that a signed-in user may do. WebSockets are not subject to CORS: the server must check their origin.
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
    /// The allowed headers; `None` allows the headers that a preflight lists.
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
    /// Creates a middleware that allows no origin.
    pub fn new() -> Self {
        Self::default()
    }

    /// Allows an origin, such as `https://example.com` or `http://localhost:3000`, or the origins that match a pattern.
    ///
    /// The host `*.example.com` matches all subdomains of `example.com`, but not `example.com` itself. The port `*` matches every port and a
    /// missing port: `http://localhost:*`. The default port of `http` or `https` can be omitted. `null` is the origin of sandboxed frames and
    /// local files, so any page can have it; it is allowed only if it is listed. Default: none.
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

    /// Allows the origins that a regular expression matches completely, such as `https://pr-[0-9]+\.example\.com`. Requires the feature
    /// `regex`. Default: none.
    ///
    /// # Panics
    /// If the expression is malformed, or larger than 1 MiB when compiled.
    #[cfg(feature = "regex")]
    #[track_caller]
    pub fn allow_origin_regex(mut self, expression: &str) -> Self {
        self.origins.push(valid(OriginRule::regex(expression)));
        self
    }

    /// Allows the origins for which a callback returns `true`. It is called with the `Origin` header, which may also be `null`, for each
    /// request and each preflight that no earlier rule allows. Default: none.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{Cors, Request};
    ///
    /// // Each tenant has its own API host, `api.HOST`, and its pages are served from `HOST`.
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

    /// Allows every origin, including `null`. The response has `*`, or, if [credentials](Cors::allow_credentials) are allowed, the origin of
    /// the request, because browsers then reject `*`. With credentials, every page can act on behalf of its visitor. Default: not allowed.
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
    /// If one of them is not a method name, or is `*`.
    #[track_caller]
    pub fn allow_methods(mut self, methods: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let is_method = |name: &str| Method::from_bytes(name.as_bytes()).is_ok();
        self.methods = valid(list("method", methods, is_method));
        self
    }

    /// Sets the request headers that pages may send. Default: all; the response to a preflight repeats the list of the preflight.
    ///
    /// # Panics
    /// If one of them is not a header name, or is `*`.
    #[track_caller]
    pub fn allow_headers(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        self.headers = Some(valid(list("header", names, is_header)));
        self
    }

    /// Sets the response headers that pages may read, in addition to the CORS-safelisted headers of the Fetch standard, such as
    /// `Content-Type`. Default: none.
    ///
    /// # Panics
    /// If one of them is not a header name, or is `*`, which browsers treat as a literal name if credentials are allowed.
    #[track_caller]
    pub fn expose_headers(mut self, names: impl IntoIterator<Item = impl AsRef<str>>) -> Self {
        let names = valid(list("header", names, is_header));
        self.exposed = Some(names).filter(|names| !names.is_empty());
        self
    }

    /// Sets the time for which browsers may cache the response to a preflight, in whole seconds. Browsers limit it to between 2 and 24 hours;
    /// zero disables caching. Default: not sent; browsers then use 5 s.
    pub fn max_age(mut self, time: Duration) -> Self {
        self.max_age = Some(time.as_secs().into());
        self
    }

    /// Sets whether public pages may send requests to this server in a private network, for browsers that send
    /// `Access-Control-Request-Private-Network`. Default: `false`.
    pub fn allow_private_network(mut self, allow: bool) -> Self {
        self.private_network = allow;
        self
    }
}

fn is_header(name: &str) -> bool {
    HeaderName::from_bytes(name.as_bytes()).is_ok()
}

/// Joins names to the value of a header.
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

/// Returns the value, or panics with the error.
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
