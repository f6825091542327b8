#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]
// Parts that no public item uses yet.
#![allow(dead_code)]

mod authorization;
mod body;
mod connect;
mod error;
mod event_source;
mod redirect;
mod transport;
mod url;

pub use body::{MultipartForm, RequestBody};
pub use connect::{Http2Mode, Proxy, ProxyMode, TlsOptions};
pub use error::{Error, ErrorKind};
pub use event_source::{
    EventLimits, EventParser, EventParserError, EventSource, EventSourceRetry, MessageEvent,
    ReadyState,
};
pub use url::{Scheme, Url};
