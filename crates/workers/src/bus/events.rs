//! The events of a bus: other workers connect and leave, congestion ends.

use std::cell::RefCell;

use uptick_emitter::{Emitter, Event, Listeners, emit, events};
use uptick_event_loop::catch;

use super::local::Bus;

events! {
    impl Bus {
        u64 => {
            /// Another worker is connected.
            PEER = "peer";
            /// Another worker has left or died.
            PEER_GONE = "peer-gone";
        }
        () => {
            /// The bus is no longer congested.
            DRAIN = "drain";
        }
    }
}

thread_local! {
    static LISTENERS: RefCell<Listeners> = const { RefCell::new(Listeners::new()) };
}

impl Emitter for Bus {
    type Events = Bus;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        let listeners = LISTENERS.try_with(|listeners| f(&mut listeners.borrow_mut()));
        listeners.ok()
    }
}

/// Emits an event of the bus of this thread.
pub(super) fn emit_peer(event: Event<Bus, u64>, id: u64) {
    // A panic of a listener must not end the peer's connection.
    if let Err(message) = catch(|| emit(&Bus::of_thread(), event, id)) {
        tracing::error!("a listener of the bus panicked: {message}");
    }
}
