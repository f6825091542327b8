//! `Copy` handles of exchanges.

use std::cell::RefCell;
use std::rc::Rc;

use uptick_event_loop::{Id, Table};

use super::state::Exchange;

/// A handle of an exchange. It becomes stale when the exchange ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ExchangeHandle(Option<Id>);

thread_local! {
    /// The exchanges that have handles.
    static EXCHANGES: RefCell<Table<Rc<Exchange>>> = const { RefCell::new(Table::new()) };
}

impl ExchangeHandle {
    /// Returns the handle of an exchange, which is the same for each call.
    pub(crate) fn of(exchange: &Rc<Exchange>) -> ExchangeHandle {
        if exchange.is_over() {
            return ExchangeHandle(None);
        }
        if exchange.handle.get().is_none() {
            let inserted = EXCHANGES.try_with(|all| all.borrow_mut().insert(Rc::clone(exchange)));
            exchange.handle.set(inserted.ok().flatten());
        }
        ExchangeHandle(exchange.handle.get())
    }

    /// Returns the exchange, unless it has ended.
    pub(crate) fn get(self) -> Option<Rc<Exchange>> {
        let id = self.0?;
        let found = EXCHANGES.try_with(|all| all.borrow_mut().get_mut(id).map(|e| Rc::clone(e)));
        found.ok().flatten()
    }
}

/// Makes the handles of an exchange stale.
#[cold]
pub(super) fn invalidate(id: Id) {
    let removed = EXCHANGES.try_with(|all| all.borrow_mut().remove(id));
    drop(removed);
}
