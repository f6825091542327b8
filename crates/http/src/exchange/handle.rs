//! `Copy` handles of exchanges.

use std::cell::RefCell;
use std::rc::Rc;

use uptick_event_loop::{Id, Table};

use super::state::Exchange;

/// A handle of an exchange; stale when that is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Handle(Option<Id>);

thread_local! {
    /// The exchanges that have handles.
    static EXCHANGES: RefCell<Table<Rc<Exchange>>> = const { RefCell::new(Table::new()) };
}

impl Handle {
    /// Returns the handle of an exchange: the same for each call.
    pub(crate) fn of(exchange: &Rc<Exchange>) -> Handle {
        if exchange.is_over() {
            return Handle(None);
        }
        if exchange.handle.get().is_none() {
            let inserted = EXCHANGES.try_with(|all| all.borrow_mut().insert(Rc::clone(exchange)));
            exchange.handle.set(inserted.ok().flatten());
        }
        Handle(exchange.handle.get())
    }

    /// Returns the exchange, unless it is over.
    pub(crate) fn get(self) -> Option<Rc<Exchange>> {
        let id = self.0?;
        let found = EXCHANGES.try_with(|all| all.borrow_mut().get_mut(id).map(|e| Rc::clone(e)));
        found.ok().flatten()
    }
}

/// Makes the handles of an exchange stale.
#[cold]
pub(super) fn forget(id: Id) {
    let removed = EXCHANGES.try_with(|all| all.borrow_mut().remove(id));
    drop(removed);
}
