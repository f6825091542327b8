//! Exchanges that are over, for those that begin.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use super::handle;
use super::progress::{BodyProgress, Consumer, ResponseProgress};
use super::state::Exchange;
use crate::routing::NormalPath;

/// The number of exchanges that a thread keeps beside the one that was over last.
const KEPT: usize = 64;

/// The number of bytes of a head for which an exchange keeps memory.
const HEAD: usize = 4096;

thread_local! {
    /// The exchange that was over last: the one that nearly all requests use, one after the other.
    static LAST: Cell<Option<Rc<Exchange>>> = const { Cell::new(None) };
    static OTHERS: RefCell<Vec<Rc<Exchange>>> = const { RefCell::new(Vec::new()) };
}

/// Returns an exchange that nothing else holds.
#[inline]
pub(crate) fn take() -> Rc<Exchange> {
    match LAST.try_with(Cell::take) {
        Ok(Some(exchange)) => exchange,
        _ => another(),
    }
}

#[inline(never)]
fn another() -> Rc<Exchange> {
    let kept = OTHERS.try_with(|others| others.borrow_mut().pop());
    kept.ok().flatten().unwrap_or_default()
}

/// Ends an exchange: its handles are stale from now on, and what was captured by its listeners is dropped.
///
/// To be called while nothing is borrowed.
#[inline(always)]
pub(crate) fn release(exchange: Rc<Exchange>) {
    drop(exchange.ends.take());
    if let Some(id) = exchange.handle.take() {
        handle::forget(id);
    }
    if let Some(mut extras) = exchange.extras.take() {
        if !extras.on_finish.is_empty() {
            exchange.finish(&mut extras);
        }
        drop(extras);
    }
    discard(exchange);
}

/// Keeps an exchange for the next request, unless something else holds it.
#[inline(always)]
pub(crate) fn discard(mut exchange: Rc<Exchange>) {
    let Some(unique) = Rc::get_mut(&mut exchange) else {
        return;
    };
    reset(unique);
    // While the thread is torn down, it is dropped.
    if let Ok(Some(other)) = LAST.try_with(|last| last.replace(Some(exchange))) {
        keep_another(other);
    }
}

#[inline(always)]
fn reset(exchange: &mut Exchange) {
    exchange.head.clear(HEAD);
    exchange.conn = None;
    exchange.proxies = None;
    exchange.path = NormalPath::default();
    exchange.params = OnceCell::new();
    exchange.forwarded = OnceCell::new();
    exchange.body.set(BodyProgress::Coming);
    exchange.consumer.set(Consumer::None);
    exchange.response.set(ResponseProgress::None);
    exchange.expects.set(false);
    exchange.long.set(false);
    exchange.held_up.set(false);
    exchange.edits_headers.set(false);
}

#[inline(never)]
fn keep_another(exchange: Rc<Exchange>) {
    let _ = OTHERS.try_with(|others| {
        let mut others = others.borrow_mut();
        if others.len() < KEPT {
            others.push(exchange);
        }
    });
}
