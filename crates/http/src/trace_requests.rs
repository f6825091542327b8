//! `tracing` spans for connections and requests.

use std::fmt;
use std::future::poll_fn;
use std::pin::pin;
use std::rc::Rc;
use std::time::Instant;

use tracing::{Level, Span, field};

use crate::{IntoMiddleware, Middleware, Next, Reply, Request, StatusCode};

/// A middleware that runs each request in a `tracing` span, within a span of its connection.
///
/// | span, level `INFO` | fields |
/// |---|---|
/// | `connection` | `id` ([`Connection::id`](uptick_socket::Connection::id)), `peer` |
/// | `request` | `method`, `path`, `version` such as `HTTP/1.1` or `HTTP/2.0`, `id` if there is one ([`RequestIds`](crate::RequestIds)), and `status` once the response starts |
///
/// Events of a handler are in the span of its request, even if the handler is asynchronous. When the response starts, an event of level
/// `DEBUG` with the `status` and the time in microseconds is emitted.
///
/// If no subscriber is interested in spans of this level, the cost per request is one comparison.
///
/// # Examples
/// ```
/// use uptick_http::{HttpServer, Request, TraceRequests};
///
/// let http = HttpServer::new().wrap(TraceRequests::new());
/// http.get("/", |_: Request| "hello");
/// ```
#[derive(Clone, Copy, Default)]
pub struct TraceRequests {
    _private: (),
}

/// The span of a connection, stored as an extension of it.
struct ConnectionSpan(Span);

impl TraceRequests {
    /// Creates the middleware.
    pub fn new() -> Self {
        TraceRequests::default()
    }
}

impl IntoMiddleware<TraceRequests> for TraceRequests {
    fn into_middleware(self) -> Middleware {
        Rc::new(|request, next| match tracing::enabled!(Level::INFO) {
            true => traced(request, next),
            false => next.run(request),
        })
    }
}

fn traced(request: Request, next: Next) -> Reply {
    let span = request_span(&request);
    let (reported, start) = (span.clone(), Instant::now());
    request.on_response_headers(move |status, _| report(&reported, status, start));
    match span.in_scope(|| next.run(request)) {
        Reply::Later(future) => Reply::Later(Box::pin(async move {
            let mut future = pin!(future);
            poll_fn(|context| span.in_scope(|| future.as_mut().poll(context))).await
        })),
        reply => reply,
    }
}

fn request_span(request: &Request) -> Span {
    let parent = request.connection().map(|conn| {
        if let Some(known) = conn.extension::<ConnectionSpan>() {
            return known.0.clone();
        }
        let peer = request.peer().map(field::display);
        let span = tracing::info_span!("connection", id = conn.id(), peer);
        conn.set_extension(ConnectionSpan(span.clone()));
        span
    });
    let method = request.method().as_str();
    let path = request.path();
    let version = request.version().log_name();
    let id = request.id().map(field::display);
    let status = field::Empty;
    match &parent {
        Some(parent) => {
            tracing::info_span!(parent: parent, "request", method, path, version, id, status)
        }
        None => tracing::info_span!("request", method, path, version, id, status),
    }
}

fn report(span: &Span, status: StatusCode, start: Instant) {
    let status = status.as_u16();
    span.record("status", status);
    let microseconds = u64::try_from(start.elapsed().as_micros()).unwrap_or(u64::MAX);
    tracing::debug!(parent: span, status, microseconds, "response");
}

impl fmt::Debug for TraceRequests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TraceRequests").finish_non_exhaustive()
    }
}
