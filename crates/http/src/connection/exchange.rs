//! An exchange that takes longer than a call: its listeners, its task, who waits for it.

use std::task::Waker;

use uptick_emitter::{Emitter, Listeners, emit};
use uptick_event_loop::{Id, JoinHandle, catch};

use super::departure::Departure;
use super::flags::Flags;
use super::{At, Entry, with_current, with_entry, with_exchange};
use crate::body::BodyError;
use crate::h1::{Encoder, Trailers};
use crate::{Request, Responder};

/// What an exchange has beyond a head and an answer.
#[derive(Default)]
pub(super) struct Exchange {
    /// Those of the request.
    pub(super) listeners: Listeners,
    /// Those of the responder.
    pub(super) responder: Listeners,
    /// The handler's future, or what sends a streamed body.
    pub(super) task: Option<JoinHandle<()>>,
    /// Writes an answer that has begun.
    pub(super) encoder: Option<Encoder>,
    /// Who waits for the body.
    pub(super) reader: Option<Waker>,
    /// Who waits until more can be written.
    pub(super) writer: Option<Waker>,
    pub(super) trailers: Option<Trailers>,
    /// What the answer is to, for those who shape errors.
    pub(super) request: Option<Request>,
    /// Why no more of the body comes.
    pub(super) failure: Option<BodyError>,
    /// The test of a client that has ended its side.
    pub(super) departure: Option<Departure>,
}

impl Entry {
    pub(super) fn at(&self, key: Id) -> At {
        At {
            key,
            number: self.number,
        }
    }

    pub(super) fn exchange(&mut self) -> &mut Exchange {
        self.exchange.get_or_insert_default()
    }

    /// Ends the exchange; gives what is to be dropped when nothing is borrowed.
    #[inline]
    pub(super) fn finish(&mut self) -> Option<Box<Exchange>> {
        self.number = self.number.wrapping_add(1);
        self.flags.remove(Flags::OF_EXCHANGE);
        self.counted = 0;
        self.exchange.take()
    }
}

/// A request, as far as its events go.
#[derive(Clone, Copy)]
pub(crate) struct Incoming(pub(crate) At);

impl Emitter for Incoming {
    type Events = Request;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        with_current(self.0, |entry| f(&mut entry.exchange().listeners))
    }
}

/// A responder, as far as its events go.
#[derive(Clone, Copy)]
pub(crate) struct Outgoing(pub(crate) At);

impl Emitter for Outgoing {
    type Events = Responder;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        with_current(self.0, |entry| f(&mut entry.exchange().responder))
    }
}

/// Keeps the task of an exchange, which is cancelled when the client goes away.
pub(super) fn keep_task(at: At, task: JoinHandle<()>) {
    let mut task = Some(task);
    with_exchange(at, |entry| {
        // The one before has done its part.
        entry.exchange().task = task.take();
    });
    if let Some(task) = task {
        task.cancel();
    }
}

/// There is room for more of the answer again.
pub(super) fn drained(key: Id) {
    let at = with_entry(key, |entry| entry.exchange.is_some().then(|| entry.at(key)));
    if let Some(Some(at)) = at {
        emit(&Outgoing(at), Responder::DRAIN, ());
    }
}

/// The connection has closed: whoever takes part in its exchange is told.
pub(super) fn abandon(key: Id) {
    let waiting = with_entry(key, |entry| {
        entry.flags.insert(Flags::CLOSING);
        entry.deadline.cancel();
        let at = entry.at(key);
        let exchange = entry.exchange.as_mut()?;
        exchange.failure.get_or_insert(BodyError::Closed);
        let wakers = [exchange.reader.take(), exchange.writer.take()];
        Some((at, exchange.task.take(), wakers))
    });
    let Some(Some((at, task, wakers))) = waiting else {
        return;
    };
    if let Some(task) = task {
        task.cancel();
    }
    wakers.into_iter().flatten().for_each(Waker::wake);
    for told in [
        catch(|| emit(&Incoming(at), Request::CLOSE, ())),
        catch(|| emit(&Outgoing(at), Responder::CLOSE, ())),
    ] {
        if let Err(message) = told {
            tracing::error!("a close callback of a request panicked: {message}");
        }
    }
}

/// Somebody takes the responder of a request.
pub(crate) fn hold(request: &Request) {
    with_exchange(request.at(), |entry| {
        if !entry.flags.intersects(Flags::HELD | Flags::STARTED) {
            entry.flags.insert(Flags::HELD);
            entry.exchange().request = Some(request.again());
        }
    });
}

/// Whether no answer was begun yet.
pub(crate) fn is_unanswered(at: At) -> bool {
    with_exchange(at, |entry| !entry.flags.contains(Flags::STARTED)).unwrap_or(false)
}
