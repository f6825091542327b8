//! The state of a decoded stream.

use std::any::Any;
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::Bytes;
use uptick_emitter::Listeners;

use super::{DATA, Raw};
use crate::error::Error;
use crate::source::Source;

pub(super) struct Entry {
    pub(super) listeners: Listeners,
    pub(super) source: Rc<dyn Source<Raw>>,
    /// `None` while it runs.
    pub(super) decoder: Option<Box<dyn Any>>,
    /// Functions that know the type of the decoder.
    pub(super) deliver: fn(Raw),
    pub(super) fail: fn(Raw, Error),
    pub(super) close: fn(Raw),
    /// Chunks that are not decoded yet: one as a rule.
    pub(super) input: VecDeque<Bytes>,
    /// The error of the source, behind what it sent.
    pub(super) failure: Option<Error>,
    pub(super) state: State,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) paused: bool,
    /// `resume` was called: items come without a listener too.
    pub(super) flowing: bool,
    pub(super) source_paused: bool,
    pub(super) source_ended: bool,
    /// The decoder has no more items.
    pub(super) finished: bool,
    /// `end` was emitted.
    pub(super) ended: bool,
    pub(super) delivering: bool,
    /// The loop will call the driver in the next iteration.
    pub(super) scheduled: bool,
    pub(super) closing: bool,
}

pub(super) enum Step {
    Decode(Bytes),
    Finish,
    End,
}

impl Entry {
    /// Whether `data` may be emitted now.
    pub(super) fn wants_data(&self) -> bool {
        let state = &self.state;
        let wanted = state.flowing || self.listeners.has(DATA);
        wanted && !state.paused && !state.closing
    }

    /// Returns the source if it may still send; it is asked outside of the table, in which it may be itself.
    pub(super) fn sending_source(&self) -> Option<Rc<dyn Source<Raw>>> {
        let over = self.state.source_ended || self.failure.is_some();
        (!over).then(|| Rc::clone(&self.source))
    }

    /// Takes the decoder for a delivery.
    pub(super) fn begin(&mut self) -> Option<Box<dyn Any>> {
        if self.state.delivering || self.state.closing {
            return None;
        }
        let decoder = self.decoder.take()?;
        self.state.delivering = true;
        Some(decoder)
    }

    pub(super) fn next_step(&mut self) -> Option<Step> {
        if self.state.paused || self.state.closing {
            return None;
        }
        if !self.input.is_empty() {
            return match self.wants_data() {
                true => self.input.pop_front().map(Step::Decode),
                false => None,
            };
        }
        if !self.state.source_ended || self.failure.is_some() || self.state.ended {
            return None;
        }
        if !self.state.finished {
            return self.wants_data().then_some(Step::Finish);
        }
        self.state.ended = true;
        Some(Step::End)
    }

    /// Keeps the rest of a chunk for later.
    pub(super) fn put_back(&mut self, input: Bytes) {
        if !input.is_empty() {
            self.input.push_front(input);
        }
    }

    /// Whether the source has nothing for the stream to do.
    pub(super) fn is_idle(&self) -> bool {
        self.input.is_empty() && !self.state.source_ended && self.failure.is_none()
    }

    /// Returns the source when it is to be resumed, or the failure when it is to be emitted.
    pub(super) fn settle(&mut self) -> Option<(Rc<dyn Source<Raw>>, Option<Error>)> {
        if self.state.paused || self.state.closing {
            return None;
        }
        if !self.input.is_empty() {
            return None;
        }
        let failure = self.failure.take();
        let resumes = self.state.source_paused && self.wants_data();
        if failure.is_none() && !resumes {
            return None;
        }
        self.state.source_paused = false;
        Some((Rc::clone(&self.source), failure))
    }
}
