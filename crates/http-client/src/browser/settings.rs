//! The settings of a browser.

use std::cell::RefCell;
use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderName, HeaderValue};
use uptick_http::test::TestClient;
use uptick_socket::ConnectorInterface;

use crate::connect::{ConnectOptions, Destination, Http2Mode, ProxyMode, Resolve, TlsOptions};
#[cfg(feature = "cookies")]
use crate::cookies::CookieStore;
use crate::error::{Error, Failure};
use crate::pool::{Host, Pool};
use crate::transport::ExchangeSettings;
use crate::url::Url;

/// The settings of a request.
#[derive(Clone)]
pub(crate) struct Settings {
    pub(crate) base: Option<Url>,
    /// The headers of all requests.
    pub(crate) headers: Vec<(HeaderName, HeaderValue)>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) tls_timeout: Option<Duration>,
    pub(crate) total_timeout: Option<Duration>,
    pub(crate) exchange: ExchangeSettings,
    /// Maximum number of redirects that are followed; `None` to follow none.
    pub(crate) max_redirects: Option<u32>,
    pub(crate) rejects_errors: bool,
    /// Maximum size of a decoded body that is buffered, in bytes.
    pub(crate) response_buffer: Option<u64>,
    /// Maximum size of a decoded body that is streamed, in bytes.
    pub(crate) max_body: Option<u64>,
    pub(crate) decompresses: bool,
    pub(crate) retries: bool,
    pub(crate) proxy: ProxyMode,
    pub(crate) http2: Http2Mode,
    pub(crate) tls: TlsOptions,
    pub(crate) unix: Option<PathBuf>,
    pub(crate) resolve: Resolve,
    pub(crate) connector: Option<Rc<dyn ConnectorInterface>>,
    /// A server in the same thread that receives all requests.
    pub(crate) server: Option<TestClient>,
    #[cfg(feature = "cookies")]
    pub(crate) cookies: Option<CookieStore>,
    last: LastRequest,
}

/// Properties of the last request, which the next one mostly shares. A copy of the settings is for other destinations or another pool, and begins
/// empty.
#[derive(Default)]
struct LastRequest {
    url: RefCell<Option<Url>>,
    /// The host in the pool of the browser.
    host: RefCell<Option<Rc<Host>>>,
}

impl Clone for LastRequest {
    fn clone(&self) -> Self {
        LastRequest::default()
    }
}

const AGENT: &str = concat!("uptick/", env!("CARGO_PKG_VERSION"));

impl Default for Settings {
    fn default() -> Self {
        Settings {
            base: None,
            headers: vec![
                (USER_AGENT, HeaderValue::from_static(AGENT)),
                (ACCEPT, HeaderValue::from_static("*/*")),
            ],
            connect_timeout: Some(Duration::from_secs(10)),
            tls_timeout: Some(Duration::from_secs(10)),
            total_timeout: Some(Duration::from_secs(60)),
            exchange: ExchangeSettings {
                write_timeout: Some(Duration::from_secs(30)),
                first_byte_timeout: Some(Duration::from_secs(30)),
                read_timeout: Some(Duration::from_secs(30)),
                max_head: 64 * 1024,
                max_body: None,
                read_ahead: 256 * 1024,
            },
            max_redirects: Some(10),
            rejects_errors: true,
            response_buffer: Some(16 * 1024 * 1024),
            max_body: None,
            decompresses: true,
            retries: true,
            proxy: ProxyMode::None,
            http2: Http2Mode::Auto,
            tls: TlsOptions::default(),
            unix: None,
            resolve: Resolve::default(),
            connector: None,
            server: None,
            #[cfg(feature = "cookies")]
            cookies: None,
            last: LastRequest::default(),
        }
    }
}

impl Settings {
    /// Returns the host of a URL in the pool of the browser, whose requests mostly have the same. A request that upgrades uses HTTP/1.
    pub(crate) fn host(&self, pool: &Pool, url: &Url, upgrades: bool) -> Result<Rc<Host>, Failure> {
        if upgrades {
            let mut destination = self.destination(url)?;
            if destination.http2 == Http2Mode::Auto {
                destination.http2 = Http2Mode::Never;
            }
            return Ok(pool.host(destination));
        }
        let mut last = self.last.host.borrow_mut();
        if let Some(host) = &*last
            && host.is_listed()
            && host.destination().is_of(url)
        {
            return Ok(Rc::clone(host));
        }
        let host = pool.host(self.destination(url)?);
        *last = Some(Rc::clone(&host));
        Ok(host)
    }

    /// Parses the URL of a request: an absolute URL, or a reference that is resolved against the base.
    pub(crate) fn url(&self, text: &str) -> Result<Url, Error> {
        let mut last = self.last.url.borrow_mut();
        let sibling = last.as_ref().and_then(|last| last.parse_sibling(text));
        if let Some(url) = sibling {
            return Ok(url);
        }
        let url = Url::of_request(text, self.base.as_ref())?;
        // Credentials are not kept.
        *last = url.user_info().is_none().then(|| url.clone());
        Ok(url)
    }

    pub(crate) fn connect_options(&self) -> ConnectOptions {
        ConnectOptions {
            connect_timeout: self.connect_timeout,
            tls_timeout: self.tls_timeout,
            resolve: self.resolve.clone(),
            connector: self.connector.clone(),
        }
    }

    /// Returns the destination of a URL.
    fn destination(&self, url: &Url) -> Result<Destination, Failure> {
        Ok(Destination {
            scheme: url.scheme(),
            host: url.host().into(),
            port: url.port(),
            proxy: match self.unix {
                Some(_) => None,
                None => self.proxy.choose(url)?,
            },
            tls: self.tls.clone(),
            http2: self.http2,
            unix: self.unix.clone(),
        })
    }
}
