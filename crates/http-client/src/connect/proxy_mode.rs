//! The choice of a proxy for a request.

use std::sync::OnceLock;

use super::Proxy;
use super::environment::EnvironmentProxies;
use crate::error::Failure;
use crate::url::Url;

/// The proxy of requests.
///
/// # Examples
/// ```
/// use uptick_http_client::{Proxy, ProxyMode};
///
/// let mode = ProxyMode::Always(Proxy::parse("socks5://127.0.0.1:1080")?);
/// # let _ = mode;
/// # Ok::<(), uptick_http_client::Error>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum ProxyMode {
    /// No proxy.
    #[default]
    None,
    /// This proxy, for all requests.
    Always(Proxy),
    /// The proxy that the environment variables of the process specify. They are read once.
    ///
    /// | variable | meaning |
    /// |---|---|
    /// | `http_proxy` | the proxy for `http://`; the name in upper case is ignored, as CGI servers set it from a request header |
    /// | `https_proxy` or `HTTPS_PROXY` | the proxy for `https://` |
    /// | `all_proxy` or `ALL_PROXY` | the proxy for the schemes that have none |
    /// | `no_proxy` or `NO_PROXY` | the hosts that are connected to directly |
    ///
    /// The values are URLs of proxies ([`Proxy`]). If both names of a variable are set, the one in lower case applies. An empty variable is
    /// not set.
    ///
    /// `no_proxy` is a list separated by commas. An entry is a host name, which includes its subdomains and may begin with a dot; an IP
    /// address; a network such as `10.0.0.0/8`; or `*` for all hosts. Each may be followed by a port: `example.com:8080`,
    /// `[::1]:8080`. Names are compared as they are in the URL: a name does not match by its addresses.
    Environment,
}

impl ProxyMode {
    /// Returns the proxy for a URL.
    ///
    /// # Errors
    /// [`ErrorKind::Proxy`](crate::ErrorKind::Proxy) if the environment variable that applies is not valid.
    pub(crate) fn choose(&self, url: &Url) -> Result<Option<Proxy>, Failure> {
        static ENVIRONMENT: OnceLock<EnvironmentProxies> = OnceLock::new();
        match self {
            ProxyMode::None => Ok(None),
            ProxyMode::Always(proxy) => Ok(Some(proxy.clone())),
            ProxyMode::Environment => ENVIRONMENT
                .get_or_init(|| EnvironmentProxies::read(|name| std::env::var(name).ok()))
                .choose(url.scheme(), url.host(), url.port()),
        }
    }
}
