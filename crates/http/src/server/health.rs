//! Health check routes.

use std::rc::Rc;

use super::HttpServer;
use crate::health::{ReadinessChecks, health};
use crate::{HealthChecks, Request};

impl HttpServer {
    /// Adds a GET route that responds with 200 while the server serves requests, and with 503 as soon as a shutdown or its
    /// [notice](crate::ShutdownOptions::notice) starts. The body is JSON: `{"status":"ok"}`.
    ///
    /// Use [`ready`](HttpServer::ready) for a route with checks.
    ///
    /// # Panics
    /// As for [`route`](HttpServer::route).
    ///
    /// # Examples
    /// ```
    /// use uptick_http::HttpServer;
    ///
    /// let http = HttpServer::new();
    /// http.health("/healthz");
    /// # assert_eq!(http.test().get("/healthz").send()?.text(), r#"{"status":"ok"}"#);
    /// # Ok::<(), uptick_http::test::TestError>(())
    /// ```
    #[track_caller]
    pub fn health(self, pattern: &str) -> Self {
        self.get(pattern, move |_: Request| health(self.is_unready()))
    }

    /// Adds a GET route that responds with 200 if all checks succeed, and with 503 if one fails or a shutdown has started. The body is
    /// JSON, such as `{"checks":{"database":"timeout"},"status":"unavailable"}`; the result of a check is `ok`, `failed` or `timeout`.
    ///
    /// # Panics
    /// As for [`route`](HttpServer::route).
    #[track_caller]
    pub fn ready(self, pattern: &str, checks: HealthChecks) -> Self {
        let readiness = Rc::new(ReadinessChecks::new(checks));
        self.get(pattern, move |_: Request| {
            let readiness = Rc::clone(&readiness);
            async move {
                match self.is_unready() {
                    true => health(true),
                    false => readiness.response().await,
                }
            }
        })
    }
}
