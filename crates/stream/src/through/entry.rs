//! The state of a through stream, and the next event to emit.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::Bytes;
use uptick_emitter::Listeners;

use super::{ThroughStream, Transform};
use crate::error::Error;

#[derive(Default)]
pub(super) struct ThroughEntry {
    pub(super) listeners: Listeners,
    /// `None` if there is no transform, and while it runs.
    pub(super) transform: Option<Box<dyn Transform>>,
    /// Chunks not transformed yet.
    pub(super) incoming: VecDeque<Bytes>,
    pub(super) outgoing: VecDeque<Bytes>,
    /// The error of an adapter's source; follows its output.
    pub(super) failure: Option<Error>,
    /// The waker of an adapter's task.
    pub(super) waker: Option<Waker>,
    pub(super) buffered: usize,
    pub(super) soft_limit: usize,
    pub(super) state: ThroughState,
}

#[derive(Default)]
pub(super) struct ThroughState {
    pub(super) transforming: bool,
    /// Set while a loop over `outgoing` is in progress.
    pub(super) delivering: bool,
    /// Set while a call of the driver is scheduled for the next iteration.
    pub(super) scheduled: bool,
    pub(super) paused: bool,
    pub(super) flowing: bool,
    /// Set when `write` has returned `false`, until `drain` is emitted.
    pub(super) full: bool,
    /// Set when the writing side has ended.
    pub(super) ending: bool,
    /// Set when everything is transformed; `end` follows the buffered data.
    pub(super) flushed: bool,
    /// Set when `end` was emitted.
    pub(super) ended: bool,
    pub(super) closing: bool,
    pub(super) role: AdapterRole,
}

/// The role of a through stream in an adapter.
#[derive(Clone, Copy, Default, PartialEq)]
pub(crate) enum AdapterRole {
    #[default]
    None,
    /// The user reads; the adapter writes and ends.
    Source,
    /// The user writes; the adapter reads, and closes when it is done.
    Target,
}

pub(super) enum ThroughEvent {
    Data(Bytes),
    End,
    Fail(Error),
}

/// The output that the target of an adapter takes from a stream.
pub(crate) enum NextOutput {
    Chunk(Bytes),
    /// Everything is taken, and no more data follows.
    End,
    Pending,
}

impl ThroughEntry {
    pub(super) fn accept(&mut self, chunk: Bytes) {
        if self.transform.is_some() || self.state.transforming {
            self.buffered += chunk.len();
            self.incoming.push_back(chunk);
        } else {
            self.push_output(chunk);
        }
    }

    pub(super) fn push_output(&mut self, chunk: Bytes) {
        if !chunk.is_empty() {
            self.buffered += chunk.len();
            self.outgoing.push_back(chunk);
        }
    }

    /// Returns the next input of the transform: a chunk, or `None` for the end.
    pub(super) fn next_input(&mut self) -> Option<(Box<dyn Transform>, Option<Bytes>)> {
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
        self.buffered -= chunk.as_ref().map_or(0, Bytes::len);
        Some((transform, chunk))
    }

    pub(super) fn next_event(&mut self) -> Option<ThroughEvent> {
        let state = &mut self.state;
        let blocked = state.delivering || state.closing || state.paused;
        if blocked || state.role == AdapterRole::Target {
            return None;
        }
        if self.outgoing.is_empty() {
            if let Some(error) = self.failure.take() {
                return Some(ThroughEvent::Fail(error));
            }
            if !state.flushed || state.ended {
                return None;
            }
            state.ended = true;
            state.delivering = true;
            return Some(ThroughEvent::End);
        }
        if !state.flowing && !self.listeners.has(ThroughStream::DATA.slot()) {
            return None;
        }
        state.delivering = true;
        let bytes = self.outgoing.pop_front()?;
        self.buffered -= bytes.len();
        Some(ThroughEvent::Data(bytes))
    }
}
