//! Headers of a response.

#[cfg(feature = "cookies")]
use http::header::SET_COOKIE;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName};

use super::Response;
#[cfg(feature = "cookies")]
use crate::{Cookie, set_cookie};
use crate::{HeaderMap, HeaderValue, HttpError};

impl Response {
    /// Sets a header, replacing headers with the same name.
    ///
    /// If the name or value is not valid, the response becomes an error. Some headers are set by the server: see [`Response`].
    pub fn header<K, V>(self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.with_field(name, value, false)
    }

    /// Appends a header, keeping headers with the same name.
    ///
    /// If the name or value is not valid, the response becomes an error.
    pub fn append_header<K, V>(self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.with_field(name, value, true)
    }

    fn with_field<K, V>(mut self, name: K, value: V, append: bool) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        let name = match HeaderName::try_from(name) {
            Ok(name) => name,
            Err(e) => return self.unsendable("header name", &e.into()),
        };
        let value = match HeaderValue::try_from(value) {
            Ok(value) => value,
            Err(e) => return self.unsendable(&format!("value of {name}"), &e.into()),
        };
        if name == CONTENT_TYPE && self.failure.is_some() {
            return self;
        }
        if append && name != CONTENT_TYPE {
            self.headers_mut().append(name, value);
        } else {
            self.headers_mut().insert(name, value);
        }
        self
    }

    /// Sets `Connection: close`: the server closes the connection after this response.
    ///
    /// Requests already sent by the client after this one are not answered. Default: the connection is kept open, unless the client or
    /// the server closes it.
    pub fn close_connection(mut self) -> Self {
        self.headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        self
    }

    /// Sets the `Content-Type`. Default: set by the constructor; none for [`Response::new`].
    pub fn content_type(mut self, content_type: &'static str) -> Self {
        if let Err(e) = HeaderValue::from_str(content_type) {
            return self.unsendable("value of content-type", &e.into());
        }
        if self.failure.is_some() {
            return self;
        }
        if let Some(headers) = &mut self.headers {
            headers.remove(CONTENT_TYPE);
        }
        self.content_type = Some(content_type);
        self
    }

    /// Adds a cookie. Needs the feature `cookies`.
    ///
    /// A session cookie is simply `("name", "value")`. [`Cookie::build`] sets attributes, and `removal()` creates a cookie that deletes
    /// the client's cookie of that name.
    ///
    /// An invalid cookie makes the response an error: a name that is not a token, a value with spaces, quotes, commas, semicolons,
    /// backslashes or non-ASCII characters, a path or domain with a semicolon, a prefix `__Host-` or `__Secure-` without the attributes
    /// that it requires, and a cookie of more than 4096 bytes, which browsers ignore (RFC 6265, section 4.1).
    #[cfg(feature = "cookies")]
    pub fn cookie(mut self, cookie: impl Into<Cookie<'static>>) -> Self {
        match set_cookie::to_header_value(&cookie.into()) {
            Ok(value) => {
                self.headers_mut().append(SET_COOKIE, value);
                self
            }
            Err(e) => self.failed(e.into()),
        }
    }

    /// Returns the first value of a header, unless it is not UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        let name = HeaderName::try_from(name).ok()?;
        std::str::from_utf8(self.get_bytes(&name)?).ok()
    }

    pub(crate) fn get_bytes(&self, name: &HeaderName) -> Option<&[u8]> {
        if *name == CONTENT_TYPE
            && let Some(content_type) = self.content_type
        {
            return Some(content_type.as_bytes());
        }
        Some(self.headers.as_ref()?.get(name)?.as_bytes())
    }

    /// Returns all values of a header other than `Content-Type`.
    #[cfg(feature = "compression")]
    pub(crate) fn get_all_bytes(&self, name: &HeaderName) -> impl Iterator<Item = &[u8]> {
        let headers = self.headers.as_deref();
        let values = headers.map(|headers| headers.get_all(name));
        values.into_iter().flatten().map(HeaderValue::as_bytes)
    }

    /// Returns the headers for modification.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        let headers = self.headers.get_or_insert_default();
        if let Some(content_type) = self.content_type.take()
            && let Ok(content_type) = HeaderValue::from_str(content_type)
        {
            headers.insert(CONTENT_TYPE, content_type);
        }
        headers
    }

    fn unsendable(self, part: &str, source: &http::Error) -> Self {
        let cause = format!("the {part} of a response cannot be sent: {source}");
        self.failed(HttpError::internal(cause))
    }

    /// Replaces the response with the error page. If the response is an error already, the first error is kept.
    fn failed(self, error: HttpError) -> Self {
        if self.failure.is_some() {
            self
        } else {
            error.into()
        }
    }
}
