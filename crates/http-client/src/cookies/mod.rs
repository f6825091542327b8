//! Cookies (RFC 6265).

mod date;
mod jar;
mod parse;
#[cfg(test)]
mod tests;

use std::cell::RefCell;
use std::fmt::{self, Debug, Formatter};
use std::rc::Rc;
use std::time::SystemTime;

use http::HeaderValue;

use crate::url::{Scheme, Url};
use jar::CookieJar;
use parse::SetCookie;

/// A store of cookies, by the rules of RFC 6265. Clones share their cookies.
///
/// A cookie is sent to the host that set it, or with the attribute `Domain` to the subdomains of that domain as well. A domain that is a public suffix,
/// such as `co.uk`, or that does not contain the host is refused. A cookie with `Secure` is set and sent over `https` only, and is not replaced over
/// `http`. Names that begin with `__Secure-` and `__Host-` require the attributes that the prefix states. `SameSite` has no effect.
///
/// # Limits
///
/// 4,096 bytes for name and value of a cookie and 1,024 for each of its attributes; others are ignored. 50 cookies for a domain and 3,000 in all; the
/// cookie that was not used for the longest time is removed for a new one. A header `Cookie` has at most 64 KiB; further cookies are left out.
///
/// # Examples
///
/// ```
/// use uptick_http_client::{CookieStore, Url};
///
/// let store = CookieStore::new();
/// let url = Url::parse("https://www.example.com/shop/cart")?;
/// store.insert(&url, "id=17; Domain=example.com; Path=/; Secure");
/// store.insert(&url, "items=3");
/// assert_eq!(store.header(&url).unwrap(), "items=3; id=17");
///
/// let other = Url::parse("https://example.com/")?;
/// assert_eq!(store.header(&other).unwrap(), "id=17");
/// # Ok::<(), uptick_http_client::Error>(())
/// ```
#[derive(Clone, Default)]
pub struct CookieStore(Rc<RefCell<CookieJar>>);

/// A cookie of a [`CookieStore`].
#[derive(Clone, PartialEq, Eq)]
pub struct StoredCookie {
    name: String,
    value: String,
    domain: String,
    path: String,
    expires: Option<SystemTime>,
    is_host_only: bool,
    is_secure: bool,
    is_http_only: bool,
}

impl CookieStore {
    /// Creates an empty store.
    pub fn new() -> CookieStore {
        CookieStore::default()
    }

    /// Stores the cookies of a response from `url`: the values of its headers `Set-Cookie`. Values that RFC 6265 ignores are ignored, and so are those
    /// that are not UTF-8.
    pub fn store<V: AsRef<[u8]>>(&self, url: &Url, values: impl IntoIterator<Item = V>) {
        let now = SystemTime::now();
        for value in values {
            self.set(url, value.as_ref(), now);
        }
    }

    /// Stores a cookie as a response from `url` would, in the syntax of the header `Set-Cookie`. Returns `false` if it is ignored.
    pub fn insert(&self, url: &Url, set_cookie: &str) -> bool {
        self.set(url, set_cookie.as_bytes(), SystemTime::now())
    }

    fn set(&self, url: &Url, value: &[u8], now: SystemTime) -> bool {
        match SetCookie::parse(value) {
            Some(cookie) => self.0.borrow_mut().set(url, cookie, now),
            None => false,
        }
    }

    /// Returns the header `Cookie` of requests to `url`: cookies with longer paths first, then older ones. Returns `None` if there are none.
    pub fn header(&self, url: &Url) -> Option<HeaderValue> {
        self.header_at(url, SystemTime::now())
    }

    fn header_at(&self, url: &Url, now: SystemTime) -> Option<HeaderValue> {
        let text = self.0.borrow_mut().header(url, now)?;
        let mut value = HeaderValue::from_maybe_shared(text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    /// Returns the value of a cookie that is sent to `url`.
    pub fn get(&self, url: &Url, name: &str) -> Option<String> {
        let now = SystemTime::now();
        let jar = self.0.borrow();
        let matching = jar.matching(url, now);
        let found = matching.into_iter().find(|cookie| cookie.name == name);
        found.map(|cookie| cookie.value.clone())
    }

    /// Removes the cookies with this name that are sent to `url`. Returns `true` if there were any.
    pub fn remove(&self, url: &Url, name: &str) -> bool {
        self.0.borrow_mut().remove(url, name)
    }

    /// Removes all cookies.
    pub fn clear(&self) {
        *self.0.borrow_mut() = CookieJar::default();
    }

    /// Returns the number of cookies that have not expired.
    pub fn len(&self) -> usize {
        self.iter().count()
    }

    /// Returns `true` if there are no cookies.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the cookies that have not expired, the oldest first. Later changes of the store do not affect the iterator.
    pub fn iter(&self) -> impl Iterator<Item = StoredCookie> + use<> {
        self.0.borrow().all(SystemTime::now()).into_iter()
    }
}

impl Debug for CookieStore {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("CookieStore")
            .field("len", &self.len())
            .finish()
    }
}

impl StoredCookie {
    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the value, including quotes.
    pub fn value(&self) -> &str {
        &self.value
    }

    /// Returns the domain, in lower case.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Returns the path.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Returns the time of expiry; `None` for a cookie that lives as long as the store.
    pub fn expires(&self) -> Option<SystemTime> {
        self.expires
    }

    /// Returns `true` if the cookie is sent to its host only, not to the subdomains.
    pub fn is_host_only(&self) -> bool {
        self.is_host_only
    }

    /// Returns `true` if the cookie is sent over `https` only.
    pub fn is_secure(&self) -> bool {
        self.is_secure
    }

    /// Returns `true` if the cookie has the attribute `HttpOnly`.
    pub fn is_http_only(&self) -> bool {
        self.is_http_only
    }

    fn is_expired(&self, now: SystemTime) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// Returns `true` if the cookie is sent to this URL, whose host is the domain of the cookie or a subdomain.
    fn matches(&self, url: &Url) -> bool {
        (!self.is_host_only || url.host() == self.domain)
            && (!self.is_secure || url.scheme() == Scheme::Https)
            && path_matches(url.path(), &self.path)
    }
}

/// Hides the value.
impl Debug for StoredCookie {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoredCookie")
            .field("name", &self.name)
            .field("domain", &self.domain)
            .field("path", &self.path)
            .field("expires", &self.expires)
            .finish_non_exhaustive()
    }
}

/// Returns `true` if a path is `cookie_path` or below it (section 5.1.4 of RFC 6265).
fn path_matches(path: &str, cookie_path: &str) -> bool {
    match path.strip_prefix(cookie_path) {
        None => false,
        Some(rest) => rest.is_empty() || cookie_path.ends_with('/') || rest.starts_with('/'),
    }
}
