//! Sequential service of connections.

use uptick_socket::{Connection, ServerControl};

use super::{HttpServer, with_entry};

impl HttpServer {
    /// Sets whether the server serves one connection at a time. The listeners are paused while a connection is open, so that other
    /// clients wait in the kernel's backlog. Connections that a listener has already accepted, for example because a handshake was in
    /// progress, wait here and are served first. The requests of an HTTP/2 connection are handled one after the other. Default: false.
    ///
    /// A connection counts as open until one peer closes it, even if it is idle or upgraded: a client that keeps its connection open
    /// makes the others wait for up to the [idle timeout](HttpServer::idle_timeout), and a WebSocket for as long as it is open. With a
    /// short idle timeout, or `set_header("connection", "close")`, the next client is served sooner. Connections passed to
    /// [`serve`](HttpServer::serve) are served immediately. In this mode, only the server may pause and resume its listeners.
    ///
    /// # Examples
    /// ```
    /// use std::time::Duration;
    /// use uptick_http::{HttpServer, Request};
    ///
    /// let http = HttpServer::new().sequential(true).idle_timeout(Some(Duration::from_secs(1)));
    /// http.get("/", |_: Request| "one after the other");
    /// ```
    pub fn sequential(self, sequential: bool) -> Self {
        if let Some(service) = self.service() {
            service.set_sequential(sequential);
            if !sequential {
                while self.serve_next() {}
            }
            self.update_listeners();
        }
        self
    }

    /// Serves a connection of a listener, unless it must wait for another one.
    pub(super) fn take_connection(self, conn: Connection) {
        let waits = with_entry(self, |entry| {
            let waits = entry.service.is_occupied();
            if waits {
                entry.waiting.push_back(conn);
            }
            waits
        });
        if waits != Some(true) {
            self.serve(conn);
        }
    }

    /// Serves the connection that has waited longest, if the server may serve another one. Returns `true` if one was served.
    pub(super) fn serve_next(self) -> bool {
        loop {
            let next = with_entry(self, |entry| {
                let free = !entry.service.is_occupied();
                free.then(|| entry.waiting.pop_front()).flatten()
            });
            match next.flatten() {
                Some(conn) if conn.is_open() => {
                    self.serve(conn);
                    return true;
                }
                Some(_) => {}
                None => return false,
            }
        }
    }

    /// Pauses or resumes the listeners, depending on the open connections.
    pub(super) fn update_listeners(self) {
        let changed = with_entry(self, |entry| {
            let pause = entry.service.is_occupied();
            let paused = std::mem::replace(&mut entry.paused, pause);
            (pause != paused).then(|| (entry.servers.clone(), pause))
        });
        let Some(Some((servers, pause))) = changed else {
            return;
        };
        let change = match pause {
            true => ServerControl::pause,
            false => ServerControl::resume,
        };
        servers.iter().for_each(change);
    }
}
