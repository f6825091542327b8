//! A pool of finished exchanges for reuse.

use std::cell::{Cell, OnceCell, RefCell};
use std::rc::Rc;

use super::handle;
use super::progress::{BodyProgress, Consumer, ResponseProgress};
use super::state::Exchange;
use crate::routing::NormalPath;

/// Maximum number of exchanges that a thread keeps in addition to the last one.
const KEPT: usize = 64;

/// Capacity that a kept exchange keeps for heads, in bytes.
const HEAD: usize = 4096;

thread_local! {
    /// The last finished exchange. Nearly all requests reuse this one.
    static LAST: Cell<Option<Rc<Exchange>>> = const { Cell::new(None) };
    static OTHERS: RefCell<Vec<Rc<Exchange>>> = const { RefCell::new(Vec::new()) };
}

/// Returns an exchange without other references.
#[inline]
pub(crate) fn take() -> Rc<Exchange> {
    match LAST.try_with(Cell::take) {
        Ok(Some(exchange)) => exchange,
        _ => take_other(),
    }
}

#[inline(never)]
fn take_other() -> Rc<Exchange> {
    let kept = OTHERS.try_with(|others| others.borrow_mut().pop());
    kept.ok().flatten().unwrap_or_default()
}

/// Ends an exchange: its handles become stale, and its listeners are dropped.
///
/// Must be called while no `RefCell` is borrowed.
#[inline(always)]
pub(crate) fn release(exchange: Rc<Exchange>) {
    drop(exchange.links.take());
    if let Some(id) = exchange.handle.take() {
        handle::invalidate(id);
    }
    if let Some(mut extended) = exchange.extended.take() {
        if !extended.on_finish.is_empty() {
            exchange.finish(&mut extended);
        }
        drop(extended);
    }
    discard(exchange);
}

/// Keeps an exchange for the next request, unless there are other references.
#[inline(always)]
pub(crate) fn discard(mut exchange: Rc<Exchange>) {
    let Some(unique) = Rc::get_mut(&mut exchange) else {
        return;
    };
    reset(unique);
    // During thread teardown, the exchange is dropped.
    if let Ok(Some(other)) = LAST.try_with(|last| last.replace(Some(exchange))) {
        keep_other(other);
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
    exchange.body.set(BodyProgress::Receiving);
    exchange.consumer.set(Consumer::None);
    exchange.response.set(ResponseProgress::None);
    exchange.awaits_continue.set(false);
    exchange.exceeds_drain_limit.set(false);
    exchange.program_delayed.set(false);
    exchange.edits_headers.set(false);
}

#[inline(never)]
fn keep_other(exchange: Rc<Exchange>) {
    let _ = OTHERS.try_with(|others| {
        let mut others = others.borrow_mut();
        if others.len() < KEPT {
            others.push(exchange);
        }
    });
}
