//! Events as futures and streams: [`Next`] and [`Events`].

use std::cell::RefCell;
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use futures::Stream;

use crate::emitter::Emitter;
use crate::event::Event;
use crate::listeners::ListenerId;

/// The queue between a listener and the future that waits for it.
struct Mailbox<P> {
    payloads: VecDeque<P>,
    capacity: usize,
    dropped: u64,
    /// Set when the listener is gone; no further payload arrives.
    closed: bool,
    waker: Option<Waker>,
}

/// The listener's handle of a mailbox. The emitter drops it with the callback that owns it.
struct MailboxSender<P>(Rc<RefCell<Mailbox<P>>>);

impl<P> MailboxSender<P> {
    fn send(&self, payload: P) {
        let waker = {
            let mut mailbox = self.0.borrow_mut();
            if mailbox.payloads.len() < mailbox.capacity {
                mailbox.payloads.push_back(payload);
            } else {
                mailbox.dropped += 1;
            }
            mailbox.waker.take()
        };
        wake(waker);
    }
}

impl<P> Drop for MailboxSender<P> {
    fn drop(&mut self) {
        let waker = {
            let mut mailbox = self.0.borrow_mut();
            mailbox.closed = true;
            mailbox.waker.take()
        };
        wake(waker);
    }
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

fn subscribe<E: Emitter, P: 'static>(
    emitter: &E,
    event: Event<E::Events, P>,
    capacity: usize,
    once: bool,
) -> (Rc<RefCell<Mailbox<P>>>, ListenerId) {
    let mailbox = Rc::new(RefCell::new(Mailbox {
        payloads: VecDeque::new(),
        capacity,
        dropped: 0,
        closed: false,
        waker: None,
    }));
    let sender = MailboxSender(Rc::clone(&mailbox));
    let listener = move |payload: P| sender.send(payload);
    let id = if once {
        emitter.once(event, listener)
    } else {
        emitter.on(event, listener)
    };
    (mailbox, id)
}

fn poll<P>(mailbox: &RefCell<Mailbox<P>>, context: &mut Context<'_>) -> Poll<Option<P>> {
    let mut mailbox = mailbox.borrow_mut();
    if let Some(payload) = mailbox.payloads.pop_front() {
        return Poll::Ready(Some(payload));
    }
    if mailbox.closed {
        return Poll::Ready(None);
    }
    mailbox.waker = Some(context.waker().clone());
    Poll::Pending
}

/// A future for the next emission; returned by [`Emitter::next`].
///
/// # Cancel safety
/// Dropping it removes its listener; a payload that it has received but not yet returned is lost.
#[must_use = "a future does nothing unless it is awaited"]
pub struct Next<E: Emitter, P> {
    inner: Subscription<E, P>,
}

/// The emissions of an event as a stream; returned by [`Emitter::events`].
///
/// # Limits
/// 1,024 payloads are queued for a slow reader; further ones are dropped and [counted](Events::dropped). To read a
/// connection without loss, use `AsyncRead` instead, which applies backpressure to the peer.
#[must_use = "a stream does nothing unless it is polled"]
pub struct Events<E: Emitter, P> {
    inner: Subscription<E, P>,
}

/// Default number of payloads that an [`Events`] queues for a slow reader.
const EVENTS_CAPACITY: usize = 1024;

struct Subscription<E: Emitter, P> {
    mailbox: Rc<RefCell<Mailbox<P>>>,
    id: ListenerId,
    emitter: E,
}

impl<E: Emitter + Clone, P: 'static> Subscription<E, P> {
    fn new(emitter: &E, event: Event<E::Events, P>, capacity: usize, once: bool) -> Self {
        let (mailbox, id) = subscribe(emitter, event, capacity, once);
        Subscription {
            mailbox,
            id,
            emitter: emitter.clone(),
        }
    }
}

impl<E: Emitter, P> Drop for Subscription<E, P> {
    fn drop(&mut self) {
        self.emitter.off(self.id);
    }
}

impl<E: Emitter + Clone, P: 'static> Next<E, P> {
    pub(crate) fn new(emitter: &E, event: Event<E::Events, P>) -> Self {
        Next {
            inner: Subscription::new(emitter, event, 1, true),
        }
    }
}

impl<E: Emitter + Clone, P: 'static> Events<E, P> {
    pub(crate) fn new(emitter: &E, event: Event<E::Events, P>) -> Self {
        Events {
            inner: Subscription::new(emitter, event, EVENTS_CAPACITY, false),
        }
    }
}

impl<E: Emitter, P> Events<E, P> {
    /// Sets the number of payloads queued for a slow reader. Default: 1,024.
    pub fn with_capacity(self, payloads: usize) -> Self {
        self.inner.mailbox.borrow_mut().capacity = payloads;
        self
    }

    /// Returns the number of payloads dropped because the reader was slow.
    pub fn dropped(&self) -> u64 {
        self.inner.mailbox.borrow().dropped
    }
}

impl<E: Emitter, P> Future for Next<E, P> {
    type Output = Option<P>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<P>> {
        poll(&self.inner.mailbox, context)
    }
}

impl<E: Emitter, P> Stream for Events<E, P> {
    type Item = P;

    fn poll_next(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<P>> {
        poll(&self.inner.mailbox, context)
    }
}

impl<E: Emitter, P> fmt::Debug for Next<E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Next").finish_non_exhaustive()
    }
}

impl<E: Emitter, P> fmt::Debug for Events<E, P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Events")
            .field("dropped", &self.dropped())
            .finish_non_exhaustive()
    }
}
