//! Shorthands for routes, middleware and settings.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use uptick_rate_limit::Limit;

use crate::server::{HttpServer, with_entry};
use crate::{IntoMiddleware, Next, RateLimiting, Request, Response};

/// Shorthands for routes, middleware and settings.
impl HttpServer {
    /// Adds the GET route `/ping`, which responds with `PONG`, for monitoring.
    ///
    /// # Panics
    /// If the route exists already.
    #[track_caller]
    pub fn ping(self) -> Self {
        self.get("/ping", |_: Request| Response::plain("PONG"))
    }

    /// Sets how long an idle connection is kept open, like [`idle_timeout`](HttpServer::idle_timeout). Default: 60 s.
    pub fn set_timeout(self, limit: Duration) -> Self {
        self.idle_timeout(Some(limit))
    }

    /// Sets the maximum number of requests of each client in a time window; more are answered with 429. A second call replaces the limit.
    /// Default: no limit.
    ///
    /// This is a [`RateLimiting`] middleware with fixed windows. It keeps its position among the middleware when the limit is replaced.
    pub fn set_rate_limit(self, max: u32, window: Duration) -> Self {
        let limit = RateLimiting::new(Limit::fixed_window(max, window)).into_middleware();
        let set = with_entry(self, |entry| match &entry.convenience.rate_limit {
            Some(set) => {
                set.replace(Rc::clone(&limit));
                None
            }
            None => Some(Rc::clone(
                entry
                    .convenience
                    .rate_limit
                    .insert(Rc::new(RefCell::new(limit))),
            )),
        });
        if let Some(set) = set.flatten() {
            self.wrap(move |request: Request, next: Next| {
                let limit = Rc::clone(&set.borrow());
                limit(request, next)
            });
        }
        self
    }

    /// Returns `true` if the server has an open listener.
    pub fn is_connected(self) -> bool {
        !self.addresses().is_empty()
    }
}
