//! Short ways to what is done by a route, a middleware or another setting.

use std::time::Duration;

use uptick_rate_limit::Limit;

use super::HttpServer;
use crate::{IntoMiddleware, Next, RateLimiting, Request, Response};

/// Short ways to routes, middlewares and other settings.
impl HttpServer {
    /// Adds the route `/ping` for GET, which is answered with `PONG`: whoever watches the server can ask for it.
    ///
    /// # Panics
    /// If there is such a route.
    #[track_caller]
    pub fn ping(self) -> Self {
        self.get("/ping", |_: Request| Response::plain("PONG"))
    }

    /// Sets how long a connection is kept for the next request, as [`idle_timeout`](HttpServer::idle_timeout) does.
    /// Default: 60 s.
    pub fn set_timeout(self, limit: Duration) -> Self {
        self.idle_timeout(Some(limit))
    }

    /// Sets how many requests each client may make in a window of time; more are answered with 429. A second call replaces the
    /// limit. Default: no limit.
    ///
    /// It is a [`RateLimiting`] by fixed windows, in the place among the middlewares where it was set first.
    pub fn set_rate_limit(self, max: u32, window: Duration) -> Self {
        let Some(service) = self.service() else {
            return self;
        };
        let limit = RateLimiting::new(Limit::fixed_window(max, window)).into_middleware();
        let before = service.rate_limit.replace(Some(limit));
        if before.is_none() {
            self.wrap(move |request: Request, next: Next| {
                let limit = self.service().and_then(|s| s.rate_limit.borrow().clone());
                match limit {
                    Some(limit) => limit(request, next),
                    None => next.run(request),
                }
            });
        }
        self
    }

    /// Whether the server listens anywhere.
    pub fn is_connected(self) -> bool {
        !self.addresses().is_empty()
    }
}
