//! Events emitted by the request and the responder of an exchange.

use std::rc::Rc;
use std::task::Waker;

use uptick_emitter::{Emitter, Listeners, emit};
use uptick_event_loop::catch;

use super::request::Request;
use super::request_emitter::RequestEmitter;
use super::responder::Responder;
use super::state::Exchange;
use crate::body::BodyError;

/// The emitter of a responder's events.
#[derive(Clone, Copy)]
struct ResponderEmitter<'a>(&'a Exchange);

impl Emitter for ResponderEmitter<'_> {
    type Events = Responder;

    fn with_listeners<R>(&self, f: impl FnOnce(&mut Listeners) -> R) -> Option<R> {
        self.0.responder_listeners(f)
    }
}

impl Exchange {
    /// Wakes the writer and emits `drain`: there is room for more of the response.
    pub(crate) fn drained(&self) {
        if let Some(waker) = self.take_writer() {
            waker.wake();
        }
        if self.extended.borrow().is_some() {
            emit(&ResponderEmitter(self), Responder::DRAIN, ());
        }
    }

    /// Emits `half_close`, unless the whole response was written.
    pub(crate) fn half_closed(self: &Rc<Self>) {
        if self.is_done() || self.extended.borrow().is_none() {
            return;
        }
        if let Err(message) = catch(|| emit(&RequestEmitter(self), Request::HALF_CLOSE, ())) {
            tracing::error!("a half_close callback of a request panicked: {message}");
        }
    }

    /// Handles the close of the connection: cancels the task, wakes waiting tasks, and emits `close` unless the whole response was
    /// written.
    pub(crate) fn abandon(self: &Rc<Self>) {
        let waiting = self.extended_if_any(|extended| {
            extended.failure.get_or_insert(BodyError::Closed);
            let wakers = [extended.reader.take(), extended.writer.take()];
            (extended.task.take(), wakers)
        });
        let Some((task, wakers)) = waiting else {
            return;
        };
        if let Some(task) = task {
            task.cancel();
        }
        wakers.into_iter().flatten().for_each(Waker::wake);
        if self.is_done() {
            return;
        }
        for emitted in [
            catch(|| emit(&RequestEmitter(self), Request::CLOSE, ())),
            catch(|| emit(&ResponderEmitter(self), Responder::CLOSE, ())),
        ] {
            if let Err(message) = emitted {
                tracing::error!("a close callback of a request panicked: {message}");
            }
        }
    }
}
