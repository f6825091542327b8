//! Tests of HTTP programs without sockets.
//!
//! [`HttpServer::test`](crate::HttpServer::test) returns a client whose requests go through middleware, routes, handlers and hooks as those
//! of connections do, and are carried in memory: no port, no descriptor, no thread. Everything runs on the loop of the thread, so that a
//! [manual clock](uptick_event_loop::ManualClock) moves timeouts.
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
//! [`start`](TestRequest::start) returns the exchange while it is under way: pieces of the response one by one, a client that goes away.
//! [`start_streaming`](TestRequest::start_streaming) leaves the body of the request to [`push`](TestExchange::push).
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
//! A handler that never answers is answered with 500 when its time is over. The [scripted poller](uptick_event_loop::ScriptedPoller) moves
//! its clock instead of waiting:
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
//! # What connections add
//! `Date`, `Connection`, `Content-Length` and `Transfer-Encoding` are set by HTTP/1, and are not among the headers here; in the response to
//! `HEAD` and with 304, a `Content-Length` of the program is. There is no [`Request::connection`](crate::Request::connection), no `100 Continue`, and
//! no timeout for a body that comes too slowly. An upgrade by [`Response::upgrade_channel`](crate::Response::upgrade_channel) hands over a
//! channel in memory ([`TestExchange::take_channel`]); one by [`Response::upgrade`](crate::Response::upgrade), which needs a connection, ends with the
//! head of its response. [`TestClient::connector`] makes real connections to the server over pairs of sockets.

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
