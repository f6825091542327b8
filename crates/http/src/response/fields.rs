//! The fields of a response.

#[cfg(feature = "cookies")]
use http::header::SET_COOKIE;
use http::header::{CONNECTION, CONTENT_TYPE, HeaderName};

use super::Response;
#[cfg(feature = "cookies")]
use crate::{Cookie, set_cookie};
use crate::{HeaderMap, HeaderValue, HttpError};

impl Response {
    /// The same response with a field; it replaces those of the same name.
    ///
    /// A name or value that cannot be sent makes the response an error. Some headers are the server's own: see
    /// [`Response`].
    pub fn header<K, V>(self, name: K, value: V) -> Self
    where
        HeaderName: TryFrom<K>,
        <HeaderName as TryFrom<K>>::Error: Into<http::Error>,
        HeaderValue: TryFrom<V>,
        <HeaderValue as TryFrom<V>>::Error: Into<http::Error>,
    {
        self.with_field(name, value, false)
    }

    /// The same response with a field beside those of the same name.
    ///
    /// A name or value that cannot be sent makes the response an error.
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
            Err(e) => return self.unsendable("name of a field", &e.into()),
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

    /// The same response, after which the server closes the connection: it sets `Connection: close`.
    ///
    /// Requests that the client has sent behind this one are not answered. Default: the connection is kept, unless the
    /// client or the server closes it.
    pub fn close_connection(mut self) -> Self {
        self.headers_mut()
            .insert(CONNECTION, HeaderValue::from_static("close"));
        self
    }

    /// The same response with another Content-Type. Default: that of the constructor, none for [`Response::new`].
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

    /// The same response with a cookie for the client to keep. Needs the feature `cookies`.
    ///
    /// `("name", "value")` does for a cookie of the session; [`Cookie::build`] has the attributes, and
    /// `removal()` makes one that has the client forget the cookie of that name.
    ///
    /// A cookie that cannot be sent as it is makes the response an error: a name that is not a token, a value with
    /// spaces, quotes, commas, semicolons, backslashes or anything beyond ASCII, a path or domain with a semicolon, a
    /// prefix `__Host-` or `__Secure-` without what it demands, and anything over 4096 bytes, which browsers drop.
    /// (RFC 6265 section 4.1)
    #[cfg(feature = "cookies")]
    pub fn cookie(mut self, cookie: impl Into<Cookie<'static>>) -> Self {
        match set_cookie::to_field(&cookie.into()) {
            Ok(value) => {
                self.headers_mut().append(SET_COOKIE, value);
                self
            }
            Err(e) => self.failed(e.into()),
        }
    }

    /// The first value of a field, unless it is not ASCII.
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

    /// The fields, to be changed.
    pub fn headers_mut(&mut self) -> &mut HeaderMap {
        let headers = self.headers.get_or_insert_default();
        if let Some(content_type) = self.content_type.take()
            && let Ok(content_type) = HeaderValue::from_str(content_type)
        {
            headers.insert(CONTENT_TYPE, content_type);
        }
        headers
    }

    fn unsendable(self, what: &str, source: &http::Error) -> Self {
        let cause = format!("the {what} of a response cannot be sent: {source}");
        self.failed(HttpError::internal(cause))
    }

    /// The page of an error in place of the response; of several errors the first is the one to tell of.
    fn failed(self, error: HttpError) -> Self {
        if self.failure.is_some() {
            self
        } else {
            error.into()
        }
    }
}
