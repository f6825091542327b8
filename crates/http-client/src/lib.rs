#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod authorization;
mod body;
mod browser;
mod connect;
#[cfg(feature = "cookies")]
mod cookies;
mod decoding;
mod error;
mod event_source;
mod pool;
mod proxying;
mod redirect;
mod request;
mod timeout;
mod transport;
mod url;

pub use body::{MultipartForm, RequestBody};
pub use browser::{
    Browser, ClientRequest, RequestBuilder, Response, StreamingRequest, StreamingResponse,
};
pub use connect::{Http2Mode, Proxy, ProxyMode, TlsOptions};
#[cfg(feature = "cookies")]
pub use cookies::{CookieStore, StoredCookie};
pub use error::{Error, ErrorKind};
pub use event_source::{
    EventLimits, EventParser, EventParserError, EventSource, EventSourceBuilder, EventSourceRetry,
    MessageEvent, ReadyState,
};
pub use pool::{PoolLimits, PoolStats};
pub use proxying::{ForwardedMode, LoadBalancing, ProxyRoutes, Upstream, UpstreamState};
pub use url::{Scheme, Url};

// Types of other crates in the signatures of this one.
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
pub use uptick_http::Channel;
pub use uptick_http::h1::{Fields, Trailers, Version};
pub use uptick_socket::{ConnectorInterface, Resolver};
#[cfg(feature = "tls")]
pub use uptick_tls::TlsVersion;

/// The usual imports of a program with this crate: `use uptick_http_client::prelude::*`.
pub mod prelude {
    pub use bytes::Bytes;
    pub use uptick_emitter::Emitter;
    pub use uptick_event_loop::{block_on, run, spawn};

    pub use crate::{
        Browser, Error, ErrorKind, EventSource, MessageEvent, Method, ProxyRoutes, RequestBody,
        Response, StatusCode, StreamingResponse, Upstream,
    };
}
