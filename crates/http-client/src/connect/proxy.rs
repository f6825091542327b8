//! Proxies.

use std::fmt::{self, Debug, Display, Formatter};
use std::net::Ipv6Addr;
use std::str::FromStr;
use std::sync::Arc;

use http::HeaderValue;
use percent_encoding::percent_decode_str;
use uptick_emitter::Excerpt;

use super::destination::authority;
use crate::authorization;
use crate::error::{Error, ErrorKind};
use crate::url::Url;

/// A proxy: an HTTP proxy, or a SOCKS5 proxy.
///
/// | URL | meaning |
/// |---|---|
/// | `http://proxy.example:3128` | an HTTP proxy; without a port, port 80 |
/// | `http://user:password@proxy.example:3128` | an HTTP proxy with credentials (`Proxy-Authorization: Basic`) |
/// | `socks5://user:password@proxy.example` | a SOCKS5 proxy (RFC 1928, RFC 1929); without a port, port 1080 |
///
/// `socks5h://` is the same as `socks5://`: the proxy resolves the names. A URL without a scheme is that of an HTTP proxy. User name and
/// password may be percent-encoded. Cloning does not allocate.
///
/// # Examples
/// ```
/// use uptick_http_client::Proxy;
///
/// let proxy = Proxy::parse("http://user:secret@proxy.example:3128")?;
/// assert_eq!(proxy.to_string(), "http://proxy.example:3128");
/// # Ok::<(), uptick_http_client::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Proxy(Arc<ProxyParts>);

#[derive(Clone, PartialEq, Eq, Hash)]
struct ProxyParts {
    protocol: ProxyProtocol,
    /// A host name, or an IP address without brackets.
    host: Box<str>,
    port: u16,
    /// User name and password.
    credentials: Option<(Vec<u8>, Vec<u8>)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum ProxyProtocol {
    Http,
    Socks5,
}

impl Proxy {
    /// Parses the URL of a proxy.
    ///
    /// # Errors
    /// [`ErrorKind::Proxy`] if it is not the URL of a supported proxy.
    pub fn parse(url: &str) -> Result<Proxy, Error> {
        let invalid = |reason: &str| {
            let url = Excerpt::new(without_credentials(url));
            Error::new(
                ErrorKind::Proxy,
                format!("invalid proxy URL \"{url}\": {reason}"),
            )
        };
        let (scheme, rest) = url.split_once("://").unwrap_or(("http", url));
        let protocol = match scheme.to_ascii_lowercase().as_str() {
            "http" => ProxyProtocol::Http,
            "socks5" | "socks5h" => ProxyProtocol::Socks5,
            _ => {
                return Err(invalid(
                    "the scheme is not supported, only http, socks5 and socks5h are",
                ));
            }
        };
        let rest = rest.strip_suffix('/').unwrap_or(rest);
        let (user_info, server) = match rest.rsplit_once('@') {
            Some((user_info, server)) => (Some(user_info), server),
            None => (None, rest),
        };
        let (host, port) = split_port(server).ok_or_else(|| invalid("the port is not valid"))?;
        let host = parse_host(host).ok_or_else(|| invalid("the host is not valid"))?;
        let port = port.unwrap_or(match protocol {
            ProxyProtocol::Http => 80,
            ProxyProtocol::Socks5 => 1080,
        });
        let credentials = user_info.map(|user_info| {
            let (user, password) = user_info.split_once(':').unwrap_or((user_info, ""));
            (decode(user), decode(password))
        });
        Ok(Proxy(Arc::new(ProxyParts {
            protocol,
            host,
            port,
            credentials,
        })))
    }

    pub(super) fn protocol(&self) -> ProxyProtocol {
        self.0.protocol
    }

    pub(super) fn is_http(&self) -> bool {
        self.0.protocol == ProxyProtocol::Http
    }

    pub(super) fn host(&self) -> &str {
        &self.0.host
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port
    }

    /// Returns user name and password.
    pub(super) fn credentials(&self) -> Option<(&[u8], &[u8])> {
        let (user, password) = self.0.credentials.as_ref()?;
        Some((user, password))
    }

    /// Returns the value of `Proxy-Authorization` for an HTTP proxy with credentials.
    pub(crate) fn authorization(&self) -> Option<HeaderValue> {
        let (user, password) = self.credentials().filter(|_| self.is_http())?;
        Some(authorization::basic(user, password))
    }
}

/// Removes the user information of a URL, for errors.
fn without_credentials(url: &str) -> &str {
    url.rsplit_once('@').map_or(url, |(_, rest)| rest)
}

fn decode(text: &str) -> Vec<u8> {
    percent_decode_str(text).collect()
}

/// Splits `HOST`, `HOST:PORT`, `[IPv6]` or `[IPv6]:PORT`; returns `None` if the port is not valid.
fn split_port(text: &str) -> Option<(&str, Option<u16>)> {
    let end = match text.starts_with('[') {
        true => text.find(']')? + 1,
        false => text.find(':').unwrap_or(text.len()),
    };
    let (host, rest) = text.split_at(end);
    match rest.strip_prefix(':') {
        None if rest.is_empty() => Some((host, None)),
        Some("") => Some((host, None)),
        Some(port) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            let port = port.parse().ok().filter(|port| *port != 0)?;
            Some((host, Some(port)))
        }
        _ => None,
    }
}

/// Parses a host name or an IP address; returns it in the form of [`Url::host`]. An IPv6 address may have a scope id.
fn parse_host(text: &str) -> Option<Box<str>> {
    if let Some(rest) = text.strip_prefix('[') {
        let ip = rest.strip_suffix(']')?;
        let without_scope = ip.split_once('%').map_or(ip, |(ip, _)| ip);
        let is_valid = without_scope.parse::<Ipv6Addr>().is_ok();
        return is_valid.then(|| ip.into());
    }
    if text.contains(['/', '?', '#', '\\']) {
        return None;
    }
    let url = Url::parse(&format!("http://{text}/")).ok()?;
    Some(url.host().into())
}

impl FromStr for Proxy {
    type Err = Error;

    fn from_str(url: &str) -> Result<Proxy, Error> {
        Proxy::parse(url)
    }
}

/// Displays the URL without credentials.
impl Display for Proxy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let scheme = match self.0.protocol {
            ProxyProtocol::Http => "http",
            ProxyProtocol::Socks5 => "socks5",
        };
        write!(f, "{scheme}://{}", authority(&self.0.host, self.0.port))
    }
}

impl Debug for Proxy {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn parts(url: &str) -> (String, String, u16, Option<(String, String)>) {
        let proxy = Proxy::parse(url).unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let credentials = proxy.credentials();
        let credentials = credentials.map(|(user, password)| (text(user), text(password)));
        (
            proxy.to_string(),
            proxy.host().to_owned(),
            proxy.port(),
            credentials,
        )
    }

    fn some(user: &str, password: &str) -> Option<(String, String)> {
        Some((user.into(), password.into()))
    }

    #[test]
    fn a_url_states_protocol_address_and_credentials() {
        for (url, text, host, port, credentials) in [
            ("http://a:3128", "http://a:3128", "a", 3128, None),
            (
                "HTTP://A.Test:3128/",
                "http://a.test:3128",
                "a.test",
                3128,
                None,
            ),
            ("http://a", "http://a:80", "a", 80, None),
            ("http://a:", "http://a:80", "a", 80, None),
            ("a:3128", "http://a:3128", "a", 3128, None),
            ("socks5://a", "socks5://a:1080", "a", 1080, None),
            ("socks5h://a:1", "socks5://a:1", "a", 1, None),
            ("http://[::1]:3128", "http://[::1]:3128", "::1", 3128, None),
            ("http://[::1]", "http://[::1]:80", "::1", 80, None),
            (
                "http://[fe80::1%lo]:1",
                "http://[fe80::1%lo]:1",
                "fe80::1%lo",
                1,
                None,
            ),
            ("http://u:p@a:1", "http://a:1", "a", 1, some("u", "p")),
            ("http://u@a:1", "http://a:1", "a", 1, some("u", "")),
            (
                "http://u%40x:a:b%2Fc@a:1",
                "http://a:1",
                "a",
                1,
                some("u@x", "a:b/c"),
            ),
            ("u:p@a:1", "http://a:1", "a", 1, some("u", "p")),
        ] {
            let expected = (text.to_owned(), host.to_owned(), port, credentials);
            assert_eq!(parts(url), expected, "{url}");
        }
    }

    #[test]
    fn a_url_that_is_not_valid_is_an_error_without_the_password() {
        for url in [
            "",
            "http://",
            "http://u:secret@",
            "https://u:secret@a",
            "ftp://u:secret@a",
            "http://u:secret@a:0",
            "http://u:secret@a:65536",
            "http://u:secret@a:x",
            "http://u:secret@a:+1",
            "http://u:secret@a/path",
            "http://u:secret@a?q",
            "http://u:secret@a b",
            "http://u:secret@[::1",
            "http://u:secret@[::1]x",
            "http://u:secret@[a]:1",
            "http://u:secret@::1",
        ] {
            let error = Proxy::parse(url).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Proxy, "{url}");
            assert!(!error.to_string().contains("secret"), "{error}");
        }
    }

    #[test]
    fn credentials_are_not_displayed() {
        let proxy = Proxy::parse("http://user:secret@a:1").unwrap();
        assert_eq!(format!("{proxy} {proxy:?}"), "http://a:1 Proxy(http://a:1)");
        let authorization = proxy.authorization().unwrap();
        assert!(authorization.is_sensitive());
        let socks = Proxy::parse("socks5://user:secret@a:1").unwrap();
        assert_eq!(socks.authorization(), None);
        let other = Proxy::parse("http://user:other@a:1").unwrap();
        assert_ne!(proxy, other);
    }
}
