//! The target of a connector: address, scheme and host name.

use std::fmt::{self, Display, Formatter};
use std::net::SocketAddr;
use std::str::FromStr;
use std::sync::Arc;

use crate::error::Error;
use crate::uri::{ConnectUri, IntoUri};

/// The target of a connector: an address, its scheme, and the host name as given by the user.
///
/// Its text form is a [`ConnectUri`], or `SCHEME://HOST:PORT` with a custom scheme, such as
/// `tls://example.com:443`. The supported schemes depend on the connector.
///
/// The host name is kept after the lookup: a connector that looks up names passes an address to its inner connector
/// ([`resolved`](ConnectTarget::resolved)), and a layer that needs the name, such as TLS, reads it from
/// [`host_name`](ConnectTarget::host_name), inside and outside of the lookup.
///
/// # Examples
/// ```
/// use uptick_socket::{ConnectTarget, ConnectUri};
///
/// let target: ConnectTarget = "tls://example.com:443".parse()?;
/// assert_eq!((target.scheme(), target.host_name()), ("tls", Some("example.com")));
///
/// let resolved = target.resolved(([192, 0, 2, 1], 443).into());
/// assert_eq!(resolved.to_string(), "tls://192.0.2.1:443");
/// assert_eq!(resolved.host_name(), Some("example.com"));
///
/// let inner = resolved.with_scheme("tcp");
/// assert_eq!(inner.to_string(), "tcp://192.0.2.1:443");
/// # Ok::<(), uptick_socket::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConnectTarget {
    /// `None` for the scheme that corresponds to the address.
    scheme: Option<Arc<str>>,
    uri: ConnectUri,
    /// The name that was looked up.
    name: Option<Arc<str>>,
}

/// The schemes that [`ConnectUri`] supports.
const CONNECT_URI_SCHEMES: [&str; 4] = ["tcp", "unix", "fd", "systemd"];

impl ConnectTarget {
    /// Returns the scheme in lower case: `tcp`, `unix`, or a custom one.
    pub fn scheme(&self) -> &str {
        match (&self.scheme, &self.uri) {
            (Some(scheme), _) => scheme,
            (None, ConnectUri::Unix(_)) => "unix",
            (None, _) => "tcp",
        }
    }

    /// Returns the target with another scheme for a TCP address. A Unix socket keeps its own.
    #[must_use]
    pub fn with_scheme(mut self, scheme: &str) -> Self {
        self.scheme = match self.uri {
            ConnectUri::Unix(_) => None,
            _ if scheme == "tcp" => None,
            _ => Some(scheme.into()),
        };
        self
    }

    /// Returns the address.
    pub fn uri(&self) -> &ConnectUri {
        &self.uri
    }

    /// Returns the host name as given by the user, also after the lookup; `None` for an IP address and for a Unix
    /// socket.
    pub fn host_name(&self) -> Option<&str> {
        match &self.uri {
            ConnectUri::Host { name, .. } => Some(name),
            _ => self.name.as_deref(),
        }
    }

    /// Returns the target with the address that the lookup of its name has returned.
    #[must_use]
    pub fn resolved(&self, address: SocketAddr) -> Self {
        ConnectTarget {
            scheme: self.scheme.clone(),
            uri: ConnectUri::Tcp(address),
            name: self.host_name().map(Into::into),
        }
    }

    /// Creates the error of a connector that does not support this target.
    pub(crate) fn unsupported(&self, reason: impl Into<Arc<str>>) -> Error {
        Error::invalid_uri(&self.to_string(), reason)
    }
}

impl Display for ConnectTarget {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match (&self.scheme, &self.uri) {
            (Some(scheme), ConnectUri::Tcp(address)) => write!(f, "{scheme}://{address}"),
            (Some(scheme), ConnectUri::Host { name, port }) => {
                write!(f, "{scheme}://{name}:{port}")
            }
            (_, uri) => Display::fmt(uri, f),
        }
    }
}

impl From<ConnectUri> for ConnectTarget {
    fn from(uri: ConnectUri) -> Self {
        ConnectTarget {
            scheme: None,
            uri,
            name: None,
        }
    }
}

impl From<SocketAddr> for ConnectTarget {
    fn from(address: SocketAddr) -> Self {
        ConnectUri::from(address).into()
    }
}

impl FromStr for ConnectTarget {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let Some((scheme, rest)) = split_custom_scheme(text) else {
            return text.parse().map(ConnectUri::into);
        };
        match format!("tcp://{rest}").parse::<ConnectUri>() {
            Ok(uri) => Ok(ConnectTarget::from(uri).with_scheme(&scheme)),
            Err(Error::InvalidUri { reason, .. }) => Err(Error::invalid_uri(
                text,
                format!("{scheme}:// must be followed by HOST:PORT; {reason}"),
            )),
            Err(error) => Err(error),
        }
    }
}

/// Splits off a scheme that [`ConnectUri`] does not support (RFC 3986, 3.1).
fn split_custom_scheme(text: &str) -> Option<(String, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    let is_scheme = scheme.starts_with(|char: char| char.is_ascii_alphabetic())
        && scheme
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte));
    let scheme = scheme.to_ascii_lowercase();
    (is_scheme && !CONNECT_URI_SCHEMES.contains(&&*scheme)).then_some((scheme, rest))
}

impl IntoUri<Self> for ConnectTarget {
    fn into_uri(self) -> Result<Self, Error> {
        Ok(self)
    }
}

impl IntoUri<ConnectTarget> for ConnectUri {
    fn into_uri(self) -> Result<ConnectTarget, Error> {
        Ok(self.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ConnectTarget {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_the_scheme_of_its_kind() {
        assert_eq!(parse("80").scheme(), "tcp");
        assert_eq!(parse("example.com:80").scheme(), "tcp");
        assert_eq!(parse("/run/x.sock").scheme(), "unix");
        assert_eq!(parse("TLS://[::1]:443").scheme(), "tls");
    }

    #[test]
    fn a_target_displays_as_the_text_it_was_parsed_from() {
        for text in [
            "tcp://127.0.0.1:80",
            "tcp://example.com:80",
            "tls://example.com:443",
            "ws+x://[::1]:9",
            "unix:///run/x.sock",
        ] {
            assert_eq!(parse(text).to_string(), text);
        }
    }

    #[test]
    fn the_host_name_is_kept_after_lookups_and_changes_of_the_scheme() {
        let target = parse("tls://example.com:443");
        let found = target.resolved(([192, 0, 2, 1], 443).into());
        let again = found
            .with_scheme("tcp")
            .resolved(([192, 0, 2, 2], 443).into());
        assert_eq!(again.host_name(), Some("example.com"));
        assert_eq!(again, again.clone().with_scheme("tcp"));
        assert_eq!(parse("192.0.2.1:443").host_name(), None);
    }

    #[test]
    fn a_unix_socket_keeps_its_scheme() {
        assert_eq!(parse("/x").with_scheme("tls").to_string(), "unix:///x");
    }

    #[test]
    fn text_after_a_custom_scheme_is_parsed_like_a_tcp_address() {
        let error = "http://example.com/".parse::<ConnectTarget>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "invalid address \"http://example.com/\": http:// must be followed by HOST:PORT; \
             the text \"/\" after the port is not allowed (EINVAL)"
        );
        for text in [
            "tls://",
            "tls://:1",
            "tls://x:0",
            "://x:1",
            "1x://x:1",
            "fd://3",
        ] {
            let error = text.parse::<ConnectTarget>().unwrap_err();
            assert_eq!(error.errno_name(), Some("EINVAL"), "{text}: {error}");
        }
    }
}
