#![doc = include_str!("../README.md")]
#![allow(
    dead_code,
    reason = "the server that uses these parts is being put together"
)]

mod cookies;
mod error;
mod forwarded;
pub mod h1;
mod handler;
mod into_response;
mod middleware;
mod request;
mod response;
pub mod router;
mod static_files;

pub use cookie::{Cookie, SameSite};
pub use error::HttpError;
pub use forwarded::{ForwardedFields, Origin, TrustedProxies};
pub use handler::{
    Answered, AnsweredLater, Handler, IntoReply, Later, LocalFuture, Now, Passed, Reply,
};
pub use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
pub use into_response::IntoResponse;
pub use middleware::{IntoMiddleware, Middleware, Next};
pub use request::Request;
pub use response::{Body, BodyStream, ParseError, Response};
pub use static_files::StaticFiles;
