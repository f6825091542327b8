//! Which clients have connected, for servers that ask them to before anything else.

use std::cell::{Cell, RefCell};
use std::collections::HashSet;
use std::net::IpAddr;
use std::rc::Rc;

use uptick_rate_limit::Client;

use crate::server::{HttpServer, with_entry};
use crate::{HttpError, IntoHandler, Next, Reply, Request};

/// Clients in each half of the table.
const HALF: usize = 32_768;

/// The clients that have connected. When there are too many, those are forgotten that have not asked for longest.
#[derive(Default)]
pub(super) struct Clients {
    required: Cell<bool>,
    /// Whether the middleware that asks was added.
    wrapped: Cell<bool>,
    table: RefCell<Halves>,
}

/// Those that have asked of late, and those before them.
#[derive(Default)]
struct Halves {
    recent: HashSet<Client>,
    older: HashSet<Client>,
}

impl Halves {
    fn insert(&mut self, client: Client) {
        self.older.remove(&client);
        if self.recent.len() >= HALF && !self.recent.contains(&client) {
            self.older = std::mem::take(&mut self.recent);
        }
        self.recent.insert(client);
    }

    fn has(&mut self, client: Client) -> bool {
        if self.older.contains(&client) {
            self.insert(client);
        }
        self.recent.contains(&client)
    }

    fn remove(&mut self, client: Client) -> bool {
        self.recent.remove(&client) | self.older.remove(&client)
    }
}

impl Clients {
    fn has(&self, client: IpAddr) -> bool {
        self.table.borrow_mut().has(whole(client))
    }

    fn refuses(&self, request: &Request) -> bool {
        self.required.get()
            && request.path() != "/connect"
            && !request.client().is_some_and(|client| self.has(client))
    }
}

/// Clients that have to connect before they ask for anything.
impl HttpServer {
    /// Sets whether clients have to connect first: to ask for `/connect`, which [`connect`](HttpServer::connect) adds. Before
    /// that, and after `/disconnect`, other requests are answered with 400. Default: false.
    ///
    /// A client is the address of [`Request::client`]; one whose address is not known never is connected. An address proves
    /// little, so this is no authentication.
    ///
    /// # Limits
    /// 65,536 clients; beyond, those are forgotten that have not asked for longest.
    ///
    /// # Examples
    /// ```
    /// use uptick_http::{HttpServer, Request};
    ///
    /// let http = HttpServer::new().connection_required(true);
    /// http.connect(|_: Request| "welcome").disconnect(|_: Request| "bye");
    /// http.get("/", |_: Request| "for those who are connected");
    /// ```
    pub fn connection_required(self, required: bool) -> Self {
        let Some(clients) = self.clients() else {
            return self;
        };
        clients.required.set(required);
        if required && !clients.wrapped.replace(true) {
            self.wrap(
                move |request: Request, next: Next| match clients.refuses(&request) {
                    false => next.run(request),
                    true => Reply::Ready(HttpError::bad_request("Client is not connected.").into()),
                },
            );
        }
        self
    }

    fn clients(self) -> Option<Rc<Clients>> {
        with_entry(self, |entry| {
            Rc::clone(entry.convenience.clients.get_or_insert_default())
        })
    }

    /// Adds the route `/connect` for GET: it marks the client as connected, then the handler answers.
    ///
    /// # Panics
    /// If there is such a route.
    #[track_caller]
    pub fn connect<M>(self, handler: impl IntoHandler<M>) -> Self {
        let mut handler = handler.into_handler();
        self.get("/connect", move |request: Request| -> Reply {
            if let Some(client) = request.client() {
                self.mark_connected(client);
            }
            handler(request)
        })
    }

    /// Adds the route `/disconnect` for GET: it marks the client as not connected, then the handler answers.
    ///
    /// # Panics
    /// If there is such a route.
    #[track_caller]
    pub fn disconnect<M>(self, handler: impl IntoHandler<M>) -> Self {
        let mut handler = handler.into_handler();
        self.get("/disconnect", move |request: Request| -> Reply {
            if let Some(client) = request.client() {
                self.mark_disconnected(client);
            }
            handler(request)
        })
    }

    /// Marks a client as connected.
    pub fn mark_connected(self, client: IpAddr) {
        if let Some(clients) = self.clients() {
            clients.table.borrow_mut().insert(whole(client));
        }
    }

    /// Marks a client as not connected; `false` when it was not.
    pub fn mark_disconnected(self, client: IpAddr) -> bool {
        self.clients()
            .is_some_and(|clients| clients.table.borrow_mut().remove(whole(client)))
    }

    /// Whether a client is marked as connected.
    pub fn has_client(self, client: IpAddr) -> bool {
        self.clients().is_some_and(|clients| clients.has(client))
    }
}

/// Returns the key of a client in the table: its whole address.
fn whole(address: IpAddr) -> Client {
    Client::with_prefixes(address, 32, 128)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_clients_is_forgotten_before_one_that_goes_on_asking() {
        let mut table = Halves::default();
        let busy = whole([192, 0, 2, 1].into());
        let idle = whole([192, 0, 2, 2].into());
        table.insert(busy);
        table.insert(idle);
        for number in 0..100_000_u32 {
            table.insert(whole(number.to_be_bytes().into()));
            assert!(table.has(busy));
        }
        assert!(!table.has(idle));
        assert!(table.recent.len() + table.older.len() <= 2 * HALF);
    }
}
