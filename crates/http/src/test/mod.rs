//! Tests of HTTP programs without sockets.
//!
//! [`HttpServer::test`](crate::HttpServer::test) returns a client whose requests pass through middleware, routes, handlers and hooks like
//! requests on connections, but in memory: without a port, a file descriptor or a thread. Everything runs on the loop of the thread, so that a
//! [manual clock](uptick_event_loop::ManualClock) controls timeouts.
//!
//! ```
//! use uptick_http::{HttpServer, Request};
//!
//! let http = HttpServer::new();
//! http.get("/users/{id}", |req: Request| format!("User {}", req.param("id").unwrap_or("?")));
//!
//! let response = http.test().get("/users/7").header("accept", "text/plain").send()?;
//! assert_eq!(response.status(), 200);
//! assert_eq!(response.text(), "User 7");
//! # Ok::<(), uptick_http::test::TestError>(())
//! ```
//!
//! [`start`](TestRequest::start) returns the exchange while it is in progress, so that a test can read the response piece by piece or disconnect
//! the client. With [`start_streaming`](TestRequest::start_streaming), the body of the request is sent by [`push`](TestExchange::push).
//!
//! ```
//! use uptick_http::{HttpServer, Request};
//!
//! let http = HttpServer::new();
//! http.post("/count", |req: Request| async move {
//!     req.bytes(1024).await.map(|body| body.len().to_string())
//! });
//!
//! let upload = http.test().post("/count").start_streaming()?;
//! upload.push("some ");
//! upload.push("bytes");
//! upload.end();
//! assert_eq!(upload.wait()?.text(), "10");
//! # Ok::<(), uptick_http::test::TestError>(())
//! ```
//!
//! If a handler does not respond within its timeout, the response is 500. The [scripted poller](uptick_event_loop::ScriptedPoller) advances its
//! clock instead of waiting:
//!
//! ```
//! use uptick_event_loop::{EventLoop, ManualClock, ScriptedPoller};
//! use uptick_http::{HttpServer, Request};
//!
//! let clock = ManualClock::new();
//! EventLoop::install(ScriptedPoller::new(&clock), clock)?;
//! let http = HttpServer::new();
//! http.get("/", |_: Request| std::future::pending::<&str>());
//!
//! assert_eq!(http.test().get("/").send()?.status(), 500);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Differences to connections
//! `Date`, `Connection`, `Content-Length` and `Transfer-Encoding` are set by HTTP/1 and are not among the headers here, except a
//! `Content-Length` that the program sets in the response to `HEAD` or with status 304. There is no
//! [`Request::connection`](crate::Request::connection), no `100 Continue`, and no timeout for a slow request body. An upgrade by
//! [`Response::upgrade_channel`](crate::Response::upgrade_channel) creates a channel in memory ([`TestExchange::take_channel`]). An upgrade by
//! [`Response::upgrade`](crate::Response::upgrade), which needs a connection, ends after the head of the response. [`TestClient::connector`]
//! creates real connections to the server over socket pairs.

mod client;
mod connector;
mod error;
mod exchange;
mod request;
mod response;
mod state;
mod transport;

pub use client::TestClient;
pub use connector::TestConnector;
pub use error::TestError;
pub use exchange::TestExchange;
pub use request::TestRequest;
pub use response::TestResponse;
