//! URLs of requests: parsing, resolution against a base, comparison of origins.

mod encode;
mod host;
mod parse;
mod resolve;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::{self, Debug, Display, Formatter};
use std::hash::{Hash, Hasher};
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderValue;

use crate::authorization;
use crate::error::{Error, ErrorKind, Failure};
use encode::QUERY;
use parse::{Authority, Components};

pub(crate) use encode::push_component;

/// Maximum length of a URL, in bytes.
const MAX_LENGTH: usize = 65_536;

/// The scheme of a [`Url`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`: plain text.
    Http,
    /// `https`: TLS.
    Https,
}

impl Scheme {
    /// Returns the name of the scheme: `http` or `https`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Scheme::Http => "http",
            Scheme::Https => "https",
        }
    }

    /// Returns the port of URLs that state none: 80 or 443.
    pub const fn default_port(self) -> u16 {
        match self {
            Scheme::Http => 80,
            Scheme::Https => 443,
        }
    }
}

impl Display for Scheme {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// An absolute URL with the scheme `http` or `https`, as described in RFC 3986. Cloning does not allocate.
///
/// Bytes of the path, the query and the fragment that the syntax does not allow are percent-encoded. Percent-encoding that exists is kept, and so are
/// the segments `.` and `..` in [`parse`](Url::parse). Otherwise no malformed URL is repaired: a host that is missing, a backslash, a space or a
/// control character within the host, and a second `@` are errors.
///
/// The host is in lower case, and an international domain name is converted to A-labels (`xn--…`; feature `idna`). User information is kept apart: it
/// is part of no text that this type returns except [`user_info`](Url::user_info).
///
/// # Limits
///
/// The text of a URL is at most 65,536 bytes long, after encoding.
///
/// # Examples
///
/// ```
/// use uptick_http_client::{ErrorKind, Url};
///
/// let url = Url::parse("http://Example.com:8080/a b?q=1#top")?;
/// assert_eq!(url.authority(), "example.com:8080");
/// assert_eq!(url.path_and_query(), "/a%20b?q=1");
/// assert_eq!(url.join("../c")?.as_str(), "http://example.com:8080/c#top");
///
/// assert_eq!(Url::parse("http:///path").unwrap_err().kind(), ErrorKind::InvalidUrl);
/// assert_eq!(Url::parse("ftp://example.com/").unwrap_err().kind(), ErrorKind::UnsupportedScheme);
/// # Ok::<(), uptick_http_client::Error>(())
/// ```
#[derive(Clone)]
pub struct Url(Arc<UrlParts>);

struct UrlParts {
    /// The URL without user information.
    text: String,
    scheme: Scheme,
    port: u16,
    ip: Option<IpAddr>,
    host_start: usize,
    host_end: usize,
    path_start: usize,
    /// The end of the query.
    path_end: usize,
    user_info: Option<UserInfo>,
}

/// User name and password, percent-encoded.
#[derive(Clone, PartialEq, Eq, Hash)]
struct UserInfo {
    user: Box<str>,
    password: Box<str>,
}

impl Url {
    /// Parses an absolute URL.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnsupportedScheme`] if the scheme is neither `http` nor `https`, [`ErrorKind::InvalidUrl`] if the URL is relative, malformed or
    /// too long, or if it has no host.
    pub fn parse(text: &str) -> Result<Url, Error> {
        Url::parse_bytes(text.as_bytes()).map_err(|failure| error_of(failure, text.as_bytes()))
    }

    fn parse_bytes(bytes: &[u8]) -> Result<Url, Failure> {
        check_length(bytes.len())?;
        let components = Components::split(bytes);
        let scheme = components.scheme()?.ok_or_else(|| {
            invalid("it is relative; an absolute URL such as http://example.com/ is required")
        })?;
        let authority = Authority::parse(components.authority.ok_or_else(no_host)?)?;
        Url::build(
            scheme,
            authority,
            components.path,
            components.query,
            components.fragment,
        )
    }

    /// Assembles a URL from components that may contain bytes to be encoded.
    fn build(
        scheme: Scheme,
        authority: Authority<'_>,
        path: &[u8],
        query: Option<&[u8]>,
        fragment: Option<&[u8]>,
    ) -> Result<Url, Failure> {
        let length = path.len() + query.map_or(0, <[u8]>::len) + fragment.map_or(0, <[u8]>::len);
        let mut text = String::with_capacity(authority.host.text.len() + length + 24);
        text.push_str(scheme.as_str());
        text.push_str("://");
        let is_bracketed = matches!(authority.host.ip, Some(IpAddr::V6(_)));
        if is_bracketed {
            text.push('[');
        }
        let host_start = text.len();
        text.push_str(&authority.host.text);
        text[host_start..].make_ascii_lowercase();
        let host_end = text.len();
        if is_bracketed {
            text.push(']');
        }
        let port = authority.port.unwrap_or(scheme.default_port());
        if port != scheme.default_port() {
            text.push(':');
            text.push_str(&port.to_string());
        }
        let path_start = text.len();
        if path.first() != Some(&b'/') {
            text.push('/');
        }
        encode::push(&mut text, path, encode::PATH);
        if let Some(query) = query {
            text.push('?');
            encode::push(&mut text, query, QUERY);
        }
        let path_end = text.len();
        if let Some(fragment) = fragment {
            text.push('#');
            encode::push(&mut text, fragment, QUERY);
        }
        check_length(text.len())?;
        Ok(Url(Arc::new(UrlParts {
            text,
            scheme,
            port,
            ip: authority.host.ip,
            host_start,
            host_end,
            path_start,
            path_end,
            user_info: authority.user_info,
        })))
    }

    /// Resolves a reference against this URL, as described in section 5.2 of RFC 3986.
    ///
    /// A reference without a fragment inherits the fragment of this URL, as redirects do. User information of the reference is ignored. A reference
    /// without an authority keeps the user information of this URL.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UnsupportedScheme`] if the reference has another scheme than `http` or `https`, [`ErrorKind::InvalidUrl`] if it is malformed, too
    /// long, or has no host.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_http_client::Url;
    ///
    /// let base = Url::parse("https://example.com/a/b?q")?;
    /// assert_eq!(base.join("c")?.as_str(), "https://example.com/a/c");
    /// assert_eq!(base.join("/c")?.as_str(), "https://example.com/c");
    /// assert_eq!(base.join("?r")?.as_str(), "https://example.com/a/b?r");
    /// assert_eq!(base.join("//example.net")?.as_str(), "https://example.net/");
    /// # Ok::<(), uptick_http_client::Error>(())
    /// ```
    pub fn join(&self, reference: &str) -> Result<Url, Error> {
        self.join_bytes(reference.as_bytes())
    }

    /// Resolves a reference, such as the value of the header `Location`. Bytes that are not ASCII are percent-encoded one by one, except in a host,
    /// which must be UTF-8.
    pub(crate) fn join_bytes(&self, reference: &[u8]) -> Result<Url, Error> {
        resolve::resolve(self, reference).map_err(|failure| error_of(failure, reference))
    }

    /// Parses the URL of a request: an absolute URL, or a reference that is resolved against `base`.
    pub(crate) fn of_request(text: &str, base: Option<&Url>) -> Result<Url, Error> {
        match base {
            Some(base) if Components::split(text.as_bytes()).scheme.is_none() => base.join(text),
            _ => Url::parse(text),
        }
    }

    /// Parses a URL that has the origin of this one, written in the same way, and a path and a query without special characters. Returns `None` for
    /// any other text. The cost is that of a copy.
    pub(crate) fn parse_sibling(&self, text: &str) -> Option<Url> {
        let origin = &self.0.text[..self.0.path_start];
        let rest = text.strip_prefix(origin)?.as_bytes();
        let is_simple = rest.first() == Some(&b'/')
            && rest.iter().all(|byte| encode::is_literal(*byte))
            && text.len() <= MAX_LENGTH;
        is_simple.then(|| {
            Url(Arc::new(UrlParts {
                text: text.to_owned(),
                path_end: text.len(),
                user_info: None,
                ..*self.0
            }))
        })
    }

    /// Returns the scheme.
    pub fn scheme(&self) -> Scheme {
        self.0.scheme
    }

    /// Returns the host: a name in lower case, in A-labels, or an IP address. An IPv6 address has no brackets.
    pub fn host(&self) -> &str {
        &self.0.text[self.0.host_start..self.0.host_end]
    }

    /// Returns the host as an IP address; `None` if it is a name.
    pub fn ip(&self) -> Option<IpAddr> {
        self.0.ip
    }

    /// Returns the port, or the default port of the scheme if the URL states none.
    pub fn port(&self) -> u16 {
        self.0.port
    }

    /// Returns host and port as in the header `Host`: an IPv6 address has brackets, and the default port of the scheme is left out.
    pub fn authority(&self) -> &str {
        &self.0.text[self.0.scheme.as_str().len() + 3..self.0.path_start]
    }

    /// Returns the path with the query, percent-encoded, without the fragment. An empty path is `/`.
    pub fn path_and_query(&self) -> &str {
        &self.0.text[self.0.path_start..self.0.path_end]
    }

    /// Returns the path, percent-encoded.
    pub fn path(&self) -> &str {
        let text = self.path_and_query();
        text.split_once('?').map_or(text, |(path, _)| path)
    }

    /// Returns the query, percent-encoded, without the question mark.
    pub fn query(&self) -> Option<&str> {
        self.path_and_query()
            .split_once('?')
            .map(|(_, query)| query)
    }

    /// Returns the fragment, percent-encoded, without the number sign.
    pub fn fragment(&self) -> Option<&str> {
        self.0.text.get(self.0.path_end + 1..)
    }

    /// Returns user name and password, percent-encoded as in the URL; `None` if both are empty.
    pub fn user_info(&self) -> Option<(&str, &str)> {
        self.0
            .user_info
            .as_ref()
            .map(|info| (&*info.user, &*info.password))
    }

    /// Returns the value of `Authorization` for the user information, percent-decoded.
    pub(crate) fn basic_authorization(&self) -> Option<HeaderValue> {
        let info = self.0.user_info.as_ref()?;
        let user: Vec<u8> = percent_encoding::percent_decode_str(&info.user).collect();
        let password: Vec<u8> = percent_encoding::percent_decode_str(&info.password).collect();
        Some(authorization::basic(user, password))
    }

    /// Returns the URL without user information, with its fragment.
    pub fn as_str(&self) -> &str {
        &self.0.text
    }

    /// Returns the URL without user information and without its fragment: the target of a request to a proxy.
    pub fn without_fragment(&self) -> &str {
        &self.0.text[..self.0.path_end]
    }

    /// Returns `true` if both URLs have the same scheme, host and port.
    pub fn is_same_origin(&self, other: &Url) -> bool {
        self.scheme() == other.scheme()
            && self.port() == other.port()
            && self.host() == other.host()
    }

    /// Returns this URL with `pairs` appended to its query. All characters but letters, digits and `-._~` are percent-encoded.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidUrl`] if the URL becomes too long.
    ///
    /// # Examples
    ///
    /// ```
    /// use uptick_http_client::Url;
    ///
    /// let url = Url::parse("http://example.com/search?page=2")?;
    /// let url = url.with_query([("q", "a & b")])?;
    /// assert_eq!(url.as_str(), "http://example.com/search?page=2&q=a%20%26%20b");
    /// # Ok::<(), uptick_http_client::Error>(())
    /// ```
    pub fn with_query<N, V>(&self, pairs: impl IntoIterator<Item = (N, V)>) -> Result<Url, Error>
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let mut query = String::new();
        for (name, value) in pairs {
            if !query.is_empty() {
                query.push('&');
            }
            push_component(&mut query, name.as_ref());
            query.push('=');
            push_component(&mut query, value.as_ref());
        }
        self.with_encoded_query(&query)
    }

    /// Returns this URL with a query string, such as an encoded form, appended to its query.
    pub(crate) fn with_encoded_query(&self, addition: &str) -> Result<Url, Error> {
        if addition.is_empty() {
            return Ok(self.clone());
        }
        let query = match self.query() {
            None | Some("") => addition.to_owned(),
            Some(query) => format!("{query}&{addition}"),
        };
        Url::build(
            self.scheme(),
            Authority::of(self),
            self.path().as_bytes(),
            Some(query.as_bytes()),
            self.fragment().map(str::as_bytes),
        )
        .map_err(|failure| error_of(failure, addition.as_bytes()))
    }
}

impl PartialEq for Url {
    fn eq(&self, other: &Url) -> bool {
        self.0.text == other.0.text && self.0.user_info == other.0.user_info
    }
}

impl Eq for Url {}

impl Hash for Url {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
        self.0.user_info.hash(state);
    }
}

impl Display for Url {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Debug for Url {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Url({:?})", self.as_str())
    }
}

impl AsRef<str> for Url {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl FromStr for Url {
    type Err = Error;

    fn from_str(text: &str) -> Result<Url, Error> {
        Url::parse(text)
    }
}

impl TryFrom<&str> for Url {
    type Error = Error;

    fn try_from(text: &str) -> Result<Url, Error> {
        Url::parse(text)
    }
}

/// Returns a host in the form of [`Url::host`]; `None` if it is malformed.
#[cfg(feature = "cookies")]
pub(crate) fn host_of(text: &str) -> Option<String> {
    let host = host::Host::parse(text.as_bytes()).ok()?;
    Some(host.text.to_ascii_lowercase())
}

fn invalid(reason: impl Into<Cow<'static, str>>) -> Failure {
    Failure::new(ErrorKind::InvalidUrl, reason)
}

fn no_host() -> Failure {
    invalid("it has no host")
}

fn check_length(length: usize) -> Result<(), Failure> {
    match length <= MAX_LENGTH {
        true => Ok(()),
        false => Err(invalid(format!(
            "it is longer than the limit of {MAX_LENGTH} bytes"
        ))),
    }
}

/// Adds the beginning of the text to a failure, unless it may contain a password.
fn error_of(failure: Failure, text: &[u8]) -> Error {
    let shown = String::from_utf8_lossy(&text[..text.len().min(400)]);
    let reason = match shown.contains('@') {
        true => format!("parsing the URL failed: {}", failure.reason),
        false => {
            let beginning: String = shown.chars().take(100).collect();
            format!("parsing the URL {beginning:?} failed: {}", failure.reason)
        }
    };
    Error::new(failure.kind, reason)
}
