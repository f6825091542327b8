//! The state of a decoded stream.

use std::any::Any;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use uptick_emitter::Listeners;

use super::{DATA, UntypedStream};
use crate::error::Error;
use crate::source::ErasedSource;

pub(super) struct DecodedEntry {
    pub(super) listeners: Listeners,
    pub(super) source: Rc<dyn ErasedSource<UntypedStream>>,
    /// `None` while the decoder runs.
    pub(super) decoder: Option<Box<dyn Any>>,
    /// The next three functions know the type of the decoder.
    pub(super) deliver: fn(UntypedStream),
    pub(super) fail: fn(UntypedStream, Error),
    pub(super) close: fn(UntypedStream),
    /// Chunks not decoded yet; usually at most one.
    pub(super) input: VecDeque<Bytes>,
    /// The error of the source; follows its input.
    pub(super) failure: Option<Error>,
    pub(super) state: DecodedState,
}

#[derive(Default)]
pub(super) struct DecodedState {
    pub(super) paused: bool,
    /// Set by `resume`: items are emitted without a listener too.
    pub(super) flowing: bool,
    pub(super) source_paused: bool,
    pub(super) source_ended: bool,
    /// Set when the decoder has no more items.
    pub(super) finished: bool,
    /// Set when `end` was emitted.
    pub(super) ended: bool,
    pub(super) delivering: bool,
    /// Set while a call of the driver is scheduled for the next iteration.
    pub(super) scheduled: bool,
    pub(super) closing: bool,
}

pub(super) enum DecodeStep {
    Decode(Bytes),
    Finish,
    End,
}

impl DecodedEntry {
    /// Returns whether `data` may be emitted now.
    pub(super) fn accepts_data(&self) -> bool {
        let state = &self.state;
        let wanted = state.flowing || self.listeners.has(DATA);
        wanted && !state.paused && !state.closing
    }

    /// Returns the source if it may still send. The caller queries it after the borrow of the table, as the source may be in
    /// the same table.
    pub(super) fn sending_source(&self) -> Option<Rc<dyn ErasedSource<UntypedStream>>> {
        let ended = self.state.source_ended || self.failure.is_some();
        (!ended).then(|| Rc::clone(&self.source))
    }

    /// Takes the decoder for a delivery.
    pub(super) fn take_decoder(&mut self) -> Option<Box<dyn Any>> {
        if self.state.delivering || self.state.closing {
            return None;
        }
        let decoder = self.decoder.take()?;
        self.state.delivering = true;
        Some(decoder)
    }

    pub(super) fn next_step(&mut self) -> Option<DecodeStep> {
        if self.state.paused || self.state.closing {
            return None;
        }
        if !self.input.is_empty() {
            return match self.accepts_data() {
                true => self.input.pop_front().map(DecodeStep::Decode),
                false => None,
            };
        }
        if !self.state.source_ended || self.failure.is_some() || self.state.ended {
            return None;
        }
        if !self.state.finished {
            return self.accepts_data().then_some(DecodeStep::Finish);
        }
        self.state.ended = true;
        Some(DecodeStep::End)
    }

    /// Keeps the rest of a chunk for the next delivery.
    pub(super) fn put_back(&mut self, input: Bytes) {
        if !input.is_empty() {
            self.input.push_front(input);
        }
    }

    /// Returns whether no input, end or error of the source is pending.
    pub(super) fn is_idle(&self) -> bool {
        self.input.is_empty() && !self.state.source_ended && self.failure.is_none()
    }

    /// Returns the source if it must be resumed, with the failure if it must be emitted instead.
    pub(super) fn finish_delivery(
        &mut self,
    ) -> Option<(Rc<dyn ErasedSource<UntypedStream>>, Option<Error>)> {
        if self.state.paused || self.state.closing {
            return None;
        }
        if !self.input.is_empty() {
            return None;
        }
        let failure = self.failure.take();
        let must_resume = self.state.source_paused && self.accepts_data();
        if failure.is_none() && !must_resume {
            return None;
        }
        self.state.source_paused = false;
        Some((Rc::clone(&self.source), failure))
    }
}
