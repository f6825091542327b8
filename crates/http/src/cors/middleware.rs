//! The middleware: preflights, and the headers of other responses.

use std::rc::Rc;

use http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, HeaderName,
    VARY,
};

use super::{Cors, is_header};
use crate::exchange::EditHeaders;
use crate::vary::add_vary;
use crate::{
    HeaderMap, HeaderValue, IntoMiddleware, Method, Middleware, Request, Response, StatusCode,
};

const REQUEST_METHOD: &str = "access-control-request-method";
const REQUEST_HEADERS: &str = "access-control-request-headers";
const REQUEST_PRIVATE_NETWORK: &str = "access-control-request-private-network";
const ALLOW_PRIVATE_NETWORK: HeaderName =
    HeaderName::from_static("access-control-allow-private-network");

/// Returns whether a request is a CORS preflight.
pub(crate) fn is_preflight(request: &Request) -> bool {
    let head = request.head();
    *request.method() == Method::OPTIONS
        && head.field("origin").is_some()
        && head.field(REQUEST_METHOD).is_some()
}

impl IntoMiddleware<Cors> for Cors {
    fn into_middleware(self) -> Middleware {
        let this = Rc::new(self);
        let cors = Rc::clone(&this);
        // Requests whose origin is not allowed, or that have none, share one callback.
        let without: EditHeaders = Rc::new(move |status, headers| cors.edit(status, headers, None));
        Rc::new(move |request, next| {
            let origin = this.allowed(&request);
            if is_preflight(&request) {
                return this.preflight(&request, origin).into();
            }
            match origin {
                Some(origin) => {
                    let cors = Rc::clone(&this);
                    request.on_response_headers(move |status, headers| {
                        cors.edit(status, headers, Some(&origin));
                    });
                }
                None if this.varies() => request.add_header_edit(Rc::clone(&without)),
                None => {}
            }
            next.run(request)
        })
    }

    fn answers_preflights(&self) -> bool {
        true
    }
}

impl Cors {
    /// Returns whether responses depend on the origin.
    fn varies(&self) -> bool {
        !self.any_origin || self.credentials
    }

    /// Returns the value of `Access-Control-Allow-Origin` for a request.
    fn allowed(&self, request: &Request) -> Option<HeaderValue> {
        if !self.varies() {
            // A cache may send the response to pages of any origin, even if this request has none.
            return Some(HeaderValue::from_static("*"));
        }
        let mut origins = request.head().fields_of("origin");
        let origin = str::from_utf8(origins.next()?).ok()?;
        if origin.is_empty() || origins.next().is_some() {
            return None;
        }
        let allows =
            self.any_origin || self.origins.iter().any(|rule| rule.allows(origin, request));
        allows.then(|| HeaderValue::from_str(origin).ok()).flatten()
    }

    /// Adds the headers to a response to a request that is not a preflight.
    fn edit(&self, status: StatusCode, headers: &mut HeaderMap, origin: Option<&HeaderValue>) {
        // Pages cannot read WebSocket handshakes.
        if status == StatusCode::SWITCHING_PROTOCOLS {
            return;
        }
        if self.varies() {
            add_vary(headers, "origin");
        }
        let Some(origin) = origin.filter(|_| !headers.contains_key(ACCESS_CONTROL_ALLOW_ORIGIN))
        else {
            return;
        };
        self.allow(headers, origin);
        if let Some(names) = &self.exposed
            && !headers.contains_key(ACCESS_CONTROL_EXPOSE_HEADERS)
        {
            headers.insert(ACCESS_CONTROL_EXPOSE_HEADERS, names.clone());
        }
    }

    /// Adds the headers that allow the origin of the request.
    fn allow(&self, headers: &mut HeaderMap, origin: &HeaderValue) {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        if self.credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }

    /// Returns the response to a preflight. If the origin is not allowed, it has no `Access-Control` headers.
    fn preflight(&self, request: &Request, origin: Option<HeaderValue>) -> Response {
        let mut response = Response::new(StatusCode::NO_CONTENT);
        let headers = response.headers_mut();
        headers.insert(VARY, self.preflight_varies_by());
        let Some(origin) = origin else {
            return response;
        };
        self.allow(headers, &origin);
        headers.insert(ACCESS_CONTROL_ALLOW_METHODS, self.methods.clone());
        let names = match &self.headers {
            Some(names) => Some(names.clone()).filter(|names| !names.is_empty()),
            None => requested_headers(request),
        };
        if let Some(names) = names {
            headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, names);
        }
        if let Some(seconds) = &self.max_age {
            headers.insert(ACCESS_CONTROL_MAX_AGE, seconds.clone());
        }
        let requests_network = request.head().field(REQUEST_PRIVATE_NETWORK) == Some(b"true");
        if self.private_network && requests_network {
            headers.insert(ALLOW_PRIVATE_NETWORK, HeaderValue::from_static("true"));
        }
        response
    }

    /// Returns the value of `Vary`: the headers that the response to a preflight depends on.
    fn preflight_varies_by(&self) -> HeaderValue {
        let names = [
            (self.varies(), "origin"),
            (true, REQUEST_METHOD),
            (self.headers.is_none(), REQUEST_HEADERS),
            (self.private_network, REQUEST_PRIVATE_NETWORK),
        ];
        let names = names.iter().filter(|(varies, _)| *varies);
        let names: Vec<&str> = names.map(|(_, name)| *name).collect();
        HeaderValue::from_str(&names.join(", ")).unwrap_or_else(|_| HeaderValue::from_static("*"))
    }
}

/// Returns `Access-Control-Request-Headers` of a preflight, if it is a list of header names.
fn requested_headers(request: &Request) -> Option<HeaderValue> {
    let lines: Vec<&[u8]> = request.head().fields_of(REQUEST_HEADERS).collect();
    let names = String::from_utf8(lines.join(b",".as_slice())).ok()?;
    let mut all = names.split(',').map(str::trim);
    let value = HeaderValue::from_str(&names).ok()?;
    all.all(is_header).then_some(value)
}
