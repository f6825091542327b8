//! What connects a hub to the hubs of the same name in other workers.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::hub::Topics;
use super::message::HubMessage;

/// Connects a hub ([`Topics`]) to the hubs of the same name in other workers.
///
/// What is published on the hub goes to its subscribers in this worker, and through the adapter to those in the others. A message
/// that comes from another worker is passed to [`Topics::deliver`], which reaches the subscribers of this worker only.
///
/// The hub calls the adapter while nothing is borrowed: it may use the hub in any way. It drops the adapter when the hub is closed or
/// gets another one; the adapter withdraws all topics then.
///
/// # Examples
/// ```
/// use uptick_websocket::{HubAdapter, HubMessage, Topics};
///
/// /// Logs what would go to other workers.
/// struct Log;
///
/// impl HubAdapter for Log {
///     fn publish(&self, topic: &str, message: &HubMessage) {
///         println!("{topic}: {} bytes", message.payload().len());
///     }
///     fn subscribed(&self, topic: &str) {
///         println!("+{topic}");
///     }
///     fn unsubscribed(&self, topic: &str) {
///         println!("-{topic}");
///     }
/// }
///
/// Topics::new().set_adapter(Log);
/// ```
pub trait HubAdapter {
    /// Sends a message to the hubs of all other workers that have subscribers of the topic.
    fn publish(&self, topic: &str, message: &HubMessage);

    /// Called when a topic has its first subscriber in this worker, and for each topic that has subscribers when the adapter is set.
    fn subscribed(&self, topic: &str);

    /// Called when a topic has lost its last subscriber in this worker.
    fn unsubscribed(&self, topic: &str);
}

type Factory = Rc<dyn Fn(Topics, &str) -> Rc<dyn HubAdapter>>;

thread_local! {
    static FACTORY: RefCell<Option<Factory>> = const { RefCell::new(None) };
    static SERVERS: Cell<u64> = const { Cell::new(0) };
}

/// Connects each hub of this thread that gets a name from now on, by the adapter that `make` returns for the hub and its name.
///
/// A server's hub gets a name when it is made ([`Topics::set_name`]), so this is for code that runs before that of the program: the
/// set-up of a worker. Default: none, hubs are local.
///
/// # Examples
/// ```
/// # use uptick_websocket::{HubAdapter, HubMessage, Topics, set_default_adapter};
/// # struct Bus;
/// # impl Bus { fn connect(_: Topics, _: &str) -> Bus { Bus } }
/// # impl HubAdapter for Bus {
/// #     fn publish(&self, _: &str, _: &HubMessage) {}
/// #     fn subscribed(&self, _: &str) {}
/// #     fn unsubscribed(&self, _: &str) {}
/// # }
/// set_default_adapter(|hub, name| Bus::connect(hub, name));
/// ```
pub fn set_default_adapter<A: HubAdapter + 'static>(make: impl Fn(Topics, &str) -> A + 'static) {
    let factory: Factory = Rc::new(move |hub, name| Rc::new(make(hub, name)));
    // The one before is dropped after the borrow: it may use anything.
    let _before = FACTORY.try_with(|place| place.replace(Some(factory)));
}

/// Makes the adapter of a hub, if this thread connects hubs.
pub(super) fn make(hub: Topics, name: &str) -> Option<Rc<dyn HubAdapter>> {
    let factory = FACTORY.try_with(|place| place.borrow().clone());
    factory.ok().flatten().map(|factory| factory(hub, name))
}

/// Returns the name of the next server's hub: its place in the order of the thread.
pub(super) fn next_name() -> String {
    let number = SERVERS.try_with(|servers| {
        servers.set(servers.get() + 1);
        servers.get()
    });
    number.unwrap_or_default().to_string()
}
