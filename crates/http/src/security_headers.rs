//! Headers by which browsers restrict the capabilities of a page.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS,
    X_FRAME_OPTIONS,
};

use crate::exchange::EditHeaders;
use crate::random::random_hex;
use crate::{
    HeaderMap, HeaderName, HeaderValue, HttpError, IntoMiddleware, Middleware, Request, Response,
};

/// The placeholder in a Content Security Policy that each response replaces.
const NONCE: &str = "{nonce}";

/// A middleware that adds security headers to all responses, including errors, unless they already have them. A header with characters that
/// cannot be sent is omitted, and an error is logged.
///
/// | header | default |
/// |---|---|
/// | `X-Content-Type-Options` | `nosniff` |
/// | `X-Frame-Options` | `DENY` |
/// | `Referrer-Policy` | `strict-origin-when-cross-origin` |
/// | `Strict-Transport-Security` | `max-age=31536000` for [secure](Request::is_secure) requests, none for others |
/// | `Content-Security-Policy` | none |
///
/// # Examples
/// A page whose scripts run only with the nonce of its response:
/// ```
/// use uptick_http::{HttpServer, Request, Response, SecurityHeaders};
///
/// let headers = SecurityHeaders::new().content_security_policy("script-src 'nonce-{nonce}'");
/// let http = HttpServer::new().wrap(headers);
/// http.get("/", |req: Request| {
///     let nonce = req.csp_nonce().unwrap_or_default();
///     Response::html(format!("<script nonce=\"{nonce}\">alert(1)</script>"))
/// });
/// # let response = http.test().get("/").send()?;
/// # let policy = response.header("content-security-policy").unwrap_or_default();
/// # let nonce = &policy["script-src 'nonce-".len()..policy.len() - 1];
/// # assert!(nonce.len() == 32 && response.text().contains(nonce), "{policy}");
/// # Ok::<(), uptick_http::test::TestError>(())
/// ```
#[derive(Clone)]
pub struct SecurityHeaders {
    content_type_options: bool,
    frame_options: Option<&'static str>,
    referrer_policy: Option<&'static str>,
    transport_security: Option<String>,
    policy: Option<String>,
}

impl Default for SecurityHeaders {
    fn default() -> Self {
        SecurityHeaders {
            content_type_options: true,
            frame_options: Some("DENY"),
            referrer_policy: Some("strict-origin-when-cross-origin"),
            transport_security: Some("max-age=31536000".to_owned()),
            policy: None,
        }
    }
}

impl SecurityHeaders {
    /// Creates the middleware with the defaults.
    pub fn new() -> Self {
        SecurityHeaders::default()
    }

    /// Sets whether `X-Content-Type-Options: nosniff` is sent, so that browsers do not guess the types of responses. Default: true.
    pub fn content_type_options(mut self, nosniff: bool) -> Self {
        self.content_type_options = nosniff;
        self
    }

    /// Sets `X-Frame-Options`, the pages that may embed the response in a frame: `DENY`, `SAMEORIGIN`, or `None` for all. Default: `DENY`.
    pub fn frame_options(mut self, value: impl Into<Option<&'static str>>) -> Self {
        self.frame_options = value.into();
        self
    }

    /// Sets `Referrer-Policy`, the part of the page's URL that browsers send as `Referer`; with `None`, the browser decides. Default:
    /// `strict-origin-when-cross-origin`.
    pub fn referrer_policy(mut self, value: impl Into<Option<&'static str>>) -> Self {
        self.referrer_policy = value.into();
        self
    }

    /// Sets `Strict-Transport-Security`: the time, in whole seconds, for which browsers use only HTTPS for this host, and whether this includes
    /// its subdomains. Zero removes the restriction. Default: one year, without subdomains.
    pub fn transport_security(mut self, max_age: Duration, subdomains: bool) -> Self {
        let more = if subdomains {
            "; includeSubDomains"
        } else {
            ""
        };
        self.transport_security = Some(format!("max-age={}{more}", max_age.as_secs()));
        self
    }

    /// Omits `Strict-Transport-Security`. Default: it is sent.
    pub fn without_transport_security(mut self) -> Self {
        self.transport_security = None;
        self
    }

    /// Sets the Content Security Policy. Each `{nonce}` in it is replaced by 32 random hexadecimal digits, which differ for each response and
    /// are returned by [`Request::csp_nonce`]. Caches must not store a page with a nonce: send it with `Cache-Control: no-store`. Default: none.
    pub fn content_security_policy(mut self, policy: impl Into<String>) -> Self {
        self.policy = Some(policy.into());
        self
    }

    /// Returns the headers that are the same for all responses.
    fn fixed(&self) -> Vec<(HeaderName, HeaderValue)> {
        let options = self.content_type_options.then_some("nosniff");
        let policy = self.policy.as_deref();
        let policy = policy.filter(|policy| !policy.contains(NONCE));
        let headers = [
            (X_CONTENT_TYPE_OPTIONS, options),
            (X_FRAME_OPTIONS, self.frame_options),
            (REFERRER_POLICY, self.referrer_policy),
            (CONTENT_SECURITY_POLICY, policy),
        ];
        let headers = headers.into_iter().filter_map(|(name, value)| {
            let value = value.filter(|value| is_valid(&name, value))?;
            Some((name, HeaderValue::from_str(value).ok()?))
        });
        headers.collect()
    }
}

/// Returns whether a header can be sent; logs an error otherwise.
fn is_valid(name: &HeaderName, value: &str) -> bool {
    let is_valid = HeaderValue::from_str(value).is_ok();
    if !is_valid {
        tracing::error!("the security header {name} contains characters that cannot be sent");
    }
    is_valid
}

/// The nonce of a response.
struct Nonce(Rc<str>);

impl IntoMiddleware<SecurityHeaders> for SecurityHeaders {
    fn into_middleware(self) -> Middleware {
        let fixed: Rc<[_]> = self.fixed().into();
        let nonce_policy = self.policy.filter(|policy| policy.contains(NONCE));
        // Replacing the placeholder by a nonce keeps the policy valid.
        let nonce_policy = nonce_policy.filter(|policy| is_valid(&CONTENT_SECURITY_POLICY, policy));
        let transport = self.transport_security;
        let transport = transport.and_then(|value| HeaderValue::try_from(value).ok());
        let plain = edits(Rc::clone(&fixed), None);
        let secure = edits(fixed, transport);
        Rc::new(move |request, next| {
            let edit = match request.is_secure() {
                true => &secure,
                false => &plain,
            };
            request.add_header_edit(Rc::clone(edit));
            if let Some(policy) = &nonce_policy {
                // Hexadecimal digits are characters of a nonce (CSP 3, section 2.3.1).
                let nonce: Rc<str> = match random_hex() {
                    Ok(nonce) => nonce.into(),
                    Err(error) => return Response::from(HttpError::internal(error)).into(),
                };
                let policy = HeaderValue::try_from(policy.replace(NONCE, &nonce));
                request.set_extension(Nonce(nonce));
                request.on_response_headers(move |_, headers| {
                    if let Ok(policy) = &policy {
                        add(headers, &CONTENT_SECURITY_POLICY, policy);
                    }
                });
            }
            next.run(request)
        })
    }
}

/// Returns a callback that adds headers.
fn edits(fixed: Rc<[(HeaderName, HeaderValue)]>, transport: Option<HeaderValue>) -> EditHeaders {
    Rc::new(move |_, headers| {
        for (name, value) in &*fixed {
            add(headers, name, value);
        }
        if let Some(value) = &transport {
            add(headers, &STRICT_TRANSPORT_SECURITY, value);
        }
    })
}

/// Adds a header, unless the response already has it.
fn add(headers: &mut HeaderMap, name: &HeaderName, value: &HeaderValue) {
    if !headers.contains_key(name) {
        headers.insert(name, value.clone());
    }
}

impl Request {
    /// Returns the nonce that replaces `{nonce}` in the Content Security Policy of the response; `None` without a [`SecurityHeaders`] whose
    /// policy contains it.
    pub fn csp_nonce(&self) -> Option<Rc<str>> {
        Some(Rc::clone(&self.extension::<Nonce>()?.0))
    }
}

impl fmt::Debug for SecurityHeaders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecurityHeaders")
            .field("frame_options", &self.frame_options)
            .field("referrer_policy", &self.referrer_policy)
            .field("transport_security", &self.transport_security)
            .field("content_security_policy", &self.policy)
            .finish_non_exhaustive()
    }
}
