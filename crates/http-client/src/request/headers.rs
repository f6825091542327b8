//! The request of one hop.

use std::borrow::Cow;
use std::rc::Rc;
use std::time::Duration;

use http::header::{
    ACCEPT_ENCODING, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, EXPECT, HOST,
    PROXY_AUTHORIZATION, RANGE, TRANSFER_ENCODING,
};
use http::{HeaderName, HeaderValue, Method};

use super::Plan;
use crate::browser::{Browser, Settings};
use crate::decoding::ACCEPT_ENCODING as CODINGS;
use crate::error::{ErrorKind, Failure};
use crate::pool::Host;
use crate::url::Url;

/// A request to one URL.
pub(super) struct Hop<'a> {
    pub(super) method: &'a Method,
    pub(super) url: &'a Url,
    pub(super) host: Rc<Host>,
    /// The headers, in order, without `Host` and `Content-Length`.
    pub(super) headers: Cow<'a, [(HeaderName, HeaderValue)]>,
    /// An own `Host`.
    own_host: Option<String>,
    pub(super) expect_continue: Option<Duration>,
    pub(super) upgrade: bool,
}

impl<'a> Hop<'a> {
    /// Creates the request to the current URL of a plan.
    pub(super) fn new(
        browser: &Browser,
        plan: &'a Plan,
        has_body: bool,
    ) -> Result<Hop<'a>, Failure> {
        let settings = &browser.settings;
        let host = settings.host(&browser.pool, &plan.url, plan.upgrade)?;
        let mut headers = Cow::Borrowed(&plan.headers[..]);
        let own_host = headers.iter().find(|(name, _)| name == HOST);
        let own_host = own_host
            .and_then(|(_, value)| value.to_str().ok())
            .map(str::to_owned);
        let is_kept = |name: &HeaderName| name != HOST && name != CONTENT_LENGTH;
        if !headers.iter().all(|(name, _)| is_kept(name)) {
            headers.to_mut().retain(|(name, _)| is_kept(name));
        }
        #[cfg(feature = "cookies")]
        if let Some(store) = &settings.cookies {
            add_cookies(&mut headers, store, &plan.url);
        }
        let expect_continue = plan.expect_continue.filter(|_| has_body);
        if expect_continue.is_some() && !has(&headers, &EXPECT) {
            let value = HeaderValue::from_static("100-continue");
            headers.to_mut().push((EXPECT, value));
        }
        if let Some(proxy) = host.destination().forward_proxy()
            && !has(&headers, &PROXY_AUTHORIZATION)
            && let Some(value) = proxy.authorization()
        {
            headers.to_mut().push((PROXY_AUTHORIZATION, value));
        }
        Ok(Hop {
            method: &plan.method,
            url: &plan.url,
            host,
            headers,
            own_host,
            expect_continue,
            upgrade: plan.upgrade,
        })
    }

    /// Returns the target: the complete URL for a proxy.
    pub(super) fn target(&self, is_http2: bool) -> &str {
        if *self.method == Method::OPTIONS && self.url.path_and_query() == "*" {
            return "*";
        }
        match self.host.destination().forward_proxy().is_some() && !is_http2 {
            true => self.url.without_fragment(),
            false => self.url.path_and_query(),
        }
    }

    /// Returns the value of `Host`.
    pub(super) fn authority(&self) -> &str {
        match &self.own_host {
            Some(host) => host,
            None => self.url.authority(),
        }
    }
}

/// Adds the headers of the browser and of the body to the headers of a request, which replace them.
pub(super) fn complete(settings: &Settings, plan: &mut Plan) -> Result<(), Failure> {
    check_framing(plan)?;
    let own = std::mem::take(&mut plan.headers);
    let mut headers = Vec::with_capacity(own.len() + settings.headers.len() + 4);
    for (name, value) in &settings.headers {
        if !has(&own, name) {
            headers.push((name.clone(), value.clone()));
        }
    }
    if settings.decompresses && !CODINGS.is_empty() && !has(&own, &ACCEPT_ENCODING) {
        // A part of a compressed body cannot be decompressed.
        let codings = match has(&own, &RANGE) {
            true => "identity",
            false => CODINGS,
        };
        headers.push((ACCEPT_ENCODING, HeaderValue::from_static(codings)));
    }
    if let Some(value) = plan.body.content_type()
        && !has(&own, &CONTENT_TYPE)
    {
        headers.retain(|(name, _)| name != CONTENT_TYPE);
        headers.push((CONTENT_TYPE, value.clone()));
    }
    headers.extend(own);
    if !has(&headers, &AUTHORIZATION)
        && let Some(value) = plan.url.basic_authorization()
    {
        headers.push((AUTHORIZATION, value));
    }
    plan.headers = headers;
    Ok(())
}

fn has(headers: &[(HeaderName, HeaderValue)], name: &HeaderName) -> bool {
    headers.iter().any(|(other, _)| other == name)
}

/// Checks that own headers do not contradict the framing of the body.
fn check_framing(plan: &Plan) -> Result<(), Failure> {
    let invalid = |reason| Err(Failure::new(ErrorKind::InvalidRequest, reason));
    for (name, value) in &plan.headers {
        if name == TRANSFER_ENCODING {
            return invalid("Transfer-Encoding is set by the client");
        }
        if name == CONTENT_LENGTH {
            let announced = value.to_str().ok().and_then(parse_length);
            match plan.body.length() {
                Some(length) if announced == Some(length) => {}
                // The length of a streamed body.
                None if announced.is_some() => {}
                _ => return invalid("Content-Length contradicts the body"),
            }
        }
    }
    Ok(())
}

/// Parses a length of digits only.
pub(super) fn parse_length(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|_| is_number)
}

/// Joins an own `Cookie` header with the cookies of the store.
#[cfg(feature = "cookies")]
fn add_cookies(
    headers: &mut Cow<'_, [(HeaderName, HeaderValue)]>,
    store: &crate::cookies::CookieStore,
    url: &Url,
) {
    use http::header::COOKIE;
    let Some(stored) = store.header(url) else {
        return;
    };
    let headers = headers.to_mut();
    let Some((_, own)) = headers.iter_mut().find(|(name, _)| name == COOKIE) else {
        headers.push((COOKIE, stored));
        return;
    };
    let joined = [own.as_bytes(), b"; ", stored.as_bytes()].concat();
    if let Ok(value) = HeaderValue::from_bytes(&joined) {
        *own = value;
    }
}
