//! The destination of a connection.

use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::rc::Rc;

use super::{Proxy, TlsOptions};
use crate::url::{Scheme, Url};

/// The use of HTTP/2.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Http2Mode {
    /// HTTP/2 is used if a TLS server supports it. Plain `http://` uses HTTP/1.1.
    #[default]
    Auto,
    /// HTTP/1.1 is used.
    Never,
    /// HTTP/2 is required. Plain `http://` uses HTTP/2 with prior knowledge (RFC 9113, section 3.3).
    Only,
}

/// The properties by which connections are shared: requests with equal destinations can use the same connection.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Destination {
    pub(crate) scheme: Scheme,
    /// A host name in lower case as A-labels, or an IP address without brackets.
    pub(crate) host: Rc<str>,
    pub(crate) port: u16,
    pub(crate) proxy: Option<Proxy>,
    pub(crate) tls: TlsOptions,
    pub(crate) http2: Http2Mode,
    /// The Unix socket to connect to instead of the host. It takes precedence over the proxy.
    pub(crate) unix: Option<PathBuf>,
}

impl Destination {
    /// Returns `true` if scheme, host and port are those of a URL.
    pub(crate) fn is_of(&self, url: &Url) -> bool {
        self.port == url.port() && self.scheme == url.scheme() && *self.host == *url.host()
    }

    /// Returns the proxy to which requests are sent in absolute form: an HTTP proxy without a tunnel.
    pub(crate) fn forward_proxy(&self) -> Option<&Proxy> {
        let is_forwarded = self.scheme == Scheme::Http && self.http2 != Http2Mode::Only;
        self.active_proxy()
            .filter(|proxy| is_forwarded && proxy.is_http())
    }

    /// Returns the proxy, unless a Unix socket replaces it.
    pub(super) fn active_proxy(&self) -> Option<&Proxy> {
        self.proxy.as_ref().filter(|_| self.unix.is_none())
    }

    /// Returns the host and the port, with brackets around an IPv6 address.
    pub(super) fn authority(&self) -> String {
        authority(&self.host, self.port)
    }
}

/// Joins a host and a port, with brackets around an IPv6 address.
pub(super) fn authority(host: &str, port: u16) -> String {
    match host.contains(':') {
        true => format!("[{host}]:{port}"),
        false => format!("{host}:{port}"),
    }
}

/// Displays the address for errors, such as `tls://example.com:443 through the proxy http://127.0.0.1:3128`.
impl Display for Destination {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.unix {
            return write!(f, "unix:{}", path.display());
        }
        let scheme = match self.scheme {
            Scheme::Http => "tcp",
            Scheme::Https => "tls",
        };
        write!(f, "{scheme}://{}", self.authority())?;
        match &self.proxy {
            Some(proxy) => write!(f, " through the proxy {proxy}"),
            None => Ok(()),
        }
    }
}
