//! Services mounted at a path of a server.

use crate::HttpServer;

/// A service for the requests to one path of an HTTP server, such as a Socket.IO server.
///
/// It adds its own routes, so that an application can mount a service of another crate with one call of [`HttpServer::mount`].
///
/// # Examples
/// ```
/// use std::cell::Cell;
/// use std::rc::Rc;
/// use uptick_http::{HttpServer, Mount, Request};
///
/// #[derive(Default)]
/// struct Counter {
///     count: Rc<Cell<u64>>,
/// }
///
/// impl Mount for Counter {
///     #[track_caller]
///     fn mount(&self, http: HttpServer, path: &str) {
///         let (read, changed) = (Rc::clone(&self.count), Rc::clone(&self.count));
///         http.group(path, |routes| {
///             routes.get("", move |_: Request| read.get().to_string());
///             routes.post("/increment", move |_: Request| {
///                 changed.set(changed.get() + 1);
///                 changed.get().to_string()
///             });
///         });
///     }
/// }
///
/// let counter = Counter::default();
/// let http = HttpServer::new().mount("/visits", &counter);
/// ```
pub trait Mount {
    /// Adds the routes of the service to a server, below a path.
    ///
    /// [`HttpServer::mount`] calls this, once for each path. `path` is the path passed by the application, unchanged.
    ///
    /// # Panics
    /// As for [`HttpServer::get`]: if the path is malformed, or a route of the service exists already.
    #[track_caller]
    fn mount(&self, http: HttpServer, path: &str);
}

impl HttpServer {
    /// Mounts a service at a path: the service adds its routes there, wrapped by the middleware of the server.
    ///
    /// The service is borrowed during the call. It may be mounted at several paths, and on several servers.
    ///
    /// # Panics
    /// As for [`get`](HttpServer::get): if the path is malformed, or a route of the service exists already.
    #[track_caller]
    pub fn mount(self, path: &str, service: &impl Mount) -> Self {
        service.mount(self, path);
        self
    }
}
