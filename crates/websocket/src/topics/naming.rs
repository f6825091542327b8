//! Names of hubs, and default adapters for hubs with a name.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::adapter::HubAdapter;
use super::hub::Hub;

type AdapterFactory = Rc<dyn Fn(Hub, &str) -> Rc<dyn HubAdapter>>;

thread_local! {
    static FACTORY: RefCell<Option<AdapterFactory>> = const { RefCell::new(None) };
    static SERVERS: Cell<u64> = const { Cell::new(0) };
}

/// Sets the default adapter of this thread: each hub that is named from now on is connected by the adapter that `make` returns for the hub and its name.
///
/// The hub of a server is named when it is created ([`Hub::set_name`]), so call this before the code of the program runs: in the
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
    let factory: AdapterFactory = Rc::new(move |hub, name| Rc::new(make(hub, name)));
    // The previous factory is dropped after the borrow, because its destructor may use this module.
    let _previous = FACTORY.try_with(|current| current.replace(Some(factory)));
}

/// Creates the adapter of a hub if this thread has a default adapter.
fn make(hub: Hub, name: &str) -> Option<Rc<dyn HubAdapter>> {
    let factory = FACTORY.try_with(|current| current.borrow().clone());
    factory.ok().flatten().map(|factory| factory(hub, name))
}

/// Returns the name of the next server's hub: its number in the order of creation in this thread.
fn next_name() -> String {
    let number = SERVERS.try_with(|servers| {
        servers.set(servers.get() + 1);
        servers.get()
    });
    number.unwrap_or_default().to_string()
}

impl Hub {
    /// Creates the hub of a server, with the next name.
    pub(crate) fn of_server() -> Self {
        let hub = Hub::new();
        hub.set_name(&next_name());
        hub
    }

    /// Sets the name of the hub. Hubs with the same name in all workers are connected: a message published on one of them reaches the subscribers of all, if
    /// this thread has a default adapter ([`set_default_adapter`]), as the threads and processes of `uptick-workers`
    /// do.
    ///
    /// Within a worker, use a name for one hub only: a message published on another hub with the same name does not reach its subscribers.
    ///
    /// Default: for the hub of an [`HttpServer`](uptick_http::HttpServer), its number in the order in which the hubs of servers were created in the
    /// thread, from `1`. It is the same in all workers that run the same set-up code. Other hubs have no name, and are local.
    pub fn set_name(self, name: &str) {
        if self.replace_name(name)
            && let Some(adapter) = make(self, name)
        {
            self.replace_adapter(Some(adapter));
        }
    }
}
