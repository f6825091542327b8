//! Requests before they are sent.

use std::fmt;
use std::future::{Future, IntoFuture};
use std::pin::Pin;
use std::time::Duration;

use http::header::{AUTHORIZATION, CONNECTION, UPGRADE};
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use serde::Serialize;
use uptick_emitter::EventKey;
use uptick_event_loop::{JoinHandle, spawn};

use super::Browser;
use super::client_request::ClientRequest;
use super::response::Response;
use super::streaming::StreamingResponse;
use crate::authorization;
use crate::body::{MultipartForm, RequestBody};
use crate::error::{Error, ErrorKind};
use crate::request::{self, Plan};
use crate::url::Url;

/// A request that is not sent yet: a future of its [`Response`].
///
/// It is sent when the future is awaited, by [`send`](RequestBuilder::send), or by [`on`](RequestBuilder::on). An error of a setter, such as an invalid header,
/// fails the request when it is sent.
///
/// # Cancel safety
/// Dropping the future cancels the request: its HTTP/1 connection closes, and its HTTP/2 stream is reset.
#[must_use = "a request does nothing unless it is awaited or sent"]
pub struct RequestBuilder {
    browser: Browser,
    method: Method,
    url: Option<Url>,
    headers: Vec<(HeaderName, HeaderValue)>,
    body: RequestBody,
    expect_continue: Option<Duration>,
    upgrade: bool,
    error: Option<Error>,
}

impl RequestBuilder {
    pub(super) fn new(
        browser: Browser,
        method: Result<Method, Error>,
        url: Result<Url, Error>,
    ) -> RequestBuilder {
        let mut builder = RequestBuilder {
            browser,
            method: Method::GET,
            url: None,
            headers: Vec::new(),
            body: RequestBody::default(),
            expect_continue: None,
            upgrade: false,
            error: None,
        };
        match url {
            Ok(url) => builder.url = Some(url),
            Err(error) => builder.error = Some(error),
        }
        match method {
            Ok(method) => builder.method = method,
            Err(error) => builder.error = Some(error),
        }
        builder
    }

    fn try_with(mut self, change: impl FnOnce(&mut Self) -> Result<(), Error>) -> Self {
        if let Err(error) = change(&mut self) {
            self.error.get_or_insert(error);
        }
        self
    }

    /// Adds a header, which is sent in place of a [header of the browser](Browser::with_header) with the same name. Several headers with the same name are
    /// sent in the order in which they were added. Default: none.
    pub fn header<K, V>(self, name: K, value: V) -> Self
    where
        K: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        self.try_with(|builder| {
            builder.headers.push(header(name, value)?);
            Ok(())
        })
    }

    /// Adds the headers of a map. Default: none.
    pub fn headers(mut self, headers: &HeaderMap) -> Self {
        let all = headers.iter();
        self.headers
            .extend(all.map(|(name, value)| (name.clone(), value.clone())));
        self
    }

    /// Adds pairs to the query of the URL, percent-encoded. Default: none.
    pub fn query<K: AsRef<str>, V: AsRef<str>>(
        self,
        pairs: impl IntoIterator<Item = (K, V)>,
    ) -> Self {
        self.try_with(|builder| {
            if let Some(url) = &builder.url {
                builder.url = Some(url.with_query(pairs)?);
            }
            Ok(())
        })
    }

    /// Sets the body. Default: none.
    pub fn body(mut self, body: impl Into<RequestBody>) -> Self {
        self.body = body.into();
        self
    }

    /// Sets a JSON body, and its `Content-Type` unless the request has one. Default: none.
    pub fn json<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.try_with(|builder| {
            builder.body = RequestBody::json(value)?;
            Ok(())
        })
    }

    /// Sets a body of form fields (`application/x-www-form-urlencoded`), and its `Content-Type` unless the request has one. Default: none.
    pub fn form<T: Serialize + ?Sized>(self, value: &T) -> Self {
        self.try_with(|builder| {
            builder.body = RequestBody::form(value)?;
            Ok(())
        })
    }

    /// Sets a body of form fields and files (`multipart/form-data`), and its `Content-Type`. Default: none.
    pub fn multipart(self, form: MultipartForm) -> Self {
        self.try_with(|builder| {
            builder.body = form.into_body()?;
            Ok(())
        })
    }

    /// Sets `Authorization` with a user name and a password (RFC 7617). Default: those of the URL, if it has any.
    pub fn basic_auth(mut self, user: &str, password: &str) -> Self {
        self.headers.retain(|(name, _)| name != AUTHORIZATION);
        self.headers
            .push((AUTHORIZATION, authorization::basic(user, password)));
        self
    }

    /// Sets `Authorization` with a token (RFC 6750). Default: none.
    pub fn bearer_auth(self, token: &str) -> Self {
        self.try_with(|builder| {
            let value = authorization::bearer(token).ok_or_else(|| {
                Error::new(
                    ErrorKind::InvalidRequest,
                    "the token has characters that are not allowed",
                )
            })?;
            builder.headers.retain(|(name, _)| name != AUTHORIZATION);
            builder.headers.push((AUTHORIZATION, value));
            Ok(())
        })
    }

    /// Sends `Expect: 100-continue`, and the body only when the server has responded with status 100, or when this time has passed without a response. After a
    /// final response the body is not sent. Default: the body is sent at once.
    pub fn expect_continue(mut self, limit: Duration) -> Self {
        self.expect_continue = Some(limit);
        self
    }

    /// Asks the server to switch to another protocol: sets `Upgrade`. A streamed response with status 101 then has the connection
    /// ([`StreamingResponse::into_upgraded`]). The request is sent over HTTP/1. Default: none.
    pub fn upgrade(self, protocol: &str) -> Self {
        self.try_with(|builder| {
            builder
                .headers
                .retain(|(name, _)| name != UPGRADE && name != CONNECTION);
            builder.headers.push(header(UPGRADE, protocol)?);
            builder.upgrade = true;
            Ok(())
        })
    }

    /// Streams the response: its body is read piece by piece, instead of being buffered.
    pub fn streaming(self) -> StreamingRequest {
        StreamingRequest(self)
    }

    /// Sends the request in the next iteration of the loop. The result is an event of the returned handle.
    pub fn send(self) -> ClientRequest {
        ClientRequest::start(self.into_future())
    }

    /// [Sends](RequestBuilder::send) the request, and registers a listener for an event of the returned handle.
    ///
    /// # Panics
    /// As [`Emitter::on`](uptick_emitter::Emitter::on).
    #[track_caller]
    pub fn on<K, P, R>(self, key: K, callback: impl FnMut(P) -> R + 'static) -> ClientRequest
    where
        K: EventKey<ClientRequest, P>,
        P: 'static,
        R: 'static,
    {
        let request = self.send();
        uptick_emitter::Emitter::on(&request, key, callback);
        request
    }

    /// Sends the request in the next iteration of the loop, and calls `callback` with the result. Dropping the handle does not cancel the request.
    pub fn then<R>(
        self,
        callback: impl FnOnce(Result<Response, Error>) -> R + 'static,
    ) -> JoinHandle<()> {
        spawn(async move {
            callback(self.await);
        })
    }

    /// Returns the plan of the request.
    fn plan(self) -> Result<(Browser, Plan), Error> {
        if let Some(error) = self.error {
            return Err(match &self.url {
                Some(url) => error.with_request(&self.method, url),
                None => error,
            });
        }
        let Some(url) = self.url else {
            return Err(Error::new(ErrorKind::InvalidUrl, "the request has no URL"));
        };
        let plan = Plan {
            method: self.method,
            url,
            headers: self.headers,
            body: self.body,
            expect_continue: self.expect_continue,
            upgrade: self.upgrade,
        };
        Ok((self.browser, plan))
    }
}

/// Converts the parts of a header.
pub(super) fn header<K, V>(name: K, value: V) -> Result<(HeaderName, HeaderValue), Error>
where
    K: TryInto<HeaderName>,
    V: TryInto<HeaderValue>,
{
    let name = name.try_into().map_err(|_| {
        let reason = "the name of a header has characters that are not allowed";
        Error::new(ErrorKind::InvalidRequest, reason)
    })?;
    let value = value.try_into().map_err(|_| {
        let reason = format!("the value of the header {name} has characters that are not allowed");
        Error::new(ErrorKind::InvalidRequest, reason)
    })?;
    Ok((name, value))
}

impl IntoFuture for RequestBuilder {
    type Output = Result<Response, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (browser, plan) = self.plan()?;
            request::buffered(browser, plan).await
        })
    }
}

impl fmt::Debug for RequestBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RequestBuilder")
            .field("method", &self.method)
            .field("url", &self.url)
            .finish_non_exhaustive()
    }
}

/// A request whose response is streamed: a future of its [`StreamingResponse`].
///
/// # Cancel safety
/// Dropping the future cancels the request.
#[must_use = "a request does nothing unless it is awaited"]
#[derive(Debug)]
pub struct StreamingRequest(RequestBuilder);

impl StreamingRequest {
    /// Changes the request.
    ///
    /// # Examples
    /// ```
    /// use uptick_http_client::Browser;
    ///
    /// let request = Browser::new().request_streaming("GET", "http://example.com/");
    /// let request = request.with(|request| request.header("accept", "text/plain"));
    /// # let _ = request;
    /// ```
    pub fn with(self, change: impl FnOnce(RequestBuilder) -> RequestBuilder) -> StreamingRequest {
        StreamingRequest(change(self.0))
    }

    /// Sends the request in the next iteration of the loop, and calls `callback` with the result. Dropping the handle does not cancel the request.
    pub fn then<R>(
        self,
        callback: impl FnOnce(Result<StreamingResponse, Error>) -> R + 'static,
    ) -> JoinHandle<()> {
        spawn(async move {
            callback(self.await);
        })
    }
}

impl IntoFuture for StreamingRequest {
    type Output = Result<StreamingResponse, Error>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output>>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let (browser, plan) = self.0.plan()?;
            request::streaming(browser, plan).await
        })
    }
}
