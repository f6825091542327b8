//! What a through stream holds, and what is to happen to it next.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
use uptick_emitter::Listeners;

use super::{ThroughStream, Transform};
use crate::error::Error;

#[derive(Default)]
pub(super) struct Entry {
    pub(super) listeners: Listeners,
    /// `None` where there is nothing to transform, and while it runs.
    pub(super) transform: Option<Box<dyn Transform>>,
    /// What was written while the transform was running.
    pub(super) incoming: VecDeque<Bytes>,
    pub(super) outgoing: VecDeque<Bytes>,
    /// What an adapter's source failed with, behind what it gave.
    pub(super) failure: Option<Error>,
    /// The task of an adapter.
    pub(super) waker: Option<Waker>,
    pub(super) held: usize,
    pub(super) soft_limit: usize,
    pub(super) state: State,
}

#[derive(Default)]
pub(super) struct State {
    pub(super) transforming: bool,
    /// A loop over `outgoing` is under way.
    pub(super) delivering: bool,
    /// The loop will call the driver in the next iteration.
    pub(super) scheduled: bool,
    pub(super) paused: bool,
    pub(super) flowing: bool,
    /// `write` gave `false`: `drain` is owed.
    pub(super) full: bool,
    /// Writing is over.
    pub(super) ending: bool,
    /// Everything is transformed, and `end` follows what is held.
    pub(super) flushed: bool,
    /// `end` was emitted.
    pub(super) ended: bool,
    pub(super) closing: bool,
    pub(super) plumbing: Plumbing,
}

/// The uses that adapters make of a through stream.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum Plumbing {
    #[default]
    None,
    /// The user reads; the adapter writes and ends.
    Source,
    /// The user writes; the adapter reads, and closes when it is done.
    Target,
}

pub(super) enum Step {
    Data(Bytes),
    End,
    Fail(Error),
}

/// What an adapter's target takes out of a stream.
pub(crate) enum Taken {
    Chunk(Bytes),
    /// Everything is taken, and no more will come.
    End,
    Nothing,
}

impl Entry {
    pub(super) fn take_in(&mut self, chunk: Bytes) {
        if self.transform.is_some() || self.state.transforming {
            self.held += chunk.len();
            self.incoming.push_back(chunk);
        } else {
            self.hold(chunk);
        }
    }

    pub(super) fn hold(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.held += chunk.len();
            self.outgoing.push_back(chunk);
        }
    }

    /// What is to be transformed next: a chunk, or `None` for the end.
    pub(super) fn next_work(&mut self) -> Option<(Box<dyn Transform>, Option<Bytes>)> {
        let ends = self.state.ending && !self.state.flushed;
        if self.state.transforming || self.state.closing || (self.incoming.is_empty() && !ends) {
            return None;
        }
        let Some(transform) = self.transform.take() else {
            self.state.flushed |= ends;
            return None;
        };
        self.state.transforming = true;
        let chunk = self.incoming.pop_front();
        self.held -= chunk.as_ref().map_or(0, Bytes::len);
        Some((transform, chunk))
    }

    pub(super) fn next_step(&mut self) -> Option<Step> {
        let state = &mut self.state;
        let blocked = state.delivering || state.closing || state.paused;
        if blocked || state.plumbing == Plumbing::Target {
            return None;
        }
        if self.outgoing.is_empty() {
            if let Some(error) = self.failure.take() {
                return Some(Step::Fail(error));
            }
            if !state.flushed || state.ended {
                return None;
            }
            state.ended = true;
            state.delivering = true;
            return Some(Step::End);
        }
        if !state.flowing && !self.listeners.has(ThroughStream::DATA.slot()) {
            return None;
        }
        state.delivering = true;
        let bytes = self.outgoing.pop_front()?;
        self.held -= bytes.len();
        Some(Step::Data(bytes))
    }
}
