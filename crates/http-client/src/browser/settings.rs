//! The settings of a browser.

use std::path::PathBuf;
use std::rc::Rc;
use std::time::Duration;

use http::header::{ACCEPT, USER_AGENT};
use http::{HeaderName, HeaderValue};
use uptick_http::test::TestClient;
use uptick_socket::ConnectorInterface;

use crate::connect::{Destination, Http2Mode, ProxyMode, Resolve, TlsOptions};
#[cfg(feature = "cookies")]
use crate::cookies::CookieStore;
use crate::error::Failure;
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
        }
    }
}

impl Settings {
    /// Returns the destination of a URL.
    pub(crate) fn destination(&self, url: &Url) -> Result<Destination, Failure> {
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
