//! Short ways to what is done by a route, a middleware or another setting.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use uptick_rate_limit::Limit;

use crate::server::{HttpServer, with_entry};
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

    /// Whether the server listens anywhere.
    pub fn is_connected(self) -> bool {
        !self.addresses().is_empty()
    }
}
