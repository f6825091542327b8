//! The frames that wait for a client.

use std::collections::VecDeque;
use std::collections::vec_deque::Drain;

use uptick_websocket::Message;

/// Room that a queue keeps when it is empty.
const KEPT: usize = 16;

/// A queue of frames, and their size.
#[derive(Debug, Default)]
pub(super) struct Queue {
    frames: VecDeque<Message>,
    bytes: usize,
}

impl Queue {
    pub(super) fn push(&mut self, frame: Message) {
        self.bytes += frame.as_bytes().len();
        self.frames.push_back(frame);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Message> + Clone {
        self.frames.iter()
    }

    /// Takes all frames.
    pub(super) fn drain(&mut self) -> Drain<'_, Message> {
        self.bytes = 0;
        self.frames.drain(..)
    }

    /// Frees the memory of a burst.
    pub(super) fn shrink(&mut self) {
        if self.frames.is_empty() && self.frames.capacity() > KEPT {
            self.frames.shrink_to(KEPT);
        }
    }
}
