//! Reverse proxying: requests of a server that are passed to other servers.

mod balancer;
mod body;
mod failure;
mod headers;
mod health;
mod proxy;
mod response;
mod target;
mod tunnel;
mod upstream;

use std::rc::Rc;

use uptick_http::router::Group;
use uptick_http::{HttpServer, Request};

pub use balancer::LoadBalancing;
pub use headers::ForwardedMode;
use proxy::ReverseProxy;
pub use upstream::{Upstream, UpstreamState};

/// Routes that are passed to other servers: a reverse proxy.
///
/// # Examples
/// ```
/// use uptick_http::{HttpServer, Request};
/// use uptick_http_client::{ProxyRoutes, Upstream};
///
/// let http = HttpServer::new();
/// http.get("/", |_: Request| "The application is below /app/");
/// http.proxy("/app/", Upstream::new("http://127.0.0.1:9000"));
/// ```
pub trait ProxyRoutes: Sized {
    /// Passes all requests below a path to the servers of an upstream. More specific routes take precedence.
    ///
    /// `/api/` is the prefix of the paths that begin with it. `/api` is the prefix of `/api` and of the paths that begin with `/api/`. The prefix is part
    /// of the path that the servers receive, unless [`Upstream::strip_prefix`] removes it.
    ///
    /// # Panics
    /// As for [`HttpServer::any`]: if the path is malformed or has a route for all methods already.
    #[track_caller]
    fn proxy(self, path: &str, upstream: Upstream) -> Self;
}

/// Implements [`ProxyRoutes`] in terms of `any`.
macro_rules! proxy_routes {
    ($prefix:expr) => {
        #[track_caller]
        fn proxy(self, path: &str, upstream: Upstream) -> Self {
            let prefix = format!("{}{path}", $prefix(&self));
            let proxy = Rc::new(ReverseProxy::new(&prefix, upstream));
            let handler =
                |proxy: Rc<ReverseProxy>| move |request: Request| Rc::clone(&proxy).handle(request);
            match path.strip_suffix('/') {
                Some(path) => self.any(&format!("{path}/{{*proxied}}"), handler(proxy)),
                None => {
                    let routes = self.any(path, handler(Rc::clone(&proxy)));
                    routes.any(&format!("{path}/{{*proxied}}"), handler(proxy))
                }
            }
        }
    };
}

impl ProxyRoutes for HttpServer {
    proxy_routes!(|_: &Self| String::new());
}

impl ProxyRoutes for Group<'_> {
    proxy_routes!(|group: &Self| group.prefix().to_owned());
}
