//! Redirects from HTTP to HTTPS.

use std::fmt;
use std::rc::Rc;

use crate::{HttpError, IntoMiddleware, Middleware, Request, Response, StatusCode};

/// The path of ACME challenges; their servers connect without TLS (RFC 8555, section 8.3).
const ACME: &str = "/.well-known/acme-challenge/";

/// Middleware that redirects requests without TLS to the same URL with `https`. The status is 308, so that browsers keep the method and
/// the body.
///
/// [Secure](Request::is_secure) requests, including those that a trusted proxy has received over TLS, and ACME challenges
/// (`/.well-known/acme-challenge/`) reach their routes. A request without a host is answered with 400.
///
/// # Examples
/// ```
/// use uptick_http::{HttpServer, RedirectToHttps};
///
/// let http = HttpServer::new().wrap(RedirectToHttps::new());
/// # let response = http.test().get("/a?b").header("host", "example.com:80").send()?;
/// # assert_eq!((response.status().as_u16(), response.header("location")), (308, Some("https://example.com/a?b")));
/// # Ok::<(), uptick_http::test::TestError>(())
/// ```
#[derive(Clone, Copy)]
pub struct RedirectToHttps {
    port: u16,
}

impl Default for RedirectToHttps {
    fn default() -> Self {
        RedirectToHttps { port: 443 }
    }
}

impl RedirectToHttps {
    /// Creates the middleware.
    pub fn new() -> Self {
        RedirectToHttps::default()
    }

    /// Sets the port of the HTTPS server. Default: 443.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    fn location(self, request: &Request) -> Option<String> {
        let host = request.host().filter(|host| !host.is_empty())?;
        // The port follows the brackets of an IPv6 address.
        let port = host.rfind(':').filter(|at| host.rfind(']') < Some(*at));
        let host = port.map_or(host, |at| &host[..at]);
        let query = request.query_string();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        let path = request.path();
        Some(match self.port {
            443 => format!("https://{host}{path}{query}"),
            port => format!("https://{host}:{port}{path}{query}"),
        })
    }
}

impl IntoMiddleware<RedirectToHttps> for RedirectToHttps {
    fn into_middleware(self) -> Middleware {
        Rc::new(move |request, next| {
            if request.is_secure() || request.path().starts_with(ACME) {
                return next.run(request);
            }
            let response = match self.location(&request) {
                Some(location) => {
                    Response::redirect(&location).with_status(StatusCode::PERMANENT_REDIRECT)
                }
                None => HttpError::bad_request("the request has no host").into(),
            };
            response.into()
        })
    }
}

impl fmt::Debug for RedirectToHttps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedirectToHttps")
            .field("port", &self.port)
            .finish()
    }
}
