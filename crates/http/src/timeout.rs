//! A time limit for the responses of a route or a group.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use crate::{IntoMiddleware, Middleware, Reply, StatusCode};

/// Middleware that responds with 503 and drops the future of the handler if the response does not start in time.
///
/// The time counts from the first wait of an async handler, or from the return of a handler that uses a [`Responder`](crate::Responder).
/// A handler that computes without waiting is not interrupted, and a body in progress is not aborted. The limit of the server
/// ([`HttpServer::response_timeout`](crate::HttpServer::response_timeout)) applies as well.
///
/// # Examples
/// ```
/// use std::time::Duration;
/// use uptick_http::{HttpServer, Request, Timeout};
///
/// let http = HttpServer::new();
/// http.group("/reports", |reports| {
///     reports.wrap(Timeout::new(Duration::from_secs(5)));
///     reports.get("/", async |_: Request| std::future::pending::<&str>().await);
/// });
/// ```
#[derive(Clone, Copy)]
pub struct Timeout {
    limit: Duration,
    status: StatusCode,
}

impl Timeout {
    /// Creates the middleware.
    pub fn new(limit: Duration) -> Self {
        Timeout {
            limit,
            status: StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// Sets the status of the timeout response. A status other than 4xx or 5xx counts as 500. Default: 503.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }
}

impl IntoMiddleware<Timeout> for Timeout {
    fn into_middleware(self) -> Middleware {
        Rc::new(move |request, next| {
            let handle = request.clone_handle();
            let reply = next.run(request);
            if !matches!(reply, Reply::Ready(_)) {
                handle.limit_time(self.limit, self.status);
            }
            reply
        })
    }
}

impl fmt::Debug for Timeout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Timeout")
            .field("limit", &self.limit)
            .field("status", &self.status)
            .finish()
    }
}
