//! Names of hubs, and the adapters that hubs with a name get.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::adapter::HubAdapter;
use super::hub::Hub;

type Factory = Rc<dyn Fn(Hub, &str) -> Rc<dyn HubAdapter>>;

thread_local! {
    static FACTORY: RefCell<Option<Factory>> = const { RefCell::new(None) };
    static SERVERS: Cell<u64> = const { Cell::new(0) };
}

/// Connects each hub of this thread that gets a name from now on, by the adapter that `make` returns for the hub and its name.
///
/// A server's hub gets a name when it is made ([`Hub::set_name`]), so this is for code that runs before that of the program: the
/// set-up of a worker. Default: none, hubs are local.
///
/// # Examples
/// ```
/// # use uptick_websocket::{HubAdapter, HubMessage, Hub, set_default_adapter};
/// # struct Bus;
/// # impl Bus { fn connect(_: Hub, _: &str) -> Bus { Bus } }
/// # impl HubAdapter for Bus {
/// #     fn publish(&self, _: &str, _: &HubMessage) {}
/// #     fn subscribed(&self, _: &str) {}
/// #     fn unsubscribed(&self, _: &str) {}
/// # }
/// set_default_adapter(|hub, name| Bus::connect(hub, name));
/// ```
pub fn set_default_adapter<A: HubAdapter + 'static>(make: impl Fn(Hub, &str) -> A + 'static) {
    let factory: Factory = Rc::new(move |hub, name| Rc::new(make(hub, name)));
    // The one before is dropped after the borrow: it may use anything.
    let _before = FACTORY.try_with(|place| place.replace(Some(factory)));
}

/// Makes the adapter of a hub, if this thread connects hubs.
fn make(hub: Hub, name: &str) -> Option<Rc<dyn HubAdapter>> {
    let factory = FACTORY.try_with(|place| place.borrow().clone());
    factory.ok().flatten().map(|factory| factory(hub, name))
}

/// Returns the name of the next server's hub: its place in the order of the thread.
fn next_name() -> String {
    let number = SERVERS.try_with(|servers| {
        servers.set(servers.get() + 1);
        servers.get()
    });
    number.unwrap_or_default().to_string()
}

impl Hub {
    /// Creates the hub of a server, under the next name.
    pub(crate) fn of_server() -> Self {
        let hub = Hub::new();
        hub.set_name(&next_name());
        hub
    }

    /// Names the hub. Hubs of the same name in all workers are one: what is published on one of them reaches the subscribers of all, if
    /// this thread connects hubs ([`set_default_adapter`](crate::set_default_adapter)), as the threads and processes of `uptick-workers`
    /// do.
    ///
    /// Within a worker a name belongs to one hub: what is published on another one of the same name does not reach its subscribers.
    ///
    /// Default: for the hub of an [`HttpServer`](uptick_http::HttpServer) its place in the order in which hubs of servers were made in the
    /// thread, from `1`. That is the same in all workers that run the same set-up. Other hubs have no name, and are local.
    pub fn set_name(self, name: &str) {
        if self.replace_name(name)
            && let Some(adapter) = make(self, name)
        {
            self.replace_adapter(Some(adapter));
        }
    }
}
