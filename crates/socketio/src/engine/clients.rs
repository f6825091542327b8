//! The sessions of the thread, and flushing at the end of the iteration.

use std::cell::{OnceCell, RefCell};
use std::rc::Rc;

use uptick_event_loop::driver::{self, Driver};
use uptick_event_loop::{DriverId, Id, Readiness, Table, Token};

use super::state::ClientState;

thread_local! {
    static CLIENTS: RefCell<Table<Rc<ClientState>>> = const { RefCell::new(Table::new()) };
    static DRIVER: OnceCell<DriverId> = const { OnceCell::new() };
}

/// Adds a session; `None` if the table is full.
pub(super) fn insert(state: Rc<ClientState>) -> Option<Id> {
    CLIENTS.with_borrow_mut(|clients| clients.insert(state))
}

/// Returns the session with an id.
#[inline]
pub(super) fn get(id: Id) -> Option<Rc<ClientState>> {
    let found = CLIENTS.try_with(|clients| clients.borrow().get(id).cloned());
    found.ok().flatten()
}

/// Removes a session.
pub(super) fn remove(id: Id) {
    let removed = CLIENTS.try_with(|clients| clients.borrow_mut().remove(id));
    // Dropped here, so that nothing is borrowed during the drop.
    drop(removed);
}

/// Calls [`ClientState::flush`] at the end of the iteration.
pub(super) fn flush_later(id: Id) {
    let driver = DRIVER.try_with(|driver| *driver.get_or_init(|| driver::register(&FlushDriver)));
    if let Ok(driver) = driver {
        driver::flush_later(id.token(driver));
    }
}

/// The driver that flushes the sessions to which packets were sent.
struct FlushDriver;

impl Driver for FlushDriver {
    fn ready(&self, _: Token, _: Readiness) {}

    fn flush(&self, token: Token) {
        let found = CLIENTS.try_with(|clients| clients.borrow().find(token));
        if let Ok(Some(id)) = found
            && let Some(state) = get(id)
        {
            state.flush();
        }
    }

    fn panicked(&self, _: Token, message: &str) {
        tracing::error!("a callback of an Engine.IO session panicked: {message}");
    }
}
