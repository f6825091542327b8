#![doc = include_str!("../README.md")]
#![cfg_attr(docsrs, feature(doc_cfg))]

mod access_log;
#[cfg(feature = "authentication")]
mod authentication;
mod body;
#[doc(hidden)]
pub mod channel;
mod client_info;
#[cfg(feature = "compression")]
mod compression;
mod concurrency;
mod connection;
#[cfg(any(feature = "compression", feature = "files"))]
mod content_coding;
mod cookies;
mod cors;
mod error;
mod etag;
mod exchange;
mod extract;
mod form;
mod forwarded;
pub mod h1;
pub mod h2;
mod handler;
mod health;
mod https_redirect;
mod into_response;
mod json;
#[doc(hidden)]
pub mod marker;
mod message;
mod middleware;
mod mount;
#[cfg(feature = "multipart")]
mod multipart;
mod problem;
mod random;
mod rate_limit;
mod request_id;
mod response;
mod routing;
mod security_headers;
mod server;
#[cfg(feature = "sessions")]
mod sessions;
#[cfg(feature = "cookies")]
mod set_cookie;
mod shutdown_options;
mod site;
mod sse;
#[cfg(feature = "files")]
mod static_files;
pub mod test;
mod timeout;
mod trace_requests;
mod type_map;
mod vary;

/// The common names of this crate: `use uptick_http::prelude::*`.
pub mod prelude {
    pub use bytes::Bytes;
    pub use uptick_emitter::Emitter;
    pub use uptick_event_loop::{SIGINT, SIGTERM, run};
    pub use uptick_socket::{Error, Server};

    pub use crate::{
        HttpError, HttpServer, IntoResponse, Json, Method, Next, Reply, Request, Responder,
        Response, StatusCode,
    };
}

pub use access_log::{AccessLog, AccessRecord, LogFormat, LogWriter};
#[cfg(feature = "authentication")]
pub use authentication::{Authentication, Credentials, constant_time_eq};
pub use body::BodyError;
#[cfg(feature = "multipart")]
pub use body::MultipartError;
pub use channel::{Channel, Upgrade};
pub use client_info::ClientInfo;
#[cfg(feature = "compression")]
pub use compression::Compression;
pub use concurrency::LimitConcurrency;
#[cfg(any(feature = "compression", feature = "files"))]
pub use content_coding::ContentCoding;
#[cfg(feature = "cookies")]
pub use cookie::{Cookie, SameSite};
pub use cors::{Cors, CorsError};
pub use error::HttpError;
pub use etag::ETags;
pub use exchange::{BodyReader, Request, Responder};
pub use extract::{ExtractError, ExtractFrom};
pub use form::Form;
pub use forwarded::{ForwardedHeaders, TrustedProxies};
pub use handler::{Handler, IntoHandler, IntoReply, LocalFuture, Reply};
pub use health::HealthChecks;
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
pub use https_redirect::RedirectToHttps;
pub use into_response::IntoResponse;
pub use json::Json;
pub use middleware::{IntoMiddleware, Middleware, Next};
pub use mount::Mount;
#[cfg(feature = "multipart")]
pub use multipart::{FormPart, Multipart, MultipartLimits, SavedFile};
pub use problem::ProblemDetails;
pub use rate_limit::RateLimiting;
pub use request_id::RequestIds;
pub use response::{Body, BodyStream, ParseError, Response};
pub use security_headers::SecurityHeaders;
pub use server::{HeaderError, HttpServer, PortHolder, PortInUse, Shutdown, Stats};
#[cfg(feature = "sessions")]
pub use sessions::{
    MemoryStore, Session, SessionError, SessionKeys, SessionStore, Sessions, StoreError,
};
pub use shutdown_options::ShutdownOptions;
pub use site::{RequestInfo, ResponseInfo};
pub use sse::{EventError, EventStream, ServerEvent};
#[cfg(feature = "files")]
pub use static_files::StaticFiles;
pub use timeout::Timeout;
pub use trace_requests::TraceRequests;
pub use type_map::MissingValue;
pub use uptick_stream::FileRange;

/// Routing of requests to handlers by path pattern and method.
pub mod router {
    pub use crate::routing::{Params, RouteError, RouteMatch, Router};
    pub use crate::site::Group;
}
