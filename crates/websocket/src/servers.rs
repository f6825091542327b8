//! The WebSockets of each server of the thread: their hub, their counts and the shutdown of the server.

use std::cell::{Cell, OnceCell, RefCell};
use std::collections::HashMap;
use std::rc::Rc;
use std::time::Duration;

use uptick_emitter::Emitter;
use uptick_event_loop::Staggered;
use uptick_http::{HttpServer, ShutdownOptions};

use crate::counts::SocketCounts;
use crate::protocol::CloseCode;
use crate::socket::handle::WebSocket;
use crate::socket::serving::sockets_of;
use crate::topics::hub::Hub;

thread_local! {
    static SERVERS: RefCell<HashMap<HttpServer, Rc<ServerSockets>>> = RefCell::default();
}

/// Maximum time for the peer's close frame during a shutdown.
const MAX_CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

/// The state shared by the WebSockets of a server.
pub(crate) struct ServerSockets {
    /// Created on first use, usually in the set-up code of the program: the order of creation determines the name of the hub in all workers.
    hub: OnceCell<Hub>,
    server: HttpServer,
    /// The WebSockets that the shutdown of the server has yet to close.
    closing: RefCell<Option<Staggered<WebSocket>>>,
    /// The close code of the shutdown.
    code: Rc<Cell<CloseCode>>,
    /// Maximum time for the peer's close frame during a shutdown.
    close_timeout: Rc<Cell<Option<Duration>>>,
    counts: Rc<SocketCounts>,
}

impl ServerSockets {
    /// Returns the state of a server's WebSockets, creating it on first use.
    pub(crate) fn of(http: HttpServer) -> Rc<ServerSockets> {
        let known = SERVERS.with_borrow(|all| all.get(&http).cloned());
        known.unwrap_or_else(|| ServerSockets::new(http))
    }

    fn new(http: HttpServer) -> Rc<ServerSockets> {
        let sockets = Rc::new(ServerSockets {
            hub: OnceCell::new(),
            server: http,
            closing: RefCell::new(None),
            code: Rc::new(Cell::new(CloseCode::GOING_AWAY)),
            close_timeout: Rc::default(),
            counts: Rc::default(),
        });
        if !sockets.has_server() {
            // The server has closed, so no event would remove the state from the table.
            return sockets;
        }
        SERVERS.with_borrow_mut(|all| all.insert(http, Rc::clone(&sockets)));
        let this = Rc::clone(&sockets);
        http.on(HttpServer::SHUTDOWN, move |options| this.shut_down(options));
        let this = Rc::clone(&sockets);
        http.on(HttpServer::CLOSE, move |()| {
            SERVERS.with_borrow_mut(|all| all.remove(&http));
            this.server_closed();
        });
        sockets
    }

    fn has_server(&self) -> bool {
        self.server.with_listeners(|_| ()).is_some()
    }

    /// Returns the counts shared by the WebSockets of the server.
    pub(crate) fn counts(&self) -> Rc<SocketCounts> {
        Rc::clone(&self.counts)
    }

    /// Returns the hub of the server, creating it on first use.
    pub(crate) fn hub(&self) -> Hub {
        if let Some(hub) = self.hub.get() {
            return *hub;
        }
        // No borrow is held, because this may create an adapter of the program.
        let hub = match self.has_server() {
            true => Hub::of_server(),
            false => Hub::new(),
        };
        *self.hub.get_or_init(|| hub)
    }

    /// Returns the limit for the peer's close frame that a shutdown sets.
    pub(crate) fn close_timeout(&self) -> Rc<Cell<Option<Duration>>> {
        Rc::clone(&self.close_timeout)
    }

    /// Closes the WebSockets within the window of a shutdown.
    fn shut_down(self: &Rc<Self>, options: ShutdownOptions) {
        self.code.set(match options.restarting {
            true => CloseCode::RESTART,
            false => CloseCode::GOING_AWAY,
        });
        // Shorter than the time from the window's end to the deadline, so that peers that do not respond are gone by then.
        let timeout = MAX_CLOSE_TIMEOUT.min(options.deadline / 5);
        self.close_timeout.set(Some(timeout));
        let window = options.closing_window();
        let in_progress = self.closing.borrow().clone();
        match in_progress {
            Some(closing) => closing.end_within(window),
            None => {
                let code = Rc::clone(&self.code);
                let close = move |ws: WebSocket| ws.close(code.get(), "");
                let closing = Staggered::new(sockets_of(&self.counts), window, close);
                self.closing.replace(Some(closing));
            }
        }
    }

    fn server_closed(self: &Rc<Self>) {
        if let Some(closing) = self.closing.take() {
            closing.cancel();
            // The server waits for its connections, but not for other channels.
            for ws in sockets_of(&self.counts) {
                ws.close(self.code.get(), "");
            }
        }
        // WebSockets over other channels than connections may outlive their server.
        if let Some(hub) = self.hub.get()
            && sockets_of(&self.counts).is_empty()
        {
            hub.close();
        }
    }
}

impl std::fmt::Debug for ServerSockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ServerSockets").finish_non_exhaustive()
    }
}
