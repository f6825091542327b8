//! The WebSockets of each server of the thread: their hub, and their end with the server.

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
    static SERVERS: RefCell<HashMap<HttpServer, Rc<Sockets>>> = RefCell::default();
}

/// How long a peer may take to answer a close during a shutdown.
const LONGEST_CLOSE: Duration = Duration::from_secs(1);

/// The state that the WebSockets of a server share.
pub(crate) struct Sockets {
    /// Made when the program first asks for them, as it does in its set-up: the place in that order is their name in all workers.
    hub: OnceCell<Hub>,
    server: HttpServer,
    /// The shutdown of the server: the WebSockets that are still to be closed.
    closing: RefCell<Option<Staggered<WebSocket>>>,
    /// The code with which the shutdown closes them.
    code: Rc<Cell<CloseCode>>,
    /// During a shutdown: how long a peer may take to answer a close.
    close_timeout: Rc<Cell<Option<Duration>>>,
    counts: Rc<SocketCounts>,
}

impl Sockets {
    /// Returns the state of a server's WebSockets, which is made with the first call.
    pub(crate) fn of(http: HttpServer) -> Rc<Sockets> {
        let known = SERVERS.with_borrow(|all| all.get(&http).cloned());
        known.unwrap_or_else(|| Sockets::new(http))
    }

    fn new(http: HttpServer) -> Rc<Sockets> {
        let sockets = Rc::new(Sockets {
            hub: OnceCell::new(),
            server: http,
            closing: RefCell::new(None),
            code: Rc::new(Cell::new(CloseCode::GOING_AWAY)),
            close_timeout: Rc::default(),
            counts: Rc::default(),
        });
        if !sockets.has_server() {
            // Nothing would remove those of a server that has closed.
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

    /// Returns the counts, which the WebSockets of the server share.
    pub(crate) fn counts(&self) -> Rc<SocketCounts> {
        Rc::clone(&self.counts)
    }

    /// Returns the hub of the server, which is made with the first call.
    pub(crate) fn hub(&self) -> Hub {
        if let Some(hub) = self.hub.get() {
            return *hub;
        }
        // Their adapter is made by the program, so nothing is borrowed.
        let hub = match self.has_server() {
            true => Hub::of_server(),
            false => Hub::new(),
        };
        *self.hub.get_or_init(|| hub)
    }

    /// Returns the limit for answers to closes that a shutdown sets, once one is under way.
    pub(crate) fn close_timeout(&self) -> Rc<Cell<Option<Duration>>> {
        Rc::clone(&self.close_timeout)
    }

    /// Closes the WebSockets within the window of a shutdown.
    fn shut_down(self: &Rc<Self>, options: ShutdownOptions) {
        self.code.set(match options.restarting {
            true => CloseCode::RESTART,
            false => CloseCode::GOING_AWAY,
        });
        // Less than what the window leaves of the deadline, so that a peer that does not answer is not there at the deadline.
        let timeout = LONGEST_CLOSE.min(options.deadline / 5);
        self.close_timeout.set(Some(timeout));
        let window = options.closing_window();
        let under_way = self.closing.borrow().clone();
        match under_way {
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
            // The server has waited for connections, not for other channels.
            for ws in sockets_of(&self.counts) {
                ws.close(self.code.get(), "");
            }
        }
        // WebSockets over channels that are no connections may outlive the server that they came to.
        if let Some(hub) = self.hub.get()
            && sockets_of(&self.counts).is_empty()
        {
            hub.close();
        }
    }
}

impl std::fmt::Debug for Sockets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sockets").finish_non_exhaustive()
    }
}
