//! Access to servers from other threads.

use uptick_emitter::Emitter;
use uptick_socket::{Remote, RemoteHandle};

use super::HttpServer;

impl HttpServer {
    /// Returns a reference to the server for other threads.
    ///
    /// # Examples
    /// A server that another thread shuts down:
    /// ```
    /// use std::thread;
    /// use std::time::Duration;
    /// use uptick_http::HttpServer;
    ///
    /// let http = HttpServer::bind("127.0.0.1:0")?;
    /// let remote = http.remote();
    /// thread::spawn(move || remote.post(|http| drop(http.shutdown(Duration::from_secs(5)))));
    /// uptick_event_loop::run()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn remote(self) -> Remote<HttpServer> {
        Remote::new(self)
    }
}

impl RemoteHandle for HttpServer {
    fn is_open(self) -> bool {
        self.with_listeners(|_| ()).is_some()
    }

    fn close(self) {
        HttpServer::close(self);
    }

    fn on_close(self, mut callback: impl FnMut() + 'static) {
        self.once(HttpServer::CLOSE, move |()| callback());
    }

    fn describe(self) -> String {
        format!("the HTTP server {}", self.addresses().join(", "))
    }
}
